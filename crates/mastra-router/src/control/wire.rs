//! The JSON forms of the control door: the one place that knows them. Unknown fields are ignored, so an older program can
//! talk to a newer router.

mod activity;
mod request;

use std::ops::Not;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::activity::{ActivityJson, ReportJson};
pub use self::request::{ProtocolJson, RequestJson};
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::lease::{LeaseUpdate, RouteLease};
use crate::route::{RouteConfig, RouteHealthStatus, RouteId, RouteInfo, RouteStatus, RouteUpdate};
use crate::target::{Target, TargetScheme};

/// A route, as [`RouteInfo`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteJson {
    pub route_id: String,
    pub deployment_id: String,
    pub project_id: String,
    pub subdomain: String,
    pub public_url: String,
    pub target_host: String,
    pub target_port: u16,
    #[serde(default)]
    pub target_scheme: SchemeJson,
    pub status: StatusJson,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_health_check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    pub strip_prefix: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_path: Option<String>,
    pub wildcard: bool,
    pub health_check_failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseJson>,
    #[serde(default, skip_serializing_if = "Not::not")]
    pub wake: bool,
    #[serde(default, skip_serializing_if = "Not::not")]
    pub sleeping: bool,
}

/// The process a route ends with, as [`RouteLease`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseJson {
    #[serde(default)]
    pub namespace: u64,
    pub pid: u32,
    #[serde(default)]
    pub start: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// What becomes of a lease: an object is the new one, and null is none.
#[derive(Clone, Debug)]
pub struct LeaseUpdateJson(Option<LeaseJson>);

impl Serialize for LeaseUpdateJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Called for a field that is there: one that is not keeps the lease.
fn some_lease_update<'de, D: Deserializer<'de>>(json: D) -> Result<Option<LeaseUpdateJson>, D::Error> {
    Ok(Some(LeaseUpdateJson(Option::deserialize(json)?)))
}

/// What a target speaks, as [`TargetScheme`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub enum SchemeJson {
    #[default]
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "https")]
    Https,
    #[serde(rename = "https+insecure")]
    HttpsUnverified,
    #[serde(rename = "h2c")]
    H2c,
}

/// A route's status.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusJson {
    Pending,
    Active,
    Unhealthy,
    Error,
}

/// A registration, as [`RouteConfig`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteConfigJson {
    pub deployment_id: String,
    pub project_id: String,
    pub subdomain: String,
    pub target_host: String,
    pub target_port: u16,
    #[serde(default)]
    pub target_scheme: SchemeJson,
    #[serde(default)]
    pub tls: Option<bool>,
    #[serde(default)]
    pub path_prefix: Option<String>,
    #[serde(default)]
    pub strip_prefix: Option<bool>,
    #[serde(default)]
    pub health_path: Option<String>,
    #[serde(default)]
    pub wildcard: bool,
    #[serde(default)]
    pub wait_healthy: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseJson>,
    #[serde(default, skip_serializing_if = "Not::not")]
    pub wake: bool,
}

/// An update, as [`RouteUpdate`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteUpdateJson {
    pub deployment_id: Option<String>,
    pub project_id: Option<String>,
    pub subdomain: Option<String>,
    pub target_host: Option<String>,
    pub target_port: Option<u16>,
    pub target_scheme: Option<SchemeJson>,
    pub tls: Option<bool>,
    pub path_prefix: Option<String>,
    pub strip_prefix: Option<bool>,
    pub health_path: Option<String>,
    pub wildcard: Option<bool>,
    pub wait_healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_lease_update")]
    pub lease: Option<LeaseUpdateJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leased_to: Option<LeaseJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake: Option<bool>,
}

/// The result of a check, as [`RouteHealthStatus`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthJson {
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of a router.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterJson {
    pub version: String,
    pub pid: u32,
    pub home: String,
    pub listen: Vec<String>,
    pub strategy: String,
    pub base_domain: String,
    pub started_at: String,
    pub routes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_file: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<String>,
}

/// A leased port.
#[derive(Debug, Serialize, Deserialize)]
pub struct PortJson {
    pub port: u16,
}

/// An event, as [`RouterEvent`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum EventJson {
    Registered { route: RouteJson },
    Updated { route: RouteJson },
    Removed { route: RouteJson },
    Checked { route: RouteJson, before: StatusJson, health: HealthJson },
    Cleared,
}

