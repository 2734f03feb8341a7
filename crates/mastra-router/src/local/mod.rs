//! The router of this process: the only file that names all parts. It starts them, joins them, and stops them in order.

mod admission;
mod handing_over;
mod hosts;
mod leases;
mod provider;
mod saving;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, broadcast};

use self::hosts::RouterHosts;
use self::leases::Leases;
use self::saving::{Restored, Saving};
use self::tls::RouterTls;
use crate::config::{LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::health::{HealthChecker, HealthMonitor, HealthSettings};
use crate::hosts::HostsManager;
use crate::name::BaseDomain;
use crate::ports::PortManager;
use crate::proxy::{Clients, ProxySetup, ReverseProxy};
use crate::registry::{Configured, RouteRegistry};
use crate::requests::RequestFeed;
use crate::route::{HealthPath, Route, RouteConfig, RouteId, RouteInfo, RouteSpec};
use crate::tls::TlsSettings;
use crate::url::PublicUrls;
use crate::user::default_lease_dir;

/// Events a listener may fall behind by before it loses the oldest.
const EVENTS_KEPT: usize = 1024;
/// Health checks at one time. Each holds a socket; a laptop's limit of open files is often 256.
const CHECKS_AT_ONCE: usize = 64;

/// A local edge router. Clones are handles to the same one.
///
/// ```
/// use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> mastra_router::Result<()> {
/// let router = LocalEdgeRouter::start(LocalEdgeRouterConfig::default()).await?;
/// let route = router
///     .register_route(RouteConfig::new("deploy-123", "project-456", "job-matcher", "localhost", 3001))
///     .await?;
/// assert_eq!(route.public_url, "http://localhost:3001");
/// router.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalEdgeRouter {
    inner: Arc<Inner>,
}

struct Inner {
    config: LocalEdgeRouterConfig,
    base: BaseDomain,
    registry: Arc<RouteRegistry>,
    urls: Arc<PublicUrls>,
    tls: Arc<RouterTls>,
    hosts: RouterHosts,
    checker: HealthChecker,
    health: HealthMonitor,
    ports: Arc<PortManager>,
    events: broadcast::Sender<RouterEvent>,
    requests: Arc<RequestFeed>,
    leases: Leases,
    /// Held while the proxy is started or stopped, so that it is done once.
    proxy: Mutex<Option<ReverseProxy>>,
    /// Sockets that were given to the router, until its proxy starts.
    given: std::sync::Mutex<Vec<TcpListener>>,
    /// Those of the proxy that was started last.
    clients: RwLock<Option<Clients>>,
    /// Where the proxy listens; empty while it does not.
    addresses: RwLock<Vec<SocketAddr>>,
    closed: AtomicBool,
    /// Whether the proxy has run at all. One that was stopped on purpose is not started by a look at a route.
    was_started: AtomicBool,
    /// `None` where nothing is saved.
    saving: Option<Saving>,
}

