//! HTTP/2 with a client (RFC 9113): a connection, whose streams are served by tasks of their own.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http1::{BodyLength, Field, MAX_FIELDS, METHOD_BYTES, RequestKind, Version};
use tokio::time::{Instant, Sleep};

use super::idle::IdleTimer;
use super::{ClientIo, SHED_AFTER, stream};
use crate::event::RequestProtocol;
use crate::proxy::answer::{Failure, Form};
use crate::proxy::forward::{self, ConnectionFields};
use crate::proxy::observed::Observed;
use crate::proxy::request::{self, Inbound, LastRoute, Refused};
use crate::proxy::{Shared, upgrade, worker};
use crate::transport::SEND_BUFFER;

/// What a client may send on a stream before it went on to the target.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same for all streams: as much as half of them may have, so that a target that reads nothing does not stop the
/// uploads to others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Streams that were reset before we saw them, and streams we have reset and still know of. A browser that leaves a page
/// takes back all of its requests at once; more than it can have is an attack (CVE-2023-44487).
const RESETS_AT_ONCE: usize = 250;
/// Streams that we reset since they broke the rules, before the connection is ended (CVE-2025-8671).
const FAULTS: usize = 256;
/// Requests that are taken back one after the other: so many are nothing unusual, and so many more each second.
const TAKEN_BACK: u32 = 1000;
const TAKEN_BACK_A_SECOND: f64 = 100.0;

/// How long a client may take to answer to the end of a connection on which nothing is under way.
const END: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn serve<S: ClientIo + 'static>(
    io: S,
    peer: SocketAddr,
    local: SocketAddr,
    shared: &Arc<Shared>,
    mut idle: Pin<&mut IdleTimer>,
) {
    let handshake = builder(shared).handshake(io);
    let Ok(Ok(mut connection)) = tokio::time::timeout(shared.config.head_timeout, handshake).await else { return };
    let mut requests = Requests {
        last: LastRoute::default(),
        fields: ConnectionFields::new(peer, local, true),
        port: local.port(),
        budget: Budget::new(),
    };
    idle.as_mut().restart();
    let mut is_new = true;
    while let Some((request, respond)) = next(&mut connection, idle.as_mut(), is_new).await {
        is_new = false;
        if requests.budget.is_exceeded() {
            tracing::info!("a client takes back requests without end");
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            continue;
        }
        requests.begin(request, respond, shared);
    }
}

/// Every limit of the protocol, none left to a default that may change.
fn builder(shared: &Shared) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(shared.streams)
        .max_header_list_size(u32::try_from(shared.limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        // The smallest that may be: larger frames only keep other streams waiting.
        .max_frame_size(16 * 1024)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(RESETS_AT_ONCE)
        .max_pending_accept_reset_streams(RESETS_AT_ONCE)
        .max_local_error_reset_streams(Some(FAULTS))
        .enable_connect_protocol();
    builder
}

type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

/// The next request; `None` when the connection has ended. One that is new is about to send its first: told that it ends,
/// its client would have none to send it on.
async fn next<S: ClientIo>(
    connection: &mut Connection<S, Bytes>,
    mut idle: Pin<&mut IdleTimer>,
    is_new: bool,
) -> Option<Incoming> {
    let shed = worker::times_shed();
    let mut ending: Option<Option<Pin<Box<Sleep>>>> = None;
    let mut busy = true;
    poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok(incoming))) => return Poll::Ready(Some(incoming)),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "HTTP/2 connection ended");
                    return Poll::Ready(None);
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            let has_streams = connection.has_streams();
            if has_streams {
                busy = true;
            } else if std::mem::take(&mut busy) {
                idle.as_mut().restart();
            }
            if let Some(end) = &mut ending {
                // A client that does not answer to the end of its connection holds its place no longer than this.
                let end = end.get_or_insert_with(|| Box::pin(tokio::time::sleep(END)));
                return if has_streams { Poll::Pending } else { end.as_mut().poll(cx).map(|()| None) };
            }
            let shed = worker::times_shed() != shed && idle.elapsed() >= SHED_AFTER;
            let draining = if is_new { worker::closes_idle() } else { worker::is_draining() };
            let over = draining || !has_streams && (shed || idle.as_mut().poll_over(cx).is_ready());
            if !over {
                return Poll::Pending;
            }
            // Open streams may end; then the connection does.
            ending = Some(None);
            connection.graceful_shutdown();
        }
    })
    .await
}