/// An error (RFC 9457), with the code that it has everywhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProblemJson {
    pub title: String,
    pub status: u16,
    pub code: String,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A moment as RFC 3339 has it, to the millisecond, as JavaScript's `toISOString`.
pub fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn parse_time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339(text).map_err(|error| format!("{text:?} is no time: {error}"))
}

impl From<RouteInfo> for RouteJson {
    fn from(route: RouteInfo) -> Self {
        Self {
            route_id: route.route_id.to_string(),
            deployment_id: route.deployment_id,
            project_id: route.project_id,
            subdomain: route.subdomain,
            public_url: route.public_url,
            target_host: route.target.host_text(),
            target_port: route.target.port(),
            target_scheme: route.target.scheme().into(),
            status: route.status.into(),
            created_at: time(route.created_at),
            last_health_check: route.last_health_check.map(time),
            path_prefix: route.path_prefix,
            strip_prefix: route.strip_prefix,
            health_path: route.health_path,
            wildcard: route.wildcard,
            health_check_failures: route.health_check_failures,
            last_error: route.last_error,
            lease: route.lease.map(Into::into),
            wake: route.wake,
            sleeping: route.sleeping,
        }
    }
}

impl TryFrom<RouteJson> for RouteInfo {
    type Error = String;

    fn try_from(json: RouteJson) -> Result<Self, String> {
        Ok(Self {
            route_id: RouteId::from(json.route_id.as_str()),
            deployment_id: json.deployment_id,
            public_url: json.public_url,
            status: json.status.into(),
            created_at: parse_time(&json.created_at)?,
            last_health_check: json.last_health_check.as_deref().map(parse_time).transpose()?,
            project_id: json.project_id,
            subdomain: json.subdomain,
            target: Target::parse(&json.target_host, json.target_port)
                .map_err(|error| error.to_string())?
                .over(json.target_scheme.into()),
            path_prefix: json.path_prefix,
            strip_prefix: json.strip_prefix,
            health_path: json.health_path,
            wildcard: json.wildcard,
            health_check_failures: json.health_check_failures,
            last_error: json.last_error,
            lease: json.lease.map(Into::into),
            wake: json.wake,
            sleeping: json.sleeping,
        })
    }
}

impl From<TargetScheme> for SchemeJson {
    fn from(scheme: TargetScheme) -> Self {
        match scheme {
            TargetScheme::Http => Self::Http,
            TargetScheme::Https => Self::Https,
            TargetScheme::HttpsUnverified => Self::HttpsUnverified,
            TargetScheme::H2c => Self::H2c,
        }
    }
}

impl From<SchemeJson> for TargetScheme {
    fn from(scheme: SchemeJson) -> Self {
        match scheme {
            SchemeJson::Http => Self::Http,
            SchemeJson::Https => Self::Https,
            SchemeJson::HttpsUnverified => Self::HttpsUnverified,
            SchemeJson::H2c => Self::H2c,
        }
    }
}

impl From<RouteStatus> for StatusJson {
    fn from(status: RouteStatus) -> Self {
        match status {
            RouteStatus::Pending => Self::Pending,
            RouteStatus::Active => Self::Active,
            RouteStatus::Unhealthy => Self::Unhealthy,
            RouteStatus::Error => Self::Error,
        }
    }
}

impl From<StatusJson> for RouteStatus {
    fn from(status: StatusJson) -> Self {
        match status {
            StatusJson::Pending => Self::Pending,
            StatusJson::Active => Self::Active,
            StatusJson::Unhealthy => Self::Unhealthy,
            StatusJson::Error => Self::Error,
        }
    }
}

impl From<RouteHealthStatus> for HealthJson {
    fn from(health: RouteHealthStatus) -> Self {
        Self {
            healthy: health.healthy,
            latency_ms: health.latency.map(|l| (l.as_secs_f64() * 1e6).round() / 1e3),
            status_code: health.status_code,
            error: health.error,
        }
    }
}

impl From<HealthJson> for RouteHealthStatus {
    fn from(json: HealthJson) -> Self {
        let latency = json.latency_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        Self { healthy: json.healthy, latency, status_code: json.status_code, error: json.error }
    }
}

