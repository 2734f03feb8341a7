//! One request over HTTP/2: a stream of a connection, served by a task of its own.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http1::{BodyLength, Buffer, Relay, RelayError, RequestKind, ResponseHead};

use super::body::{Body, Sink};
use super::{Downstream, Next};
use crate::proxy::answer::{self, Answer, Failure};
use crate::proxy::request::Plan;
use crate::proxy::response::{AnswerHead, Outgoing, announces_length};
use crate::proxy::rewrite::response_fields;
use crate::proxy::upstream::UpstreamIo;
use crate::proxy::{Shared, exchange, worker};
use crate::transport::fields_of_lines;

/// Serves a request. True where the client took it back before it was answered.
pub(super) async fn serve(
    plan: Plan,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    port: u16,
    shared: Arc<Shared>,
) -> bool {
    let mut stream = Stream { body: Body::new(body), input: None, sent: Sent::Head(respond), port, taken_back: false };
    let next = exchange::forward(&mut stream, plan, &shared).await;
    if next == Next::Reset {
        stream.reset(Reason::INTERNAL_ERROR);
    }
    // Otherwise it has ended, or the client has. One that still sends is told that nobody reads it any more, by h2.
    stream.taken_back
}

/// Sends an answer of the proxy's own.
pub(super) fn send_answer(
    respond: &mut SendResponse<Bytes>,
    answer: &Answer,
    kind: RequestKind,
) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
    let own = answer.fields.iter().map(|(name, value)| (*name, &**value));
    for (name, value) in own.chain(answer::ALWAYS) {
        append(headers, name, value.as_bytes());
    }
    let bodiless = kind == RequestKind::Head || answer.body.is_empty();
    let mut stream = respond.send_response(response, bodiless)?;
    if !bodiless {
        stream.send_data(Bytes::copy_from_slice(answer.body.as_bytes()), true)?;
    }
    Ok(())
}

/// The client's side of one exchange.
struct Stream {
    body: Body,
    /// What has been read of the body and not been used.
    input: Option<Buffer>,
    sent: Sent,
    /// Port of the listener, for URLs in our own answers.
    port: u16,
    taken_back: bool,
}

/// What has been sent.
enum Sent {
    /// No head.
    Head(SendResponse<Bytes>),
    Body(Sink),
}

impl Stream {
    fn reset(&mut self, reason: Reason) {
        match &mut self.sent {
            Sent::Head(respond) => respond.send_reset(reason),
            Sent::Body(sink) => sink.reset(reason),
        }
    }
}

impl Downstream for Stream {
    type Head = Response<()>;

    const MANY: bool = true;

