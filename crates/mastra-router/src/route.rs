//! Routes: what a caller asks for, what is kept in the table, and what a caller gets back.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use crate::error::{Result, RouterError};
use crate::lease::{LeaseUpdate, RouteLease};
use crate::life::RouteLife;
use crate::name::RouteName;
use crate::target::{Target, TargetScheme};

/// What a caller asks for. Nothing in it is trusted before it has been read by [`RouteSpec::parse`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Deployment that the route belongs to; one route each.
    pub deployment_id: String,
    /// Project that the deployment belongs to.
    pub project_id: String,
    /// Name of the route: one or more DNS labels.
    pub subdomain: String,
    /// Host of the upstream: a name or an address.
    pub target_host: String,
    /// Port of the upstream.
    pub target_port: u16,
    /// What the upstream speaks.
    pub target_scheme: TargetScheme,
    /// Whether the public URL is `https`; `None` for the router's own setting.
    pub tls: Option<bool>,
    /// Path on the route's host from which on it answers (`/api`); `None` for all of the host.
    pub path_prefix: Option<String>,
    /// Whether a matched path prefix is taken off before forwarding; `None` for yes.
    pub strip_prefix: Option<bool>,
    /// Path of the health check; `None` for the router's own setting.
    pub health_path: Option<String>,
    /// Whether hosts below the route's own (`x.shop.localhost`) lead here too.
    pub wildcard: bool,
    /// Register only once the target has passed a health check. Of a route that a configuration loads this is not asked.
    pub wait_healthy: bool,
    /// The process the route ends with; `None` for a route that stays.
    pub lease: Option<RouteLease>,
    /// Whether somebody starts what is behind the route with its first request, and stops it when it is not used: then its
    /// use is counted, and a target that does not listen sleeps, and is not unhealthy.
    pub wake: bool,
}

impl RouteConfig {
    /// A route with the five fields that every caller gives.
    pub fn new(
        deployment_id: impl Into<String>,
        project_id: impl Into<String>,
        subdomain: impl Into<String>,
        target_host: impl Into<String>,
        target_port: u16,
    ) -> Self {
        Self {
            deployment_id: deployment_id.into(),
            project_id: project_id.into(),
            subdomain: subdomain.into(),
            target_host: target_host.into(),
            target_port,
            target_scheme: TargetScheme::Http,
            tls: None,
            path_prefix: None,
            strip_prefix: None,
            health_path: None,
            wildcard: false,
            wait_healthy: false,
            lease: None,
            wake: false,
        }
    }
}

/// The changes of an update; `None` keeps what is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteUpdate {
    /// New deployment id.
    pub deployment_id: Option<String>,
    /// New project id.
    pub project_id: Option<String>,
    /// New name.
    pub subdomain: Option<String>,
    /// New host of the upstream.
    pub target_host: Option<String>,
    /// New port of the upstream.
    pub target_port: Option<u16>,
    /// What the upstream speaks.
    pub target_scheme: Option<TargetScheme>,
    /// Whether the public URL is `https`.
    pub tls: Option<bool>,
    /// New path prefix; an empty one takes the prefix away.
    pub path_prefix: Option<String>,
    /// Whether the path prefix is taken off.
    pub strip_prefix: Option<bool>,
    /// New path of the health check; an empty one goes back to the router's own setting.
    pub health_path: Option<String>,
    /// Whether hosts below the route's own lead here too.
    pub wildcard: Option<bool>,
    /// Switch only when the new target has passed a health check.
    pub wait_healthy: bool,
    /// Whom the route is leased to from now on.
    pub lease: Option<LeaseUpdate>,
    /// Change only a route that is leased to this process; any other is as one that is not there.
    pub leased_to: Option<RouteLease>,
    /// Whether what is behind the route is started with its first request.
    pub wake: Option<bool>,
}

impl From<RouteConfig> for RouteUpdate {
    /// All that a configuration says, as an update: what MastraAdmin sends on a redeploy.
    fn from(config: RouteConfig) -> Self {
        Self {
            deployment_id: Some(config.deployment_id),
            project_id: Some(config.project_id),
            subdomain: Some(config.subdomain),
            target_host: Some(config.target_host),
            target_port: Some(config.target_port),
            target_scheme: Some(config.target_scheme),
            tls: config.tls,
            path_prefix: config.path_prefix,
            strip_prefix: config.strip_prefix,
            health_path: config.health_path,
            wildcard: Some(config.wildcard),
            wait_healthy: config.wait_healthy,
            lease: config.lease.map(LeaseUpdate::To),
            leased_to: None,
            wake: Some(config.wake),
        }
    }
}