impl LocalEdgeRouter {
    /// Makes a router, with the routes that were saved where it has a `state_dir`. It serves nothing yet; the first new
    /// route of a `reverse-proxy` starts the proxy.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`]; with a `state_dir` also [`RouterError::HomeInUse`] and [`RouterError::File`].
    pub fn new(config: LocalEdgeRouterConfig) -> Result<Self> {
        config.validate()?;
        let base = BaseDomain::parse(&config.base_domain)?;
        let registry = Arc::new(RouteRegistry::new(config.strategy == RoutingStrategy::ReverseProxy));
        let ports = PortManager::new(config.port_range, config.lease_dir.clone().unwrap_or_else(default_lease_dir));
        // Before anything follows the table: nobody is to act on an empty one.
        let restored = config.state_dir.as_deref().map(|dir| Restored::from(dir, &config, &registry, &ports));
        let restored = restored.transpose()?;
        let urls = Arc::new(PublicUrls::new(&config, base.clone()));
        let events = broadcast::Sender::new(EVENTS_KEPT);

        let checks = &config.health_check;
        let path = HealthPath::parse(&checks.path)?.ok_or_else(|| RouterError::InvalidConfig {
            setting: "healthCheck.path",
            reason: "it is empty".to_owned(),
        })?;
        let tls = Arc::new(RouterTls::new(&config, &base));
        let hosts = RouterHosts::new(&config, &base)?;
        let checker = HealthChecker::new(path, checks.timeout, checks.failure_threshold).with_tls(tls.targets());
        let settings =
            HealthSettings { interval: checks.interval, concurrency: CHECKS_AT_ONCE, ..HealthSettings::default() };
        let tell = {
            let (urls, events) = (urls.clone(), events.clone());
            Arc::new(move |outcome: crate::health::CheckOutcome| {
                let route = urls.info(&outcome.route, outcome.record);
                // No listener is no error.
                let _ = events.send(RouterEvent::Checked { route, before: outcome.before, health: outcome.health });
            })
        };
        let health = HealthMonitor::new(checker.clone(), settings, registry.reader(), tell);
        let undo = saving::undo(registry.clone(), urls.clone(), health.clone(), events.clone());
        let saving = restored.map(|restored| restored.follow(&registry, undo)).transpose()?;
        let inner = Inner {
            config,
            base,
            registry,
            urls,
            tls,
            hosts,
            checker,
            health,
            ports: Arc::new(ports),
            events,
            requests: Arc::new(RequestFeed::new()),
            leases: Leases::default(),
            proxy: Mutex::new(None),
            given: std::sync::Mutex::default(),
            clients: RwLock::default(),
            addresses: RwLock::default(),
            closed: AtomicBool::new(false),
            was_started: AtomicBool::new(false),
            saving,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a router and, in `reverse-proxy`, starts its proxy.
    ///
    /// # Errors
    /// As [`LocalEdgeRouter::new`], [`RouterError::PortInUse`] and [`RouterError::Listen`].
    pub async fn start(config: LocalEdgeRouterConfig) -> Result<Self> {
        let router = Self::new(config)?;
        router.watch_leases();
        if router.inner.config.strategy == RoutingStrategy::ReverseProxy {
            router.start_proxy().await?;
        }
        Ok(router)
    }

    /// The router's configuration.
    pub fn config(&self) -> &LocalEdgeRouterConfig {
        &self.inner.config
    }

    /// Starts the proxy.
    ///
    /// # Errors
    /// [`RouterError::NoProxyInStrategy`], [`RouterError::ProxyRunning`], [`RouterError::PortInUse`],
    /// [`RouterError::Listen`].
    pub async fn start_proxy(&self) -> Result<()> {
        self.open()?;
        if self.inner.config.strategy != RoutingStrategy::ReverseProxy {
            return Err(RouterError::NoProxyInStrategy);
        }
        let proxy = self.inner.proxy.lock().await;
        if proxy.is_some() {
            return Err(RouterError::ProxyRunning);
        }
        self.launch_proxy(proxy).await
    }

    /// Stops the proxy: no new connections, then the open exchanges until the drain timeout. Does nothing where none runs.
    pub async fn stop_proxy(&self) {
        let mut proxy = self.inner.proxy.lock().await;
        if let Some(running) = proxy.take() {
            self.inner.set_addresses(Vec::new());
            running.stop().await;
        }
    }

    /// Whether the proxy listens.
    pub fn is_proxy_running(&self) -> bool {
        !self.proxy_addresses().is_empty()
    }

    /// Where the proxy listens, with the ports it got; empty while it does not.
    pub fn proxy_addresses(&self) -> Vec<SocketAddr> {
        self.inner.addresses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many follow the requests that the proxy answers; while nobody does, that costs nothing.
    pub fn request_followers(&self) -> usize {
        self.inner.requests.followers()
    }

    /// Checks all routes from now on, each about every interval. Must be called from within a Tokio runtime.
    pub fn start_health_checking(&self) {
        match Handle::try_current() {
            Ok(runtime) if !self.inner.closed.load(Ordering::Relaxed) => self.inner.health.start(&runtime),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "health checks cannot be started outside of a runtime"),
        }
    }

    /// Stops the periodic checks.
    pub fn stop_health_checking(&self) {
        self.inner.health.stop();
    }

    /// All routes, in the order of registration.
    pub fn get_all_routes(&self) -> Vec<RouteInfo> {
        self.inner.registry.table().iter().map(|route| self.inner.info(route)).collect()
    }

    /// Removes all routes. It returns before that is saved, and cannot tell where it could not be; then they come back.
    pub fn clear_routes(&self) {
        self.inner.registry.clear();
        let _ = self.inner.events.send(RouterEvent::Cleared);
        self.log("All routes cleared");
    }

    /// Registers many routes at once, as from a configuration file: all of them or none, and without a check: `wait_healthy`
    /// means nothing here. They are not saved, and a saved route that stands in the way of one goes.
    ///
    /// # Errors
    /// That of the first route that cannot be registered.
    pub async fn load_routes(&self, configs: Vec<RouteConfig>) -> Result<()> {
        self.load_routes_in_order(configs).await.map_err(|(_, error)| error)
    }

    /// As [`load_routes`](Self::load_routes), with the index of the route that cannot be registered, where it is one.
    ///
    /// # Errors
    /// As [`load_routes`](Self::load_routes).
    pub async fn load_routes_in_order(&self, configs: Vec<RouteConfig>) -> Result<(), (Option<usize>, RouterError)> {
        self.open().map_err(|error| (None, error))?;
        let mut specs = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            let spec = match RouteSpec::parse(config) {
                Ok(spec) => self.inner.ensure_tls(Some(&spec)).await.map(|()| spec),
                Err(error) => Err(error),
            };
            specs.push(spec.map_err(|error| (Some(index), error))?);
        }
        // First, since a target is compared with where the proxy listens.
        self.ensure_proxy().await.map_err(|error| (None, error))?;
        for (index, spec) in specs.iter_mut().enumerate() {
            spec.target = self.inner.resolve(spec.target.clone()).await.map_err(|error| (Some(index), error))?;
        }
        let gives_way = |route: &Route| self.inner.saving.as_ref().is_some_and(|saving| saving.gives_way(route));
        let configured = self.inner.registry.configure(specs, gives_way);
        let Configured { displaced, version } = configured.map_err(|(index, error)| (Some(index), error))?;
        for route in displaced {
            let (name, deployment) = (&route.spec.name, &route.spec.deployment_id);
            tracing::warn!("the saved route {name} of deployment {deployment} gives way to a configured one");
        }
        if configs.iter().any(|config| config.lease.is_some()) {
            self.watch_leases();
        }
        self.inner.saved(version).await.map_err(|error| (None, error))
    }

    /// Stops everything in order: periodic checks, the proxy with its connections, saving, routes, leased ports. What is
    /// saved stays. Calling it again does nothing; other calls fail from then on with [`RouterError::Closed`].
    pub async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.inner.health.stop();
        self.inner.leases.stop();
        self.stop_proxy().await;
        self.inner.requests.close();
        self.inner.health.stopped().await;
        self.inner.hosts.stop().await;
        // Before the routes go: that they do is nobody's change.
        if let Some(saving) = &self.inner.saving {
            saving.stop().await;
        }
        self.inner.registry.clear();
        self.inner.release_ports().await;
    }