/// What the requests of a connection have in common.
struct Requests {
    last: LastRoute,
    fields: ConnectionFields,
    port: u16,
    budget: Budget,
}

impl Requests {
    /// Decides on a request, and answers it or starts the task that does.
    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>, shared: &Arc<Shared>) {
        let (parts, body) = request.into_parts();
        let kind = if parts.method == Method::HEAD { RequestKind::Head } else { RequestKind::Other };
        let decided = match Head::read(&parts, &body, shared) {
            Ok(head) => {
                let (last, fields, port) = (&mut self.last, &self.fields, self.port);
                let mut context = request::Context { last, fields, port, protocol: RequestProtocol::Http2 };
                request::decide(&head.inbound, || head.fields(), &mut context, shared)
            }
            Err((status, reason)) => {
                tracing::info!(reason, "request refused");
                let failure = Failure::BadRequest { status, reason };
                let answer = worker::with_table(|t, _| failure.answer(Form::Text, &shared.routes(t, self.port)));
                Err(Refused { answer, observed: observed(&parts, shared) })
            }
        };
        match decided {
            Ok(plan) => {
                let (port, shared, taken_back) = (self.port, shared.clone(), self.budget.taken_back.clone());
                tokio::spawn(async move {
                    if stream::serve(plan, body, respond, port, shared).await {
                        taken_back.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            Err(Refused { answer, observed }) => {
                // A client that is gone needs no answer.
                match stream::send_answer(&mut respond, &answer, kind) {
                    Ok(()) => _ = observed.map(|observed| observed.answered(answer.status)),
                    Err(_) => _ = self.budget.taken_back.fetch_add(1, Ordering::Relaxed),
                }
            }
        }
    }
}

/// A request's head in the terms of HTTP/1.1.
struct Head<'r> {
    inbound: Inbound<'r>,
    headers: &'r HeaderMap,
    /// All fields `Cookie` in one, where there were several (RFC 9113, section 8.2.3).
    cookie: Option<Vec<u8>>,
    /// The key of a WebSocket handshake.
    key: Option<String>,
}

impl<'r> Head<'r> {
    /// Reads what h2 has found well-formed, by the rules that HTTP/1.1 is held to. An error is a status and a reason.
    fn read(parts: &'r http::request::Parts, body: &RecvStream, shared: &Shared) -> Result<Self, (u16, &'static str)> {
        let headers = &parts.headers;
        let websocket = match parts.extensions.get::<Protocol>() {
            Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => true,
            // RFC 9220, section 3, says so of protocols that are not known.
            Some(_) => return Err((501, "unknown_protocol")),
            None if parts.method == Method::CONNECT => return Err((405, "connect")),
            None => false,
        };
        // Cookies may come in as many crumbs as there are, and go on in one field.
        if headers.len() > MAX_FIELDS && headers.len() - headers.get_all(header::COOKIE).iter().count() >= MAX_FIELDS {
            return Err((431, "too_many_fields"));
        }
        if parts.method.as_str().len() > METHOD_BYTES {
            return Err((400, "bad_method"));
        }
        for (name, value) in headers {
            // The http crate takes a quotation mark for a part of a name.
            if !http1::is_field_name(name.as_str()) {
                return Err((400, "bad_field_name"));
            }
            // RFC 9113, section 8.2.1. Where it is taken off, and where not, the next server reads another value.
            if has_white_space_around(value.as_bytes()) {
                return Err((400, "bad_field_value"));
            }
        }
        if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
            return Err((400, "bad_scheme"));
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        if path.len() > shared.limits.target_bytes {
            return Err((414, "target_too_long"));
        }
        if !(http1::is_origin_form(path) || path == "*" && parts.method == Method::OPTIONS) {
            return Err((400, "bad_target"));
        }
        let mut expected = headers.get_all(header::EXPECT).iter();
        if expected.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Err((417, "bad_expect"));
        }
        let mut cookies = headers.get_all(header::COOKIE).iter();
        let cookie = match (cookies.next(), cookies.next()) {
            (Some(_), Some(_)) => {
                let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(|c| c.as_bytes()).collect();
                Some(all.join(&b"; "[..]))
            }
            _ => None,
        };
        let key = websocket.then(upgrade::new_key);
        let inbound = Inbound {
            method: if websocket { "GET" } else { parts.method.as_str() },
            authority: authority(parts)?,
            path,
            // A tunnel is no body.
            body: if websocket { BodyLength::Empty } else { length(headers, body)? },
            version: Version::Http11,
            keep_alive: true,
            passed: forward::hops(headers.iter().map(field)),
            accept_key: key.as_ref().map(|key| upgrade::accepts(key.as_bytes())),
            size: headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
        };
        Ok(Self { inbound, headers, cookie, key })
    }

    /// The fields, end-to-end ones only.
    fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let joined = self.cookie.as_deref().map(|value| Field { name: "cookie", value });
        let key = self.key.as_deref().map(|key| Field { name: "sec-websocket-key", value: key.as_bytes() });
        let (no_cookie, no_key) = (joined.is_some(), key.is_some());
        self.headers
            .iter()
            .filter(move |(name, _)| {
                let replaced = no_cookie && *name == header::COOKIE || no_key && *name == header::SEC_WEBSOCKET_KEY;
                !replaced && !http1::is_for_connection(name.as_str())
            })
            .map(field)
            .chain(joined)
            .chain(key)
    }
}

