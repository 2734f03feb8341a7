//! The router's side of the control door.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use futures_util::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::counted::Counted;
use super::wire::{
    ActivityJson, EventJson, HealthJson, LeaseJson, PortJson, ProblemJson, ReportJson, RequestJson, RouteConfigJson,
    RouteJson, RouteUpdateJson, RouterJson, time,
};
use crate::error::{Result, RouterError};
use crate::home::HomeLock;
use crate::provider::RouterControl;
use crate::requests::RequestNews;
use crate::route::RouteInfo;

/// A route's configuration is a few hundred bytes.
const BODY_MAX: usize = 64 * 1024;
/// How long open answers may take once the server is to stop.
const STOP_MOST: Duration = Duration::from_secs(2);
/// How long it takes at most until a connection that waits is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a client may be connected and not have asked yet.
const ASK_MOST: Duration = Duration::from_millis(200);
/// Pause between two looks at the use of a route: with many short requests it changes thousands of times a second.
const ACTIVITY_PAUSE: Duration = Duration::from_millis(20);
/// How long they may take when another router is to go on: as long as one that waits for a health check.
const CLOSE_MOST: Duration = Duration::from_secs(15);

/// What the server says of its router.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// Addresses that the proxy listens on.
    pub listen: Vec<String>,
    /// `port-mapping` or `reverse-proxy`.
    pub strategy: String,
    /// Domain that routes live under.
    pub base_domain: String,
    /// File that the state is saved in; `None` where nothing is saved.
    pub state_file: Option<String>,
    /// What of the saved state could not be put back.
    pub warnings: Vec<String>,
    /// URL of the router's own page.
    pub url: Option<String>,
    /// How the router came to run, in one word.
    pub started_by: Option<String>,
    /// File that the router logs to.
    pub log_file: Option<String>,
}

/// A control door that is open.
#[must_use = "a server that is dropped stops"]
pub struct ControlServer {
    task: JoinHandle<()>,
    /// True once streams of events are to end.
    stop: watch::Sender<bool>,
    /// True once connections without a request are to end.
    shut: watch::Sender<bool>,
    stop_requested: watch::Receiver<bool>,
    clients: watch::Sender<usize>,
    socket: PathBuf,
    lock: HomeLock,
}

struct Door {
    router: Arc<dyn RouterControl>,
    info: ServerInfo,
    home: String,
    started_at: SystemTime,
    ask_stop: watch::Sender<bool>,
    stop: watch::Receiver<bool>,
}

type Shared = State<Arc<Door>>;
type Answer = Result<Response, Problem>;

impl ControlServer {
    /// Opens the door in the home that `lock` holds. A socket that a killed router left is no obstacle: with the lock in
    /// our hands nobody listens on it.
    ///
    /// # Errors
    /// [`RouterError::File`] when the socket cannot be made.
    pub fn start(lock: HomeLock, router: Arc<dyn RouterControl>, info: ServerInfo) -> Result<Self> {
        let socket = lock.home().socket_path();
        let _ = std::fs::remove_file(&socket);
        let failed = |source| RouterError::File { action: "create the socket", path: socket.clone(), source };
        // The directory is 0700 from its birth, so there is no moment at which another user could connect.
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&socket, mode).map_err(failed)?;

        let (stop, stopped) = watch::channel(false);
        let (shut, mut ended) = watch::channel(false);
        let (ask_stop, stop_requested) = watch::channel(false);
        let home = lock.home().path().display().to_string();
        let started_at = SystemTime::now();
        let door = Door { router, info, home, started_at, ask_stop, stop: stopped };
        let app = app(Arc::new(door));
        let clients = watch::Sender::new(0);
        let listener = OwnUser { listener, clients: clients.clone() };
        let task = tokio::spawn(async move {
            let until = async move {
                let _ = ended.wait_for(|stop| *stop).await;
            };
            // Accepting never fails for good: errors are waited out inside.
            let _ = axum::serve(listener, app).with_graceful_shutdown(until).await;
        });
        Ok(Self { task, stop, shut, stop_requested, clients, socket, lock })
    }

    /// Ends when a client has asked the router to stop.
    pub async fn stop_requested(&self) {
        let mut asked = self.stop_requested.clone();
        if asked.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How many clients are connected.
    pub fn clients(&self) -> watch::Receiver<usize> {
        self.clients.subscribe()
    }

    /// A copy of the home's lock, as [`HomeLock::try_clone`].
    ///
    /// # Errors
    /// What the system said.
    pub fn lock_copy(&self) -> std::io::Result<std::fs::File> {
        self.lock.try_clone()
    }

    /// Closes the door: open answers end, then the socket is removed and the home given up.
    pub async fn stop(self) {
        drop(self.close_within(STOP_MOST).await);
    }

    /// As [`stop`](Self::stop), but the home is kept, and open answers may take as long as a registration does that waits
    /// for a health check.
    pub async fn close(self) -> HomeLock {
        self.close_within(CLOSE_MOST).await
    }

    /// As [`close`](Self::close), with this time for open answers.
    pub async fn close_within(mut self, most: Duration) -> HomeLock {
        // First, so that nobody finds a door that is about to be shut.
        let _ = std::fs::remove_file(&self.socket);
        self.stop.send_replace(true);
        // Who has found it is about to ask. One that waits in the system's queue is accepted within the first pause.
        tokio::time::sleep(ACCEPT_PAUSE).await;
        let mut clients = self.clients.subscribe();
        let _ = tokio::time::timeout(ASK_MOST, clients.wait_for(|open| *open == 0)).await;
        self.shut.send_replace(true);
        if tokio::time::timeout(most, &mut self.task).await.is_err() {
            self.task.abort();
        }
        self.lock
    }
}

