//! The configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastra_router::{
    LocalEdgeRouterConfig, LocalhostUrls, PortRange, RouteConfig, RouteName, RouteSpec, RoutingStrategy, Target,
};
use serde::Deserialize;
use toml::Table;

use crate::cli::HostsFile;
use crate::failure::Failure;

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
    port_range: Option<Range>,
    health: Health,
    proxy: Proxy,
    tls: Tls,
    hosts: Hosts,
    routes: Vec<toml::Spanned<RouteEntry>>,
    /// Those of [`KEYS`](Self::KEYS) that it has.
    #[serde(skip)]
    said: Vec<&'static str>,
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

/// `"3100-3199"`, or a table of both.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "it takes two ports, \"3100-3199\" or { start = 3100, end = 3199 }")]
enum Range {
    Ports { start: u16, end: u16 },
    Text(#[serde(deserialize_with = "ports")] (u16, u16)),
}

fn ports<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(u16, u16), D::Error> {
    let text = String::deserialize(deserializer)?;
    let ends = text.split_once('-').and_then(|(a, b)| Some((a.trim().parse().ok()?, b.trim().parse().ok()?)));
    ends.ok_or_else(|| serde::de::Error::custom("it takes two ports"))
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
struct Hosts {
    mode: Option<HostsFile>,
    path: Option<PathBuf>,
    backup_dir: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    enabled: Option<bool>,
    cert_dir: Option<PathBuf>,
    validity_days: Option<u32>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    redirect_http: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteEntry {
    name: String,
    target: String,
    #[serde(default)]
    path_prefix: Option<String>,
    #[serde(default)]
    strip_prefix: Option<bool>,
    #[serde(default)]
    health: Option<String>,
    #[serde(default)]
    project: Option<String>,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    wildcard: bool,
    #[serde(default)]
    tls: Option<bool>,
}

/// Routes of files, each with its place.
#[derive(Debug, Default)]
pub(crate) struct ConfiguredRoutes {
    pub(crate) routes: Vec<RouteConfig>,
    places: Vec<String>,
}

/// The text of a file.
#[derive(Debug, Default)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn at(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }

    /// The key whose value begins at `offset`, where it stands on the same line.
    fn key(&self, offset: usize) -> Option<&str> {
        let line = self.text.get(..offset)?.rsplit('\n').next()?;
        let key = line.trim_end().strip_suffix('=')?.trim();
        (!key.is_empty() && !key.contains(['=', '#', '"', '{'])).then_some(key)
    }

    fn invalid(&self, offset: usize, message: &str) -> Failure {
        let key = self.key(offset).map(|key| format!("{key}: ")).unwrap_or_default();
        let message = format!("{}: {key}{message}", self.at(offset));
        Failure::usage("CONFIG_INVALID", message, Some("correct the file".to_owned()))
    }
}

impl From<Vec<RouteConfig>> for ConfiguredRoutes {
    /// Routes that are written in no file.
    fn from(routes: Vec<RouteConfig>) -> Self {
        Self { routes, ..Self::default() }
    }
}

impl ConfiguredRoutes {
    /// `failure` of the route with this index, with the place where it is written.
    pub(crate) fn failure(&self, index: usize, mut failure: Failure) -> Failure {
        if let Some(place) = self.places.get(index) {
            failure.message = format!("{place}: {}", failure.message);
        }
        failure
    }

    /// Those of another file after these.
    pub(super) fn extend(&mut self, more: Self) {
        self.routes.extend(more.routes);
        self.places.extend(more.places);
    }
}

impl ConfigFile {
    /// Every setting, as it is written in a file. Tables that are no settings of a router are left out.
    pub(super) const KEYS: [&str; 31] = [
        "strategy",
        "base_domain",
        "listen",
        "lan",
        "save",
        "threads",
        "log_routes",
        "localhost_urls",
        "allow_remote_targets",
        "port_range",
        "health.path",
        "health.interval",
        "health.timeout",
        "health.failure_threshold",
        "proxy.restart_grace",
        "proxy.connect_timeout",
        "proxy.head_timeout",
        "proxy.idle_timeout",
        "proxy.drain_timeout",
        "proxy.max_connections",
        "proxy.pool_size",
        "proxy.max_hops",
        "tls.enabled",
        "tls.cert_dir",
        "tls.validity_days",
        "tls.cert",
        "tls.key",
        "tls.redirect_http",
        "hosts.mode",
        "hosts.path",
        "hosts.backup_dir",
    ];

    /// The settings that it says.
    pub(super) fn keys(&self) -> &[&'static str] {
        &self.said
    }

    /// Settings and nothing else, of a table.
    ///
    /// # Errors
    /// That of what does not fit.
    pub(super) fn of_table(table: Table) -> Result<Self, toml::de::Error> {
        let said = keys_of(&table);
        Ok(Self { said, ..Self::deserialize(table)? })
    }

    /// Forgets what a file may not say that nobody has named: it came with a project, and nobody may have read it. What can
    /// be reached from outside, and which files are read and written, is the user's to say. Returns what it has forgotten.
    pub(super) fn keep_what_a_project_may_say(&mut self) -> Vec<&'static str> {
        let forgotten = |key: &str| {
            key == "lan"
                || key == "allow_remote_targets"
                || key.starts_with("hosts.")
                || matches!(key, "tls.cert_dir" | "tls.cert" | "tls.key")
        };
        let (lost, kept) = std::mem::take(&mut self.said).into_iter().partition(|key| forgotten(key));
        self.said = kept;
        (self.lan, self.allow_remote_targets, self.hosts) = (None, None, Hosts::default());
        (self.tls.cert_dir, self.tls.cert, self.tls.key) = (None, None, None);
        lost
    }

    /// Reads a file: its settings and its routes. Paths in it count from where it is.
    ///
    /// # Errors
    /// A failure that names the file and the place in it.
    pub(crate) fn read(path: &Path) -> Result<(Self, ConfiguredRoutes), Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::usage("CONFIG_UNREADABLE", message, Some("check --config FILE".to_owned()))
        })?;
        let source = Source { path: path.to_owned(), text };
        let invalid =
            |error: toml::de::Error| source.invalid(error.span().map_or(0, |s| s.start), error.message().trim());
        let mut file: Self = toml::from_str(&source.text).map_err(invalid)?;
        file.said = keys_of(&toml::from_str(&source.text).map_err(invalid)?);
        file.count_paths_from(path.parent().unwrap_or(Path::new("")));
        let entries = std::mem::take(&mut file.routes);
        let mut configured = ConfiguredRoutes::default();
        for entry in entries {
            let offset = entry.span().start;
            let route = entry.into_inner();
            let target = Target::parse_text(&route.target)
                .map_err(|error| source.invalid(offset, &format!("routes.target of {:?}: {error}", route.name)))?;
            let route = route.config(&target);
            configured.routes.push(route);
            configured.places.push(source.at(offset));
        }
        // Here rather than when they are registered, so that nothing listens yet when one is not valid.
        for (index, route) in configured.routes.iter().enumerate() {
            let valid = RouteName::parse(&route.subdomain).and_then(|_| RouteSpec::parse(route));
            valid.map_err(|error| configured.failure(index, error.into()))?;
        }
        Ok((file, configured))
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
        match &self.listen {
            Some(Listen::One(address)) => config.listen = vec![*address],
            Some(Listen::Many(addresses)) => config.listen.clone_from(addresses),
            None => {}
        }
        if let Some(range) = &self.port_range {
            let (Range::Ports { start, end } | Range::Text((start, end))) = *range;
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
        set(&mut config.proxy.connect_timeout, &self.proxy.connect_timeout);
        set(&mut config.proxy.head_timeout, &self.proxy.head_timeout);
        set(&mut config.proxy.idle_timeout, &self.proxy.idle_timeout);
        set(&mut config.proxy.drain_timeout, &self.proxy.drain_timeout);
        set(&mut config.proxy.max_connections, &self.proxy.max_connections);
        set(&mut config.proxy.pool_size, &self.proxy.pool_size);
        set(&mut config.proxy.max_hops, &self.proxy.max_hops);
    }
}

