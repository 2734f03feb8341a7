//! What a service manager is to run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use mastra_router::{Home, InvokingUser};

use crate::cli::{IdleExit, Serve, ServeTls};
use crate::commands::settings;
use crate::config;
use crate::failure::{Exit, Failure};

/// Variables that mean something to a router and are no settings.
const VARIABLES: [&str; 1] = ["MASTRA_ROUTER_LOG"];
/// Settings that are paths, which the service reads from another directory.
const PATHS: [&str; 5] = ["tls.cert_dir", "tls.cert", "tls.key", "hosts.path", "hosts.backup_dir"];

/// A router as a service: all paths are absolute, and all words text.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Whom the router runs as, where the manager is root's.
    pub(crate) user: Option<(u32, u32)>,
    /// What the manager opens for it.
    pub(crate) sockets: Vec<SocketAddr>,
}

impl Definition {
    /// The router of `home` with these flags.
    ///
    /// # Errors
    /// `USAGE` for what is no text; `LAN_NOT_ALLOWED`; `SERVICE_AS_ROOT` for a service of the machine that would have no
    /// other user.
    pub(crate) fn new(serve: &Serve, home: &Home, system: bool) -> Result<Self, Failure> {
        may_serve(serve, home)?;
        let program = text(&std::env::current_exe()?)?;
        let mut args = vec!["serve".to_owned(), "--home".to_owned(), text(home.path())?];
        args.extend(flags(serve, system)?);
        let mut env = Vec::new();
        let settings = config::KEYS.map(|key| (config::variable(key), PATHS.contains(&key)));
        for (name, is_path) in VARIABLES.map(|name| (name.to_owned(), false)).into_iter().chain(settings) {
            if let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) {
                let value = Path::new(&value);
                env.push((name, if is_path { absolute(value)? } else { text(value)? }));
            }
        }
        let user = if system { Some(user()?) } else { None };
        let sockets = match (system, serve.listen.is_empty()) {
            (false, _) => Vec::new(),
            (true, false) => serve.listen.clone(),
            (true, true) => {
                let all = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
                [80, 443].iter().flat_map(|port| all.map(|ip| SocketAddr::new(ip, *port))).collect()
            }
        };
        Ok(Self { program, args, env, user, sockets })
    }
}

/// What would fail at each start of the service fails here.
fn may_serve(serve: &Serve, home: &Home) -> Result<(), Failure> {
    settings::may_serve(&settings::effective(serve, serve.chosen_for_all(), home)?)
}

/// Whoever asked, who is never root.
fn user() -> Result<(u32, u32), Failure> {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match InvokingUser::current().sudo.or(Some(own)) {
        Some((uid, gid)) if uid != 0 => Ok((uid, gid)),
        _ => Err(Failure {
            hint: Some("run it by sudo, from your own account: sudo mastra-router service install --system".to_owned()),
            ..Failure::failed("SERVICE_AS_ROOT", "the router would run as root, which it has no need to")
        }),
    }
}

/// Flags of `serve` as they are typed. Taken apart field by field, so that one that is new is missed by the compiler.
fn flags(serve: &Serve, system: bool) -> Result<Vec<String>, Failure> {
    let Serve {
        config,
        no_project_file: _,
        listen,
        lan,
        threads,
        base_domain,
        strategy,
        no_save,
        hosts,
        idle_exit,
        tls: ServeTls { tls, cert, key, cert_dir, redirect_http },
        background: _,
        take_over: _,
    } = serve;
    let mut flags = Vec::new();
    let mut add = |flag: &str, value: Option<String>| {
        flags.push(flag.to_owned());
        flags.extend(value);
    };
    let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
    match path(config)? {
        Some(config) => add("--config", Some(config)),
        // Where the manager runs it is no project's directory.
        None => add("--no-project-file", None),
    }
    if !system {
        listen.iter().for_each(|address| add("--listen", Some(address.to_string())));
    }
    if *lan {
        add("--lan", None);
    }
    if let Some(threads) = threads {
        add("--threads", Some(threads.to_string()));
    }
    if let Some(domain) = base_domain {
        add("--base-domain", Some(domain.clone()));
    }
    if let Some(strategy) = strategy {
        add("--strategy", Some(value_name(strategy)));
    }
    if *no_save {
        add("--no-save", None);
    }
    if let Some(hosts) = hosts {
        add("--hosts", Some(value_name(hosts)));
    }
    match idle_exit {
        Some(IdleExit::Never) => add("--idle-exit", Some("never".to_owned())),
        Some(IdleExit::After(time)) => add("--idle-exit", Some(typed(*time))),
        None => {}
    }
    if let Some(tls) = tls {
        add(if *tls { "--tls" } else { "--tls=false" }, None);
    }
    for (flag, value) in [("--cert", path(cert)?), ("--key", path(key)?), ("--cert-dir", path(cert_dir)?)] {
        if let Some(value) = value {
            add(flag, Some(value));
        }
    }
    if *redirect_http {
        add("--redirect-http", None);
    }
    Ok(flags)
}

fn value_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn typed(time: Duration) -> String {
    humantime::format_duration(time).to_string().replace(' ', "")
}

fn absolute(path: &Path) -> Result<String, Failure> {
    text(&std::path::absolute(path)?)
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| Failure {
        code: "USAGE".to_owned(),
        message: format!("{} is not UTF-8, and cannot stand in a file of a service", path.display()),
        hint: Some("choose another path".to_owned()),
        exit: Exit::Usage,
    })
}
