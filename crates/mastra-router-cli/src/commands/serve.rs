//! `serve`: the router in the foreground, which is what a service runs.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mastra_router::control::{ControlServer, ServerInfo};
use mastra_router::{Home, LocalEdgeRouter, LocalEdgeRouterConfig, LocalhostUrls, RoutingStrategy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Outcome;
use crate::cli::{Serve, ServeTls, Strategy};
use crate::config_file::{ConfigFile, ConfiguredRoutes};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(args: Serve, home: &Home, output: &Output) -> Outcome {
    let signals = Signals::new()?;
    match start(&args, home).await {
        Ok(running) => {
            running.announce(output);
            running.until_stopped(signals, output).await
        }
        Err(failure) => {
            // Whoever started us reads one line of stdout, whatever it says.
            output.json(&json!({
                "event": "failed", "code": failure.code, "message": failure.message, "hint": failure.hint,
            }));
            Err(failure)
        }
    }
}

/// A router with its control door.
pub(crate) struct Running {
    pub(crate) router: LocalEdgeRouter,
    pub(crate) control: ControlServer,
    home: Home,
}

async fn start(args: &Serve, home: &Home) -> Result<Running, Failure> {
    let mut config = defaults();
    let mut configured = ConfiguredRoutes::default();
    let mut lan = args.lan;
    if let Some(path) = &args.config {
        let (file, routes) = ConfigFile::read(path)?;
        file.apply(&mut config);
        lan |= file.lan;
        configured = routes;
    }
    if !args.listen.is_empty() {
        config.listen.clone_from(&args.listen);
    }
    if args.threads.is_some() {
        config.proxy.threads = args.threads;
    }
    if let Some(domain) = &args.base_domain {
        config.base_domain.clone_from(domain);
    }
    match args.strategy {
        Some(Strategy::PortMapping) => config.strategy = RoutingStrategy::PortMapping,
        Some(Strategy::ReverseProxy) => config.strategy = RoutingStrategy::ReverseProxy,
        None => {}
    }
    apply_tls(&args.tls, &mut config);
    if !lan {
        loopback_only(&config.listen, "add --lan if that is what you want")?;
    }
    launch(config, &configured, home).await
}

fn apply_tls(args: &ServeTls, config: &mut LocalEdgeRouterConfig) {
    let tls = &mut config.tls;
    if args.cert.is_some() {
        tls.cert.clone_from(&args.cert);
        tls.key.clone_from(&args.key);
    }
    if args.cert_dir.is_some() {
        tls.cert_dir.clone_from(&args.cert_dir);
    }
    tls.redirect_http |= args.redirect_http;
    config.enable_tls |= args.tls || args.cert.is_some();
}

/// Nothing listens where other machines reach it unless that was asked for.
pub(crate) fn loopback_only(addresses: &[SocketAddr], hint: &str) -> Result<(), Failure> {
    let Some(address) = addresses.iter().find(|a| !a.ip().is_loopback()) else { return Ok(()) };
    let message = format!("{address} can be reached from other machines");
    Err(Failure::usage("LAN_NOT_ALLOWED", message, Some(hint.to_owned())))
}

/// The command's own defaults, where they differ from the library's.
pub(crate) fn defaults() -> LocalEdgeRouterConfig {
    LocalEdgeRouterConfig {
        strategy: RoutingStrategy::ReverseProxy,
        localhost_urls: LocalhostUrls::Subdomain,
        ..LocalEdgeRouterConfig::default()
    }
}

/// Starts a router with its routes, and opens its control door last: who can connect finds everything in place.
pub(crate) async fn launch(
    config: LocalEdgeRouterConfig,
    configured: &ConfiguredRoutes,
    home: &Home,
) -> Result<Running, Failure> {
    init_log();
    raise_file_limit();
    let strategy = match config.strategy {
        RoutingStrategy::PortMapping => "port-mapping",
        RoutingStrategy::ReverseProxy => "reverse-proxy",
    };
    let base_domain = config.base_domain.clone();
    config.validate()?;
    let lock = home.lock()?;
    let router = LocalEdgeRouter::start(config).await?;
    let opened = async {
        load(&router, configured).await?;
        let listen = router.proxy_addresses().iter().map(ToString::to_string).collect();
        let info = ServerInfo { listen, strategy: strategy.to_owned(), base_domain };
        Ok::<_, Failure>(ControlServer::start(lock, Arc::new(router.clone()), info)?)
    };
    match opened.await {
        Ok(control) => {
            router.start_health_checking();
            Ok(Running { router, control, home: home.clone() })
        }
        Err(error) => {
            router.close().await;
            Err(error)
        }
    }
}

/// Registers all routes, or none and says which one is in the way.
async fn load(router: &LocalEdgeRouter, configured: &ConfiguredRoutes) -> Result<(), Failure> {
    let Err(error) = router.load_routes(configured.routes.clone()).await else { return Ok(()) };
    for (index, route) in configured.routes.iter().enumerate() {
        // The router is about to be closed; until then it serves what comes before the route at fault.
        if let Err(error) = router.load_routes(vec![route.clone()]).await {
            return Err(configured.failure(index, error.into()));
        }
    }
    Err(error.into())
}

/// What ends the router from outside.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Takes them from now on. Who is told that the router runs may send one at that moment.
    pub(crate) fn new() -> io::Result<Self> {
        // The last comes when the terminal is closed.
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    /// The exit code that a shell shows for the signal.
    async fn next(&mut self) -> u8 {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        }
    }
}