/// The settings that a table has.
fn keys_of(table: &Table) -> Vec<&'static str> {
    let has = |key: &&str| {
        let (last, above) = key.rsplit_once('.').map_or((*key, None), |(above, last)| (last, Some(above)));
        let table = match above {
            Some(above) => table.get(above).and_then(toml::Value::as_table),
            None => Some(table),
        };
        table.is_some_and(|table| table.contains_key(last))
    };
    ConfigFile::KEYS.into_iter().filter(has).collect()
}

impl RouteEntry {
    fn config(self, target: &Target) -> RouteConfig {
        let deployment = self.deployment.unwrap_or_else(|| default_deployment(&self.name, self.path_prefix.as_deref()));
        let project = self.project.unwrap_or_else(|| "default".to_owned());
        RouteConfig {
            path_prefix: self.path_prefix,
            strip_prefix: self.strip_prefix,
            health_path: self.health,
            wildcard: self.wildcard,
            tls: self.tls,
            target_scheme: target.scheme(),
            ..RouteConfig::new(deployment, project, self.name, target.host_text(), target.port())
        }
    }
}

/// Name and path prefix make a route unique, so they make its deployment's id where none is given.
pub(crate) fn default_deployment(name: &str, path_prefix: Option<&str>) -> String {
    format!("{name}{}", path_prefix.unwrap_or_default())
}
