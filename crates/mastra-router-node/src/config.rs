//! The settings of a router, as TypeScript hands them over: checked for type, and flat.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mastra_router::{
    HealthCheckConfig, HostsConfig, HostsMode, LocalEdgeRouterConfig, LocalhostUrls, PortRange, ProxyConfig, Result,
    RouterError, RoutingStrategy, TlsConfig,
};
use napi_derive::napi;

/// See `LocalEdgeRouterConfig` in `types.cts`; times are milliseconds.
#[napi(object, object_to_js = false)]
pub struct NativeConfig {
    pub strategy: Option<String>,
    pub base_domain: Option<String>,
    pub port_start: Option<u32>,
    pub port_end: Option<u32>,
    pub proxy_port: Option<u32>,
    pub health_path: Option<String>,
    pub health_interval_ms: Option<f64>,
    pub health_timeout_ms: Option<f64>,
    pub failure_threshold: Option<u32>,
    pub hosts_mode: Option<String>,
    pub hosts_path: Option<String>,
    pub backup_dir: Option<String>,
    pub hosts_owner: Option<String>,
    pub enable_tls: Option<bool>,
    pub cert_dir: Option<String>,
    pub validity_days: Option<u32>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub redirect_http: Option<bool>,
    pub state_dir: Option<String>,
    pub localhost_urls: Option<String>,
    pub listen: Option<Vec<String>>,
    pub allow_remote_targets: Option<bool>,
    pub lease_dir: Option<String>,
    pub threads: Option<u32>,
    pub restart_grace_ms: Option<f64>,
    pub start_timeout_ms: Option<f64>,
    pub connect_timeout_ms: Option<f64>,
    pub drain_timeout_ms: Option<f64>,
    pub max_connections: Option<u32>,
}

impl NativeConfig {
    pub(crate) fn read(self) -> Result<LocalEdgeRouterConfig> {
        let d = LocalEdgeRouterConfig::default();
        let strategy = self.strategy.as_deref().map(strategy).transpose()?.unwrap_or(d.strategy);
        let port_range = PortRange {
            start: self.port_start.map_or(Ok(d.port_range.start), |p| port("portRange", p))?,
            end: self.port_end.map_or(Ok(d.port_range.end), |p| port("portRange", p))?,
        };
        Ok(LocalEdgeRouterConfig {
            strategy,
            base_domain: self.base_domain.unwrap_or(d.base_domain),
            port_range,
            proxy_port: self.proxy_port.map_or(Ok(d.proxy_port), |p| port("proxyPort", p))?,
            health_check: HealthCheckConfig {
                path: self.health_path.unwrap_or(d.health_check.path),
                interval: time("healthCheck.intervalMs", self.health_interval_ms, d.health_check.interval)?,
                timeout: time("healthCheck.timeoutMs", self.health_timeout_ms, d.health_check.timeout)?,
                failure_threshold: self.failure_threshold.unwrap_or(d.health_check.failure_threshold),
            },
            enable_hosts_file: self.hosts_mode.as_deref().map(hosts_mode).transpose()?.unwrap_or_default(),
            hosts: HostsConfig {
                path: self.hosts_path.map(PathBuf::from),
                backup_dir: self.backup_dir.map(PathBuf::from),
                owner: self.hosts_owner,
            },
            enable_tls: self.enable_tls.unwrap_or(d.enable_tls),
            tls: TlsConfig {
                cert_dir: self.cert_dir.map(PathBuf::from),
                validity_days: self.validity_days.unwrap_or(d.tls.validity_days),
                cert: self.cert.map(PathBuf::from),
                key: self.key.map(PathBuf::from),
                redirect_http: self.redirect_http.unwrap_or(d.tls.redirect_http),
            },
            state_dir: self.state_dir.map(PathBuf::from),
            // TypeScript logs, at the time of the call.
            log_routes: false,
            localhost_urls: self.localhost_urls.as_deref().map(localhost_urls).transpose()?.unwrap_or_default(),
            listen: self.listen.unwrap_or_default().iter().map(|text| address(text)).collect::<Result<_>>()?,
            allow_remote_targets: self.allow_remote_targets.unwrap_or(d.allow_remote_targets),
            proxy: ProxyConfig {
                threads: self.threads.map(|n| n as usize),
                restart_grace: time("restartGraceMs", self.restart_grace_ms, d.proxy.restart_grace)?,
                start_timeout: time("startTimeoutMs", self.start_timeout_ms, d.proxy.start_timeout)?,
                connect_timeout: time("connectTimeoutMs", self.connect_timeout_ms, d.proxy.connect_timeout)?,
                drain_timeout: time("drainTimeoutMs", self.drain_timeout_ms, d.proxy.drain_timeout)?,
                max_connections: self.max_connections.map_or(d.proxy.max_connections, |n| n as usize),
                ..d.proxy
            },
            lease_dir: self.lease_dir.map(PathBuf::from),
        })
    }
}

pub(crate) fn port(setting: &'static str, port: u32) -> Result<u16> {
    u16::try_from(port).map_err(|_| invalid(setting, format!("{port} is no port: they go from 0 to 65535")))
}

pub(crate) fn time(setting: &'static str, ms: Option<f64>, default: Duration) -> Result<Duration> {
    let Some(ms) = ms else { return Ok(default) };
    Duration::try_from_secs_f64(ms / 1000.0).map_err(|_| invalid(setting, format!("{ms} is no time in milliseconds")))
}

pub(crate) fn invalid(setting: &'static str, reason: String) -> RouterError {
    RouterError::InvalidConfig { setting, reason }
}

fn strategy(text: &str) -> Result<RoutingStrategy> {
    match text {
        "port-mapping" => Ok(RoutingStrategy::PortMapping),
        "reverse-proxy" => Ok(RoutingStrategy::ReverseProxy),
        _ => Err(invalid("strategy", format!("{text:?} is neither \"port-mapping\" nor \"reverse-proxy\""))),
    }
}

fn hosts_mode(text: &str) -> Result<HostsMode> {
    match text {
        "off" => Ok(HostsMode::Off),
        "best-effort" => Ok(HostsMode::BestEffort),
        "required" => Ok(HostsMode::Required),
        _ => Err(invalid("enableHostsFile", format!("{text:?} is none of true, false and \"required\""))),
    }
}

fn localhost_urls(text: &str) -> Result<LocalhostUrls> {
    match text {
        "path" => Ok(LocalhostUrls::Path),
        "subdomain" => Ok(LocalhostUrls::Subdomain),
        _ => Err(invalid("localhostUrls", format!("{text:?} is neither \"path\" nor \"subdomain\""))),
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| invalid("listen", format!("{text:?} is no address with a port, as 127.0.0.1:3000 is")))
}
