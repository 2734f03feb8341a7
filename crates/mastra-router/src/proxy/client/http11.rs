//! HTTP/1.1 with a client: request after request, and nothing held in between.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http1::{
    BodyLength, BodyReader, Buffer, HeadScan, Parsed, Piece, Relay, RelayError, RequestHead, RequestKind, ResponseHead,
    Target, Version, poll_fill,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::idle::IdleTimer;
use super::{ClientIo, Downstream, Next, wait};
use crate::event::RequestProtocol;
use crate::proxy::Shared;
use crate::proxy::answer::{self, Answer, Failure, Form};
use crate::proxy::forward::{self, ConnectionFields};
use crate::proxy::observed::Observed;
use crate::proxy::request::{self, Inbound, LastRoute, Plan, Refused};
use crate::proxy::response::{AnswerHead, Outgoing, announces_length};
use crate::proxy::rewrite::response_fields;
use crate::proxy::upstream::UpstreamIo;
use crate::proxy::{exchange, upgrade, worker};

/// How long what a client still sends is read after an answer that did not wait for it.
const LINGER: Duration = Duration::from_secs(2);

/// A client's connection.
struct Client<S: ClientIo> {
    io: S,
    /// What has been read and not been used; no buffer where that is nothing.
    input: Option<Buffer>,
    scan: HeadScan,
    last: LastRoute,
    fields: ConnectionFields,
    /// Port of the listener, for URLs in our own answers.
    port: u16,
    /// Whether an answer is on its way that ends with the connection, so that an orderly end would make it look whole.
    end_is_answers: bool,
}

/// Also what ends a connection from outside, as a stop at its deadline does, must not make half an answer look whole.
impl<S: ClientIo> Drop for Client<S> {
    fn drop(&mut self) {
        if self.end_is_answers {
            self.io.reset_on_close();
        }
    }
}

/// Serves a connection, whose first bytes are in `input`, until it ends.
pub(super) async fn serve<S: ClientIo>(
    io: S,
    input: Option<Buffer>,
    peer: SocketAddr,
    local: SocketAddr,
    tls: bool,
    shared: &Shared,
    mut idle: Pin<&mut IdleTimer>,
) {
    let fields = ConnectionFields::new(peer, local, tls);
    let (scan, last) = (HeadScan::default(), LastRoute::default());
    let mut client = Client { io, input, scan, last, fields, port: local.port(), end_is_answers: false };
    loop {
        if client.input.is_none() && !wait(&mut client.io, &mut client.input, idle.as_mut()).await {
            break;
        }
        // Boxed, so that a connection without a request has no room for one.
        match Box::pin(client.exchange(shared)).await {
            Next::KeepAlive if worker::closes_idle() => break,
            Next::KeepAlive => {}
            Next::Close => break,
            Next::Linger => return Box::pin(client.linger()).await,
            Next::Reset => return client.io.reset_on_close(),
        }
    }
    if tls && !client.end_is_answers {
        // TLS says that it ends: a receiver can tell that from an end that somebody else made.
        let _ = poll_fn(|cx| Poll::Ready(Pin::new(&mut client.io).poll_shutdown(cx))).await;
    }
}

/// What is to be done with the bytes of a request.
enum Decision {
    /// The head is not complete.
    Partial,
    /// Forward it.
    Forward(Plan),
    /// Answer it here; `unread` is the body that follows.
    Answer { refused: Refused, kind: RequestKind, keep_alive: bool, unread: BodyLength },
}

