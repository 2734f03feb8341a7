//! A client's connection: request after request, and nothing held in between.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http1::{BodyLength, BodyReader, Buffer, HeadScan, Io, Piece, RequestKind, poll_fill};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep};

use super::Shared;
use super::answer::{Answer, Failure};
use super::exchange;
use super::forward::ConnectionFields;
use super::request::{self, Decision, LastRoute, Plan};
use super::worker;

/// How long what a client still sends is read after an answer that did not wait for it.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection must have had nothing to do to make room for another.
const SHED_AFTER: Duration = Duration::from_secs(1);

/// A connection's socket, with what the proxy needs beyond reading and writing.
pub(crate) trait ClientIo: Io + Send {
    /// Lets the connection end with a reset instead of an orderly close.
    fn reset_on_close(&self);
}

/// The client's side of an exchange.
pub(crate) struct Client<S: ClientIo> {
    pub(crate) io: S,
    /// What has been read and not been used; no buffer where that is nothing.
    pub(crate) input: Option<Buffer>,
    scan: HeadScan,
    last: LastRoute,
    fields: ConnectionFields,
    /// Port of the listener, for URLs in our own answers.
    port: u16,
    /// Whether an answer is on its way that ends with the connection, so that an orderly end would make it look whole.
    pub(crate) end_is_answers: bool,
}

/// Also what ends a connection from outside, as a stop at its deadline does, must not make half an answer look whole.
impl<S: ClientIo> Drop for Client<S> {
    fn drop(&mut self) {
        if self.end_is_answers {
            self.io.reset_on_close();
        }
    }
}

/// What becomes of the connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    KeepAlive,
    Close,
    /// Close once the client has read the answer, though it is still sending.
    Linger,
    /// End it so that nobody takes what was sent for whole.
    Reset,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S: ClientIo>(io: S, peer: SocketAddr, local: SocketAddr, shared: Arc<Shared>) {
    let fields = ConnectionFields::new(peer, local, false);
    let (scan, last) = (HeadScan::default(), LastRoute::default());
    let mut client = Client { io, input: None, scan, last, fields, port: local.port(), end_is_answers: false };
    let mut idle = pin!(IdleTimer::new(shared.config.idle_timeout));
    let _tracked = poll_fn(|cx| Poll::Ready(worker::track(cx.waker()))).await;
    loop {
        if client.input.is_none() && !client.wait(idle.as_mut()).await {
            return;
        }
        // Boxed, so that a connection without a request has no room for one.
        match Box::pin(client.exchange(&shared)).await {
            Next::KeepAlive if worker::is_draining() => return,
            Next::KeepAlive => {}
            Next::Close => return,
            Next::Linger => return Box::pin(client.linger()).await,
            Next::Reset => return client.io.reset_on_close(),
        }
    }
}

impl<S: ClientIo> Client<S> {
    /// Waits for the first bytes of a request; false when the connection is to end instead.
    async fn wait(&mut self, mut idle: Pin<&mut IdleTimer>) -> bool {
        idle.as_mut().restart();
        let shed = worker::times_shed();
        poll_fn(|cx| {
            if worker::is_draining() {
                return Poll::Ready(false);
            }
            match poll_fill(&mut self.io, &mut self.input, false, cx) {
                Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
                Poll::Ready(Ok(_)) => Poll::Ready(true),
                // One that was accepted a moment ago is about to send its request.
                Poll::Pending if worker::times_shed() != shed && idle.elapsed() >= SHED_AFTER => Poll::Ready(false),
                Poll::Pending => idle.as_mut().poll_over(cx).map(|()| false),
            }
        })
        .await
    }

    /// One request and its answer.
    async fn exchange(&mut self, shared: &Shared) -> Next {
        let mut deadline = None;
        loop {
            let input = self.input.as_ref().map_or(&[][..], Buffer::filled);
            let (taken, decision) =
                request::decide(input, &mut self.scan, &mut self.last, &self.fields, self.port, shared);
            self.consume(taken);
            match decision {
                Decision::Forward(plan) => return exchange::forward(self, plan, shared).await,
                Decision::Answer { answer, kind, keep_alive, unread } => {
                    return self.answer(&answer, kind, keep_alive, unread, shared).await;
                }
                Decision::Partial => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + shared.config.head_timeout);
                    let filled = poll_fn(|cx| poll_fill(&mut self.io, &mut self.input, false, cx));
                    match tokio::time::timeout_at(deadline, filled).await {
                        Ok(Ok(n)) if n > 0 => {}
                        Ok(_) => return Next::Close,
                        Err(_) => {
                            tracing::info!("request head not complete in time");
                            let failure = Failure::BadRequest { status: 408, reason: "head_timeout" };
                            let answer = self.render(&failure, super::answer::Form::Text, shared);
                            return self.answer(&answer, RequestKind::Other, false, BodyLength::Empty, shared).await;
                        }
                    }
                }
            }
        }
    }
}

