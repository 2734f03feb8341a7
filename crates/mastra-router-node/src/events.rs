//! What a router tells while it runs, on its way to a JavaScript function.

use std::time::Duration;

use mastra_router::{RequestInfo, RequestNews, Requests, RouteInfo, RouterEvent};
use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::route::{NativeHealth, NativeRouteInfo, milliseconds, since_1970};

/// Calls that may wait for JavaScript; a program that is busy for longer loses events, as documented.
const WAITING_MOST: usize = 1024;

/// Pause before a busy program is told again.
const BUSY: Duration = Duration::from_millis(50);

/// A function of JavaScript that is told of events, and that keeps no program alive.
pub(crate) type Listener<E> = ThreadsafeFunction<E, (), E, Status, false, true, WAITING_MOST>;

#[napi(object, object_from_js = false)]
pub struct NativeEvent {
    /// `registered`, `updated`, `removed`, `cleared` or `checked`; `ended` where no more will come.
    pub kind: String,
    pub route: Option<NativeRouteInfo>,
    /// Of a check: the route's status before.
    pub before: Option<String>,
    /// Of a check.
    pub health: Option<NativeHealth>,
}

/// Passes events on until there are no more, or nobody to tell.
pub(crate) async fn follow(mut events: broadcast::Receiver<RouterEvent>, listener: Listener<NativeEvent>) {
    loop {
        match events.recv().await {
            Ok(event) => {
                let Some(event) = to_js(event) else { continue };
                let told = listener.call(event, ThreadsafeFunctionCallMode::NonBlocking);
                if !matches!(told, Status::Ok | Status::QueueFull) {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
    // A program that is busy must not miss this one.
    while listener.call(of("ended"), ThreadsafeFunctionCallMode::NonBlocking) == Status::QueueFull {
        tokio::time::sleep(BUSY).await;
    }
}

fn to_js(event: RouterEvent) -> Option<NativeEvent> {
    let with = |kind, route: RouteInfo| NativeEvent { route: Some(route.into()), ..of(kind) };
    Some(match event {
        RouterEvent::Registered(route) => with("registered", route),
        RouterEvent::Updated(route) => with("updated", route),
        RouterEvent::Removed(route) => with("removed", route),
        RouterEvent::Cleared => of("cleared"),
        RouterEvent::Checked { route, before, health } => NativeEvent {
            before: Some(before.as_str().to_owned()),
            health: Some(health.into()),
            ..with("checked", route)
        },
        _ => return None,
    })
}

fn of(kind: &str) -> NativeEvent {
    NativeEvent { kind: kind.to_owned(), route: None, before: None, health: None }
}

#[napi(object, object_from_js = false)]
pub struct NativeRequest {
    /// When the request came.
    pub at: f64,
    pub route_id: Option<String>,
    pub subdomain: Option<String>,
    pub method: String,
    pub host: String,
    /// Path and query.
    pub path: String,
    pub status: u32,
    /// `http/1.1`, `h2` or `websocket`.
    pub protocol: String,
    /// From the request to the head of its answer.
    pub latency_ms: f64,
}

/// Passes requests on until there are no more, or nobody to tell.
pub(crate) async fn follow_requests(mut requests: Requests, listener: Listener<NativeRequest>) {
    while let Some(news) = requests.next().await {
        let RequestNews::Answered(request) = news else { continue };
        let told = listener.call((&*request).into(), ThreadsafeFunctionCallMode::NonBlocking);
        if !matches!(told, Status::Ok | Status::QueueFull) {
            return;
        }
    }
}

impl From<&RequestInfo> for NativeRequest {
    fn from(request: &RequestInfo) -> Self {
        Self {
            at: since_1970(request.at),
            route_id: request.route_id.as_ref().map(ToString::to_string),
            subdomain: request.subdomain.clone(),
            method: request.method.clone(),
            host: request.host.clone(),
            path: request.path.clone(),
            status: request.status.into(),
            protocol: request.protocol.as_str().to_owned(),
            latency_ms: milliseconds(request.latency),
        }
    }
}