/// Connections of the own user, and of root, who could read the router's memory anyway.
struct OwnUser {
    listener: UnixListener,
    clients: watch::Sender<usize>,
}

impl axum::serve::Listener for OwnUser {
    type Io = Counted;
    type Addr = ();

    async fn accept(&mut self) -> (Counted, ()) {
        let own = rustix::process::geteuid().as_raw();
        loop {
            match self.listener.accept().await {
                Ok((io, _)) => match io.peer_cred() {
                    Ok(peer) if peer.uid() == own || peer.uid() == 0 => {
                        return (Counted::new(io, self.clients.clone()), ());
                    }
                    _ => tracing::warn!("another user's connection to the control socket was refused"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept on the control socket");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<()> {
        Ok(())
    }
}

fn app(door: Arc<Door>) -> Router {
    Router::new()
        .route("/v1/routes", get(list).post(register))
        .route("/v1/routes/{key}", get(find).patch(update).delete(remove))
        .route("/v1/routes/{key}/health", post(check))
        .route("/v1/routes/{key}/lease", delete(end_lease))
        .route("/v1/routes/{key}/command", put(report))
        .route("/v1/routes/{key}/activity", get(activity))
        .route("/v1/deployments/{id}", get(deployment))
        .route("/v1/ports", post(lease))
        .route("/v1/ports/{port}", delete(release))
        .route("/v1/status", get(status))
        .route("/v1/stop", post(stop))
        .route("/v1/events", get(events))
        .route("/v1/requests", get(requests))
        .fallback(|| async { problem(404, "NOT_FOUND", "The control API has no such path.") })
        .method_not_allowed_fallback(|| async { problem(405, "METHOD_NOT_ALLOWED", "This path has no such method.") })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(no_browsers))
        .with_state(door)
}

/// Nothing in a browser has business here. One that is led here all the same says where from; and a name that was pointed
/// at this machine is not the one our clients ask for.
async fn no_browsers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let of_a_page = |name: &str| name == "origin" || name.starts_with("sec-fetch-") || name == "upgrade";
    if hosts.next().is_none_or(|host| host != "localhost") || hosts.next().is_some() {
        return problem(421, "MISDIRECTED", "The control API is asked for as localhost.");
    }
    if headers.keys().any(|name| of_a_page(name.as_str())) {
        return problem(403, "FORBIDDEN", "Requests of web pages are refused.");
    }
    next.run(request).await
}

/// Boxed: it stands beside small answers.
struct Problem(Box<Response>);

impl From<RouterError> for Problem {
    fn from(error: RouterError) -> Self {
        Self(Box::new(respond_problem(&ProblemJson::from(&error))))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        *self.0
    }
}

fn problem(status: u16, code: &str, detail: &str) -> Response {
    let title = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error").to_owned();
    respond_problem(&ProblemJson { title, status, code: code.to_owned(), detail: detail.to_owned(), hint: None })
}

fn respond_problem(problem: &ProblemJson) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, "application/problem+json", problem)
}

fn respond(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}

fn json(body: &impl Serialize) -> Answer {
    Ok(respond(StatusCode::OK, "application/json", body))
}

/// Reads a body. Its type must be exactly JSON: forms and text are what a web page could send unasked.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|rejection| {
        let status = rejection.status().as_u16();
        Problem(Box::new(problem(status, "BAD_BODY", &rejection.body_text())))
    })?;
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    if types.next().is_none_or(|t| t.as_bytes() != b"application/json") || types.next().is_some() {
        let answer = problem(415, "UNSUPPORTED_MEDIA_TYPE", "The body has to be application/json.");
        return Err(Problem(Box::new(answer)));
    }
    serde_json::from_slice(&body).map_err(|error| Problem(Box::new(problem(400, "BAD_JSON", &error.to_string()))))
}

/// The route of an id, a deployment or a name.
async fn route(door: &Door, key: &str) -> Result<RouteInfo, Problem> {
    let found = door.router.find_route(key).await?;
    Ok(found.ok_or_else(|| RouterError::RouteNotFound { id: key.to_owned() })?)
}