    /// Takes back what would outlive the process, at once: lines of the hosts file, leases. What is saved stays; connections
    /// are cut. For the end of a program that did not [`close`](Self::close).
    ///
    /// A close that is going on is not waited for; what it has not done yet is done here.
    pub async fn leave(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.inner.health.stop();
        self.inner.leases.stop();
        // Dropping it stops it, and does not wait.
        let proxy = self.inner.proxy.try_lock().ok().and_then(|mut proxy| proxy.take());
        self.inner.set_addresses(Vec::new());
        drop(proxy);
        self.inner.requests.close();
        self.inner.hosts.stop().await;
        if let Some(saving) = &self.inner.saving {
            saving.stop().await;
        }
        self.inner.release_ports().await;
    }

    /// The router's own entries of the hosts file; `None` where that is off. In `port-mapping` the router writes none itself.
    pub fn hosts_manager(&self) -> Option<HostsManager> {
        self.inner.hosts.manager()
    }

    /// How the router's certificates are kept; `None` where TLS is off.
    pub fn tls_settings(&self) -> Option<TlsSettings> {
        self.inner.tls.settings()
    }

    fn open(&self) -> Result<()> {
        if self.inner.closed.load(Ordering::Relaxed) { Err(RouterError::Closed) } else { Ok(()) }
    }