impl From<RouteLease> for LeaseJson {
    fn from(RouteLease { namespace, pid, start, command, folder }: RouteLease) -> Self {
        Self { namespace, pid, start, command, folder }
    }
}

impl From<LeaseJson> for RouteLease {
    fn from(LeaseJson { namespace, pid, start, command, folder }: LeaseJson) -> Self {
        Self { namespace, pid, start, command, folder }
    }
}

impl From<LeaseUpdate> for LeaseUpdateJson {
    fn from(update: LeaseUpdate) -> Self {
        match update {
            LeaseUpdate::To(lease) => Self(Some(lease.into())),
            LeaseUpdate::End => Self(None),
        }
    }
}

impl From<LeaseUpdateJson> for LeaseUpdate {
    fn from(json: LeaseUpdateJson) -> Self {
        json.0.map_or(Self::End, |lease| Self::To(lease.into()))
    }
}

macro_rules! same_fields {
    ($json:ident = $core:ident { $($field:ident),* $(,)? } with { $($mapped:ident: $map:expr),* $(,)? }) => {
        impl From<$json> for $core {
            fn from(json: $json) -> Self {
                Self { $($mapped: $map(json.$mapped),)* $($field: json.$field),* }
            }
        }
        impl From<$core> for $json {
            fn from(core: $core) -> Self {
                Self { $($mapped: $map(core.$mapped),)* $($field: core.$field),* }
            }
        }
    };
}
/// The same in the other form, where it is there.
fn into<A: Into<B>, B>(value: Option<A>) -> Option<B> {
    value.map(Into::into)
}

same_fields!(
    RouteConfigJson = RouteConfig {
        deployment_id,
        project_id,
        subdomain,
        target_host,
        target_port,
        tls,
        path_prefix,
        strip_prefix,
        health_path,
        wildcard,
        wait_healthy,
        wake,
    } with { target_scheme: Into::into, lease: into }
);
same_fields!(
    RouteUpdateJson = RouteUpdate {
        deployment_id,
        project_id,
        subdomain,
        target_host,
        target_port,
        tls,
        path_prefix,
        strip_prefix,
        health_path,
        wildcard,
        wait_healthy,
        wake,
    } with { target_scheme: into, lease: into, leased_to: into }
);

impl From<RouterEvent> for EventJson {
    fn from(event: RouterEvent) -> Self {
        match event {
            RouterEvent::Registered(route) => Self::Registered { route: route.into() },
            RouterEvent::Updated(route) => Self::Updated { route: route.into() },
            RouterEvent::Removed(route) => Self::Removed { route: route.into() },
            RouterEvent::Checked { route, before, health } => {
                Self::Checked { route: route.into(), before: before.into(), health: health.into() }
            }
            RouterEvent::Cleared => Self::Cleared,
        }
    }
}

impl TryFrom<EventJson> for RouterEvent {
    type Error = String;

    fn try_from(json: EventJson) -> Result<Self, String> {
        Ok(match json {
            EventJson::Registered { route } => Self::Registered(route.try_into()?),
            EventJson::Updated { route } => Self::Updated(route.try_into()?),
            EventJson::Removed { route } => Self::Removed(route.try_into()?),
            EventJson::Checked { route, before, health } => {
                Self::Checked { route: route.try_into()?, before: before.into(), health: health.into() }
            }
            EventJson::Cleared => Self::Cleared,
        })
    }
}

impl From<&RouterError> for ProblemJson {
    fn from(error: &RouterError) -> Self {
        let (status, title) = match error {
            RouterError::RouteNotFound { .. } => (404, "Not found"),
            RouterError::RouteExists { .. } | RouterError::RouteConflict { .. } => (409, "Conflict"),
            RouterError::InvalidName { .. } | RouterError::InvalidTarget { .. } | RouterError::InvalidField { .. } => {
                (422, "Not valid")
            }
            RouterError::TargetUnhealthy { .. } => (409, "Not healthy"),
            RouterError::NoPortAvailable { .. } | RouterError::Closed => (503, "Not available"),
            _ => (500, "Failed"),
        };
        Self {
            title: title.to_owned(),
            status,
            code: error.code().to_owned(),
            detail: error.to_string(),
            hint: error.hint(),
        }
    }
}
