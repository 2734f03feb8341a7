//! Servers behind the router: one that a test answers for by hand, and one that keeps what it is asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::wire::{Message, Wire, within};

/// An answer without a body.
pub(crate) const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// A server that a test answers for.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    peers: mpsc::UnboundedReceiver<Wire>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::on("127.0.0.1:0").await
    }

    pub(crate) async fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (send, peers) = mpsc::unbounded_channel();
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (send, counter) = (send.clone(), counter.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(io);
                    // A health check is no request of a client's: it is answered, and nothing else is told of it.
                    let Some(head) = wire.head_or_end().await else { return };
                    if head.starts_with("GET /health HTTP") {
                        counter.fetch_sub(1, Ordering::SeqCst);
                        wire.send(EMPTY).await;
                        return;
                    }
                    let mut read: Vec<u8> = head.chars().map(|c| u8::try_from(c).unwrap()).collect();
                    read.append(&mut wire.read);
                    let _ = send.send(Wire { io: wire.io, read });
                });
            }
        });
        Self { address, accepted, peers, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next connection on which a request's head has come.
    pub(crate) async fn accept(&mut self) -> Wire {
        within("a request at the upstream", self.peers.recv()).await.unwrap()
    }

    /// How many connections there were.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A server that keeps what it is asked, and answers each request with the path it was asked for.
pub(crate) struct Recorder {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<Message>>>,
    tasks: JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// With more field lines in its answers.
    pub(crate) async fn with(fields: &'static str) -> Self {
        let mut upstream = Upstream::start().await;
        let port = upstream.port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        let tasks = tokio::spawn(async move {
            loop {
                let mut peer = upstream.accept().await;
                let kept = kept.clone();
                tokio::spawn(async move {
                    while let Some(head) = peer.head_or_end().await {
                        // Kept before the body is read: what came of a broken request is to be seen too.
                        let at = {
                            let mut kept = kept.lock().unwrap();
                            kept.push(Message { head: head.clone(), ..Message::default() });
                            kept.len() - 1
                        };
                        let message = peer.body_of(Message { head, ..Message::default() }, false).await;
                        let target = message.line().split(' ').nth(1).unwrap().to_owned();
                        let is_head = message.head.starts_with("HEAD ");
                        kept.lock().unwrap()[at] = message;
                        let body = if is_head { "" } else { &target };
                        let length = target.len();
                        peer.send(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}")).await;
                    }
                });
            }
        });
        Self { port, log, tasks }
    }

    /// What was asked, in its order.
    pub(crate) fn log(&self) -> Vec<Message> {
        self.log.lock().unwrap().clone()
    }

    /// What was asked last.
    pub(crate) fn last(&self) -> Message {
        self.log().last().unwrap().clone()
    }
}
