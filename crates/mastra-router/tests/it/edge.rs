//! A router that listens on a port of its own.

use std::net::SocketAddr;
use std::time::Duration;

use mastra_router::{LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouteInfo, RoutingStrategy};
use tempfile::TempDir;

use crate::wire::Wire;

pub(crate) struct Edge {
    pub(crate) router: LocalEdgeRouter,
    pub(crate) address: SocketAddr,
    _leases: TempDir,
}

/// A configuration for tests: one thread, so that there is one pool of upstream connections, and short waits.
pub(crate) fn config(leases: &TempDir) -> LocalEdgeRouterConfig {
    let mut config = LocalEdgeRouterConfig {
        strategy: RoutingStrategy::ReverseProxy,
        proxy_port: 0,
        lease_dir: Some(leases.path().to_owned()),
        ..LocalEdgeRouterConfig::default()
    };
    config.proxy.threads = Some(1);
    config.proxy.drain_timeout = Duration::from_millis(50);
    config
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut LocalEdgeRouterConfig)) -> Self {
        let leases = TempDir::new().unwrap();
        let mut config = config(&leases);
        change(&mut config);
        let router = LocalEdgeRouter::start(config).await.unwrap();
        let address = router.proxy_addresses()[0];
        Self { router, address, _leases: leases }
    }

    /// A route to a port of this machine, which nothing checks beforehand.
    pub(crate) async fn route(&self, name: &str, port: u16) -> RouteInfo {
        self.route_with(name, port, |_| {}).await
    }

    pub(crate) async fn route_with(&self, name: &str, port: u16, change: impl FnOnce(&mut RouteConfig)) -> RouteInfo {
        let mut config = RouteConfig::new(name, "project", name, "127.0.0.1", port);
        change(&mut config);
        let deployment = config.deployment_id.clone();
        self.router.load_routes(vec![config]).await.unwrap();
        let routes = self.router.get_all_routes();
        routes.into_iter().find(|route| route.deployment_id == deployment).unwrap()
    }

    pub(crate) async fn client(&self) -> Wire {
        Wire::connect(self.address).await
    }
}
