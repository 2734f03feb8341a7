//! The JSON form of a request that was answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{parse_time, time};
use crate::event::{RequestInfo, RequestProtocol};
use crate::route::RouteId;

/// A request, as [`RequestInfo`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestJson {
    pub at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdomain: Option<String>,
    pub method: String,
    pub host: String,
    pub path: String,
    pub status: u16,
    pub protocol: ProtocolJson,
    pub latency_ms: f64,
}

/// What was spoken with the client, as [`RequestProtocol`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum ProtocolJson {
    #[serde(rename = "http/1.1")]
    Http11,
    #[serde(rename = "h2")]
    Http2,
    #[serde(rename = "websocket")]
    WebSocket,
}

impl From<&RequestInfo> for RequestJson {
    fn from(request: &RequestInfo) -> Self {
        Self {
            at: time(request.at),
            route_id: request.route_id.as_ref().map(ToString::to_string),
            subdomain: request.subdomain.clone(),
            method: request.method.clone(),
            host: request.host.clone(),
            path: request.path.clone(),
            status: request.status,
            protocol: request.protocol.into(),
            latency_ms: (request.latency.as_secs_f64() * 1e6).round() / 1e3,
        }
    }
}

impl TryFrom<RequestJson> for RequestInfo {
    type Error = String;

    fn try_from(json: RequestJson) -> Result<Self, String> {
        Ok(Self {
            at: parse_time(&json.at)?,
            route_id: json.route_id.as_deref().map(RouteId::from),
            subdomain: json.subdomain,
            method: json.method,
            host: json.host,
            path: json.path,
            status: json.status,
            protocol: json.protocol.into(),
            latency: Duration::try_from_secs_f64(json.latency_ms / 1e3).map_err(|error| error.to_string())?,
        })
    }
}

impl From<RequestProtocol> for ProtocolJson {
    fn from(protocol: RequestProtocol) -> Self {
        match protocol {
            RequestProtocol::Http11 => Self::Http11,
            RequestProtocol::Http2 => Self::Http2,
            RequestProtocol::WebSocket => Self::WebSocket,
        }
    }
}

impl From<ProtocolJson> for RequestProtocol {
    fn from(protocol: ProtocolJson) -> Self {
        match protocol {
            ProtocolJson::Http11 => Self::Http11,
            ProtocolJson::Http2 => Self::Http2,
            ProtocolJson::WebSocket => Self::WebSocket,
        }
    }
}
