//! The client's side: a connection in HTTP/1.1, or a stream of one in HTTP/2, with or without TLS.

mod body;
mod http11;
mod http2;
mod idle;
mod stream;
mod tls;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http1::{BodyLength, Buffer, Relay, RelayError, Source, poll_fill};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use self::idle::IdleTimer;
use super::Shared;
use super::answer::Failure;
use super::request::Plan;
use super::response::{AnswerHead, Outgoing};
use super::upstream::UpstreamIo;
use super::worker;

/// How long a connection must have had nothing to do to make room for another.
const SHED_AFTER: Duration = Duration::from_secs(1);

/// A connection's socket, with what the proxy needs beyond reading and writing.
pub(crate) trait ClientIo: Source + AsyncWrite + Send {
    /// Lets the connection end with a reset instead of an orderly close.
    fn reset_on_close(&self);

    /// Whether the client has closed, as far as the system tells without anything being read.
    fn is_closed(&self) -> bool;
}

impl ClientIo for TcpStream {
    fn reset_on_close(&self) {
        let _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    fn is_closed(&self) -> bool {
        let ready = pin!(self.ready(Interest::READABLE));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_read_closed(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

/// The client's side of one exchange, whatever its version.
pub(crate) trait Downstream: Send {
    /// An answer's head in this version.
    type Head: AnswerHead + Send;

    /// Whether one connection can have many of these at once: then each has small buffers only.
    const MANY: bool = false;

    /// How a body that goes on as `to` is framed where it comes from.
    fn framed(to: BodyLength) -> BodyLength {
        to
    }

    /// Ready when the client has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the client has left, also where more of its request has come than is read before somebody takes it.
    fn has_left(&self) -> bool;

    /// Moves the request on.
    fn poll_upload(
        &mut self,
        upload: &mut Relay,
        upstream: &mut UpstreamIo,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>>;

    /// Sends a 1xx, if the client knows them.
    fn interim(&mut self, head: Self::Head, plan: &Plan) -> impl Future<Output = io::Result<()>> + Send;

    /// Begins the answer; the relay then carries its body, which is framed as `from` by the upstream.
    fn begin_answer(&mut self, out: Outgoing<Self::Head>, from: BodyLength, shared: &Shared) -> io::Result<Relay>;

    /// Moves the answer on. `answer` holds what has been read of it and not been used.
    fn poll_download(
        &mut self,
        download: &mut Relay,
        upstream: &mut UpstreamIo,
        answer: &mut Option<Buffer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>>;

    /// Says that the answer is complete, once all of it was relayed.
    fn end_answer(&mut self, download: &Relay);

    /// Says that nothing more will come, where both sides speak a protocol of their own.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Answers in the place of an upstream.
    fn fail(&mut self, failure: &Failure, plan: &Plan, shared: &Shared) -> impl Future<Output = Next> + Send;
}

/// What becomes of the client's side after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    Close,
    /// Close once the client has read the answer, though it is still sending.
    Linger,
    /// End it so that nobody takes what was sent for whole.
    Reset,
}

/// Serves a connection until it ends. What it speaks is told by its first byte.
pub(crate) async fn serve(mut io: TcpStream, peer: SocketAddr, local: SocketAddr, shared: Arc<Shared>) {
    let mut idle = pin!(IdleTimer::new(shared.config.idle_timeout));
    let mut input = None;
    let _tracked = poll_fn(|cx| Poll::Ready(worker::track(cx.waker()))).await;
    if !wait(&mut io, &mut input, idle.as_mut()).await {
        return;
    }
    if tls::is_handshake(&input) {
        return Box::pin(tls::serve(io, input, peer, local, &shared, idle)).await;
    }
    http11::serve(io, input, peer, local, false, &shared, idle).await;
}

/// Waits for the first bytes of a request; false when the connection is to end instead.
async fn wait<S: Source>(io: &mut S, input: &mut Option<Buffer>, mut idle: Pin<&mut IdleTimer>) -> bool {
    idle.as_mut().restart();
    let shed = worker::times_shed();
    poll_fn(|cx| {
        if worker::closes_idle() {
            return Poll::Ready(false);
        }
        match poll_fill(io, input, false, cx) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(_)) => Poll::Ready(true),
            // One that was accepted a moment ago is about to send its request.
            Poll::Pending if worker::times_shed() != shed && idle.elapsed() >= SHED_AFTER => Poll::Ready(false),
            Poll::Pending => idle.as_mut().poll_over(cx).map(|()| false),
        }
    })
    .await
}
