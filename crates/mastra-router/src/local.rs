//! The router of this process: the only file that names all parts. It starts them, joins them, and stops them in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, broadcast};
use tokio::time::Instant;

use crate::config::{LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::health::{CheckKind, HealthChecker, HealthMonitor, HealthSettings};
use crate::name::BaseDomain;
use crate::ports::PortManager;
use crate::provider::{EdgeRouterProvider, RouterControl};
use crate::proxy::ReverseProxy;
use crate::registry::RouteRegistry;
use crate::route::{HealthPath, Route, RouteConfig, RouteHealthStatus, RouteInfo, RouteSpec, RouteUpdate};
use crate::target::{Target, TargetHost, TargetScheme};
use crate::url::PublicUrls;

/// Events a listener may fall behind by before it loses the oldest.
const EVENTS_KEPT: usize = 1024;
/// Health checks at one time. Each holds a socket; a laptop's limit of open files is often 256.
const CHECKS_AT_ONCE: usize = 64;
/// Pause between two looks at a target that an update waits for.
const WAIT_HEALTHY_PAUSE: Duration = Duration::from_millis(100);

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
    registry: RouteRegistry,
    urls: Arc<PublicUrls>,
    checker: HealthChecker,
    health: HealthMonitor,
    ports: Arc<PortManager>,
    events: broadcast::Sender<RouterEvent>,
    /// Held while the proxy is started or stopped, so that it is done once.
    proxy: Mutex<Option<ReverseProxy>>,
    /// Where the proxy listens; empty while it does not.
    addresses: RwLock<Vec<SocketAddr>>,
    closed: AtomicBool,
}

