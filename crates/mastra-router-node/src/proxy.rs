//! `ProxyServer`: the reverse proxy by itself, without health checks, ports and saved routes.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use mastra_router::{
    BaseDomain, Certificates, LocalEdgeRouterConfig, OwnFiles, ProxyConfig, ProxySetup, ProxyTls, RequestInfo,
    RequestObserver, ReverseProxy, RouteConfig, RouteRegistry, RouteSpec, RouterError, TargetHost, TargetScheme,
    TargetTls, TlsManager, TlsSettings,
};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;
use tokio::runtime::Handle;

use crate::config::{port, time};
use crate::error::{blocking, to_js};
use crate::events::{Listener, NativeRequest};
use crate::route::target_port;

#[napi(object, object_to_js = false)]
pub struct NativeProxyOptions {
    pub port: u32,
    pub base_domain: String,
    pub tls: bool,
    pub cert_pem: Option<String>,
    pub key_pem: Option<String>,
    pub cert_path: Option<String>,
    pub key_path: Option<String>,
    pub cert_dir: Option<String>,
    pub timeout_ms: f64,
    pub restart_grace_ms: Option<f64>,
    pub drain_timeout_ms: Option<f64>,
    pub threads: Option<u32>,
    pub allow_remote_targets: bool,
}

#[napi(object, object_to_js = false)]
pub struct NativeProxyRoute {
    pub route_id: String,
    pub subdomain: String,
    pub target_host: String,
    pub target_port: u32,
    pub target_scheme: Option<String>,
    pub tls: Option<bool>,
    pub path_prefix: Option<String>,
    pub strip_prefix: Option<bool>,
}

#[napi]
pub struct NativeProxy {
    options: Options,
    /// Routes are known by the ids that JavaScript gave them, which stand where deployments' do.
    registry: Arc<RouteRegistry>,
    running: Arc<tokio::sync::Mutex<Option<ReverseProxy>>>,
    /// The port it got, while it runs.
    port: Arc<Mutex<Option<u16>>>,
}

#[derive(Clone)]
struct Options {
    config: LocalEdgeRouterConfig,
    base: BaseDomain,
    tls: Option<Certificate>,
}

/// Tells JavaScript of each request. What JavaScript cannot keep up with is not told.
struct Log(Listener<NativeRequest>);

impl RequestObserver for Log {
    fn is_watching(&self) -> bool {
        true
    }

