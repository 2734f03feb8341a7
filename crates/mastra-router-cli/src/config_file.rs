//! The configuration file of `serve`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastra_router::{
    LocalEdgeRouterConfig, LocalhostUrls, PortRange, RouteConfig, RouteName, RouteSpec, RoutingStrategy, Target,
};
use serde::Deserialize;

use crate::cli::HostsFile;
use crate::failure::Failure;
use crate::project_file::{AppTables, RunTable};

/// `mastra-router.toml`. What is left out keeps its default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConfigFile {
    pub(crate) strategy: Option<Strategy>,
    pub(crate) base_domain: Option<String>,
    pub(crate) listen: Option<Listen>,
    pub(crate) lan: bool,
    pub(crate) save: bool,
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
    /// Of `run` and `up`.
    pub(crate) run: RunTable,
    /// Of `up`.
    pub(crate) apps: AppTables,
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

impl Default for ConfigFile {
    fn default() -> Self {
        Self {
            strategy: None,
            base_domain: None,
            listen: None,
            lan: false,
            save: true,
            threads: None,
            log_routes: None,
            localhost_urls: None,
            allow_remote_targets: None,
            port_range: None,
            health: Health::default(),
            proxy: Proxy::default(),
            tls: Tls::default(),
            hosts: Hosts::default(),
            routes: Vec::new(),
            run: RunTable::default(),
            apps: AppTables::new(),
        }
    }
}

/// One address or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "it takes an address and a port, \"127.0.0.1:3000\", or a list of them")]
pub(crate) enum Listen {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range {
    start: u16,
    end: u16,
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

/// A file's routes, each with its place in it.
#[derive(Debug, Default)]
pub(crate) struct ConfiguredRoutes {
    pub(crate) routes: Vec<RouteConfig>,
    offsets: Vec<usize>,
    source: Source,
}

/// The text of a file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(crate) fn at(&self, offset: usize) -> String {
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

    /// A failure that names the place, and the key that was meant where one was mistyped.
    pub(crate) fn invalid(&self, offset: usize, message: &str) -> Failure {
        let key = self.key(offset).map(|key| format!("{key}: ")).unwrap_or_default();
        let hint = match meant(message) {
            Some(key) => format!("did you mean {key:?}?"),
            None => "correct the file".to_owned(),
        };
        let message = format!("{}: {key}{message}", self.at(offset));
        Failure::usage("CONFIG_INVALID", message, Some(hint))
    }

    /// `failure`, with the place that it is of.
    pub(crate) fn placed(&self, offset: usize, mut failure: Failure) -> Failure {
        failure.message = format!("{}: {}", self.at(offset), failure.message);
        failure
    }
}

/// The key that is likeliest meant by the unknown one of this error.
fn meant(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

/// The one of these names that `name` is likeliest meant to be, if it is like any.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let like = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let scored = names.into_iter().map(|other| (like(other), other)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other.to_owned())
}

impl From<Vec<RouteConfig>> for ConfiguredRoutes {
    /// Routes that are written in no file.
    fn from(routes: Vec<RouteConfig>) -> Self {
        Self { routes, ..Self::default() }
    }
}

impl ConfiguredRoutes {
    /// `failure` of the route with this index, with the place where it is written.
    pub(crate) fn failure(&self, index: usize, failure: Failure) -> Failure {
        match self.offsets.get(index) {
            Some(&offset) => self.source.placed(offset, failure),
            None => failure,
        }
    }
}

impl ConfigFile {
    /// Reads a file: its settings and its routes.
    ///
    /// # Errors
    /// A failure that names the file and the place in it.
    pub(crate) fn read(path: &Path) -> Result<(Self, ConfiguredRoutes), Failure> {
        let (mut file, source) = Self::parse(path, "check --config FILE")?;
        let entries = std::mem::take(&mut file.routes);
        let mut configured = ConfiguredRoutes { source, ..ConfiguredRoutes::default() };
        for entry in entries {
            let offset = entry.span().start;
            let route = entry.into_inner();
            let target = Target::parse_text(&route.target).map_err(|error| {
                configured.source.invalid(offset, &format!("routes.target of {:?}: {error}", route.name))
            })?;
            let route = route.config(&target);
            configured.routes.push(route);
            configured.offsets.push(offset);
        }
        // Here rather than when they are registered, so that nothing listens yet when one is not valid.
        for (index, route) in configured.routes.iter().enumerate() {
            let valid = RouteName::parse(&route.subdomain).and_then(|_| RouteSpec::parse(route));
            valid.map_err(|error| configured.failure(index, error.into()))?;
        }
        Ok((file, configured))
    }

    /// Reads a file, and looks at no value of it; `hint` says what to do where it cannot be read.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(path: &Path, hint: &str) -> Result<(Self, Source), Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::usage("CONFIG_UNREADABLE", message, Some(hint.to_owned()))
        })?;
        let source = Source { path: path.to_owned(), text };
        let file = toml::from_str(&source.text)
            .map_err(|error| source.invalid(error.span().map_or(0, |s| s.start), error.message().trim()))?;
        Ok((file, source))
    }

    /// Whether the file says that URLs are `https`, or are not. Who brings a certificate wants it served.
    pub(crate) fn tls(&self) -> Option<bool> {
        self.tls.enabled.or(self.tls.cert.as_ref().map(|_| true))
    }

    /// Puts the file's settings over `config`.
    pub(crate) fn apply(&self, config: &mut LocalEdgeRouterConfig) {
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
            config.port_range = PortRange { start: range.start, end: range.end };
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