impl<S: ClientIo> Client<S> {
    /// One request and its answer.
    async fn exchange(&mut self, shared: &Shared) -> Next {
        let mut deadline = None;
        loop {
            let decision = self.decide(shared);
            match decision {
                Decision::Forward(plan) => return exchange::forward(self, plan, shared).await,
                Decision::Answer { refused: Refused { answer, observed }, kind, keep_alive, unread } => {
                    return self.answer(&answer, observed.as_deref(), kind, keep_alive, unread, shared).await;
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
                            let Refused { answer, observed } = self.unreadable(&failure, shared);
                            let (kind, unread) = (RequestKind::Other, BodyLength::Empty);
                            return self.answer(&answer, observed.as_deref(), kind, false, unread, shared).await;
                        }
                    }
                }
            }
        }
    }

    /// Reads the head that the input starts with, takes it off, and decides.
    fn decide(&mut self, shared: &Shared) -> Decision {
        let input = self.input.as_ref().map_or(&[][..], Buffer::filled);
        let mut slots = http1::slots();
        let head = match RequestHead::parse(input, &mut slots, &shared.limits, &mut self.scan) {
            Ok(Parsed::Complete(head)) => head,
            Ok(Parsed::Partial) => return Decision::Partial,
            Err(error) => {
                let failure = Failure::BadRequest { status: error.status(), reason: error.reason() };
                tracing::info!(reason = error.reason(), "request refused");
                let (refused, unread) = (self.unreadable(&failure, shared), BodyLength::UntilClose);
                return Decision::Answer { refused, kind: RequestKind::Other, keep_alive: false, unread };
            }
        };
        self.scan = HeadScan::default();
        let (taken, keep_alive, unread) = (head.len, head.keep_alive, head.body);
        let kind = if head.method == "HEAD" { RequestKind::Head } else { RequestKind::Other };
        let protocol = RequestProtocol::Http11;
        let mut context = request::Context { last: &mut self.last, fields: &self.fields, port: self.port, protocol };
        let fields = || head.fields.iter().filter(|field| !head.fields.is_hop_by_hop(field.name));
        let decided = request::decide(&inbound(&head), fields, &mut context, shared);
        self.consume(taken);
        match decided {
            Ok(plan) => Decision::Forward(plan),
            Err(refused) => Decision::Answer { refused, kind, keep_alive, unread },
        }
    }

    /// Nothing of such a request can be trusted, its wish for a form included.
    fn unreadable(&self, failure: &Failure, shared: &Shared) -> Refused {
        let answer = self.render(failure, Form::Text, shared);
        Refused { answer, observed: Observed::unreadable(shared, RequestProtocol::Http11) }
    }
}

