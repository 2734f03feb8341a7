//! A router in another process, used like one in this.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use super::data_lines::DataLines;
use super::wire::{
    ActivityJson, EventJson, HealthJson, LeaseJson, PortJson, ProblemJson, ReportJson, RequestJson, RouteConfigJson,
    RouteJson, RouteUpdateJson, RouterJson,
};
use crate::activity::Activities;
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::home::Home;
use crate::lease::RouteLease;
use crate::provider::{EdgeRouterProvider, RouterControl};
use crate::report::CommandReport;
use crate::requests::{RequestNews, Requests};
use crate::route::{RouteConfig, RouteHealthStatus, RouteInfo, RouteUpdate};

/// Events a listener may fall behind by before it loses the oldest.
const EVENTS_KEPT: usize = 256;
/// How often a client with patience tries. A connection that fails costs microseconds.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// Talks to the router of a home. Each call is a connection of its own, which on a Unix socket costs next to nothing.
#[derive(Clone, Debug)]
pub struct ControlClient {
    socket: PathBuf,
    patience: Duration,
}

impl ControlClient {
    /// A client of the router that runs in `home`, if one does.
    ///
    /// # Errors
    /// [`RouterError::Unreachable`].
    pub async fn connect(home: &Home) -> Result<Self> {
        let client = Self::new(home);
        client.open().await?;
        Ok(client)
    }

    /// A client of the router in `home`, whether one runs or not: each call finds out.
    pub fn new(home: &Home) -> Self {
        Self { socket: home.socket_path(), patience: Duration::ZERO }
    }

    /// With calls that wait this long for a router where none listens: one that is taking the place of another will. What
    /// was sent already is not sent again.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the router says of itself.
    ///
    /// # Errors
    /// [`RouterError::Unreachable`].
    pub async fn status(&self) -> Result<RouterJson> {
        self.call(Method::GET, "/v1/status", None::<&()>).await
    }

    /// Asks the router to stop. It has not yet when this returns.
    ///
    /// # Errors
    /// [`RouterError::Unreachable`].
    pub async fn stop(&self) -> Result<()> {
        self.send(Method::POST, "/v1/stop", None::<&()>).await.map(drop)
    }

    /// The router's events from the moment this returns, until it stops; then the channel closes.
    ///
    /// # Errors
    /// [`RouterError::Unreachable`].
    pub async fn events(&self) -> Result<broadcast::Receiver<RouterEvent>> {
        let body = self.open_events().await?;
        let (sender, receiver) = broadcast::channel(EVENTS_KEPT);
        tokio::spawn(follow_while_heard(body, sender));
        Ok(receiver)
    }

    /// The router listens for us from before it answers.
    async fn open_events(&self) -> Result<Incoming> {
        Ok(self.send(Method::GET, "/v1/events", None::<&()>).await?.into_body())
    }

    fn unreachable(&self, reason: impl ToString) -> RouterError {
        RouterError::Unreachable { socket: self.socket.clone(), reason: reason.to_string() }
    }

    async fn open(&self) -> Result<UnixStream> {
        let began = Instant::now();
        loop {
            let error = match UnixStream::connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
                    if began.elapsed() < self.patience =>
                {
                    tokio::time::sleep(TRY_EVERY).await;
                }
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => return Err(self.unreachable("none runs there")),
                _ => return Err(self.unreachable(error)),
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<T> {
        let answer = self.send(method, path, body).await?;
        let bytes = answer.into_body().collect().await.map_err(|error| self.unreachable(error))?.to_bytes();
        serde_json::from_slice(&bytes).map_err(|error| self.unreachable(error))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Response<Incoming>> {
        let io = TokioIo::new(self.open().await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| self.unreachable(error))?;
        // Ends with the answer's body.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                serde_json::to_vec(body).map_err(|error| self.unreachable(error))?
            }
            None => Vec::new(),
        };
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| self.unreachable(error))?;
        let answer = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let bytes = answer.into_body().collect().await.map_err(|error| self.unreachable(error))?.to_bytes();
        let problem: ProblemJson = serde_json::from_slice(&bytes).map_err(|error| self.unreachable(error))?;
        Err(RouterError::Remote { code: problem.code, message: problem.detail, hint: problem.hint })
    }

    fn info(&self, json: RouteJson) -> Result<RouteInfo> {
        json.try_into().map_err(|error: String| self.unreachable(error))
    }

    async fn routes(&self, path: &str) -> Result<Vec<RouteInfo>> {
        let routes: Vec<RouteJson> = self.call(Method::GET, path, None::<&()>).await?;
        routes.into_iter().map(|route| self.info(route)).collect()
    }

