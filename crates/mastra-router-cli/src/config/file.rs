//! The configuration file.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastra_router::{LocalEdgeRouterConfig, LocalhostUrls, PortRange, RoutingStrategy};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Table;

use super::keys::{self, Said};
use super::routes::{ConfiguredRoutes, RouteEntry};
use super::source::Source;
use crate::cli::HostsFile;
use crate::failure::Failure;
use crate::project_file::{AppTables, RunTable};

/// `mastra-router.toml`. What is left out keeps its default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    pub(crate) strategy: Option<Strategy>,
    pub(crate) base_domain: Option<String>,
    pub(crate) listen: Option<Listen>,
    pub(crate) lan: Option<bool>,
    pub(crate) save: Option<bool>,
    threads: Option<usize>,
    log_routes: Option<bool>,
    localhost_urls: Option<Urls>,
    allow_remote_targets: Option<bool>,
    #[serde(deserialize_with = "ports")]
    port_range: Option<Ports>,
    health: Health,
    proxy: Proxy,
    pub(super) tls: Tls,
    pub(super) hosts: Hosts,
    routes: Vec<toml::Spanned<RouteEntry>>,
    /// Of `run` and `up`.
    pub(crate) run: RunTable,
    /// Of `up`.
    pub(crate) apps: AppTables,
    #[serde(skip)]
    said: Vec<Said>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strategy {
    PortMapping,
    ReverseProxy,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Urls {
    Path,
    Subdomain,
}

/// One address or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "it takes an address and a port, \"127.0.0.1:3000\", or a list of them")]
pub(crate) enum Listen {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
}

impl Listen {
    fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ports {
    start: u16,
    end: u16,
}

/// `"3100-3199"`, or a table of both.
fn ports<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Ports>, D::Error> {
    struct Either;
    impl<'de> Visitor<'de> for Either {
        type Value = Ports;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("two ports, \"3100-3199\" or { start = 3100, end = 3199 }")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
            let ends = text.split_once('-').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
            let (start, end) = ends.ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
            Ok(Ports { start, end })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Ports, A::Error> {
            Ports::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_any(Either).map(Some)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Health {
    path: Option<String>,
    #[serde(with = "humantime_serde")]
    interval: Option<Duration>,
    #[serde(with = "humantime_serde")]
    timeout: Option<Duration>,
    failure_threshold: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Proxy {
    #[serde(with = "humantime_serde")]
    restart_grace: Option<Duration>,
    #[serde(with = "humantime_serde")]
    start_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    connect_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    head_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    idle_timeout: Option<Duration>,
    #[serde(with = "humantime_serde")]
    drain_timeout: Option<Duration>,
    max_connections: Option<usize>,
    pool_size: Option<usize>,
    max_hops: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hosts {
    mode: Option<HostsFile>,
    pub(super) path: Option<PathBuf>,
    pub(super) backup_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    enabled: Option<bool>,
    pub(super) cert_dir: Option<PathBuf>,
    validity_days: Option<u32>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    redirect_http: Option<bool>,
}

impl ConfigFile {
    /// The settings that it says.
    pub(super) fn said(&self) -> &[Said] {
        &self.said
    }

    /// Whether it says a setting.
    pub(super) fn says(&self, key: &str) -> bool {
        self.said.iter().any(|said| said.key == key)
    }

    /// Settings and nothing else, of a table.
    ///
    /// # Errors
    /// That of what does not fit.
    pub(super) fn of_table(table: Table) -> Result<Self, toml::de::Error> {
        let said = keys::of_table(&table);
        Ok(Self { said, ..Self::deserialize(table)? })
    }

    /// Forgets what a file may not say that nobody has named: it came with a project, and nobody may have read it. What can
    /// be reached from outside, and which files are read and written, is the user's to say. Returns what it has forgotten.
    pub(super) fn keep_what_a_project_may_say(&mut self) -> Vec<Said> {
        let opens = self.listen.as_ref().is_some_and(|listen| listen.addresses().iter().any(|a| !a.ip().is_loopback()));
        let forgotten = |said: &Said| {
            matches!(said.key, "lan" | "allow_remote_targets" | "tls.cert_dir" | "tls.cert" | "tls.key")
                || said.key.starts_with("hosts.")
                || (said.key == "listen" && opens)
        };
        let (lost, kept) = std::mem::take(&mut self.said).into_iter().partition(forgotten);
        self.said = kept;
        (self.lan, self.allow_remote_targets, self.hosts) = (None, None, Hosts::default());
        (self.tls.cert_dir, self.tls.cert, self.tls.key) = (None, None, None);
        self.listen = self.listen.take().filter(|_| !opens);
        lost
    }

    /// Reads a file: its settings and its routes. Paths in it count from where it is.
    ///
    /// # Errors
    /// A failure that names the file and the place in it.
    pub(crate) fn read(path: &Path) -> Result<(Self, ConfiguredRoutes), Failure> {
        let (mut file, source) = Self::parse(path, "check --config FILE")?;
        file.count_paths_from(path.parent().unwrap_or(Path::new("")));
        let routes = ConfiguredRoutes::read(std::mem::take(&mut file.routes), &source)?;
        Ok((file, routes))
    }

    /// Reads a file, and looks at no value of it; `hint` says what to do where it cannot be read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(path: &Path, hint: &str) -> Result<(Self, Source), Failure> {
        let source = Source::read(path, hint)?;
        let mut file: Self = toml::from_str(source.text())
            .map_err(|error| source.invalid(error.span().map_or(0, |s| s.start), error.message().trim()))?;
        file.said = keys::of_text(&source);
        Ok((file, source))
    }

    fn count_paths_from(&mut self, dir: &Path) {
        let (tls, hosts) = (&mut self.tls, &mut self.hosts);
        for path in [&mut tls.cert_dir, &mut tls.cert, &mut tls.key, &mut hosts.path, &mut hosts.backup_dir] {
            *path = path.take().map(|path| dir.join(path));
        }
    }

    /// Whether the file says that URLs are `https`, or are not. Who brings a certificate wants it served.
    fn tls(&self) -> Option<bool> {
        self.tls.enabled.or(self.tls.cert.as_ref().map(|_| true))
    }

    /// Puts the file's settings over `config`.
    pub(super) fn apply(&self, config: &mut LocalEdgeRouterConfig) {
        fn set<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        match self.strategy {
            Some(Strategy::PortMapping) => config.strategy = RoutingStrategy::PortMapping,
            Some(Strategy::ReverseProxy) => config.strategy = RoutingStrategy::ReverseProxy,
            None => {}
        }
        match self.localhost_urls {
            Some(Urls::Path) => config.localhost_urls = LocalhostUrls::Path,
            Some(Urls::Subdomain) => config.localhost_urls = LocalhostUrls::Subdomain,
            None => {}
        }
        if let Some(listen) = &self.listen {
            config.listen = listen.addresses().to_vec();
        }
        if let Some(Ports { start, end }) = self.port_range {
            config.port_range = PortRange { start, end };
        }
        if self.threads.is_some() {
            config.proxy.threads = self.threads;
        }
        set(&mut config.base_domain, &self.base_domain);
        set(&mut config.log_routes, &self.log_routes);
        set(&mut config.allow_remote_targets, &self.allow_remote_targets);
        let tls = &self.tls;
        set(&mut config.enable_tls, &self.tls());
        set(&mut config.enable_hosts_file, &self.hosts.mode.map(Into::into));
        set(&mut config.tls.validity_days, &tls.validity_days);
        set(&mut config.tls.redirect_http, &tls.redirect_http);
        for (to, from) in [
            (&mut config.tls.cert_dir, &tls.cert_dir),
            (&mut config.tls.cert, &tls.cert),
            (&mut config.tls.key, &tls.key),
            (&mut config.hosts.path, &self.hosts.path),
            (&mut config.hosts.backup_dir, &self.hosts.backup_dir),
        ] {
            if from.is_some() {
                to.clone_from(from);
            }
        }
        set(&mut config.health_check.path, &self.health.path);
        set(&mut config.health_check.interval, &self.health.interval);
        set(&mut config.health_check.timeout, &self.health.timeout);
        set(&mut config.health_check.failure_threshold, &self.health.failure_threshold);
        set(&mut config.proxy.restart_grace, &self.proxy.restart_grace);
        set(&mut config.proxy.start_timeout, &self.proxy.start_timeout);
        set(&mut config.proxy.connect_timeout, &self.proxy.connect_timeout);
        set(&mut config.proxy.head_timeout, &self.proxy.head_timeout);
        set(&mut config.proxy.idle_timeout, &self.proxy.idle_timeout);
        set(&mut config.proxy.drain_timeout, &self.proxy.drain_timeout);
        set(&mut config.proxy.max_connections, &self.proxy.max_connections);
        set(&mut config.proxy.pool_size, &self.proxy.pool_size);
        set(&mut config.proxy.max_hops, &self.proxy.max_hops);
    }
}
