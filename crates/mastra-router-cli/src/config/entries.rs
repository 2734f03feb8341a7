//! Settings as they are shown: what a router then uses, also where that is a directory it finds by itself.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastra_router::{
    HostsManager, HostsMode, HostsOwner, HostsSettings, LocalEdgeRouterConfig, LocalhostUrls, RoutingStrategy,
    default_cert_dir,
};
use serde_json::{Value, json};

use super::Configured;

/// Every setting by its key, in the order of the configuration file; null where there is none.
pub(crate) fn entries(configured: &Configured) -> Vec<(&'static str, Value)> {
    let LocalEdgeRouterConfig { proxy, health_check: health, tls, hosts, .. } = &configured.config;
    let config = &configured.config;
    let listen = match config.listen.as_slice() {
        [] => vec![format!("127.0.0.1:{}", config.proxy_port), format!("[::1]:{}", config.proxy_port)],
        addresses => addresses.iter().map(ToString::to_string).collect(),
    };
    let of_hosts = HostsSettings {
        path: hosts.path.clone(),
        backup_dir: hosts.backup_dir.clone(),
        ..HostsSettings::new(HostsOwner::of_home(Path::new("/")))
    };
    let (hosts_path, backup_dir) = match HostsManager::new(of_hosts) {
        Ok(manager) => (Some(manager.path().to_owned()), Some(manager.backup_dir().to_owned())),
        Err(_) => (hosts.path.clone(), hosts.backup_dir.clone()),
    };
    vec![
        ("strategy", json!(strategy(config.strategy))),
        ("base_domain", json!(config.base_domain)),
        ("listen", json!(listen)),
        ("lan", json!(configured.lan)),
        ("save", json!(configured.save)),
        ("threads", json!(proxy.threads)),
        ("log_routes", json!(config.log_routes)),
        ("localhost_urls", json!(urls(config.localhost_urls))),
        ("allow_remote_targets", json!(config.allow_remote_targets)),
        ("port_range", json!(format!("{}-{}", config.port_range.start, config.port_range.end))),
        ("health.path", json!(health.path)),
        ("health.interval", time(health.interval)),
        ("health.timeout", time(health.timeout)),
        ("health.failure_threshold", json!(health.failure_threshold)),
        ("proxy.restart_grace", time(proxy.restart_grace)),
        ("proxy.start_timeout", time(proxy.start_timeout)),
        ("proxy.connect_timeout", time(proxy.connect_timeout)),
        ("proxy.head_timeout", time(proxy.head_timeout)),
        ("proxy.idle_timeout", time(proxy.idle_timeout)),
        ("proxy.drain_timeout", time(proxy.drain_timeout)),
        ("proxy.max_connections", json!(proxy.max_connections)),
        ("proxy.pool_size", json!(proxy.pool_size)),
        ("proxy.max_hops", json!(proxy.max_hops)),
        ("tls.enabled", json!(config.enable_tls)),
        ("tls.cert_dir", path(Some(&tls.cert_dir.clone().unwrap_or_else(default_cert_dir)))),
        ("tls.validity_days", json!(tls.validity_days)),
        ("tls.cert", path(tls.cert.as_ref())),
        ("tls.key", path(tls.key.as_ref())),
        ("tls.redirect_http", json!(tls.redirect_http)),
        ("hosts.mode", json!(mode(config.enable_hosts_file))),
        ("hosts.path", path(hosts_path.as_ref())),
        ("hosts.backup_dir", path(backup_dir.as_ref())),
    ]
}

/// A strategy as it is typed.
pub(crate) fn strategy(strategy: RoutingStrategy) -> &'static str {
    match strategy {
        RoutingStrategy::PortMapping => "port-mapping",
        RoutingStrategy::ReverseProxy => "reverse-proxy",
    }
}

fn urls(urls: LocalhostUrls) -> &'static str {
    match urls {
        LocalhostUrls::Path => "path",
        LocalhostUrls::Subdomain => "subdomain",
    }
}

fn mode(mode: HostsMode) -> &'static str {
    match mode {
        HostsMode::Off => "off",
        HostsMode::BestEffort => "best-effort",
        HostsMode::Required => "required",
    }
}

fn time(time: Duration) -> Value {
    text(humantime::format_duration(time))
}

fn path(path: Option<&PathBuf>) -> Value {
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    path.map_or(Value::Null, |path| text(absolute(path).display()))
}

fn text(value: impl Display) -> Value {
    Value::from(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::KEYS;

    #[test]
    fn every_key_of_the_file_is_shown() {
        let home = mastra_router::Home::resolve(Some("/nowhere".into()));
        let configured =
            Configured::read(LocalEdgeRouterConfig::default(), crate::config::Chosen::None, &home).unwrap();
        let shown: Vec<&str> = entries(&configured).into_iter().map(|(key, _)| key).collect();
        assert_eq!(shown, KEYS);
    }
}
