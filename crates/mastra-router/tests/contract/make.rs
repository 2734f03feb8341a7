//! The routers that the contract is checked with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mastra_router::control::{ControlClient, ControlServer, ServerInfo};
use mastra_router::{
    Home, LocalEdgeRouter, LocalEdgeRouterConfig, PortRange, Result, RouteConfig, RouteInfo, RouterControl,
    RouterEvent, RoutingStrategy,
};
use tempfile::TempDir;
use tokio::sync::broadcast;

/// For what never comes true. Nothing waits that long otherwise.
const MOST: Duration = Duration::from_secs(60);

/// The kinds of routers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    ReverseProxy,
    PortMapping,
    /// Through the control door of a router with a proxy.
    Connected,
}

/// A router, and what it is made of.
pub(crate) struct Subject {
    router: Arc<dyn RouterControl>,
    /// The one that does the work.
    pub(crate) own: LocalEdgeRouter,
    client: Option<ControlClient>,
    _server: Option<ControlServer>,
    _dir: TempDir,
}

impl Make {
    pub(crate) async fn router(self) -> Subject {
        self.with(|_| {}).await
    }

    pub(crate) async fn with(self, change: impl FnOnce(&mut LocalEdgeRouterConfig)) -> Subject {
        let dir = TempDir::new().unwrap();
        let strategy =
            if self == Self::PortMapping { RoutingStrategy::PortMapping } else { RoutingStrategy::ReverseProxy };
        let mut config = LocalEdgeRouterConfig {
            strategy,
            proxy_port: 0,
            port_range: PortRange { start: 23_100, end: 23_199 },
            lease_dir: Some(dir.path().join("ports")),
            ..LocalEdgeRouterConfig::default()
        };
        config.proxy.threads = Some(1);
        config.proxy.drain_timeout = Duration::from_millis(100);
        change(&mut config);
        let own = LocalEdgeRouter::new(config).unwrap();
        if self != Self::Connected {
            return Subject { router: Arc::new(own.clone()), own, client: None, _server: None, _dir: dir };
        }
        let home = Home::resolve(Some(dir.path().join("home")));
        let server = ControlServer::start(home.lock().unwrap(), Arc::new(own.clone()), ServerInfo::default()).unwrap();
        let client = ControlClient::connect(&home).await.unwrap();
        Subject { router: Arc::new(client.clone()), own, client: Some(client), _server: Some(server), _dir: dir }
    }
}

impl Deref for Subject {
    type Target = Arc<dyn RouterControl>;

    fn deref(&self) -> &Self::Target {
        &self.router
    }
}

impl Subject {
    /// What happens from the moment this returns.
    pub(crate) async fn events(&self) -> broadcast::Receiver<RouterEvent> {
        match &self.client {
            Some(client) => client.events().await.unwrap(),
            None => self.subscribe(),
        }
    }

    /// Where a deployment's route answers.
    pub(crate) async fn url(&self, deployment: &str) -> String {
        self.get_route(deployment).await.unwrap().unwrap().public_url
    }
}

/// `future`, or a failure that says what did not come.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(MOST, future).await {
        Ok(output) => output,
        Err(_) => panic!("never came: {what}"),
    }
}

/// A route to a port of this machine.
pub(crate) fn route(port: u16) -> RouteConfig {
    RouteConfig::new("deploy-1", "project-1", "app", "127.0.0.1", port)
}

/// A route of many: with an id and a name of its own.
pub(crate) fn numbered(port: u16, n: usize) -> RouteConfig {
    RouteConfig::new(format!("deploy-{n}"), "project-1", format!("app-{n}"), "127.0.0.1", port)
}

/// The deployments of routes.
pub(crate) fn deployments(routes: &[RouteInfo]) -> Vec<&str> {
    routes.iter().map(|route| route.deployment_id.as_str()).collect()
}

/// The code of a call's error.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().code().to_owned()
}