impl LocalEdgeRouter {
    /// Makes a router. Nothing runs yet; the first route of a `reverse-proxy` starts the proxy.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`].
    pub fn new(config: LocalEdgeRouterConfig) -> Result<Self> {
        config.validate()?;
        let base = BaseDomain::parse(&config.base_domain)?;
        let registry = RouteRegistry::new(config.strategy == RoutingStrategy::ReverseProxy);
        let urls = Arc::new(PublicUrls::new(&config, base.clone()));
        let events = broadcast::Sender::new(EVENTS_KEPT);

        let checks = &config.health_check;
        let path = HealthPath::parse(&checks.path)?.ok_or_else(|| RouterError::InvalidConfig {
            setting: "healthCheck.path",
            reason: "it is empty".to_owned(),
        })?;
        let checker = HealthChecker::new(path, checks.timeout, checks.failure_threshold);
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
        let ports = PortManager::new(config.port_range, config.lease_dir.clone().unwrap_or_else(default_lease_dir));
        let inner = Inner {
            config,
            base,
            registry,
            urls,
            checker,
            health,
            ports: Arc::new(ports),
            events,
            proxy: Mutex::new(None),
            addresses: RwLock::default(),
            closed: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes a router and, in `reverse-proxy`, starts its proxy.
    ///
    /// # Errors
    /// As [`LocalEdgeRouter::new`], [`RouterError::PortInUse`] and [`RouterError::Listen`].
    pub async fn start(config: LocalEdgeRouterConfig) -> Result<Self> {
        let router = Self::new(config)?;
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
        let mut proxy = self.inner.proxy.lock().await;
        if proxy.is_some() {
            return Err(RouterError::ProxyRunning);
        }
        self.inner.start_proxy(&mut proxy)
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

    /// Removes all routes.
    pub fn clear_routes(&self) {
        self.inner.registry.clear();
        let _ = self.inner.events.send(RouterEvent::Cleared);
        self.log("All routes cleared");
    }

    /// Registers many routes at once, as from a configuration file: all of them or none, and without a first check.
    ///
    /// # Errors
    /// That of the first route that cannot be registered.
    pub async fn load_routes(&self, configs: Vec<RouteConfig>) -> Result<()> {
        self.open()?;
        let mut specs = Vec::with_capacity(configs.len());
        for config in &configs {
            let spec = RouteSpec::parse(config)?;
            self.inner.check_tls(&spec)?;
            specs.push(spec);
        }
        // First, since a target is compared with where the proxy listens.
        self.ensure_proxy().await?;
        for spec in &mut specs {
            spec.target = self.inner.resolve(spec.target.clone()).await?;
        }
        self.inner.registry.add_all(specs)
    }

    /// Stops everything in order: periodic checks, the proxy with its connections, routes, leased ports. Calling it again
    /// does nothing; other calls fail from then on with [`RouterError::Closed`].
    pub async fn close(&self) {
        if self.inner.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.inner.health.stop();
        self.stop_proxy().await;
        self.inner.health.stopped().await;
        self.inner.registry.clear();
        let ports = self.inner.ports.clone();
        let released = tokio::task::spawn_blocking(move || {
            for port in ports.allocated() {
                ports.release(port);
            }
        });
        let _ = released.await;
    }

    fn open(&self) -> Result<()> {
        if self.inner.closed.load(Ordering::Relaxed) { Err(RouterError::Closed) } else { Ok(()) }
    }

    /// No URL is handed out that nothing answers.
    async fn ensure_proxy(&self) -> Result<()> {
        if self.inner.config.strategy != RoutingStrategy::ReverseProxy || self.is_proxy_running() {
            return Ok(());
        }
        let mut proxy = self.inner.proxy.lock().await;
        if proxy.is_some() {
            return Ok(());
        }
        self.open()?;
        self.inner.start_proxy(&mut proxy)
    }

    fn log(&self, message: &str) {
        if self.inner.config.log_routes {
            tracing::info!("[LocalEdgeRouter] {message}");
        }
    }

    /// Waits until the target is healthy, no longer than a check may take.
    async fn wait_healthy(&self, spec: &RouteSpec) -> Result<()> {
        let deadline = Instant::now() + self.inner.config.health_check.timeout;
        loop {
            let health = self.inner.checker.check(&spec.target, spec.health_path.as_ref()).await;
            if health.healthy {
                return Ok(());
            }
            if Instant::now() + WAIT_HEALTHY_PAUSE >= deadline {
                let reason = health.error.unwrap_or_default();
                return Err(RouterError::TargetUnhealthy { target: spec.target.to_string(), reason });
            }
            tokio::time::sleep(WAIT_HEALTHY_PAUSE).await;
        }
    }
}

impl Inner {
    fn start_proxy(&self, proxy: &mut Option<ReverseProxy>) -> Result<()> {
        let health = self.health.clone();
        let running = ReverseProxy::start(
            &self.config.listen_addresses(),
            self.base.clone(),
            self.config.proxy.clone(),
            self.registry.reader(),
            Arc::new(move |id| health.suspect(id)),
        )?;
        if let Some(address) = running.addresses().first() {
            self.urls.set_proxy_port(address.port());
        }
        self.set_addresses(running.addresses().to_vec());
        *proxy = Some(running);
        Ok(())
    }

    fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn info(&self, route: &Route) -> RouteInfo {
        self.urls.info(route, self.health.record(route))
    }

    fn check_tls(&self, spec: &RouteSpec) -> Result<()> {
        match (self.config.strategy, spec.tls) {
            (RoutingStrategy::ReverseProxy, Some(true)) => Err(RouterError::InvalidField {
                field: "tls",
                value: "true".to_owned(),
                reason: "this version serves plain HTTP only",
            }),
            _ => Ok(()),
        }
    }

    /// The target as it may be proxied to: on this machine unless other machines are allowed, its name resolved for good,
    /// and not the router itself. In `port-mapping` nothing is proxied and nothing resolved.
    async fn resolve(&self, target: Target) -> Result<Target> {
        if self.config.strategy == RoutingStrategy::PortMapping {
            return Ok(target);
        }
        if target.scheme() != TargetScheme::Http {
            let reason = "upstreams are reached over plain HTTP in this version".to_owned();
            return Err(RouterError::InvalidTarget { target: target.to_string(), reason });
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

#[async_trait]
impl EdgeRouterProvider for LocalEdgeRouter {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn register_route(&self, config: RouteConfig) -> Result<RouteInfo> {
        self.open()?;
        let mut spec = RouteSpec::parse(&config)?;
        self.inner.check_tls(&spec)?;
        self.ensure_proxy().await?;
        spec.target = self.inner.resolve(spec.target).await?;
        let route = self.inner.registry.add(spec)?;
        self.log(&format!("Route registered: {} → {}", route.spec.name, self.inner.urls.of(&route)));
        let _ = self.inner.events.send(RouterEvent::Registered(self.inner.info(&route)));
        self.inner.health.check(&route, CheckKind::First).await;
        // An update may have come in during the check; the caller is told what is.
        let table = self.inner.registry.table();
        Ok(self.inner.info(table.get(route.id.as_str()).unwrap_or(&route)))
    }

    async fn update_route(&self, route_id: &str, update: RouteUpdate) -> Result<RouteInfo> {
        self.open()?;
        let before = self.inner.registry.table();
        let before = before.get(route_id).ok_or_else(|| RouterError::RouteNotFound { id: route_id.to_owned() })?;
        let mut planned = before.spec.updated(&update)?;
        self.inner.check_tls(&planned)?;
        planned.target = self.inner.resolve(planned.target).await?;
        if update.wait_healthy {
            self.wait_healthy(&planned).await?;
        }
        let route = self.inner.registry.update(route_id, |spec| {
            let mut new = spec.updated(&update)?;
            // The same target, with the addresses that were resolved and checked.
            if new.target.port() == planned.target.port() && new.target.url_host() == planned.target.url_host() {
                new.target = planned.target.clone().over(new.target.scheme());
            }
            Ok(new)
        })?;
        self.log(&format!("Route updated: {} → {}", route.spec.name, self.inner.urls.of(&route)));
        if route.target_revision != before.target_revision {
            self.inner.health.check(&route, CheckKind::First).await;
        }
        let table = self.inner.registry.table();
        let info = self.inner.info(table.get(route_id).unwrap_or(&route));
        let _ = self.inner.events.send(RouterEvent::Updated(info.clone()));
        Ok(info)
    }

    async fn remove_route(&self, route_id: &str) -> Result<()> {
        self.open()?;
        if let Some(route) = self.inner.registry.remove(route_id) {
            self.log(&format!("Route removed: {}", route.spec.name));
            let _ = self.inner.events.send(RouterEvent::Removed(self.inner.info(&route)));
        }
        Ok(())
    }

    async fn get_route(&self, deployment_id: &str) -> Result<Option<RouteInfo>> {
        self.open()?;
        Ok(self.inner.registry.table().by_deployment(deployment_id).map(|route| self.inner.info(route)))
    }

    async fn list_routes(&self, project_id: &str) -> Result<Vec<RouteInfo>> {
        self.open()?;
        Ok(self.inner.registry.table().by_project(project_id).map(|route| self.inner.info(route)).collect())
    }

    async fn check_route_health(&self, route_id: &str) -> Result<RouteHealthStatus> {
        self.open()?;
        let table = self.inner.registry.table();
        let Some(route) = table.get(route_id) else {
            let error = Some(format!("Route not found: {route_id}"));
            return Ok(RouteHealthStatus { error, ..RouteHealthStatus::default() });
        };
        Ok(self.inner.health.check(route, CheckKind::Counted).await)
    }
}

#[async_trait]
impl RouterControl for LocalEdgeRouter {
    async fn all_routes(&self) -> Result<Vec<RouteInfo>> {
        self.open()?;
        Ok(self.get_all_routes())
    }

    async fn route_count(&self) -> Result<usize> {
        self.open()?;
        Ok(self.inner.registry.table().len())
    }

    async fn find_route(&self, key: &str) -> Result<Option<RouteInfo>> {
        self.open()?;
        let table = self.inner.registry.table();
        let route = table.get(key).or_else(|| table.by_deployment(key)).or_else(|| table.by_name(key).last());
        Ok(route.map(|route| self.inner.info(route)))
    }

    async fn allocate_port(&self) -> Result<u16> {
        self.open()?;
        let ports = self.inner.ports.clone();
        blocking(move || ports.allocate()).await?
    }

    async fn release_port(&self, port: u16) -> Result<bool> {
        let ports = self.inner.ports.clone();
        blocking(move || ports.release(port)).await
    }

    fn subscribe(&self) -> broadcast::Receiver<RouterEvent> {
        self.inner.events.subscribe()
    }
}

/// Probing ports and locking files may block, which a runtime's own threads must not.
async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(|error| RouterError::Thread { source: std::io::Error::other(error) })
}

/// All routers of a user share their leases, so the directory does not depend on a router's home.
fn default_lease_dir() -> PathBuf {
    std::env::home_dir().unwrap_or_else(std::env::temp_dir).join(".mastra/router/ports")
}