async fn list(State(door): Shared, Query(query): Query<std::collections::HashMap<String, String>>) -> Answer {
    let routes = match query.get("project") {
        Some(project) => door.router.list_routes(project).await?,
        None => door.router.all_routes().await?,
    };
    json(&routes.into_iter().map(RouteJson::from).collect::<Vec<_>>())
}

async fn register(State(door): Shared, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Answer {
    let config: RouteConfigJson = read(&headers, body)?;
    let route = door.router.register_route(config.into()).await?;
    Ok(respond(StatusCode::CREATED, "application/json", &RouteJson::from(route)))
}

async fn find(State(door): Shared, Path(key): Path<String>) -> Answer {
    json(&RouteJson::from(route(&door, &key).await?))
}

async fn update(
    State(door): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let update: RouteUpdateJson = read(&headers, body)?;
    json(&RouteJson::from(door.router.update_route(&id, update.into()).await?))
}

/// By id, or deployment, as the provider's method: never by name, which might be that of somebody else's deployment.
async fn remove(State(door): Shared, Path(id): Path<String>) -> Answer {
    door.router.remove_route(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// By id, and only a route of the process that the body names.
async fn end_lease(
    State(door): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let lease: LeaseJson = read(&headers, body)?;
    match door.router.end_lease(&id, &lease.into()).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(RouterError::RouteNotFound { id }.into()),
    }
}

/// By id, and of a leased route only by the process that the body names.
async fn report(
    State(door): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let report: ReportJson = read(&headers, body)?;
    door.router.report_command(&id, report.into()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn check(State(door): Shared, Path(id): Path<String>) -> Answer {
    json(&HealthJson::from(door.router.check_route_health(&id).await?))
}

async fn deployment(State(door): Shared, Path(id): Path<String>) -> Answer {
    match door.router.get_route(&id).await? {
        Some(route) => json(&RouteJson::from(route)),
        None => Err(RouterError::RouteNotFound { id }.into()),
    }
}

async fn lease(State(door): Shared) -> Answer {
    json(&PortJson { port: door.router.allocate_port().await? })
}

async fn release(State(door): Shared, Path(port): Path<String>) -> Answer {
    let leased = match port.parse() {
        Ok(port) => door.router.release_port(port).await?,
        Err(_) => false,
    };
    match leased {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Ok(problem(404, "PORT_NOT_LEASED", &format!("Port {port} is not leased."))),
    }
}

async fn status(State(door): Shared) -> Answer {
    json(&RouterJson {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        home: door.home.clone(),
        listen: door.info.listen.clone(),
        strategy: door.info.strategy.clone(),
        base_domain: door.info.base_domain.clone(),
        started_at: time(door.started_at),
        routes: door.router.route_count().await?,
        state_file: door.info.state_file.clone(),
        warnings: door.info.warnings.clone(),
        url: door.info.url.clone(),
        started_by: door.info.started_by.clone(),
        log_file: door.info.log_file.clone(),
    })
}

async fn stop(State(door): Shared) -> Answer {
    door.ask_stop.send_replace(true);
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn events(State(door): Shared) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let state = (door.router.subscribe(), door.stop.clone());
    let stream = futures_util::stream::unfold(state, |(mut events, mut stop)| async move {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let told = match event {
            Ok(event) => Event::default().data(serde_json::to_string(&EventJson::from(event)).unwrap_or_default()),
            Err(broadcast::error::RecvError::Lagged(missed)) => lagged(missed),
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(told), (events, stop)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

/// The router tells of its requests for as long as the client is connected: then this stream is dropped.
async fn requests(State(door): Shared) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let state = (door.router.requests().await?, door.stop.clone());
    let stream = futures_util::stream::unfold(state, |(mut requests, mut stop)| async move {
        let news = tokio::select! {
            news = requests.next() => news?,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let told = match news {
            RequestNews::Answered(request) => {
                Event::default().data(serde_json::to_string(&RequestJson::from(&*request)).unwrap_or_default())
            }
            RequestNews::Missed(missed) => lagged(missed),
        };
        Some((Ok(told), (requests, stop)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// A state, so one that is overtaken before it was sent is left out.
async fn activity(
    State(door): Shared,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let state = (door.router.follow_activity(&id).await?, door.stop.clone(), false);
    let stream = futures_util::stream::unfold(state, |(mut activities, mut stop, is_later)| async move {
        let next = async {
            if is_later {
                tokio::time::sleep(ACTIVITY_PAUSE).await;
            }
            activities.next().await
        };
        let now = tokio::select! {
            now = next => now?,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        let told = Event::default().data(serde_json::to_string(&ActivityJson::from(now)).unwrap_or_default());
        Some((Ok(told), (activities, stop, true)))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

fn lagged(missed: u64) -> Event {
    Event::default().event("lagged").data(missed.to_string())
}
