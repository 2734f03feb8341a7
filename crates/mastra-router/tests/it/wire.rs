//! One side of a connection, written and read byte by byte.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// For what never comes true. Nothing waits that long otherwise.
const NEVER: Duration = Duration::from_secs(60);

/// `future`, or a failure that says what did not come.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(NEVER, future).await {
        Ok(output) => output,
        Err(_) => panic!("never came: {what}"),
    }
}

/// A connection, with what has been read of it and not been used.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) io: S,
    pub(crate) read: Vec<u8>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Orderly, as at the end of a message without a length.
    Closed,
    /// With a reset, or over TLS without the other side's word that it ends.
    Reset,
}

/// A request or an answer. Every byte of the head and the trailers is one `char`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Message {
    /// The first line.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn status(&self) -> u16 {
        self.line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The values of a field, in their order.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
    }

    /// The value of a field that comes once at most.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() < 2, "{name} is repeated: {}", self.head);
        values.first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Wire {
    pub(crate) fn new(io: TcpStream) -> Self {
        io.set_nodelay(true).unwrap();
        Self { io, read: Vec::new() }
    }

    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::new(within("a connection", TcpStream::connect(address)).await.unwrap())
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.io.set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("room to write", self.io.write_all(bytes.as_ref())).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Sends to a side that may close before it has read all.
    pub(crate) async fn offer(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("room to write", self.io.write_all(bytes.as_ref())).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn shutdown(&mut self) {
        self.io.shutdown().await.unwrap();
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> Result<bool, End> {
        match within("bytes or the end", self.io.read_buf(&mut self.read)).await {
            Ok(n) => Ok(n > 0),
            Err(_) => Err(End::Reset),
        }
    }

    /// Everything up to the end of `mark`.
    pub(crate) async fn until(&mut self, mark: &str) -> Vec<u8> {
        self.until_or_end(mark).await.unwrap_or_else(|(end, got)| panic!("{end:?} before {mark:?}: {}", latin1(&got)))
    }

    async fn until_or_end(&mut self, mark: &str) -> Result<Vec<u8>, (End, Vec<u8>)> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|w| w == mark.as_bytes()) {
                return Ok(self.read.drain(..at + mark.len()).collect());
            }
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return Err((End::Closed, std::mem::take(&mut self.read))),
                Err(end) => return Err((end, std::mem::take(&mut self.read))),
            }
        }
    }

    pub(crate) async fn exactly(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            let more = self.fill().await;
            assert_eq!(more, Ok(true), "{} of {n} bytes", self.read.len());
        }
        self.read.drain(..n).collect()
    }

    /// As many bytes, or `None` where the connection ended before.
    pub(crate) async fn exactly_or_end(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.read.len() < n {
            if self.fill().await != Ok(true) {
                return None;
            }
        }
        Some(self.read.drain(..n).collect())
    }

    /// All that comes until the end.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.fill().await {
                Ok(true) => {}
                Ok(false) => return (std::mem::take(&mut self.read), End::Closed),
                Err(end) => return (std::mem::take(&mut self.read), end),
            }
        }
    }

    /// A head, with its empty line.
    pub(crate) async fn head(&mut self) -> String {
        latin1(&self.until("\r\n\r\n").await)
    }

    /// A head, or `None` where the connection ended instead.
    pub(crate) async fn head_or_end(&mut self) -> Option<String> {
        self.until_or_end("\r\n\r\n").await.ok().map(|head| latin1(&head))
    }

    /// The request that comes next, with its body.
    pub(crate) async fn request(&mut self) -> Message {
        let head = self.head().await;
        self.body_of(Message { head, ..Message::default() }, false).await
    }

    /// The answer that comes next, with its body.
    pub(crate) async fn answer(&mut self) -> Message {
        let head = self.head().await;
        let message = Message { head, ..Message::default() };
        if matches!(message.status(), 100..=199 | 204 | 304) {
            return message;
        }
        self.body_of(message, true).await
    }

    /// The answer to a HEAD.
    pub(crate) async fn bodiless(&mut self) -> Message {
        Message { head: self.head().await, ..Message::default() }
    }

    pub(crate) async fn body_of(&mut self, mut message: Message, until_close: bool) -> Message {
        if message.field("transfer-encoding").is_some() {
            loop {
                let size = latin1(&self.until("\r\n").await);
                match usize::from_str_radix(size.trim_end(), 16).unwrap() {
                    0 => break,
                    n => message.body.extend(self.exactly(n).await),
                }
                assert_eq!(self.exactly(2).await, b"\r\n");
            }
            loop {
                match latin1(&self.until("\r\n").await) {
                    line if line == "\r\n" => return message,
                    line => message.trailers.push_str(&line),
                }
            }
        }
        match message.field("content-length").map(|n| n.parse::<usize>().unwrap()) {
            Some(n) => message.body = self.exactly(n).await,
            None if until_close => message.body = self.rest().await.0,
            None => {}
        }
        message
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.answer().await
    }
}

pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// A GET of `path` on `host`.
pub(crate) fn get(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}