/// Of a request that h2 has found well-formed, and we have not.
fn observed(parts: &http::request::Parts, shared: &Shared) -> Option<Box<Observed>> {
    let host = parts.uri.authority().map_or("", |authority| authority.as_str());
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    Observed::begin(shared, parts.method.as_str(), host, path, RequestProtocol::Http2)
}

fn has_white_space_around(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

fn field<'r>((name, value): (&'r HeaderName, &'r HeaderValue)) -> Field<'r> {
    Field { name: name.as_str(), value: value.as_bytes() }
}

/// The host that is asked: of `:authority`, or of `Host` where there is none. Both together must be the same, or the two
/// servers behind each other could mean different ones (RFC 9113, section 8.3.1).
fn authority(parts: &http::request::Parts) -> Result<&str, (u16, &'static str)> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (host, None) => host,
        _ => return Err((400, "repeated_host")),
    };
    let host = match host.map(|host| host.to_str()) {
        None => None,
        Some(Ok(host)) => Some(host),
        Some(Err(_)) => return Err((400, "bad_host")),
    };
    let authority = match (parts.uri.authority().map(|authority| authority.as_str()), host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => return Err((400, "two_hosts")),
        (Some(authority), _) | (None, Some(authority)) => authority,
        (None, None) => return Err((400, "missing_host")),
    };
    if http1::is_authority(authority) { Ok(authority) } else { Err((400, "bad_host")) }
}

/// How the body is framed towards an HTTP/1.1 upstream. h2 holds it to `Content-Length`, where that is given.
fn length(headers: &HeaderMap, body: &RecvStream) -> Result<BodyLength, (u16, &'static str)> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (length, None) => length,
        _ => return Err((400, "repeated_content_length")),
    };
    let number = |value: &HeaderValue| -> Option<u64> {
        let text = value.to_str().ok().filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()))?;
        text.parse().ok()
    };
    match length {
        // Only chunks have room for trailers.
        Some(value) if number(value).is_some() && headers.contains_key(header::TRAILER) && !body.is_end_stream() => {
            Ok(BodyLength::Chunked)
        }
        Some(value) => number(value).map(BodyLength::Length).ok_or((400, "bad_content_length")),
        None if body.is_end_stream() => Ok(BodyLength::Empty),
        None => Ok(BodyLength::Chunked),
    }
}

/// How many requests a client may still take back. One that does nothing else makes us work for nothing.
struct Budget {
    /// Counted by the streams' tasks.
    taken_back: Arc<AtomicU32>,
    left: f64,
    since: Instant,
}

impl Budget {
    fn new() -> Self {
        Self { taken_back: Arc::default(), left: f64::from(TAKEN_BACK), since: Instant::now() }
    }

    fn is_exceeded(&mut self) -> bool {
        let taken_back = match self.taken_back.load(Ordering::Relaxed) {
            0 => return false,
            _ => self.taken_back.swap(0, Ordering::Relaxed),
        };
        let now = Instant::now();
        let more = now.duration_since(self.since).as_secs_f64() * TAKEN_BACK_A_SECOND;
        self.since = now;
        self.left = (self.left + more).min(f64::from(TAKEN_BACK)) - f64::from(taken_back);
        self.left < 0.0
    }
}
