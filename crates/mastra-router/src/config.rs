//! Settings of a router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Result, RouterError};
use crate::name::BaseDomain;
use crate::route::HealthPath;

/// How routes are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoutingStrategy {
    /// A route's URL is its target's own; nothing is proxied.
    #[default]
    PortMapping,
    /// One port for all routes, told apart by host or path.
    ReverseProxy,
}

/// The form of a route's public URL where the base domain is `localhost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalhostUrls {
    /// `http://localhost:3000/name`.
    #[default]
    Path,
    /// `http://name.localhost:3000`, which is what applications that use absolute paths need.
    Subdomain,
}

/// Configuration of a [`LocalEdgeRouter`](crate::LocalEdgeRouter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEdgeRouterConfig {
    /// How routes are reached. Default: port mapping.
    pub strategy: RoutingStrategy,
    /// Domain the routes' names live under. Default: `localhost`.
    pub base_domain: String,
    /// Ports that are handed out. Default: 3100 to 3199.
    pub port_range: PortRange,
    /// Port of the reverse proxy; 0 for one that the system chooses. Default: 3000.
    pub proxy_port: u16,
    /// Health checks.
    pub health_check: HealthCheckConfig,
    /// Keep names in the system's hosts file. Default: off.
    pub enable_hosts_file: HostsMode,
    /// The hosts file.
    pub hosts: HostsConfig,
    /// Make every route's public URL `https`, unless the route says otherwise. Default: off.
    pub enable_tls: bool,
    /// Certificates, and what is done with them.
    pub tls: TlsConfig,
    /// Directory that routes and leases are saved in, to be there again after a restart; `None` to save nothing.
    /// Default: none.
    pub state_dir: Option<PathBuf>,
    /// Log changes of routes. Default: on.
    pub log_routes: bool,
    /// Form of public URLs on `localhost`. Default: path.
    pub localhost_urls: LocalhostUrls,
    /// Addresses of the proxy; empty for 127.0.0.1 and ::1 on `proxy_port`. Default: empty.
    pub listen: Vec<SocketAddr>,
    /// Let the proxy lead to other machines. Default: off.
    pub allow_remote_targets: bool,
    /// The reverse proxy.
    pub proxy: ProxyConfig,
    /// Directory of port leases, which all routers of a user share. Default: `~/.mastra/router/ports`.
    pub lease_dir: Option<PathBuf>,
}

/// Whether names are kept in the system's hosts file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostsMode {
    /// They are not.
    #[default]
    Off,
    /// They are; where that fails it is reported, and routes work without.
    BestEffort,
    /// They are, and a route whose name cannot be written is refused.
    Required,
}

/// The hosts file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsConfig {
    /// The file. Default: the system's.
    pub path: Option<PathBuf>,
    /// Directory of copies of the file as it was. Default: `~/.mastra/hosts-backups`.
    pub backup_dir: Option<PathBuf>,
    /// Whose the entries are: letters, digits, `-`, `_` and `.`. A router that was killed leaves its entries to the next of
    /// the same owner. Default: one of `state_dir`, or of this process; what that left, the next router takes out (Linux).
    pub owner: Option<String>,
}

/// Certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Directory of the local authority and of what it issued. Default: `~/.mastra/certs`.
    pub cert_dir: Option<PathBuf>,
    /// Days that an issued certificate is valid, 397 at most. Default: 365.
    pub validity_days: u32,
    /// A certificate (PEM, with its chain) to serve instead of issued ones; it goes with `key`. Default: none.
    pub cert: Option<PathBuf>,
    /// The key of `cert` (PEM). Default: none.
    pub key: Option<PathBuf>,
    /// Send clients that ask for a TLS route over plain HTTP to its `https` URL, with a 308. Default: off.
    pub redirect_http: bool,
}

/// Health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckConfig {
    /// Path that is asked for. Default: `/health`.
    pub path: String,
    /// Time between two checks of a route. Default: 30 s.
    pub interval: Duration,
    /// Time after which a check has failed. Default: 5 s.
    pub timeout: Duration,
    /// Failed checks in a row that make a route unhealthy. Default: 3.
    pub failure_threshold: u32,
}

/// Ports from `start` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub start: u16,
    /// Last port.
    pub end: u16,
}

