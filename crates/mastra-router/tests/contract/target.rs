//! A server behind the router, and a client before it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::make::within;

/// A port that nobody listens on: tcpmux, which no machine runs, and which no system hands out.
pub(crate) const DEAD_PORT: u16 = 1;

/// What a target answers to health checks.
#[derive(Clone, Copy)]
pub(crate) enum Health {
    Status(&'static str),
    /// 503 so often, then 200.
    After(usize),
    Silence,
}

pub(crate) const OK: Health = Health::Status("200 OK");
pub(crate) const UNAVAILABLE: Health = Health::Status("503 Service Unavailable");

/// A server that answers with its name and what it was asked for, and `/stream` with what the test sends.
pub(crate) struct Target {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    name: String,
    health_path: &'static str,
    health: Mutex<Health>,
    checks: AtomicUsize,
    paths: Mutex<Vec<String>>,
    stream: broadcast::Sender<&'static str>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Target {
    pub(crate) async fn start() -> Self {
        Self::named("target").await
    }

    pub(crate) async fn named(name: &str) -> Self {
        Self::with(name, OK, "/health").await
    }

    pub(crate) async fn with(name: &str, health: Health, health_path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            health_path,
            health: Mutex::new(health),
            checks: AtomicUsize::new(0),
            paths: Mutex::default(),
            stream: broadcast::Sender::new(16),
        });
        let of = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let of = of.clone();
                tokio::spawn(async move { of.answer(io).await });
            }
        });
        Self { port, shared, task }
    }

    pub(crate) fn set_health(&self, health: Health) {
        *self.shared.health.lock().unwrap() = health;
    }

    pub(crate) fn checks(&self) -> usize {
        self.shared.checks.load(Ordering::SeqCst)
    }

    /// The paths that were asked for, without those of health checks.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.shared.paths.lock().unwrap().clone()
    }

    /// Sends text on the open streams; an empty one ends them.
    pub(crate) fn stream(&self, text: &'static str) {
        self.shared.stream.send(text).unwrap();
    }
}

impl Shared {
    async fn answer(&self, mut io: TcpStream) {
        let head = read_until(&mut io, "\r\n\r\n").await;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if path == self.health_path {
            return self.answer_check(io).await;
        }
        self.paths.lock().unwrap().push(path.clone());
        if path.starts_with("/stream") {
            let mut stream = self.stream.subscribe();
            send(&mut io, &format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {}\n\n", self.name)).await;
            while let Ok(text) = stream.recv().await
                && !text.is_empty()
            {
                send(&mut io, text).await;
            }
            return;
        }
        let body = format!("{} {path}", self.name);
        let length = body.len();
        send(&mut io, &format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    }

    async fn answer_check(&self, mut io: TcpStream) {
        let before = self.checks.fetch_add(1, Ordering::SeqCst);
        let health = *self.health.lock().unwrap();
        let status = match health {
            Health::Status(status) => status,
            Health::After(failures) if before >= failures => "200 OK",
            Health::After(_) => "503 Service Unavailable",
            Health::Silence => {
                // Until the other side has given up.
                let _ = io.read(&mut [0; 1]).await;
                return;
            }
        };
        let length = if status.starts_with("204") { "" } else { "content-length: 0\r\n" };
        send(&mut io, &format!("HTTP/1.1 {status}\r\nconnection: close\r\n{length}\r\n")).await;
    }
}

/// Whoever does not read any more does not need it.
async fn send(io: &mut TcpStream, text: &str) {
    let _ = io.write_all(text.as_bytes()).await;
}

/// Asks for a URL, and gives the connection once the request is sent.
pub(crate) async fn open(url: &str) -> TcpStream {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port: u16 = host.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    send(&mut io, &format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
    io
}

/// The status and the body of a URL's answer.
pub(crate) async fn ask(url: &str) -> (u16, String) {
    let mut io = open(url).await;
    let mut answer = String::new();
    within(url, io.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The body of a URL's answer.
pub(crate) async fn body(url: &str) -> String {
    let (status, body) = ask(url).await;
    assert_eq!(status, 200, "{url}: {body}");
    body
}

/// Reads until `wanted` has come; what had come then.
pub(crate) async fn read_until(io: &mut TcpStream, wanted: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(wanted) {
            if matches!(io.read_buf(&mut read).await, Ok(0) | Err(_)) {
                break;
            }
        }
    };
    within(wanted, reading).await;
    String::from_utf8(read).unwrap()
}
