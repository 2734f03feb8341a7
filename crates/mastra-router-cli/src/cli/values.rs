//! How typed text becomes a value.

use std::net::SocketAddr;
use std::time::Duration;

use mastra_router::BaseDomain;
use mastra_router::trust::Fingerprint;

use super::IdleExit;

pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it takes an address and a port: 127.0.0.1:3000 or [::1]:3000")
}

pub(super) fn domain(text: &str) -> Result<BaseDomain, String> {
    BaseDomain::parse(text).map_err(|error| error.to_string())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("it takes a time, such as 30s or 10m: {error}"))
}

/// As it is typed and set.
pub(crate) fn idle_exit(text: &str) -> Result<IdleExit, String> {
    match text {
        "never" => Ok(IdleExit::Never),
        text => duration(text).map(IdleExit::After),
    }
}

pub(super) fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    Fingerprint::parse(text).ok_or("it takes a SHA-256: 64 hexadecimal digits, with or without colons")
}