    /// No URL is handed out that nothing answers.
    async fn ensure_proxy(&self) -> Result<()> {
        if self.inner.config.strategy != RoutingStrategy::ReverseProxy || self.is_proxy_running() {
            return Ok(());
        }
        let proxy = self.inner.proxy.lock().await;
        if proxy.is_some() {
            return Ok(());
        }
        self.open()?;
        self.launch_proxy(proxy).await
    }

    /// The same for URLs of saved routes, before the first of them is handed out.
    async fn serve_restored(&self) -> Result<()> {
        let restored = self.inner.saving.is_some() && !self.inner.registry.table().is_empty();
        if restored && !self.inner.was_started.load(Ordering::Relaxed) { self.ensure_proxy().await } else { Ok(()) }
    }

    async fn launch_proxy(&self, mut proxy: MutexGuard<'_, Option<ReverseProxy>>) -> Result<()> {
        let table = self.inner.registry.table();
        let saved = table.iter().find(|route| route.spec.tls == Some(true));
        self.inner.ensure_tls(saved.map(|route| &route.spec)).await?;
        self.inner.start_proxy(&mut proxy)?;
        self.inner.was_started.store(true, Ordering::Relaxed);
        drop(proxy);
        self.inner.hosts.follow(|| self.inner.registry.reader());
        self.resolve_saved().await;
        Ok(())
    }

    fn log(&self, message: &str) {
        if self.inner.config.log_routes {
            tracing::info!("[LocalEdgeRouter] {message}");
        }
    }
}

impl Inner {
    async fn ensure_tls(&self, route: Option<&RouteSpec>) -> Result<()> {
        self.tls.ensure(route, || self.registry.reader()).await
    }

    fn start_proxy(&self, proxy: &mut Option<ReverseProxy>) -> Result<()> {
        let health = self.health.clone();
        let given = std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner));
        let setup = ProxySetup {
            base: self.base.clone(),
            config: self.config.proxy.clone(),
            reader: self.registry.reader(),
            suspect: Arc::new(move |id: &RouteId| health.suspect(id)),
            tls: self.tls.for_proxy(),
            observer: Some(self.requests.clone()),
        };
        let running = if given.is_empty() {
            ReverseProxy::start(&self.config.listen_addresses(), setup)?
        } else {
            ReverseProxy::start_on(given, setup)?
        };
        if let Some(address) = running.addresses().first() {
            self.urls.set_proxy_port(address.port());
        }
        self.set_addresses(running.addresses().to_vec());
        *self.clients.write().unwrap_or_else(PoisonError::into_inner) = Some(running.clients());
        *proxy = Some(running);
        Ok(())
    }

    async fn release_ports(&self) {
        let ports = self.ports.clone();
        let released = tokio::task::spawn_blocking(move || {
            for port in ports.allocated() {
                ports.release(port);
            }
        });
        let _ = released.await;
    }

    fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn info(&self, route: &Route) -> RouteInfo {
        self.urls.info(route, self.health.record(route))
    }
}
