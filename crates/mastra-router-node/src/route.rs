//! Routes and checks, as JavaScript sees them. Times are milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mastra_router::{Result, RouteConfig, RouteHealthStatus, RouteInfo, RouteUpdate, RouterError, TargetScheme};
use napi_derive::napi;

/// See `LocalRouteConfig` in `types.cts`.
#[napi(object, object_to_js = false)]
pub struct NativeRouteConfig {
    pub deployment_id: String,
    pub project_id: String,
    pub subdomain: String,
    pub target_host: String,
    pub target_port: u32,
    pub target_scheme: Option<String>,
    pub tls: Option<bool>,
    pub path_prefix: Option<String>,
    pub strip_prefix: Option<bool>,
    pub health_path: Option<String>,
    pub wildcard: Option<bool>,
    pub wait_healthy: Option<bool>,
}

/// What is not there stays as it is.
#[napi(object, object_to_js = false)]
pub struct NativeRouteUpdate {
    pub deployment_id: Option<String>,
    pub project_id: Option<String>,
    pub subdomain: Option<String>,
    pub target_host: Option<String>,
    pub target_port: Option<u32>,
    pub target_scheme: Option<String>,
    pub tls: Option<bool>,
    pub path_prefix: Option<String>,
    pub strip_prefix: Option<bool>,
    pub health_path: Option<String>,
    pub wildcard: Option<bool>,
    pub wait_healthy: Option<bool>,
}

#[napi(object, object_from_js = false)]
pub struct NativeRouteInfo {
    pub route_id: String,
    pub deployment_id: String,
    pub public_url: String,
    pub status: String,
    pub created_at: f64,
    pub last_health_check: Option<f64>,
    /// For the log.
    pub subdomain: String,
}

#[napi(object, object_from_js = false)]
pub struct NativeProxied {
    pub route_id: String,
    pub deployment_id: String,
    pub project_id: String,
    pub subdomain: String,
    pub target_host: String,
    pub target_port: u32,
    pub public_url: String,
}

#[napi(object, object_from_js = false)]
pub struct NativeHealth {
    pub healthy: bool,
    pub latency_ms: Option<f64>,
    pub status_code: Option<u32>,
    pub error: Option<String>,
}

impl NativeRouteConfig {
    pub(crate) fn read(self) -> Result<RouteConfig> {
        Ok(RouteConfig {
            target_scheme: self.target_scheme.as_deref().map_or(Ok(TargetScheme::Http), TargetScheme::parse)?,
            tls: self.tls,
            path_prefix: self.path_prefix,
            strip_prefix: self.strip_prefix,
            health_path: self.health_path,
            wildcard: self.wildcard.unwrap_or_default(),
            wait_healthy: self.wait_healthy.unwrap_or_default(),
            ..RouteConfig::new(
                self.deployment_id,
                self.project_id,
                self.subdomain,
                &*self.target_host,
                target_port(&self.target_host, self.target_port)?,
            )
        })
    }
}

impl NativeRouteUpdate {
    pub(crate) fn read(self) -> Result<RouteUpdate> {
        let host = self.target_host.as_deref().unwrap_or_default();
        Ok(RouteUpdate {
            target_port: self.target_port.map(|port| target_port(host, port)).transpose()?,
            target_scheme: self.target_scheme.as_deref().map(TargetScheme::parse).transpose()?,
            deployment_id: self.deployment_id,
            project_id: self.project_id,
            subdomain: self.subdomain,
            target_host: self.target_host,
            tls: self.tls,
            path_prefix: self.path_prefix,
            strip_prefix: self.strip_prefix,
            health_path: self.health_path,
            wildcard: self.wildcard,
            wait_healthy: self.wait_healthy.unwrap_or_default(),
            ..RouteUpdate::default()
        })
    }
}

impl From<RouteInfo> for NativeRouteInfo {
    fn from(info: RouteInfo) -> Self {
        Self {
            route_id: info.route_id.to_string(),
            deployment_id: info.deployment_id,
            public_url: info.public_url,
            status: info.status.as_str().to_owned(),
            created_at: since_1970(info.created_at),
            last_health_check: info.last_health_check.map(since_1970),
            subdomain: info.subdomain,
        }
    }
}

impl From<RouteInfo> for NativeProxied {
    fn from(info: RouteInfo) -> Self {
        Self {
            route_id: info.route_id.to_string(),
            target_host: info.target.host_text(),
            target_port: info.target.port().into(),
            deployment_id: info.deployment_id,
            project_id: info.project_id,
            subdomain: info.subdomain,
            public_url: info.public_url,
        }
    }
}

impl From<RouteHealthStatus> for NativeHealth {
    fn from(health: RouteHealthStatus) -> Self {
        Self {
            healthy: health.healthy,
            latency_ms: health.latency.map(milliseconds),
            status_code: health.status_code.map(u32::from),
            error: health.error,
        }
    }
}

pub(crate) fn target_port(host: &str, port: u32) -> Result<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0).ok_or_else(|| RouterError::InvalidTarget {
        target: format!("{host}:{port}"),
        reason: "ports go from 1 to 65535".to_owned(),
    })
}

pub(crate) fn since_1970(time: SystemTime) -> f64 {
    milliseconds(time.duration_since(UNIX_EPOCH).unwrap_or_default()).floor()
}

/// To the microsecond.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
