//! Which targets this router may lead to.

use std::sync::PoisonError;

use super::Inner;
use crate::config::RoutingStrategy;
use crate::error::{Result, RouterError};
use crate::target::{Target, TargetHost};

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
            return refuse("it is on another machine, which allowRemoteTargets would have to permit");
        }
        let own = self.addresses.read().unwrap_or_else(PoisonError::into_inner);
        if target.is_loopback() && own.iter().any(|a| a.port() == target.port()) {
            return refuse("it is the router itself");
        }
        drop(own);
        Ok(target)
    }
}