/// A route configuration that has been read: every field is valid by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Deployment id, not empty, no control characters.
    pub deployment_id: Arc<str>,
    /// Project id, no control characters.
    pub project_id: Arc<str>,
    /// The route's name.
    pub name: RouteName,
    /// Where it leads.
    pub target: Target,
    /// Whether the public URL is `https`.
    pub tls: Option<bool>,
    /// Path prefix on the route's host.
    pub path_prefix: Option<PathPrefix>,
    /// Whether a matched prefix is taken off before forwarding.
    pub strip_prefix: bool,
    /// Path of the health check.
    pub health_path: Option<HealthPath>,
    /// Whether hosts below the route's own lead here too.
    pub wildcard: bool,
    /// The process the route ends with.
    pub lease: Option<Arc<RouteLease>>,
    /// Whether what is behind the route is started with its first request.
    pub wake: bool,
}

impl RouteSpec {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The first field that is not valid, as [`RouterError::InvalidName`], [`RouterError::InvalidTarget`] or
    /// [`RouterError::InvalidField`].
    pub fn parse(config: &RouteConfig) -> Result<Self> {
        if let Some(lease) = &config.lease {
            lease.checked()?;
        }
        Ok(Self {
            deployment_id: id("deploymentId", &config.deployment_id)?,
            project_id: id("projectId", &config.project_id)?,
            name: RouteName::parse(&config.subdomain)?,
            target: Target::parse(&config.target_host, config.target_port)?.over(config.target_scheme),
            tls: config.tls,
            path_prefix: config.path_prefix.as_deref().map_or(Ok(None), PathPrefix::parse)?,
            strip_prefix: config.strip_prefix.unwrap_or(true),
            health_path: config.health_path.as_deref().map_or(Ok(None), HealthPath::parse)?,
            wildcard: config.wildcard,
            lease: config.lease.clone().map(Arc::new),
            wake: config.wake,
        })
    }

    /// This route with an update's changes.
    ///
    /// # Errors
    /// As [`RouteSpec::parse`].
    pub fn updated(&self, update: &RouteUpdate) -> Result<Self> {
        let mut new = self.clone();
        if let Some(deployment_id) = &update.deployment_id {
            new.deployment_id = id("deploymentId", deployment_id)?;
        }
        if let Some(project_id) = &update.project_id {
            new.project_id = id("projectId", project_id)?;
        }
        if let Some(name) = &update.subdomain {
            new.name = RouteName::parse(name)?;
        }
        if update.target_host.is_some() || update.target_port.is_some() {
            let host = update.target_host.clone().unwrap_or_else(|| self.target.url_host());
            let port = update.target_port.unwrap_or(self.target.port());
            new.target = Target::parse(&host, port)?.over(self.target.scheme());
        }
        if let Some(scheme) = update.target_scheme {
            new.target = new.target.over(scheme);
        }
        if let Some(prefix) = &update.path_prefix {
            new.path_prefix = PathPrefix::parse(prefix)?;
        }
        if let Some(path) = &update.health_path {
            new.health_path = HealthPath::parse(path)?;
        }
        match &update.lease {
            Some(LeaseUpdate::To(lease)) => {
                lease.checked()?;
                new.lease = Some(Arc::new(lease.clone()));
            }
            Some(LeaseUpdate::End) => new.lease = None,
            None => {}
        }
        new.tls = update.tls.or(new.tls);
        new.strip_prefix = update.strip_prefix.unwrap_or(new.strip_prefix);
        new.wildcard = update.wildcard.unwrap_or(new.wildcard);
        new.wake = update.wake.unwrap_or(new.wake);
        Ok(new)
    }
}