    /// Frames have taken the place of chunks: what they carry is the body, and their end is its end.
    fn framed(to: BodyLength) -> BodyLength {
        match to {
            BodyLength::Chunked => BodyLength::UntilClose,
            length => length,
        }
    }

    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut self.sent {
            Sent::Head(respond) => respond.poll_reset(cx),
            Sent::Body(sink) => sink.poll_reset(cx),
        };
        reset.map(|reason| self.taken_back |= reason.is_ok())
    }

    /// A reset is seen without anything being read.
    fn has_left(&self) -> bool {
        false
    }

    fn poll_upload(
        &mut self,
        upload: &mut Relay,
        upstream: &mut UpstreamIo,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        match upload.poll(&mut self.body, &mut self.input, upstream, cx) {
            // An upstream that takes nothing must not keep us from seeing that nobody waits for it.
            Poll::Pending => {
                self.poll_left(cx).map(|()| Err(RelayError::Source(io::ErrorKind::ConnectionReset.into())))
            }
            Poll::Ready(Err(RelayError::Source(error))) => {
                self.taken_back = true;
                Poll::Ready(Err(RelayError::Source(error)))
            }
            ready => ready,
        }
    }

    async fn interim(&mut self, head: Response<()>, _plan: &Plan) -> io::Result<()> {
        match &mut self.sent {
            Sent::Head(respond) => respond.send_informational(head).map_err(io::Error::other),
            Sent::Body(_) => Ok(()),
        }
    }

    fn begin_answer(&mut self, out: Outgoing<Response<()>>, from: BodyLength, shared: &Shared) -> io::Result<Relay> {
        let Sent::Head(respond) = &mut self.sent else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let ends = matches!(out.to, BodyLength::Empty | BodyLength::Length(0));
        let stream = respond.send_response(out.head, ends).map_err(io::Error::other)?;
        self.sent = Sent::Body(Sink::new(stream, ends));
        let to = if ends { BodyLength::Empty } else { BodyLength::UntilClose };
        Ok(Relay::new(Vec::new(), from, to, &shared.limits).with_small_buffers())
    }

    fn poll_download(
        &mut self,
        download: &mut Relay,
        upstream: &mut UpstreamIo,
        answer: &mut Option<Buffer>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        let Sent::Body(sink) = &mut self.sent else { return Poll::Ready(Ok(())) };
        let relayed = download.poll(upstream, answer, sink, cx);
        if relayed.is_ready() {
            return relayed;
        }
        sink.release();
        // Where the client's own direction is over, nothing else would tell that it has left.
        self.poll_left(cx).map(|()| Err(RelayError::Destination(io::ErrorKind::ConnectionReset.into())))
    }

    fn end_answer(&mut self, download: &Relay) {
        if let Sent::Body(sink) = &mut self.sent {
            sink.end(download.trailers().map(fields_of_lines));
        }
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Sent::Body(sink) = &mut self.sent {
            sink.end(None);
        }
        Poll::Ready(Ok(()))
    }

    async fn fail(&mut self, failure: &Failure, plan: &Plan, shared: &Shared) -> Next {
        let answer = worker::with_table(|table, _| failure.answer(plan.form, &shared.routes(table, self.port)));
        tracing::debug!(name = %plan.route.spec.name, status = answer.status, "answered in the target's place");
        match &mut self.sent {
            Sent::Head(respond) => match send_answer(respond, &answer, plan.kind) {
                Ok(()) => {
                    if let Some(observed) = &plan.observed {
                        observed.answered(answer.status);
                    }
                    Next::KeepAlive
                }
                Err(_) => Next::Close,
            },
            Sent::Body(_) => Next::Reset,
        }
    }
}

impl AnswerHead for Response<()> {
    /// Over HTTP/2 a request for a WebSocket is answered like any other (RFC 8441, section 5).
    const SWITCHED: u16 = 200;

    fn interim(head: &ResponseHead<'_>) -> Self {
        with_fields(head, None)
    }

    fn switched(head: &ResponseHead<'_>) -> Self {
        let mut response = with_fields(head, None);
        *response.status_mut() = StatusCode::from_u16(Self::SWITCHED).unwrap_or_default();
        response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
        response
    }

    /// Any success opens the tunnel (RFC 9110, section 9.3.6), and what follows here is a page.
    fn looks_switched(status: u16) -> bool {
        matches!(status, 200..=299)
    }

    fn answer(head: &ResponseHead<'_>, plan: &Plan, _close: bool) -> Outgoing<Self> {
        let mut response = with_fields(head, Some(plan));
        let length = match head.body {
            BodyLength::Length(length) => Some(length),
            BodyLength::Empty if announces_length(head.status, plan.kind) => head.content_length,
            _ => None,
        };
        if let Some(length) = length {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Outgoing { head: response, to: head.body, keep_alive: true }
    }
}

fn with_fields(head: &ResponseHead<'_>, plan: Option<&Plan>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.reserve(head.fields.len());
    let prefix = plan.and_then(|plan| plan.prefix.as_deref());
    response_fields(&head.fields, prefix, |name, value| append(headers, name, &value));
    response
}

/// Names and values of HTTP/1.1 that were found valid are valid here too.
fn append(headers: &mut http::HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        headers.append(name, value);
    }
}