    async fn optional(&self, kind: &str, id: &str) -> Result<Option<RouteInfo>> {
        let Ok(path) = path_of(kind, id) else { return Ok(None) };
        match self.call(Method::GET, &path, None::<&()>).await {
            Ok(route) => self.info(route).map(Some),
            Err(RouterError::Remote { code, .. }) if code == "ROUTE_NOT_FOUND" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where something with an id is. An empty id is nobody's, and would make the path another one.
fn path_of(kind: &str, id: &str) -> Result<String> {
    match id {
        "" => Err(RouterError::RouteNotFound { id: String::new() }),
        id => Ok(format!("/v1/{kind}/{}", segment(id))),
    }
}

/// Follows events until the router stops or nobody listens any more: with the last listener its connection goes.
async fn follow_while_heard(body: Incoming, events: broadcast::Sender<RouterEvent>) {
    tokio::select! {
        () = follow(body, &events) => {}
        () = events.closed() => {}
    }
}

/// Hands events on until they end, or nobody listens any more.
async fn follow(body: Incoming, events: &broadcast::Sender<RouterEvent>) {
    let mut lines = DataLines::new(body);
    while let Some(json) = lines.next().await {
        let event = serde_json::from_slice::<EventJson>(&json).ok().and_then(|event| event.try_into().ok());
        if event.is_some_and(|event| events.send(event).is_err()) {
            return;
        }
    }
}

/// A request, or how many were missed.
fn news(json: &[u8]) -> Option<RequestNews> {
    if let Ok(missed) = serde_json::from_slice(json) {
        return Some(RequestNews::Missed(missed));
    }
    let request: RequestJson = serde_json::from_slice(json).ok()?;
    Some(RequestNews::Answered(Arc::new(request.try_into().ok()?)))
}

/// A path segment that stands for itself, whatever is in it.
fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    // A dot segment would not reach the router as one.
    if out.bytes().all(|b| b == b'.') { out.replace('.', "%2E") } else { out }
}

#[async_trait]
impl EdgeRouterProvider for ControlClient {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn register_route(&self, config: RouteConfig) -> Result<RouteInfo> {
        let route = self.call(Method::POST, "/v1/routes", Some(&RouteConfigJson::from(config))).await?;
        self.info(route)
    }

    async fn update_route(&self, route_id: &str, update: RouteUpdate) -> Result<RouteInfo> {
        let path = path_of("routes", route_id)?;
        let route = self.call(Method::PATCH, &path, Some(&RouteUpdateJson::from(update))).await?;
        self.info(route)
    }

    async fn remove_route(&self, route_id: &str) -> Result<()> {
        let Ok(path) = path_of("routes", route_id) else { return Ok(()) };
        self.send(Method::DELETE, &path, None::<&()>).await.map(drop)
    }

    async fn get_route(&self, deployment_id: &str) -> Result<Option<RouteInfo>> {
        self.optional("deployments", deployment_id).await
    }

    async fn list_routes(&self, project_id: &str) -> Result<Vec<RouteInfo>> {
        self.routes(&format!("/v1/routes?project={}", segment(project_id))).await
    }

    async fn check_route_health(&self, route_id: &str) -> Result<RouteHealthStatus> {
        let path = match path_of("routes", route_id) {
            Ok(path) => format!("{path}/health"),
            Err(error) => return Ok(RouteHealthStatus { error: Some(error.to_string()), ..Default::default() }),
        };
        let health: HealthJson = self.call(Method::POST, &path, None::<&()>).await?;
        Ok(health.into())
    }
}

#[async_trait]
impl RouterControl for ControlClient {
    async fn all_routes(&self) -> Result<Vec<RouteInfo>> {
        self.routes("/v1/routes").await
    }

    async fn route_count(&self) -> Result<usize> {
        Ok(self.status().await?.routes)
    }

    async fn find_route(&self, key: &str) -> Result<Option<RouteInfo>> {
        self.optional("routes", key).await
    }

    async fn end_lease(&self, route_id: &str, lease: &RouteLease) -> Result<bool> {
        let path = format!("/v1/routes/{}/lease", segment(route_id));
        match self.send(Method::DELETE, &path, Some(&LeaseJson::from(lease.clone()))).await {
            Ok(_) => Ok(true),
            Err(RouterError::Remote { code, .. }) if code == "ROUTE_NOT_FOUND" => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn report_command(&self, route_id: &str, report: CommandReport) -> Result<()> {
        let path = format!("{}/command", path_of("routes", route_id)?);
        self.send(Method::PUT, &path, Some(&ReportJson::from(report))).await.map(drop)
    }

    /// As in the router; it ends when the router does, too.
    async fn follow_activity(&self, route_id: &str) -> Result<Activities> {
        let path = format!("{}/activity", path_of("routes", route_id)?);
        let body = self.send(Method::GET, &path, None::<&()>).await?.into_body();
        Ok(Activities::new(stream::unfold(DataLines::new(body), |mut lines| async move {
            loop {
                let json = lines.next().await?;
                let activity = serde_json::from_slice::<ActivityJson>(&json).ok().and_then(|json| json.try_into().ok());
                if let Some(activity) = activity {
                    return Some((activity, lines));
                }
            }
        })))
    }

    async fn allocate_port(&self) -> Result<u16> {
        let leased: PortJson = self.call(Method::POST, "/v1/ports", None::<&()>).await?;
        Ok(leased.port)
    }

    async fn release_port(&self, port: u16) -> Result<bool> {
        match self.send(Method::DELETE, &format!("/v1/ports/{port}"), None::<&()>).await {
            Ok(_) => Ok(true),
            Err(RouterError::Remote { code, .. }) if code == "PORT_NOT_LEASED" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The router's events, until it stops; then the channel closes. A task follows them while there is a receiver.
    fn subscribe(&self) -> broadcast::Receiver<RouterEvent> {
        let (sender, receiver) = broadcast::channel(EVENTS_KEPT);
        let client = self.clone();
        tokio::spawn(async move {
            match client.open_events().await {
                Ok(body) => follow_while_heard(body, sender).await,
                Err(error) => tracing::debug!(%error, "events ended"),
            }
        });
        receiver
    }

    async fn requests(&self) -> Result<Requests> {
        // As with events, the router follows them for us from before it answers.
        let body = self.send(Method::GET, "/v1/requests", None::<&()>).await?.into_body();
        Ok(Requests::new(stream::unfold(DataLines::new(body), |mut lines| async move {
            loop {
                // What cannot be read is of a router that is newer, and left out.
                if let Some(news) = news(&lines.next().await?) {
                    return Some((news, lines));
                }
            }
        })))
    }
}