/// Host and path of a request. Where the target is absolute, its authority overrules `Host` (RFC 9112, section 3.2.2). An
/// HTTP/1.0 request may have no host.
fn inbound<'b>(head: &RequestHead<'b>) -> Inbound<'b> {
    let (authority, path) = match head.target {
        Target::Absolute { authority, path, .. } => (authority, path),
        Target::Origin(path) => (head.host.unwrap_or(""), path),
        Target::Asterisk => (head.host.unwrap_or(""), "*"),
    };
    Inbound {
        method: head.method,
        authority,
        path,
        body: head.body,
        version: head.version,
        keep_alive: head.keep_alive,
        passed: forward::hops(head.fields.iter()),
        accept_key: upgrade::accept_key(head),
        size: head.len,
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

    /// Writes all of `bytes`.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    fn render(&self, failure: &Failure, form: Form, shared: &Shared) -> Answer {
        worker::with_table(|table, _| failure.answer(form, &shared.routes(table, self.port)))
    }

    async fn answer(
        &mut self,
        answer: &Answer,
        observed: Option<&Observed>,
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
        for (name, value) in &answer.fields {
            http1::write_field(&mut out, name, value.as_bytes());
        }
        for (name, value) in answer::ALWAYS {
            http1::write_field(&mut out, name, value.as_bytes());
        }
        if !keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        http1::end_head(&mut out);
        if kind != RequestKind::Head {
            out.extend_from_slice(answer.body.as_bytes());
        }
        if let Some(observed) = observed {
            observed.answered(answer.status);
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

impl<S: ClientIo> Downstream for Client<S> {
    type Head = Vec<u8>;

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What it sends meanwhile is kept for later, up to a bound.
        while self.input.as_ref().is_none_or(|b| b.filled().len() < http1::SMALL) {
            match poll_fill(&mut self.io, &mut self.input, false, cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    fn has_left(&self) -> bool {
        self.io.is_closed()
    }

    fn poll_upload(
        &mut self,
        upload: &mut Relay,
        upstream: &mut UpstreamIo,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        upload.poll(&mut self.io, &mut self.input, upstream, cx)
    }

    async fn interim(&mut self, head: Vec<u8>, plan: &Plan) -> io::Result<()> {
        match plan.version {
            // It does not know them (RFC 9110, section 15.2).
            Version::Http10 => Ok(()),
            Version::Http11 => self.write(&head).await,
        }
    }

    fn begin_answer(&mut self, out: Outgoing<Vec<u8>>, from: BodyLength, shared: &Shared) -> io::Result<Relay> {
        self.end_is_answers = out.to == BodyLength::UntilClose;
        Ok(Relay::new(out.head, from, out.to, &shared.limits))
    }

    fn poll_download(
        &mut self,
        download: &mut Relay,
        upstream: &mut UpstreamIo,
        answer: &mut Option<Buffer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        download.poll(upstream, answer, &mut self.io, cx)
    }

    fn end_answer(&mut self, _download: &Relay) {
        self.end_is_answers = false;
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        // An end that was said is no end to be taken for another.
        self.end_is_answers = false;
        Poll::Ready(Ok(()))
    }

    async fn fail(&mut self, failure: &Failure, plan: &Plan, shared: &Shared) -> Next {
        let answer = self.render(failure, plan.form, shared);
        tracing::debug!(name = %plan.route.spec.name, status = answer.status, "answered in the target's place");
        // What of the body went to the upstream is not known here, so a body ends the connection.
        let unread = match plan.body {
            BodyLength::Empty | BodyLength::Length(0) => BodyLength::Empty,
            _ => BodyLength::UntilClose,
        };
        self.answer(&answer, plan.observed.as_deref(), plan.kind, plan.keep_alive, unread, shared).await
    }
}

impl AnswerHead for Vec<u8> {
    const SWITCHED: u16 = 101;

    fn interim(head: &ResponseHead<'_>) -> Self {
        let mut out = Vec::with_capacity(head.len);
        http1::write_status_line(&mut out, head.status, head.reason);
        response_fields(&head.fields, None, |name, value| http1::write_field(&mut out, name, &value));
        http1::end_head(&mut out);
        out
    }

    fn switched(head: &ResponseHead<'_>) -> Self {
        let mut out = Vec::with_capacity(head.len + 64);
        http1::write_status_line(&mut out, Self::SWITCHED, head.reason);
        response_fields(&head.fields, None, |name, value| http1::write_field(&mut out, name, &value));
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
        http1::end_head(&mut out);
        out
    }

    fn answer(head: &ResponseHead<'_>, plan: &Plan, close: bool) -> Outgoing<Self> {
        // A body without a length ends with the connection; a client that knows chunks is told its end instead, so that
        // it can keep its own connection and tell a whole body from one that broke off.
        let to = match (head.body, plan.version) {
            (BodyLength::Chunked | BodyLength::UntilClose, Version::Http10) => BodyLength::UntilClose,
            (BodyLength::UntilClose, Version::Http11) => BodyLength::Chunked,
            (length, _) => length,
        };
        let keep_alive = plan.keep_alive && !close && to != BodyLength::UntilClose;
        let mut out = Vec::with_capacity(head.len + 128);
        http1::write_status_line(&mut out, head.status, head.reason);
        response_fields(&head.fields, plan.prefix.as_deref(), |name, value| http1::write_field(&mut out, name, &value));
        if to == BodyLength::Empty {
            let announced = head.fields.get("content-length").filter(|_| announces_length(head.status, plan.kind));
            if let Some(length) = announced {
                http1::write_field(&mut out, "Content-Length", length);
            }
        } else {
            http1::write_length(&mut out, to);
        }
        if !keep_alive {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        http1::end_head(&mut out);
        Outgoing { head: out, to, keep_alive }
    }
}
