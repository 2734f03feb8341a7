//! What a router is to be: flags over what is configured and what was saved, and the start with all of it.

use std::net::SocketAddr;
use std::sync::Arc;

use mastra_router::{
    Home, HostsOwner, LocalEdgeRouterConfig, LocalhostUrls, RouterError, RoutingStrategy, SavedSettings, SavedState,
};

use super::serve::{Process, Running, Seat, launch};
use crate::cli::{IdleExit, Serve, ServeTls, Strategy};
use crate::config::{self, Chosen, Configured};
use crate::daemon::door::Door;
use crate::daemon::origin::Origin;
use crate::failure::Failure;
use crate::output::Output;

/// What a router is to be, by flags, environment and configuration files.
#[derive(Clone)]
pub(crate) struct Settings {
    configured: Arc<Configured>,
    asked: SavedSettings,
    /// Whether other machines may reach it.
    pub(super) lan: bool,
}

impl Settings {
    pub(crate) fn read(args: &Serve, home: &Home, output: &Output) -> Result<Self, Failure> {
        let mut configured = Configured::read(defaults(), args.chosen(), home)?;
        configured.warnings.iter().for_each(|warning| output.say(warning));
        let asked = put_flags_over(&mut configured, args);
        may_serve(&configured)?;
        let lan = configured.lan;
        let config = &mut configured.config;
        // Whether it saves or not, and the same that `hosts sync` has.
        config.hosts.owner = Some(HostsOwner::of_home(home.path()).as_str().to_owned());
        if args.background.is_some() {
            // It is about to work in another directory, and some of these are read again.
            let (tls, hosts) = (&mut config.tls, &mut config.hosts);
            for path in [&mut tls.cert_dir, &mut tls.cert, &mut tls.key, &mut hosts.path, &mut hosts.backup_dir] {
                *path = path.as_ref().map(std::path::absolute).transpose()?;
            }
        }
        Ok(Self { configured: Arc::new(configured), asked, lan })
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
        let Self { configured, asked, .. } = self;
        let mut config = configured.config.clone();
        let (log, started_by, home) = (seat.log.clone(), seat.started_by, seat.lock.home().clone());
        let idle_exit = args.idle_exit.unwrap_or(IdleExit::Never);
        let with_process = |mut running: Running| {
            let door = Door::open(&home, running.router.clone(), origin.clone(), started_by, idle_exit)?;
            running.process = Some(Process { door, origin, log, started_by, settings, predecessor: None });
            Ok(running)
        };
        if !configured.save {
            return with_process(launch(config, &configured.routes, seat).await?);
        }
        config.state_dir = Some(home.path().to_owned());
        let (saved, put_aside) = SavedSettings::load(home.path())?;
        if let Some(warning) = put_aside {
            output.say(&warning);
        }
        let used = still_valid(&saved, &configured);
        if used != SavedSettings::default() {
            put_over(&mut config, &used);
            output.say(&format!("As the last time: {} (--no-save starts without that)", flags(&used)));
        }
        let running = launch(config, &configured.routes, seat).await?;
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

/// What a router would be that is started here and now, and who says so. Nothing is changed.
pub(crate) fn effective(args: &Serve, chosen: Chosen, home: &Home) -> Result<Configured, Failure> {
    let mut configured = Configured::read(defaults(), chosen, home)?;
    put_flags_over(&mut configured, args);
    if configured.save {
        let used = still_valid(&SavedState::look(home.path())?.settings, &configured);
        put_over(&mut configured.config, &used);
        for (key, is_used) in [
            ("listen", !used.listen.is_empty()),
            ("base_domain", used.base_domain.is_some()),
            ("strategy", used.strategy.is_some()),
            ("tls.enabled", used.tls.is_some()),
        ] {
            if is_used {
                configured.set(key, config::Origin::Saved);
            }
        }
    }
    Ok(configured)
}

/// Whether a router starts with these settings.
///
/// # Errors
/// `LAN_NOT_ALLOWED`, or that of a setting that cannot be used.
pub(crate) fn may_serve(configured: &Configured) -> Result<(), Failure> {
    if !configured.lan {
        loopback_only(&configured.config.listen, "add --lan if that is what you want")
            .map_err(|failure| configured.placed("listen", failure))?;
    }
    configured.config.validate().map_err(|error| match &error {
        RouterError::InvalidConfig { setting, .. } => configured.placed(config::key_of(setting), error.into()),
        _ => error.into(),
    })
}

/// What counts of the settings that were once typed. Files, variables and flags are read at each start, so they go before.
fn still_valid(saved: &SavedSettings, configured: &Configured) -> SavedSettings {
    let unsaid = |key: &str| *configured.origin(key) == config::Origin::Default;
    SavedSettings {
        listen: if unsaid("listen") { saved.listen.clone() } else { Vec::new() },
        base_domain: saved.base_domain.clone().filter(|_| unsaid("base_domain")),
        strategy: saved.strategy.filter(|_| unsaid("strategy")),
        // Who brings a certificate wants it served.
        tls: saved.tls.filter(|_| unsaid("tls.enabled") && unsaid("tls.cert")),
    }
}

/// Puts what was typed over all else. Returns that part of it which is saved.
fn put_flags_over(configured: &mut Configured, args: &Serve) -> SavedSettings {
    let asked = asked_for(args);
    let config = &mut configured.config;
    put_over(config, &asked);
    if args.threads.is_some() {
        config.proxy.threads = args.threads;
    }
    apply_tls(&args.tls, config);
    if let Some(hosts) = args.hosts {
        config.enable_hosts_file = hosts.into();
    }
    configured.lan |= args.lan;
    configured.save &= !args.no_save;
    let tls = &args.tls;
    for (key, flag, is_typed) in [
        ("strategy", "--strategy", args.strategy.is_some()),
        ("base_domain", "--base-domain", args.base_domain.is_some()),
        ("listen", "--listen", !args.listen.is_empty()),
        ("lan", "--lan", args.lan),
        ("save", "--no-save", args.no_save),
        ("threads", "--threads", args.threads.is_some()),
        ("tls.enabled", "--cert", tls.cert.is_some()),
        ("tls.enabled", "--tls", tls.tls.is_some()),
        ("tls.cert_dir", "--cert-dir", tls.cert_dir.is_some()),
        ("tls.cert", "--cert", tls.cert.is_some()),
        ("tls.key", "--key", tls.key.is_some()),
        ("tls.redirect_http", "--redirect-http", tls.redirect_http),
        ("hosts.mode", "--hosts", args.hosts.is_some()),
    ] {
        if is_typed {
            configured.set(key, config::Origin::Flag(flag));
        }
    }
    asked
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
    flags.extend(strategy.iter().map(|strategy| format!("--strategy {}", config::strategy(*strategy))));
    flags.extend(tls.iter().map(|tls| if *tls { "--tls".to_owned() } else { "--tls=false".to_owned() }));
    flags.join(" ")
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
