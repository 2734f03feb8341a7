//! What can go wrong, each with a code that is the same in Rust, HTTP, on the command line and in Node.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Result of the library's fallible calls.
pub type Result<T, E = RouterError> = std::result::Result<T, E>;

/// An operation on the router failed; nothing was changed.
///
/// `Display` says what happened and why, [`RouterError::code`] is stable, and [`RouterError::hint`] is the one thing to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A second registration of a deployment; the first keeps serving.
    #[error("Route already exists for deployment {deployment_id}")]
    RouteExists {
        /// The deployment that has a route.
        deployment_id: String,
    },
    /// No route has this id (nor, for a removal, this deployment id).
    #[error("Route not found: {id}")]
    RouteNotFound {
        /// What was asked for.
        id: String,
    },
    /// Another route answers on this name and path prefix already; it keeps serving.
    #[error("{url_part} is taken by deployment {holder} (target {target})")]
    RouteConflict {
        /// Name, and path prefix if there is one, as in a URL.
        url_part: String,
        /// Deployment id of the route that has it.
        holder: String,
        /// Where that route leads.
        target: String,
    },
    /// A route name that is not made of DNS labels, or is reserved.
    #[error("{name:?} cannot be the name of a route: {reason}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
        /// The nearest name that would do.
        suggestion: Option<String>,
    },
    /// A target that cannot be routed to: bad host, bad port, or not on this machine.
    #[error("{target:?} cannot be a target: {reason}")]
    InvalidTarget {
        /// The target as given.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field that is empty or holds what it must not.
    #[error("{field} {value:?} is not valid: {reason}")]
    InvalidField {
        /// Name of the field, as in the configuration.
        field: &'static str,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting of the router's configuration that cannot be used.
    #[error("setting {setting} is not valid: {reason}")]
    InvalidConfig {
        /// Name of the setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The target that a registration or an update waited for did not pass a check. What was there before keeps serving.
    #[error("{target} is not healthy: {reason}")]
    TargetUnhealthy {
        /// The target.
        target: String,
        /// What the last check found.
        reason: String,
    },
    /// Another process listens where the proxy should.
    #[error("{address} is in use by {}", holder.as_deref().unwrap_or("another process"))]
    PortInUse {
        /// The address that could not be bound.
        address: SocketAddr,
        /// Name and pid of the process that holds it, where the system tells.
        holder: Option<String>,
    },
    /// An address that could not be bound for another reason than being in use.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Every port of the range is leased, listened on or unfit for browsers.
    #[error("No available ports in range {start}-{end}{}", held_list(held))]
    NoPortAvailable {
        /// First port of the range.
        start: u16,
        /// Last port of the range.
        end: u16,
        /// The ports that are held, each with its holder where known.
        held: Vec<HeldPort>,
    },
    /// A file or directory of the router could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done, an infinitive: "create", "lock".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The hosts file, or a backup of it, cannot be used as it is; it was left as it was.
    #[error("cannot use {}{}: {reason}", path.display(), line.map_or_else(String::new, |n| format!(", line {n}")))]
    HostsFile {
        /// The file.
        path: PathBuf,
        /// The line that is at fault, counted from 1, where it is one.
        line: Option<usize>,
        /// What is wrong with it, or what the system said.
        reason: String,
    },
    /// This user may not write the hosts file (or may not read it).
    #[error("{} belongs to the system: this user may not {action} it", path.display())]
    HostsDenied {
        /// The file.
        path: PathBuf,
        /// What is not allowed: "read", "write".
        action: &'static str,
    },
    /// A name that is never written to a hosts file.
    #[error("{name:?} cannot be written to a hosts file: {reason}")]
    HostsName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The hosts file gives this name another address already, outside of our block.
    #[error("{name:?} is {address} already, by line {line} of {}", path.display())]
    HostsTaken {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The address it has there, as written.
        address: String,
    },
    /// Another router runs with the same home directory.
    #[error("another router (pid {}) runs in {}", pid.map_or_else(|| "unknown".to_owned(), |p| p.to_string()), home.display())]
    HomeInUse {
        /// The home directory.
        home: PathBuf,
        /// Process id of the other router, where it could be read.
        pid: Option<u32>,
    },
    /// A thread of the proxy could not be started.
    #[error("cannot start a thread: {source}")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
    /// A certificate, its key, or the directory they are kept in cannot be used.
    #[error("cannot {action} {}: {reason}", path.display())]
    Certificate {
        /// What was being done, an infinitive: "use", "write".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it, or what the system said.
        reason: String,
    },
    /// The local authority is constrained to other names than this one.
    #[error("the authority {} may not vouch for {name}: it is constrained to {permitted}", authority.display())]
    CaConstraints {
        /// The authority's certificate.
        authority: PathBuf,
        /// The name that lies outside.
        name: String,
        /// What it may vouch for, as a list.
        permitted: String,
        /// What to do about it.
        remedy: String,
    },
    /// `start_proxy` with a strategy that has no proxy.
    #[error("Proxy can only be started when strategy is \"reverse-proxy\"")]
    NoProxyInStrategy,
    /// `start_proxy` while it runs.
    #[error("Proxy server is already running")]
    ProxyRunning,
    /// The certificate of the local authority cannot be used, or should not be trusted.
    #[error("{} cannot be used as the local authority: {reason}", path.display())]
    AuthorityUnusable {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A call after `close`.
    #[error("the router is closed")]
    Closed,
    /// The router's control socket did not answer, or not in a form that is known.
    #[error("no answer from the router at {}: {reason}", socket.display())]
    Unreachable {
        /// The control socket.
        socket: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// An error that came over the control socket; its code and texts are those of the router that answered.
    #[error("{message}")]
    Remote {
        /// The remote error's code.
        code: String,
        /// The remote error's text.
        message: String,
        /// The remote error's hint.
        hint: Option<String>,
    },
}

/// A port of the range that cannot be handed out, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPort {
    /// The port.
    pub port: u16,
    /// "node (pid 4711)", "leased to shop (pid 12)", "blocked by browsers"; `None` where the system does not tell.
    pub holder: Option<String>,
}

fn held_list(held: &[HeldPort]) -> String {
    const SHOWN: usize = 8;
    if held.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = held
        .iter()
        .take(SHOWN)
        .map(|h| match &h.holder {
            Some(holder) => format!("{} {holder}", h.port),
            None => format!("{} in use", h.port),
        })
        .collect();
    let more = held.len().saturating_sub(SHOWN);
    let tail = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!(": {}{tail}", shown.join(", "))
}

impl RouterError {
    /// Stable, upper-case, the same in Rust, HTTP, on the command line and in Node.
    pub fn code(&self) -> &str {
        match self {
            Self::RouteExists { .. } => "ROUTE_EXISTS",
            Self::RouteNotFound { .. } => "ROUTE_NOT_FOUND",
            Self::RouteConflict { .. } => "ROUTE_CONFLICT",
            Self::InvalidName { .. } => "INVALID_NAME",
            Self::InvalidTarget { .. } => "INVALID_TARGET",
            Self::InvalidField { .. } => "INVALID_FIELD",
            Self::InvalidConfig { .. } => "INVALID_CONFIG",
            Self::TargetUnhealthy { .. } => "TARGET_UNHEALTHY",
            Self::PortInUse { .. } => "PORT_IN_USE",
            Self::Listen { .. } => "LISTEN_FAILED",
            Self::NoPortAvailable { .. } => "NO_PORT_AVAILABLE",
            Self::File { .. } => "FILE_ERROR",
            Self::HostsFile { .. } => "HOSTS_FILE",
            Self::HostsDenied { .. } => "HOSTS_DENIED",
            Self::HostsName { .. } => "HOSTS_NAME",
            Self::HostsTaken { .. } => "HOSTS_TAKEN",
            Self::HomeInUse { .. } => "HOME_IN_USE",
            Self::Thread { .. } => "THREAD_FAILED",
            Self::Certificate { .. } => "CERTIFICATE_ERROR",
            Self::CaConstraints { .. } => "CA_CONSTRAINTS",
            Self::NoProxyInStrategy => "NO_PROXY_IN_STRATEGY",
            Self::ProxyRunning => "PROXY_RUNNING",
            Self::AuthorityUnusable { .. } => "AUTHORITY_UNUSABLE",
            Self::Closed => "ROUTER_CLOSED",
            Self::Unreachable { .. } => "ROUTER_UNREACHABLE",
            Self::Remote { code, .. } => code,
        }
    }

    /// The one thing to do about it, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RouteExists { .. } => Some("update the route, or remove it first".into()),
            Self::RouteConflict { .. } => Some("choose another name or path prefix, or remove the other route".into()),
            Self::InvalidName { suggestion: Some(name), .. } => Some(format!("use {name:?}")),
            Self::PortInUse { address, .. } => {
                Some(format!("stop it, or listen elsewhere: mastra-router serve --listen {}:0", bracketed(address)))
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privilege: choose a higher one".into())
            }
            Self::NoPortAvailable { .. } => Some("stop one of them, or widen the port range".into()),
            Self::File { action: "save to", path, .. } => {
                let dir = path.parent().unwrap_or(path).display();
                Some(format!("make room there and try again (df -h {dir} tells how much there is)"))
            }
            Self::File { action: "use as root", .. } => {
                Some("run it as yourself, or name a directory: --home DIR".into())
            }
            Self::File { .. } => Some("choose another directory: MASTRA_ROUTER_HOME=DIR or --home DIR".into()),
            Self::HostsFile { line: Some(_), .. } => Some("mend that line with an editor, as root".into()),
            Self::HostsDenied { .. } => Some("sudo mastra-router hosts sync".into()),
            Self::HostsTaken { .. } => Some("remove that line, or choose another name".into()),
            Self::HomeInUse { .. } => Some("use it, stop it (mastra-router stop), or set another --home DIR".into()),
            Self::CaConstraints { remedy, .. } => Some(remedy.clone()),
            Self::AuthorityUnusable { .. } => Some("make a new one: mastra-router tls renew".into()),
            Self::NoProxyInStrategy => Some("set strategy to \"reverse-proxy\"".into()),
            Self::Unreachable { .. } => Some("start it: mastra-router start".into()),
            Self::Remote { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

fn bracketed(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(a) => a.ip().to_string(),
        SocketAddr::V6(a) => format!("[{}]", a.ip()),
    }
}
