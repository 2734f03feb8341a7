//! A server that answers as a test says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Stops with the value.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    task: JoinHandle<()>,
}

/// What a server has seen.
pub(crate) struct Seen {
    pub(crate) connections: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) most_open: AtomicUsize,
    /// Clients that left before they were answered.
    pub(crate) gone: AtomicUsize,
    pub(crate) last_request: std::sync::Mutex<String>,
    /// One permit for each answer that may be sent.
    pub(crate) answers: Semaphore,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers every request at once, by its path.
    pub(crate) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), Semaphore::MAX_PERMITS, answer)
    }

    /// Answers 200, once for each permit that is added to `seen.answers`.
    pub(crate) async fn gated() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), 0, |_| OK.to_owned())
    }

    pub(crate) fn on(
        listener: TcpListener,
        answers: usize,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Seen {
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            last_request: std::sync::Mutex::default(),
            answers: Semaphore::new(answers),
        });
        let address = listener.local_addr().unwrap();
        let (answer, shared) = (Arc::new(answer), seen.clone());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let open = shared.open.fetch_add(1, Ordering::SeqCst) + 1;
                shared.most_open.fetch_max(open, Ordering::SeqCst);
                let (answer, shared) = (answer.clone(), shared.clone());
                tokio::spawn(async move {
                    serve(stream, &shared, &*answer).await;
                });
            }
        });
        Self { address, seen, task }
    }
}

async fn serve(mut stream: TcpStream, seen: &Seen, answer: &(impl Fn(&str) -> String + ?Sized)) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            break;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    *seen.last_request.lock().unwrap() = request;
    let mut byte = [0];
    tokio::select! {
        biased;
        permit = seen.answers.acquire() => {
            permit.unwrap().forget();
            // Counted before the answer: the client may make its next connection as soon as it has it.
            seen.open.fetch_sub(1, Ordering::SeqCst);
            let _ = stream.write_all(answer(&path).as_bytes()).await;
        }
        _ = stream.read(&mut byte) => {
            seen.open.fetch_sub(1, Ordering::SeqCst);
            seen.gone.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// An address that refuses connections for as long as the socket is kept: bound, and not listening.
pub(crate) fn refusing(address: &str) -> (TcpSocket, SocketAddr) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    socket.bind(address).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A listener on `here`, and a socket bound to the same port of `there`, which may listen or refuse. Whatever port the system
/// gives for one family can be taken in the other, so it is asked until one is free in both.
pub(crate) async fn same_port(here: IpAddr, there: IpAddr) -> (TcpListener, TcpSocket) {
    loop {
        let listener = TcpListener::bind((here, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = if there.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        match socket.bind((there, port).into()) {
            Ok(()) => return (listener, socket),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse),
        }
    }
}

/// Waits for a fact. The deadline is for what never comes true.
pub(crate) async fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while !fact() {
        assert!(std::time::Instant::now() < deadline, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