    fn answered(&self, request: RequestInfo) {
        self.0.call((&request).into(), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// What is shown to clients that speak TLS.
#[derive(Clone)]
enum Certificate {
    Pem(String, String),
    Files(OwnFiles),
    /// Those that the local authority issues.
    Issued(PathBuf),
}

#[napi]
impl NativeProxy {
    #[napi(constructor)]
    pub fn new(options: NativeProxyOptions) -> napi::Result<Self> {
        Ok(Self {
            options: read(options).map_err(to_js)?,
            registry: Arc::new(RouteRegistry::new(true)),
            running: Arc::default(),
            port: Arc::default(),
        })
    }

    /// Adds a route, or puts it in the place of the one with its id. A host that is a name is looked up at once.
    #[napi]
    pub fn set_route(&self, route: NativeProxyRoute) -> napi::Result<()> {
        let spec = self.spec(route).map_err(to_js)?;
        let table = self.registry.table();
        let done = match table.by_deployment(&spec.deployment_id) {
            Some(before) => self.registry.update(before.id.as_str(), |_| Ok(spec.clone())),
            None => self.registry.add(spec),
        };
        done.map(drop).map_err(to_js)
    }

    #[napi]
    pub fn remove_route(&self, route_id: String) -> bool {
        let table = self.registry.table();
        // By the id that JavaScript gave; one of our own would be another route.
        table.by_deployment(&route_id).is_some_and(|route| self.registry.remove(route.id.as_str()).is_some())
    }

    #[napi]
    pub fn clear_routes(&self) {
        self.registry.clear();
    }

    /// Listens; `log` is told of requests.
    #[napi]
    pub async fn start(
        &self,
        #[napi(ts_arg_type = "((request: NativeRequest) => void) | undefined")] log: Option<Listener<NativeRequest>>,
    ) -> napi::Result<u16> {
        let log = log.map(|log| Arc::new(Log(log)) as Arc<dyn RequestObserver>);
        let running = self.running.clone();
        let mut running = running.lock().await;
        if running.is_some() {
            return Err(to_js(RouterError::ProxyRunning));
        }
        let (options, registry) = (self.options.clone(), self.registry.clone());
        let runtime = Handle::current();
        let proxy = blocking(move || start(options, &registry, log, runtime)).await?;
        let port = proxy.addresses().first().map_or(0, |address| address.port());
        *running = Some(proxy);
        self.set_port(Some(port));
        Ok(port)
    }

    /// Returns once its threads have ended, with open exchanges ended after the drain timeout.
    #[napi]
    pub async fn stop(&self) {
        let running = self.running.clone();
        let mut running = running.lock().await;
        if let Some(proxy) = running.take() {
            self.set_port(None);
            proxy.stop().await;
        }
    }

    #[napi]
    pub fn port(&self) -> Option<u16> {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_port(&self, port: Option<u16>) {
        *self.port.lock().unwrap_or_else(PoisonError::into_inner) = port;
    }

    fn spec(&self, route: NativeProxyRoute) -> Result<RouteSpec, RouterError> {
        let port = target_port(&route.target_host, route.target_port)?;
        let mut spec = RouteSpec::parse(&RouteConfig {
            target_scheme: route.target_scheme.as_deref().map_or(Ok(TargetScheme::Http), TargetScheme::parse)?,
            tls: route.tls,
            path_prefix: route.path_prefix,
            strip_prefix: route.strip_prefix,
            ..RouteConfig::new(route.route_id, "proxy", route.subdomain, route.target_host, port)
        })?;
        if let TargetHost::Name { name, .. } = spec.target.host() {
            let found = (&**name, port).to_socket_addrs();
            let addresses: Vec<IpAddr> = found.map(|all| all.map(|a| a.ip()).collect()).unwrap_or_default();
            spec.target = spec.target.pin(addresses)?;
        }
        if !spec.target.is_loopback() && !self.options.config.allow_remote_targets {
            let reason = "it is on another machine, which allowRemoteTargets would have to permit".to_owned();
            return Err(RouterError::InvalidTarget { target: spec.target.to_string(), reason });
        }
        Ok(spec)
    }
}

fn read(options: NativeProxyOptions) -> Result<Options, RouterError> {
    let defaults = ProxyConfig::default();
    let connect_timeout = time("timeout", Some(options.timeout_ms), defaults.connect_timeout)?;
    // Nobody waits longer for a target that refuses than for one that does not answer.
    let grace = defaults.restart_grace.min(connect_timeout);
    let restart_grace = time("restartGraceMs", options.restart_grace_ms, grace)?;
    let config = LocalEdgeRouterConfig {
        proxy_port: port("port", options.port)?,
        base_domain: options.base_domain,
        allow_remote_targets: options.allow_remote_targets,
        proxy: ProxyConfig {
            threads: options.threads.map(|n| n as usize),
            connect_timeout,
            restart_grace,
            // It knows one time for both.
            start_timeout: restart_grace,
            drain_timeout: time("drainTimeoutMs", options.drain_timeout_ms, defaults.drain_timeout)?,
            ..defaults
        },
        ..LocalEdgeRouterConfig::default()
    };
    config.validate()?;
    let tls = match (options.tls, options.cert_pem, options.key_pem, options.cert_path, options.key_path) {
        (false, ..) => None,
        (true, Some(cert), Some(key), None, None) => Some(Certificate::Pem(cert, key)),
        (true, None, None, Some(cert), Some(key)) => {
            Some(Certificate::Files(OwnFiles { cert: cert.into(), key: key.into() }))
        }
        (true, None, None, None, None) => {
            let dir = options.cert_dir.map_or_else(mastra_router::default_cert_dir, PathBuf::from);
            Some(Certificate::Issued(dir))
        }
        _ => {
            return Err(RouterError::InvalidConfig {
                setting: "cert",
                reason: "a certificate and its key are given together, both as PEM or both as files".to_owned(),
            });
        }
    };
    let base = BaseDomain::parse(&config.base_domain)?;
    Ok(Options { config, base, tls })
}

/// Blocks, for the certificate's files.
fn start(
    options: Options,
    registry: &RouteRegistry,
    log: Option<Arc<dyn RequestObserver>>,
    runtime: Handle,
) -> Result<ReverseProxy, RouterError> {
    let Options { config, base, tls } = options;
    let open = |mut settings: TlsSettings, own| {
        settings.base_domains = vec![base.clone()];
        settings.own = own;
        TlsManager::open(settings, registry.reader(), runtime)
    };
    let manager = match tls {
        None => None,
        Some(Certificate::Pem(cert, key)) => Some(TlsManager::fixed(cert.as_bytes(), key.as_bytes())?),
        Some(Certificate::Files(files)) => {
            Some(open(TlsSettings::new(mastra_router::default_cert_dir()), Some(files))?)
        }
        Some(Certificate::Issued(dir)) => Some(open(TlsSettings::new(dir), None)?),
    };
    let tls = ProxyTls {
        by_default: manager.is_some(),
        certificates: manager.map(|manager| manager as Arc<dyn Certificates>),
        redirect: false,
        targets: TargetTls::default(),
    };
    let setup = ProxySetup {
        base,
        config: config.proxy.clone(),
        reader: registry.reader(),
        suspect: Arc::new(|_| {}),
        tls,
        observer: log,
    };
    ReverseProxy::start(&config.listen_addresses(), setup)
}
