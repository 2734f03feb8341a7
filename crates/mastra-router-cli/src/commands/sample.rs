//! The sample server of `demo`: HTTP, server-sent events, WebSocket, and a page that shows all three at work.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Router, http};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const PAGE: &str = include_str!("sample.html");

/// A server that runs.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(name: &'static str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app(name)).await;
        });
        Ok(Self { name, address, task })
    }

    /// Ends it with all its connections: behind a router that has stopped, nobody is on them.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

fn app(name: &'static str) -> Router {
    Router::new()
        .route("/", get(move || async move { Html(PAGE.replace("{name}", name)) }))
        .route(
            "/health",
            get(|| async { ([(http::header::CONTENT_TYPE, "application/json")], "{\"success\":true}\n") }),
        )
        .route("/events", get(events))
        .route("/echo", post(echo))
        .route("/ws", any(upgrade))
}

/// A tick a second, from the moment one listens.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(futures_util::stream::unfold(0u64, |tick| async move {
        if tick > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok(Event::default().id(tick.to_string()).data(format!("tick {tick}"))), tick + 1))
    }))
}

/// Sends back what comes, while it comes.
async fn echo(body: Body) -> Response {
    body.into_response()
}

async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["echo"]).on_upgrade(echo_messages)
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // Answered by the library.
            Message::Ping(_) | Message::Pong(_) => Ok(()),
            Message::Close(_) => return,
        };
        if sent.is_err() {
            return;
        }
    }
}
