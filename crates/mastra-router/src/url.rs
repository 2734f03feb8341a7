//! Public URLs of routes.

use std::sync::atomic::{AtomicU16, Ordering};

use crate::config::{LocalEdgeRouterConfig, LocalhostUrls, RoutingStrategy};
use crate::health::HealthRecord;
use crate::name::BaseDomain;
use crate::route::{Route, RouteInfo};

/// Makes public URLs, and what a caller gets to see of a route, by the seed's formula.
#[derive(Debug)]
pub(crate) struct PublicUrls {
    strategy: RoutingStrategy,
    base: BaseDomain,
    localhost_urls: LocalhostUrls,
    enable_tls: bool,
    /// The port the proxy really got.
    proxy_port: AtomicU16,
}

impl PublicUrls {
    pub(crate) fn new(config: &LocalEdgeRouterConfig, base: BaseDomain) -> Self {
        Self {
            strategy: config.strategy,
            base,
            localhost_urls: config.localhost_urls,
            enable_tls: config.enable_tls,
            proxy_port: AtomicU16::new(config.proxy_port),
        }
    }

    pub(crate) fn set_proxy_port(&self, port: u16) {
        self.proxy_port.store(port, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, route: &Route) -> String {
        let spec = &route.spec;
        let tls = spec.tls.unwrap_or(self.enable_tls);
        let protocol = if tls { "https" } else { "http" };
        if self.strategy == RoutingStrategy::PortMapping {
            return format!("{protocol}://{}", spec.target);
        }
        let port = match (self.proxy_port.load(Ordering::Relaxed), tls) {
            // Browsers leave the scheme's own port out of Host and Origin; so do our URLs.
            (80, false) | (443, true) => String::new(),
            (port, _) => format!(":{port}"),
        };
        let prefix = spec.path_prefix.as_ref().map_or("", |p| p.as_str());
        let name = &spec.name;
        if self.base.is_localhost() && self.localhost_urls == LocalhostUrls::Path {
            format!("{protocol}://localhost{port}/{name}{prefix}")
        } else {
            format!("{protocol}://{name}.{}{port}{prefix}", self.base)
        }
    }

    pub(crate) fn info(&self, route: &Route, health: HealthRecord) -> RouteInfo {
        let spec = &route.spec;
        // One that was asked for is about to start.
        let is_asked_for = || route.life.activity().is_some_and(|activity| activity.now().waiting > 0);
        RouteInfo {
            route_id: route.id.clone(),
            deployment_id: spec.deployment_id.to_string(),
            public_url: self.of(route),
            status: health.status,
            created_at: route.created_at,
            last_health_check: health.last_check,
            project_id: spec.project_id.to_string(),
            subdomain: spec.name.to_string(),
            target: spec.target.clone(),
            path_prefix: spec.path_prefix.as_ref().map(|p| p.as_str().to_owned()),
            strip_prefix: spec.strip_prefix,
            health_path: spec.health_path.as_ref().map(|p| p.as_str().to_owned()),
            wildcard: spec.wildcard,
            health_check_failures: health.failures,
            last_error: health.last_error,
            lease: spec.lease.as_deref().cloned(),
            wake: spec.wake,
            sleeping: spec.wake && health.sleeping && !route.life.listens() && !is_asked_for(),
        }
    }
}
