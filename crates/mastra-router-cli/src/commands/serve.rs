//! `serve`: the router in the foreground, which is what a service runs.

use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mastra_router::control::{ControlServer, ServerInfo};
use mastra_router::{
    Home, HomeLock, HostsOwner, LocalEdgeRouter, LocalEdgeRouterConfig, LocalhostUrls, RoutingStrategy, SavedSettings,
};
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
    match start(&args, home, output).await {
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

async fn start(args: &Serve, home: &Home, output: &Output) -> Result<Running, Failure> {
    let mut config = defaults();
    let mut file = ConfigFile::default();
    let mut configured = ConfiguredRoutes::default();
    if let Some(path) = &args.config {
        (file, configured) = ConfigFile::read(path)?;
        file.apply(&mut config);
    }
    let asked = asked_for(args);
    put_over(&mut config, &asked);
    if args.threads.is_some() {
        config.proxy.threads = args.threads;
    }
    apply_tls(&args.tls, &mut config);
    if let Some(hosts) = args.hosts {
        config.enable_hosts_file = hosts.into();
    }
    if !(args.lan || file.lan) {
        loopback_only(&config.listen, "add --lan if that is what you want")?;
    }
    // Whether it saves or not, and the same that `hosts sync` has.
    config.hosts.owner = Some(HostsOwner::of_home(home.path()).as_str().to_owned());
    config.validate()?;
    let lock = home.lock()?;
    if args.no_save || !file.save {
        return launch(config, &configured, lock).await;
    }
    config.state_dir = Some(home.path().to_owned());
    let (saved, put_aside) = SavedSettings::load(home.path())?;
    if let Some(warning) = put_aside {
        output.say(&warning);
    }
    // A configuration file is read again at each start, so what it says goes before what was once typed.
    let used = SavedSettings {
        listen: if asked.listen.is_empty() && file.listen.is_none() { saved.listen.clone() } else { Vec::new() },
        base_domain: saved.base_domain.clone().filter(|_| asked.base_domain.is_none() && file.base_domain.is_none()),
        strategy: saved.strategy.filter(|_| asked.strategy.is_none() && file.strategy.is_none()),
        tls: saved.tls.filter(|_| asked.tls.is_none() && args.tls.cert.is_none() && file.tls().is_none()),
    };
    if used != SavedSettings::default() {
        put_over(&mut config, &used);
        output.say(&format!("As the last time: {} (--no-save starts without that)", flags(&used)));
    }
    let running = launch(config, &configured, lock).await?;
    // Now that they have been found good.
    let kept = SavedSettings {
        // What other machines can reach is asked for each time.
        listen: match asked.listen.iter().all(|address| address.ip().is_loopback()) {
            true if !asked.listen.is_empty() => asked.listen,
            _ => saved.listen.clone(),
        },
        base_domain: asked.base_domain.or_else(|| saved.base_domain.clone()),
        strategy: asked.strategy.or(saved.strategy),
        tls: asked.tls.or(saved.tls),
    };
    if kept != saved
        && let Err(error) = kept.save(home.path())
    {
        output.say(&format!("The next start will not know these settings: {error}"));
    }
    Ok(running)
}

/// What was typed of the settings that are saved.
fn asked_for(args: &Serve) -> SavedSettings {
    let strategy = args.strategy.map(|strategy| match strategy {
        Strategy::PortMapping => RoutingStrategy::PortMapping,
        Strategy::ReverseProxy => RoutingStrategy::ReverseProxy,
    });
    // The files of `--cert` are not saved, so neither is that there were some.
    SavedSettings { listen: args.listen.clone(), base_domain: args.base_domain.clone(), strategy, tls: args.tls.tls }
}

fn put_over(config: &mut LocalEdgeRouterConfig, settings: &SavedSettings) {
    let SavedSettings { listen, base_domain, strategy, tls } = settings;
    if let Some(tls) = tls {
        config.enable_tls = *tls;
    }
    if !listen.is_empty() {
        config.listen.clone_from(listen);
    }
    if let Some(domain) = base_domain {
        config.base_domain.clone_from(domain);
    }
    if let Some(strategy) = strategy {
        config.strategy = *strategy;
    }
}

/// Settings as they are typed.
fn flags(settings: &SavedSettings) -> String {
    let SavedSettings { listen, base_domain, strategy, tls } = settings;
    let mut flags: Vec<String> = listen.iter().map(|address| format!("--listen {address}")).collect();
    flags.extend(base_domain.iter().map(|domain| format!("--base-domain {domain}")));
    flags.extend(strategy.iter().map(|strategy| format!("--strategy {}", name(*strategy))));
    flags.extend(tls.iter().map(|tls| if *tls { "--tls".to_owned() } else { "--tls=false".to_owned() }));
    flags.join(" ")
}

fn name(strategy: RoutingStrategy) -> &'static str {
    match strategy {
        RoutingStrategy::PortMapping => "port-mapping",
        RoutingStrategy::ReverseProxy => "reverse-proxy",
    }
}

fn apply_tls(args: &ServeTls, config: &mut LocalEdgeRouterConfig) {
    if args.cert.is_some() {
        config.enable_tls = args.tls.unwrap_or(true);
    }
    let tls = &mut config.tls;
    if args.cert.is_some() {
        tls.cert.clone_from(&args.cert);
        tls.key.clone_from(&args.key);
    }
    if args.cert_dir.is_some() {
        tls.cert_dir.clone_from(&args.cert_dir);
    }
    tls.redirect_http |= args.redirect_http;
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
    lock: HomeLock,
) -> Result<Running, Failure> {
    init_log();
    raise_file_limit();
    let (strategy, base_domain) = (name(config.strategy).to_owned(), config.base_domain.clone());
    let home = lock.home().clone();
    let router = LocalEdgeRouter::start(config).await?;
    let opened = async {
        load(&router, configured).await?;
        let listen = router.proxy_addresses().iter().map(ToString::to_string).collect();
        let state_file = router.state_file().map(|file| file.display().to_string());
        let warnings = router.warnings().to_vec();
        let info = ServerInfo { listen, strategy, base_domain, state_file, warnings };
        Ok::<_, Failure>(ControlServer::start(lock, Arc::new(router.clone()), info)?)
    };
    match opened.await {
        Ok(control) => {
            router.start_health_checking();
            Ok(Running { router, control, home })
        }
        Err(error) => {
            router.close().await;
            Err(error)
        }
    }
}

/// Registers all routes, or none and says which one is in the way.
async fn load(router: &LocalEdgeRouter, configured: &ConfiguredRoutes) -> Result<(), Failure> {
    let loaded = router.load_routes_in_order(configured.routes.clone()).await;
    loaded.map_err(|(index, error)| match index {
        Some(index) => configured.failure(index, error.into()),
        None => error.into(),
    })
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