/// Settings of the reverse proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Threads that forward requests; `None` for one a core, four at most.
    pub threads: Option<usize>,
    /// How long a request waits for a target that has listened and refuses connections, as it does while it restarts.
    /// Default: 10 s.
    pub restart_grace: Duration,
    /// How long a request waits for a target that has not listened yet, as it does while it starts. Default: 30 s.
    pub start_timeout: Duration,
    /// How long a connection to a target may take to be made. Default: 5 s.
    pub connect_timeout: Duration,
    /// How long a client may take to send the head of a request it has begun. Default: 10 s.
    pub head_timeout: Duration,
    /// How long a connection without a request is kept. Default: 75 s.
    pub idle_timeout: Duration,
    /// How long open exchanges may go on after a stop was asked for. Default: 5 s.
    pub drain_timeout: Duration,
    /// Connections from clients at one time, of all threads; fewer where the limit of open files does not allow for
    /// twice as many. Default: 10,000.
    pub max_connections: usize,
    /// Idle connections kept to one target by each thread. Default: 128.
    pub pool_size: usize,
    /// Hops through routers after which a request is taken to go in a circle. Default: 5.
    pub max_hops: u32,
}

impl Default for LocalEdgeRouterConfig {
    fn default() -> Self {
        Self {
            strategy: RoutingStrategy::PortMapping,
            base_domain: "localhost".to_owned(),
            port_range: PortRange::default(),
            proxy_port: 3000,
            health_check: HealthCheckConfig::default(),
            enable_hosts_file: HostsMode::Off,
            hosts: HostsConfig::default(),
            enable_tls: false,
            tls: TlsConfig::default(),
            state_dir: None,
            log_routes: true,
            localhost_urls: LocalhostUrls::Path,
            listen: Vec::new(),
            allow_remote_targets: false,
            proxy: ProxyConfig::default(),
            lease_dir: None,
        }
    }
}

impl Default for HealthCheckConfig {
    fn default() -> Self {
        Self {
            path: "/health".to_owned(),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            failure_threshold: 3,
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { cert_dir: None, validity_days: 365, cert: None, key: None, redirect_http: false }
    }
}

impl Default for PortRange {
    fn default() -> Self {
        Self { start: 3100, end: 3199 }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            threads: None,
            restart_grace: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(5),
            max_connections: 10_000,
            pool_size: 128,
            max_hops: 5,
        }
    }
}

/// Each has sockets and a pool of its own; a machine's servers need a handful.
const THREADS_MAX: usize = 256;
/// Apple's clients refuse longer ones, from whatever authority; so may others.
const VALIDITY_DAYS_MAX: u32 = 397;

impl PortRange {
    /// Checks a range: from 1 on, and not backwards.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`].
    pub fn checked(self) -> Result<Self> {
        let reason = match self {
            Self { start: 0, .. } => "it starts at port 0".to_owned(),
            Self { start, end } if start > end => format!("it ends at {end}, before its start at {start}"),
            _ => return Ok(self),
        };
        Err(RouterError::InvalidConfig { setting: "portRange", reason })
    }
}

impl LocalEdgeRouterConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`] with the first one that cannot be used.
    pub fn validate(&self) -> Result<()> {
        let invalid = |setting, reason: &str| Err(RouterError::InvalidConfig { setting, reason: reason.to_owned() });
        BaseDomain::parse(&self.base_domain)?;
        self.port_range.checked()?;
        match HealthPath::parse(&self.health_check.path) {
            Ok(Some(_)) => {}
            Ok(None) => return invalid("healthCheck.path", "it is empty"),
            Err(error) => return invalid("healthCheck.path", &error.to_string()),
        }
        if self.health_check.interval.is_zero() {
            return invalid("healthCheck.intervalMs", "it is 0");
        }
        if self.health_check.timeout.is_zero() {
            return invalid("healthCheck.timeoutMs", "it is 0");
        }
        if self.health_check.failure_threshold == 0 {
            return invalid("healthCheck.failureThreshold", "it is 0");
        }
        if self.proxy.threads.is_some_and(|threads| !(1..=THREADS_MAX).contains(&threads)) {
            return invalid("threads", "it is not between 1 and 256");
        }
        if self.proxy.max_connections == 0 {
            return invalid("maxConnections", "it is 0");
        }
        if !(1..=VALIDITY_DAYS_MAX).contains(&self.tls.validity_days) {
            return invalid("tls.validityDays", "it is not between 1 and 397 days, the most that clients accept");
        }
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return invalid("tls.cert", "a certificate and its key are set together");
        }
        Ok(())
    }

    /// The addresses the proxy listens on: those that were set, or both loopback families on the proxy's port.
    pub fn listen_addresses(&self) -> Vec<SocketAddr> {
        if !self.listen.is_empty() {
            return self.listen.clone();
        }
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        loopback.map(|ip| SocketAddr::new(ip, self.proxy_port)).to_vec()
    }
}
