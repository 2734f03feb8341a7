//! What a router is to be: flags, configuration file and what was saved, and the start with all of it.

use std::net::SocketAddr;
use std::sync::Arc;

use mastra_router::{Home, HostsOwner, LocalEdgeRouterConfig, LocalhostUrls, RoutingStrategy, SavedSettings};

use super::serve::{Process, Running, Seat, launch};
use crate::cli::{IdleExit, Serve, ServeTls, Strategy};
use crate::config_file::{ConfigFile, ConfiguredRoutes};
use crate::daemon::door::Door;
use crate::daemon::origin::Origin;
use crate::failure::Failure;
use crate::output::Output;

/// What a router is to be, by flags and configuration file.
#[derive(Clone)]
pub(crate) struct Settings {
    config: LocalEdgeRouterConfig,
    file: Arc<ConfigFile>,
    configured: Arc<ConfiguredRoutes>,
    asked: SavedSettings,
    /// Whether other machines may reach it.
    pub(super) lan: bool,
}

impl Settings {
    pub(crate) fn read(args: &Serve, home: &Home) -> Result<Self, Failure> {
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
        let lan = args.lan || file.lan;
        if !lan {
            loopback_only(&config.listen, "add --lan if that is what you want")?;
        }
        // Whether it saves or not, and the same that `hosts sync` has.
        config.hosts.owner = Some(HostsOwner::of_home(home.path()).as_str().to_owned());
        config.validate()?;
        if args.background.is_some() {
            // It is about to work in another directory, and some of these are read again.
            let (tls, hosts) = (&mut config.tls, &mut config.hosts);
            for path in [&mut tls.cert_dir, &mut tls.cert, &mut tls.key, &mut hosts.path, &mut hosts.backup_dir] {
                *path = path.as_ref().map(std::path::absolute).transpose()?;
            }
        }
        Ok(Self { config, file: Arc::new(file), configured: Arc::new(configured), asked, lan })
    }

    /// Starts it, with what was saved.
    pub(crate) async fn start(
        self,
        args: &Serve,
        seat: Seat,
        origin: Option<Origin>,
        output: &Output,
    ) -> Result<Running, Failure> {
        let settings = self.clone();
        let Self { mut config, file, configured, asked, .. } = self;
        let (log, started_by, home) = (seat.log.clone(), seat.started_by, seat.lock.home().clone());
        let idle_exit = args.idle_exit.unwrap_or(IdleExit::Never);
        let with_process = |mut running: Running| {
            let door = Door::open(&home, running.router.clone(), origin.clone(), started_by, idle_exit)?;
            running.process = Some(Process { door, origin, log, started_by, settings, predecessor: None });
            Ok(running)
        };
        if args.no_save || !file.save {
            return with_process(launch(config, &configured, seat).await?);
        }
        config.state_dir = Some(home.path().to_owned());
        let (saved, put_aside) = SavedSettings::load(home.path())?;
        if let Some(warning) = put_aside {
            output.say(&warning);
        }
        // A configuration file is read again at each start, so what it says goes before what was once typed.
        let used = SavedSettings {
            listen: if asked.listen.is_empty() && file.listen.is_none() { saved.listen.clone() } else { Vec::new() },
            base_domain: saved
                .base_domain
                .clone()
                .filter(|_| asked.base_domain.is_none() && file.base_domain.is_none()),
            strategy: saved.strategy.filter(|_| asked.strategy.is_none() && file.strategy.is_none()),
            tls: saved.tls.filter(|_| asked.tls.is_none() && args.tls.cert.is_none() && file.tls().is_none()),
        };
        if used != SavedSettings::default() {
            put_over(&mut config, &used);
            output.say(&format!("As the last time: {} (--no-save starts without that)", flags(&used)));
        }
        let running = launch(config, &configured, seat).await?;
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
        with_process(running)
    }
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

pub(super) fn name(strategy: RoutingStrategy) -> &'static str {
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