impl Running {
    /// The URL of the router's own page.
    pub(crate) fn url(&self) -> String {
        let base = &self.router.config().base_domain;
        let scheme = if self.router.config().enable_tls { "https" } else { "http" };
        match self.router.proxy_addresses().first() {
            Some(address) => format!("{scheme}://{base}:{}", address.port()),
            None => format!("{scheme}://{base}"),
        }
    }

    fn announce(&self, output: &Output) {
        let listen: Vec<String> = self.router.proxy_addresses().iter().map(ToString::to_string).collect();
        output.json(&json!({
            "event": "ready",
            "pid": std::process::id(),
            "listen": listen,
            "url": self.url(),
            "home": self.home.path(),
        }));
        if io::stderr().is_terminal() {
            output.say(&format!(
                "Routes are served at {} — mastra-router add NAME PORT adds one, Ctrl-C ends.",
                self.url()
            ));
        }
    }

    /// Waits for a signal or a request to stop, then takes everything down in order. A second signal ends at once.
    pub(crate) async fn until_stopped(self, mut signals: Signals, output: &Output) -> Outcome {
        tokio::select! {
            _ = signals.next() => {}
            () = self.control.stop_requested() => {}
        }
        let orderly = async {
            self.router.close().await;
            self.control.stop().await;
        };
        tokio::select! {
            () = orderly => Ok(ExitCode::SUCCESS),
            code = signals.next() => {
                output.say("Ended with connections open.");
                let _ = std::fs::remove_file(self.home.socket_path());
                Ok(ExitCode::from(code))
            }
        }
    }
}

/// A request needs two descriptors, and many systems begin with 256 or 1,024 in all. The hard limit is what we may have.
fn raise_file_limit() {
    let now = getrlimit(Resource::Nofile);
    // macOS has no use for an unlimited number; this is the most it takes.
    for most in [now.maximum, Some(10_240)] {
        if now.current.is_none() || (most.is_some() && now.current >= most) {
            return;
        }
        if setrlimit(Resource::Nofile, Rlimit { current: most, maximum: now.maximum }).is_ok() {
            return;
        }
    }
}

fn init_log() {
    let level = std::env::var("MASTRA_ROUTER_LOG").ok().and_then(|l| l.parse().ok()).unwrap_or(tracing::Level::INFO);
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    // Fails where a log is set up already, which then is as good.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(color)
        // They would go to stderr too, where a reader that has gone is what went wrong.
        .log_internal_errors(false)
        .compact()
        .try_init();
}