impl<S: ClientIo> Client<S> {
    fn consume(&mut self, n: usize) {
        if let Some(buffer) = &mut self.input {
            buffer.consume(n);
            if buffer.is_empty() {
                self.input = None;
            }
        }
    }

    /// Ready when the client has closed its side. What it sends meanwhile is kept for later, up to a bound.
    pub(crate) fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.input.as_ref().is_none_or(|b| b.filled().len() < http1::SMALL) {
            match poll_fill(&mut self.io, &mut self.input, false, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await
    }

    fn render(&self, failure: &Failure, form: super::answer::Form, shared: &Shared) -> Answer {
        worker::with_table(|table, _| failure.answer(form, table, &shared.base, self.port))
    }

    /// Answers in the place of an upstream.
    pub(crate) async fn fail(&mut self, failure: &Failure, plan: &Plan, shared: &Shared) -> Next {
        let answer = self.render(failure, plan.form, shared);
        tracing::debug!(name = %plan.route.spec.name, status = answer.status, "answered in the target's place");
        // What of the body went to the upstream is not known here, so a body ends the connection.
        let unread = match plan.body {
            BodyLength::Empty | BodyLength::Length(0) => BodyLength::Empty,
            _ => BodyLength::UntilClose,
        };
        self.answer(&answer, plan.kind, plan.keep_alive, unread, shared).await
    }

    async fn answer(
        &mut self,
        answer: &Answer,
        kind: RequestKind,
        keep_alive: bool,
        unread: BodyLength,
        shared: &Shared,
    ) -> Next {
        let read = self.skip_body(unread, shared);
        let keep_alive = keep_alive && read && !worker::is_draining();
        let mut out = Vec::with_capacity(answer.body.len() + 512);
        http1::write_status_line(&mut out, answer.status, answer.reason.as_bytes());
        http1::write_field(&mut out, "Content-Type", answer.content_type.as_bytes());
        http1::write_length(&mut out, BodyLength::Length(answer.body.len() as u64));
        out.extend_from_slice(answer.fields.as_bytes());
        out.extend_from_slice(
            b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
              Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
        );
        if !keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        http1::end_head(&mut out);
        if kind != RequestKind::Head {
            out.extend_from_slice(answer.body.as_bytes());
        }
        match self.write(&out).await {
            Err(_) => Next::Close,
            Ok(()) if keep_alive => Next::KeepAlive,
            Ok(()) if read => Next::Close,
            Ok(()) => Next::Linger,
        }
    }

    /// Takes a body that nobody wants off the input; false where it is not all there.
    fn skip_body(&mut self, length: BodyLength, shared: &Shared) -> bool {
        let mut reader = BodyReader::new(length, &shared.limits);
        while !reader.is_done() {
            let input = self.input.as_ref().map_or(&[][..], Buffer::filled);
            match reader.read(input) {
                Ok(Piece::Data { skip, len }) => self.consume(skip + len),
                Ok(Piece::End { skip }) => self.consume(skip),
                Ok(Piece::More { .. }) | Err(_) => return false,
            }
        }
        true
    }

    /// Closes our side, and reads on for a while: a socket closed with unread bytes is reset, and a reset can overtake the
    /// answer (RFC 9112, section 9.6).
    async fn linger(&mut self) {
        let drained = async {
            let _ = poll_fn(|cx| AsyncWrite::poll_shutdown(Pin::new(&mut self.io), cx)).await;
            loop {
                self.input = None;
                match poll_fn(|cx| poll_fill(&mut self.io, &mut self.input, true, cx)).await {
                    Ok(n) if n > 0 => {}
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drained).await;
    }
}

/// A timer that is set anew for each request without being registered anew: when it fires too early, it is put off.
struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    after: Duration,
    since: Instant,
}

impl IdleTimer {
    fn new(after: Duration) -> Self {
        Self { sleep: None, after, since: Instant::now() }
    }

    fn restart(mut self: Pin<&mut Self>) {
        self.since = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn poll_over(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.since + self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
