//! Which targets this router may lead to.

use std::sync::PoisonError;

use super::Inner;
use crate::config::{LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::{Result, RouterError};
use crate::route::RouteSpec;
use crate::target::{Target, TargetHost};

const REMOTE: &str = "it is on another machine, which allowRemoteTargets would have to permit";

/// Whether a saved route can be served with these settings, which may be others than those it was made with. What depends
/// on the moment is not asked: a name may resolve later, and a port that is the router's own today may not be tomorrow.
pub(super) fn check_saved(config: &LocalEdgeRouterConfig, spec: &RouteSpec) -> Result<()> {
    if config.strategy == RoutingStrategy::PortMapping {
        return Ok(());
    }
    match spec.target.host() {
        TargetHost::Ip(ip) if !ip.is_loopback() && !config.allow_remote_targets => {
            Err(RouterError::InvalidTarget { target: spec.target.to_string(), reason: REMOTE.to_owned() })
        }
        _ => Ok(()),
    }
}

impl Inner {
    /// The target as it may be proxied to: on this machine unless other machines are allowed, its name resolved for good,
    /// and not the router itself. In `port-mapping` nothing is proxied and nothing resolved.
    pub(super) async fn resolve(&self, target: Target) -> Result<Target> {
        if self.config.strategy == RoutingStrategy::PortMapping {
            return Ok(target);
        }
        let target = match target.host() {
            // A name that is pinned already stays where it was pinned to.
            TargetHost::Name { name, pinned } if pinned.is_empty() => {
                let found = tokio::net::lookup_host((&**name, target.port())).await;
                let addresses: Vec<_> = found.map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default();
                target.clone().pin(addresses)?
            }
            _ => target,
        };
        let refuse =
            |reason: &str| Err(RouterError::InvalidTarget { target: target.to_string(), reason: reason.into() });
        if !target.is_loopback() && !self.config.allow_remote_targets {
            return refuse(REMOTE);
        }
        let own = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        if target.is_loopback() && own.iter().any(|a| a.port() == target.port()) {
            return refuse("it is the router itself");
        }
        drop(own);
        Ok(target)
    }
}
