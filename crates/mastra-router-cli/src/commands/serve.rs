//! `serve`: the router in the foreground, which is what a service runs.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use mastra_router::control::{ControlServer, ServerInfo};
use mastra_router::{Home, LocalEdgeRouter, LocalEdgeRouterConfig, LocalhostUrls, RouteConfig, RoutingStrategy};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use crate::cli::{Serve, Strategy};
use crate::config_file::ConfigFile;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(args: Serve, home: &Home, output: &Output) -> Outcome {
    match start(&args, home).await {
        Ok(running) => {
            running.announce(output);
            running.until_stopped(output).await
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
    let mut routes = Vec::new();
    let mut lan = args.lan;
    if let Some(path) = &args.config {
        let (file, configured) = ConfigFile::read(path)?;
        file.apply(&mut config);
        lan |= file.lan;
        routes = configured;
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
    if let Some(address) = config.listen.iter().find(|a| !a.ip().is_loopback() && !lan) {
        let message = format!("{address} can be reached from other machines");
        return Err(Failure::usage("LAN_NOT_ALLOWED", message, Some("add --lan if that is what you want".to_owned())));
    }
    launch(config, routes, home).await
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
    routes: Vec<RouteConfig>,
    home: &Home,
) -> Result<Running, Failure> {
    init_log();
    let strategy = match config.strategy {
        RoutingStrategy::PortMapping => "port-mapping",
        RoutingStrategy::ReverseProxy => "reverse-proxy",
    };
    let base_domain = config.base_domain.clone();
    config.validate()?;
    let lock = home.lock()?;
    let router = LocalEdgeRouter::start(config).await?;
    let opened = async {
        router.load_routes(routes).await?;
        let listen = router.proxy_addresses().iter().map(ToString::to_string).collect();
        let info = ServerInfo { listen, strategy: strategy.to_owned(), base_domain };
        ControlServer::start(lock, Arc::new(router.clone()), info)
    };
    match opened.await {
        Ok(control) => {
            router.start_health_checking();
            Ok(Running { router, control, home: home.clone() })
        }
        Err(error) => {
            router.close().await;
            Err(error.into())
        }
    }
}

impl Running {
    /// The URL of the router's own page.
    pub(crate) fn url(&self) -> String {
        let base = &self.router.config().base_domain;
        match self.router.proxy_addresses().first() {
            Some(address) => format!("http://{base}:{}", address.port()),
            None => format!("http://{base}"),
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
        if std::io::stderr().is_terminal() {
            output.say(&format!(
                "Routes are served at {} — mastra-router add NAME PORT adds one, Ctrl-C ends.",
                self.url()
            ));
        }
    }

    /// Waits for a signal or a request to stop, then takes everything down in order. A second signal ends at once.
    pub(crate) async fn until_stopped(self, output: &Output) -> Outcome {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = self.control.stop_requested() => {}
        }
        let orderly = async {
            self.router.close().await;
            self.control.stop().await;
        };
        tokio::select! {
            () = orderly => Ok(ExitCode::SUCCESS),
            _ = interrupt.recv() => {
                output.say("Ended with connections open.");
                let _ = std::fs::remove_file(self.home.socket_path());
                Ok(ExitCode::from(130))
            }
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
        .compact()
        .try_init();
}
