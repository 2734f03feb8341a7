//! One health check: a GET, and what its answer says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::answer::{Answer, read_answer};
use super::{dial, redirect};
use crate::route::{HealthPath, RouteHealthStatus};
use crate::target::Target;
use crate::transport::{Connection, TargetTls};

/// As many as browsers' own health pages need; a longer chain is a loop.
const REDIRECTS_MAX: usize = 5;

/// Asks a target for its health path.
#[derive(Clone, Debug)]
pub struct HealthChecker {
    path: HealthPath,
    timeout: Duration,
    failure_threshold: u32,
    tls: TargetTls,
}

impl HealthChecker {
    /// A checker that asks for `path` where a route has none of its own, gives up after `timeout`, and takes a route for
    /// unhealthy after `failure_threshold` failures in a row.
    pub fn new(path: HealthPath, timeout: Duration, failure_threshold: u32) -> Self {
        Self { path, timeout, failure_threshold, tls: TargetTls::default() }
    }

    /// The same checker, which speaks to targets over TLS in this way.
    #[must_use]
    pub fn with_tls(self, tls: TargetTls) -> Self {
        Self { tls, ..self }
    }

    /// The time after which a check has failed.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether so many failures in a row make a route unhealthy.
    pub fn should_mark_unhealthy(&self, failures: u32) -> bool {
        failures >= self.failure_threshold
    }

    /// Checks `target` once: GET of `path`, or of the checker's own, over a fresh connection. Every status from 200 to 299
    /// is healthy. Redirects are followed as long as they stay on the target. The body is not read.
    ///
    /// Takes no longer than the timeout. What goes wrong stands in the result's `error`.
    ///
    /// # Cancel safety
    /// A dropped check closes its connection; nothing else is left of it.
    pub async fn check(&self, target: &Target, path: Option<&HealthPath>) -> RouteHealthStatus {
        self.check_since(Instant::now(), target, path).await.health
    }

    /// As [`check`](Self::check), with the clock running since `start`.
    pub(super) async fn check_since(&self, start: Instant, target: &Target, path: Option<&HealthPath>) -> Finding {
        let left = self.timeout.saturating_sub(start.elapsed());
        let asked = tokio::time::timeout(left, ask(target, path.unwrap_or(&self.path), &self.tls)).await;
        let latency = Some(start.elapsed());
        let refused = matches!(&asked, Ok(Err(fault)) if fault.refused);
        let health = match asked {
            Ok(Ok(answer)) if answer.is_success() => {
                RouteHealthStatus { healthy: true, latency, status_code: Some(answer.status), error: None }
            }
            Ok(Ok(answer)) => RouteHealthStatus {
                healthy: false,
                latency,
                status_code: Some(answer.status),
                error: Some(format!("Non-OK response: {answer}")),
            },
            Ok(Err(fault)) => RouteHealthStatus { healthy: false, latency, status_code: None, error: Some(fault.text) },
            Err(_) => self.timed_out(start),
        };
        Finding { health, refused }
    }

    pub(super) fn timed_out(&self, start: Instant) -> RouteHealthStatus {
        let error = Some(format!("Health check timed out after {}ms", self.timeout.as_millis()));
        RouteHealthStatus { healthy: false, latency: Some(start.elapsed()), status_code: None, error }
    }
}

/// What a check has found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) health: RouteHealthStatus,
    /// Whether nothing listened.
    pub(super) refused: bool,
}

/// Why there was no answer.
pub(super) struct Fault {
    /// A sentence for people.
    pub(super) text: String,
    /// Whether nothing listened.
    pub(super) refused: bool,
}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self { text, refused: false }
    }
}

/// The answer at the end of the redirects.
async fn ask(target: &Target, path: &HealthPath, tls: &TargetTls) -> Result<Answer, Fault> {
    let mut addresses = dial::addresses(target).await?;
    let mut path = path.clone();
    for _ in 0..REDIRECTS_MAX {
        let (answer, peer) = ask_once(&addresses, target, &path, tls).await?;
        match answer.location.as_deref().and_then(|location| redirect::follow(target, &path, location)) {
            Some(next) => path = next,
            None => return Ok(answer),
        }
        // The server that redirects is the one that is meant, not one on the other address family.
        addresses = vec![peer];
    }
    Ok(ask_once(&addresses, target, &path, tls).await?.0)
}

async fn ask_once(
    addresses: &[SocketAddr],
    target: &Target,
    path: &HealthPath,
    tls: &TargetTls,
) -> Result<(Answer, SocketAddr), Fault> {
    let (stream, peer) = dial::connect(addresses).await?;
    let begun = Connection::begin(stream, target, tls).await;
    let mut stream = begun.map_err(|error| format!("{target} cannot be spoken to: {error}"))?;
    let authority = target.authority();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: mastra-router/{} (health check)\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        path.as_str(),
        env!("CARGO_PKG_VERSION"),
    );
    // A server that answers at once and closes may have done so before it read the request: its answer counts.
    let sent = match stream.write_all(request.as_bytes()).await {
        Ok(()) => stream.flush().await,
        failed => failed,
    };
    match (read_answer(&mut stream, target).await, sent) {
        (Ok(answer), _) => Ok((answer, peer)),
        (Err(_), Err(error)) => Err(format!("{target} did not take the request: {error}").into()),
        (Err(error), Ok(())) => Err(error.into()),
    }
}
