//! `serve`: the router in the foreground, which is what a service runs.

use std::io::{self, IsTerminal};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use mastra_router::control::{ControlServer, ServerInfo};
use mastra_router::{Home, HomeLock, LocalEdgeRouter, LocalEdgeRouterConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Outcome;
use super::settings::{Settings, loopback_only};
use crate::cli::{Serve, StartedBy};
use crate::config::{self, ConfiguredRoutes};
use crate::daemon::activation;
use crate::daemon::door::Door;
use crate::daemon::hand_over::Predecessor;
use crate::daemon::idle;
use crate::daemon::log::Log;
use crate::daemon::making_room::{Room, make_room};
use crate::daemon::origin::Origin;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) async fn run(args: Serve, home: &Home, output: &Output) -> Outcome {
    let signals = Signals::new()?;
    let origin = Origin::of_this_process();
    if args.background.is_some() {
        // The terminal's signals, and its end, are for others. It fails where that is so already.
        let _ = rustix::process::setsid();
    }
    match begin(&args, home, origin, output).await {
        Ok(running) => {
            running.announce(output);
            running.until_replaced_or_stopped(signals, &args, output).await
        }
        Err(failure) => {
            if args.background.is_some() {
                tracing::error!("not started: {}", failure.message);
            }
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
    pub(crate) home: Home,
    /// The rest of what a process has that is a router and nothing else.
    pub(crate) process: Option<Process>,
}

/// A process that is a router.
pub(crate) struct Process {
    pub(crate) door: Door,
    pub(crate) origin: Option<Origin>,
    pub(crate) log: Option<Log>,
    pub(crate) started_by: &'static str,
    /// What it was started with, as it was read then.
    pub(crate) settings: Settings,
    /// The router in whose place this one is. It ends with us.
    pub(crate) predecessor: Option<Predecessor>,
}

/// What a router is started on.
pub(crate) struct Seat {
    pub(crate) lock: HomeLock,
    /// Sockets that listen already; none where they are to be made.
    pub(crate) listeners: Vec<TcpListener>,
    /// Without one it logs to stderr.
    pub(crate) log: Option<Log>,
    pub(crate) started_by: &'static str,
}

impl From<HomeLock> for Seat {
    fn from(lock: HomeLock) -> Self {
        Self { lock, listeners: Vec::new(), log: None, started_by: "serve" }
    }
}

async fn begin(args: &Serve, home: &Home, origin: Option<Origin>, output: &Output) -> Result<Running, Failure> {
    // First, so that a mistake in them takes nobody's place.
    let settings = Settings::read(args, home, output)?;
    let started_by = match args.background {
        None => "serve",
        Some(StartedBy::Start) => "start",
        Some(StartedBy::Command) => "command",
    };
    let mut predecessor = None;
    let (lock, listeners) = match args.take_over {
        None => {
            let listeners = activation::listeners()?;
            let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
            if !settings.lan {
                loopback_only(&addresses, "add --lan if that is what you want")?;
            }
            (home.lock()?, listeners)
        }
        Some(drain) => {
            let (mut old, given) = Predecessor::ask(home, drain).await?;
            old.prepared().await?;
            predecessor = Some(old);
            (home.take_over(given.lock)?, given.listeners)
        }
    };
    let log = args.background.map(|_| Log::open(home)).transpose()?;
    let seat = Seat { lock, listeners, log: log.clone(), started_by };
    let mut running = settings.start(args, seat, origin, output).await?;
    if let Some(old) = &mut predecessor {
        old.serving().await?;
    }
    if let Some(process) = &mut running.process {
        process.predecessor = predecessor;
    }
    if let Some(log) = log {
        // From here on nobody listens to what we say.
        log.take_stderr()?;
        std::env::set_current_dir(home.path())?;
    }
    Ok(running)
}

/// Starts a router with its routes, and opens its control door last: who can connect finds everything in place.
pub(crate) async fn launch(
    config: LocalEdgeRouterConfig,
    configured: &ConfiguredRoutes,
    seat: impl Into<Seat>,
) -> Result<Running, Failure> {
    let Seat { lock, listeners, log, started_by } = seat.into();
    init_log(log.clone());
    raise_file_limit();
    let (strategy, base_domain) = (config::strategy(config.strategy).to_owned(), config.base_domain.clone());
    let home = lock.home().clone();
    let router = if listeners.is_empty() {
        LocalEdgeRouter::start(config).await?
    } else {
        LocalEdgeRouter::start_on(config, listeners).await?
    };
    let opened = async {
        load(&router, configured).await?;
        let listen = router.proxy_addresses().iter().map(ToString::to_string).collect();
        let state_file = router.state_file().map(|file| file.display().to_string());
        let warnings = router.warnings().to_vec();
        let info = ServerInfo {
            listen,
            strategy,
            base_domain,
            state_file,
            warnings,
            url: Some(url(&router)),
            started_by: Some(started_by.to_owned()),
            log_file: log.map(|log| log.path().display().to_string()),
        };
        Ok::<_, Failure>(ControlServer::start(lock, Arc::new(router.clone()), info)?)
    };
    match opened.await {
        Ok(control) => {
            router.start_health_checking();
            Ok(Running { router, control, home, process: None })
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
    pub(crate) async fn next(&mut self) -> u8 {
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
        url(&self.router)
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
        if self.process.as_ref().is_some_and(|process| process.log.is_some()) {
            // Whoever waits for that line has read all there is to read.
            if let Ok(nothing) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
                let _ = rustix::stdio::dup2_stdout(nothing);
            }
        } else if io::stderr().is_terminal() {
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
        self.stop(signals, output).await
    }

    /// As [`until_stopped`](Self::until_stopped), of a process that is a router: it also ends when it is of no use, where
    /// that was asked for, and when another one has taken its place.
    async fn until_replaced_or_stopped(mut self, mut signals: Signals, args: &Serve, output: &Output) -> Outcome {
        loop {
            let Self { router, control, process: Some(process), .. } = &mut self else {
                return self.until_stopped(signals, output).await;
            };
            let Door { successors, idle_exit, .. } = &mut process.door;
            let successor = tokio::select! {
                _ = signals.next() => break,
                () = control.stop_requested() => break,
                () = idle::over(router, control.clients(), idle_exit.clone()) => {
                    tracing::info!("ending: there was neither a route nor a client for a while");
                    break;
                }
                Some(successor) = successors.recv() => successor,
            };
            self = match make_room(self, successor, &mut signals, args, output).await? {
                Room::Made => return Ok(ExitCode::SUCCESS),
                Room::Stop(running) => {
                    self = running;
                    break;
                }
                Room::Kept(running) => running,
            };
        }
        self.stop(signals, output).await
    }

    async fn stop(self, mut signals: Signals, output: &Output) -> Outcome {
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

/// The URL of a router's own page.
fn url(router: &LocalEdgeRouter) -> String {
    let base = &router.config().base_domain;
    let scheme = if router.config().enable_tls { "https" } else { "http" };
    match router.proxy_addresses().first() {
        Some(address) => format!("{scheme}://{base}:{}", address.port()),
        None => format!("{scheme}://{base}"),
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

fn init_log(file: Option<Log>) {
    let level = std::env::var("MASTRA_ROUTER_LOG").ok().and_then(|l| l.parse().ok()).unwrap_or(tracing::Level::INFO);
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(color && file.is_none())
        // They would go to stderr too, where a reader that has gone is what went wrong.
        .log_internal_errors(false)
        .compact();
    // Fails where a log is set up already, which then is as good.
    let _ = match file {
        Some(file) => log.with_writer(file).try_init(),
        None => log.with_writer(std::io::stderr).try_init(),
    };
}
