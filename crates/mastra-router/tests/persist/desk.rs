//! A directory with a router's state, and routers that are started in it one after the other.

use std::path::{Path, PathBuf};

use mastra_router::{
    EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouteInfo, RoutingStrategy,
};
use tempfile::TempDir;

pub(crate) const JOURNAL: &str = "routes.journal";

pub(crate) struct Desk {
    dir: TempDir,
    pub(crate) config: LocalEdgeRouterConfig,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(RoutingStrategy::PortMapping)
    }

    pub(crate) fn with(strategy: RoutingStrategy) -> Self {
        let dir = TempDir::new().unwrap();
        let config = LocalEdgeRouterConfig {
            strategy,
            proxy_port: 0,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            state_dir: Some(dir.path().join("state")),
            lease_dir: Some(dir.path().join("ports")),
            log_routes: false,
            ..LocalEdgeRouterConfig::default()
        };
        Self { dir, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.state().join(JOURNAL)
    }

    /// A router in the state as it is.
    pub(crate) fn router(&self) -> LocalEdgeRouter {
        LocalEdgeRouter::new(self.config.clone()).unwrap()
    }

    /// What a router would find that started at this moment in a copy of the state.
    pub(crate) fn on_disk(&self) -> Vec<RouteInfo> {
        let copy = TempDir::new().unwrap();
        std::fs::copy(self.journal(), copy.path().join(JOURNAL)).unwrap();
        let lease_dir = Some(copy.path().join("ports"));
        let state_dir = Some(copy.path().to_owned());
        let config = LocalEdgeRouterConfig { state_dir, lease_dir, ..self.config.clone() };
        let router = LocalEdgeRouter::new(config).unwrap();
        assert_eq!(router.warnings(), [""; 0]);
        router.get_all_routes()
    }

    /// Files of the state that were put aside.
    pub(crate) fn aside(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = entries(&self.state());
        all.retain(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.contains(".corrupt-") || name.contains(".newer-")
        });
        all
    }
}

pub(crate) fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// A route to a port that nothing listens on.
pub(crate) fn route(deployment: &str, name: &str) -> RouteConfig {
    RouteConfig::new(deployment, "project", name, "127.0.0.1", 9)
}

pub(crate) async fn add(router: &LocalEdgeRouter, deployment: &str) -> RouteInfo {
    router.register_route(route(deployment, deployment)).await.unwrap()
}

/// What of a route is to be the same after a restart.
pub(crate) fn kept(mut route: RouteInfo) -> RouteInfo {
    route.last_health_check = None;
    route.last_error = None;
    route.health_check_failures = 0;
    route.status = mastra_router::RouteStatus::Pending;
    route
}

pub(crate) fn all_kept(routes: Vec<RouteInfo>) -> Vec<RouteInfo> {
    routes.into_iter().map(kept).collect()
}

pub(crate) fn deployments(router: &LocalEdgeRouter) -> Vec<String> {
    router.get_all_routes().into_iter().map(|route| route.deployment_id).collect()
}