impl RouteSpec {
    /// This route without the change from `before` to `after`: what has been changed since stays.
    pub(crate) fn without_change(&self, before: &Self, after: &Self) -> Self {
        fn field<T: Clone + PartialEq>(now: &T, before: &T, after: &T) -> T {
            if now == after { before.clone() } else { now.clone() }
        }
        Self {
            deployment_id: field(&self.deployment_id, &before.deployment_id, &after.deployment_id),
            project_id: field(&self.project_id, &before.project_id, &after.project_id),
            name: field(&self.name, &before.name, &after.name),
            target: field(&self.target, &before.target, &after.target),
            tls: field(&self.tls, &before.tls, &after.tls),
            path_prefix: field(&self.path_prefix, &before.path_prefix, &after.path_prefix),
            strip_prefix: field(&self.strip_prefix, &before.strip_prefix, &after.strip_prefix),
            health_path: field(&self.health_path, &before.health_path, &after.health_path),
            wildcard: field(&self.wildcard, &before.wildcard, &after.wildcard),
            lease: field(&self.lease, &before.lease, &after.lease),
            wake: field(&self.wake, &before.wake, &after.wake),
        }
    }

    /// Whether the route is leased to the process of `lease`.
    pub(crate) fn is_leased_to(&self, lease: &RouteLease) -> bool {
        self.lease.as_ref().is_some_and(|own| own.is_of_same_process(lease))
    }
}

/// Ids are the caller's own, so all that is asked is that they can be printed on one line.
fn id(field: &'static str, value: &str) -> Result<Arc<str>> {
    let reason = if value.is_empty() {
        "it is empty"
    } else if value.len() > 512 {
        "it is longer than 512 bytes"
    } else if value.chars().any(char::is_control) {
        "it has a control character"
    } else {
        return Ok(value.into());
    };
    Err(RouterError::InvalidField { field, value: value.to_owned(), reason })
}

/// A path prefix in its one form: starts with `/`, does not end with one, no empty or dot segments. Matched by segments.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// Reads a prefix; `""` and `"/"` are none.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`].
    pub fn parse(prefix: &str) -> Result<Option<Self>> {
        let refuse = |reason| Err(RouterError::InvalidField { field: "pathPrefix", value: prefix.to_owned(), reason });
        let path = prefix.strip_suffix('/').unwrap_or(prefix);
        if path.is_empty() {
            return Ok(None);
        }
        if !path.starts_with('/') {
            return refuse("it does not start with /");
        }
        if path.len() > 256 {
            return refuse("it is longer than 256 characters");
        }
        for segment in path.split('/').skip(1) {
            if matches!(segment, "" | "." | "..") {
                return refuse("it has an empty or dot segment");
            }
            // Percent-encoding is left out: two spellings of one prefix would be two prefixes.
            if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b)) {
                return refuse("a segment has a character that does not stand for itself in a URL");
            }
        }
        Ok(Some(Self(path.into())))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where `path` is this prefix or lies below it.
    pub fn covers(&self, path: &str) -> bool {
        path.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Path (and query) of a health check.
#[derive(Clone, PartialEq, Eq)]
pub struct HealthPath(Arc<str>);

impl HealthPath {
    /// Reads a path; an empty one is none.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`].
    pub fn parse(path: &str) -> Result<Option<Self>> {
        let refuse = |reason| Err(RouterError::InvalidField { field: "healthPath", value: path.to_owned(), reason });
        match path {
            "" => Ok(None),
            _ if !path.starts_with('/') => refuse("it does not start with /"),
            _ if path.len() > 1024 => refuse("it is longer than 1024 characters"),
            _ if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'#') => {
                refuse("it has a character that cannot stand in a URL")
            }
            _ => Ok(Some(Self(path.into()))),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for HealthPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Identifier of a route, `route_` and eight hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(Arc<str>);

impl RouteId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RouteId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A route in the table. It never changes; an update puts another one in its place.
#[derive(Clone, Debug)]
pub struct Route {
    /// Identifier, the same through all updates.
    pub id: RouteId,
    /// What the route is.
    pub spec: RouteSpec,
    /// Who made it.
    pub origin: RouteOrigin,
    /// Counts the changes of the target: what was learnt of one target says nothing about the next.
    pub target_revision: u64,
    /// Position in the order of registration.
    pub sequence: u64,
    /// When the route was registered.
    pub created_at: SystemTime,
    /// Set when the streams that are open through the route are to end, which no update takes back. One that gives the
    /// route to another process has its own.
    pub(crate) cut: Arc<AtomicBool>,
    /// What happens with it.
    pub(crate) life: Arc<RouteLife>,
}

impl Route {
    /// Whether `after`, a later version of this route, is another process's.
    pub(crate) fn is_taken_over_by(&self, after: &RouteSpec) -> bool {
        let (Some(before), Some(after)) = (&self.spec.lease, &after.lease) else { return false };
        !before.is_of_same_process(after)
    }
}

/// Who made a route, which decides whether it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    /// A caller registered it; it is saved.
    Registered,
    /// A configuration file names it, and is read again at the next start.
    Configured,
}

/// What a caller gets to see of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// Identifier of the route.
    pub route_id: RouteId,
    /// Deployment the route belongs to.
    pub deployment_id: String,
    /// URL under which the route answers.
    pub public_url: String,
    /// What the last checks said.
    pub status: RouteStatus,
    /// When the route was registered.
    pub created_at: SystemTime,
    /// When the target was last checked.
    pub last_health_check: Option<SystemTime>,
    /// Project the deployment belongs to.
    pub project_id: String,
    /// The route's name.
    pub subdomain: String,
    /// Where the route leads.
    pub target: Target,
    /// Path prefix on the route's host.
    pub path_prefix: Option<String>,
    /// Whether a matched prefix is taken off.
    pub strip_prefix: bool,
    /// Path of the route's own health check.
    pub health_path: Option<String>,
    /// Whether hosts below the route's own lead here too.
    pub wildcard: bool,
    /// Failed checks in a row.
    pub health_check_failures: u32,
    /// Why the last check failed.
    pub last_error: Option<String>,
    /// The process the route ends with.
    pub lease: Option<RouteLease>,
    /// Whether what is behind the route is started with its first request.
    pub wake: bool,
    /// Whether the route waits for that request: nothing listens, and nobody has asked. Its status is `pending`.
    pub sleeping: bool,
}

/// Where a route stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteStatus {
    /// Registered, and not seen healthy yet.
    Pending,
    /// The last check passed, or too few failed since.
    Active,
    /// As many checks failed in a row as the threshold says.
    Unhealthy,
    /// The router itself cannot serve the route.
    Error,
}

impl RouteStatus {
    /// The status as the seed spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Unhealthy => "unhealthy",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for RouteStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Result of one health check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteHealthStatus {
    /// Whether the target answered with a status of 200 to 299.
    pub healthy: bool,
    /// Time from the start of the check to its end.
    pub latency: Option<Duration>,
    /// HTTP status of the answer.
    pub status_code: Option<u16>,
    /// Why the check failed.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_prefixes() {
        for (given, kept) in
            [("/api", Some("/api")), ("/api/", Some("/api")), ("/a/b.c", Some("/a/b.c")), ("/", None), ("", None)]
        {
            assert_eq!(PathPrefix::parse(given).unwrap().as_ref().map(PathPrefix::as_str), kept, "{given}");
        }
        for bad in ["api", "//", "/a//b", "/a/../b", "/.", "/a%2fb", "/a b", "/a?x", "/a#", "/ä", "/a\\b"] {
            assert!(PathPrefix::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_segments() {
        let api = PathPrefix::parse("/api").unwrap().unwrap();
        for (path, covered) in
            [("/api", true), ("/api/", true), ("/api/x", true), ("/apix", false), ("/", false), ("/API", false)]
        {
            assert_eq!(api.covers(path), covered, "{path}");
        }
    }

    #[test]
    fn what_a_configuration_may_hold() {
        let good = RouteConfig::new("d", "p", "app", "localhost", 1);
        assert!(RouteSpec::parse(&good).is_ok());
        let change: [fn(&mut RouteConfig); 8] = [
            |c| c.deployment_id.clear(),
            |c| c.project_id = "a\nb".into(),
            |c| c.subdomain = "../x".into(),
            |c| c.target_host = "a/b".into(),
            |c| c.target_port = 0,
            |c| c.path_prefix = Some("x".into()),
            |c| c.health_path = Some("health".into()),
            |c| c.health_path = Some("/a\r\nX: y".into()),
        ];
        for (i, change) in change.iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(RouteSpec::parse(&bad).is_err(), "{i}");
        }
    }
}
