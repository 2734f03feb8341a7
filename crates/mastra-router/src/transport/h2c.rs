//! HTTP/2 to a target, used as if it were HTTP/1.1: a request that is written becomes a stream, and what comes back on it
//! reads like an answer. So routing, retries, errors and both kinds of clients need not know of it.

use std::future::Future;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http1::{BodyLength, BodyReader, HeadScan, Limits, Parsed, Piece, RequestHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How much of an answer a target may send before it is read: as much as a large buffer of the proxy takes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Of all answers of a connection. Streams whose clients do not read must not stop the others.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// So many may be unread before the connection's window is used up, and everybody on it would wait for them.
const STREAMS: usize = (CONNECTION_WINDOW / STREAM_WINDOW) as usize - 1;
/// What waits to be sent on one stream, to a target or to a client: who does not read costs no more than this for each.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// A connection to a target, on which many requests can be under way.
#[derive(Clone)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    /// Those who hold it: this one, its clones, and every stream.
    holders: Arc<()>,
}

impl Connection {
    /// Speaks HTTP/2 without asking first (RFC 9113, section 3.3). A task drives the connection until its last stream has
    /// ended and the last handle to it is gone.
    pub(crate) async fn begin(io: TcpStream) -> io::Result<Self> {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(Limits::default().head_bytes).unwrap_or(u32::MAX))
            .max_send_buffer_size(SEND_BUFFER);
        let (requests, driver) = builder.handshake(io).await.map_err(broken)?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection to an HTTP/2 target ended");
            }
        });
        Ok(Self { requests, holders: Arc::default() })
    }

    /// A stream for one request.
    pub(crate) fn stream(&self) -> super::Connection {
        super::Connection::H2c(Box::new(Stream::new(self.clone())))
    }

    /// Whether it has not ended.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        !matches!(self.requests.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Whether it takes another request at once, and not when one of those under way has ended: they may be streams that
    /// never do.
    pub(crate) fn has_room(&self) -> bool {
        let under_way = Arc::strong_count(&self.holders) - 1;
        under_way < STREAMS.min(self.requests.current_max_send_streams())
    }
}

/// One request and its answer.
pub(crate) struct Stream {
    connection: Connection,
    request: Sending,
    answer: Receiving,
    /// What is ready to be read, before `data`.
    text: Vec<u8>,
    text_read: usize,
    data: Bytes,
    /// What of the connection's windows is given back once `data` has been read.
    owed: usize,
    /// Behind a chunk of data stands an end of line.
    chunk_open: bool,
}

enum Sending {
    Head(Vec<u8>),
    Body { stream: SendStream<Bytes>, reader: BodyReader },
    Done { _stream: Option<SendStream<Bytes>> },
}

enum Receiving {
    /// The request is not complete.
    Nothing,
    Head {
        answer: ResponseFuture,
        is_head: bool,
    },
    Body {
        body: RecvStream,
        chunked: bool,
    },
    Done,
}

impl Stream {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            request: Sending::Head(Vec::new()),
            answer: Receiving::Nothing,
            text: Vec::new(),
            text_read: 0,
            data: Bytes::new(),
            owed: 0,
            chunk_open: false,
        }
    }

    /// The connection it is a stream of.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Ready when there is something to read.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.text_read == self.text.len() && self.data.is_empty() {
            if matches!(self.answer, Receiving::Done) {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_more(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Gets more of the answer and puts it into words.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.text.clear();
        self.text_read = 0;
        match &mut self.answer {
            Receiving::Nothing => Poll::Pending,
            Receiving::Done => Poll::Ready(Ok(())),
            Receiving::Head { answer, is_head } => {
                if let Poll::Ready(Some(interim)) = answer.poll_informational(cx) {
                    write_head(&interim.map_err(broken)?, &mut self.text);
                    self.text.extend_from_slice(b"\r\n");
                    return Poll::Ready(Ok(()));
                }
                let answer = ready!(Pin::new(answer).poll(cx)).map_err(broken)?;
                let is_head = *is_head;
                self.begin_answer(answer, is_head);
                Poll::Ready(Ok(()))
            }
            Receiving::Body { body, chunked } => {
                if self.owed > 0 {
                    let _ = body.flow_control().release_capacity(self.owed);
                    self.owed = 0;
                }
                let data = match ready!(body.poll_data(cx)) {
                    Some(data) => data.map_err(broken)?,
                    None => {
                        let trailers = ready!(body.poll_trailers(cx)).map_err(broken)?;
                        if *chunked {
                            let open = std::mem::take(&mut self.chunk_open);
                            self.text.extend_from_slice(if open { b"\r\n0\r\n" } else { b"0\r\n" });
                            write_trailers(trailers.as_ref(), &mut self.text);
                            self.text.extend_from_slice(b"\r\n");
                        }
                        self.answer = Receiving::Done;
                        return Poll::Ready(Ok(()));
                    }
                };
                self.owed = data.len();
                if *chunked && !data.is_empty() {
                    let open = std::mem::replace(&mut self.chunk_open, true);
                    let _ = write!(self.text, "{}{:x}\r\n", if open { "\r\n" } else { "" }, data.len());
                }
                self.data = data;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn begin_answer(&mut self, answer: Response<RecvStream>, is_head: bool) {
        let (mut parts, body) = answer.into_parts();
        // Only chunks have room for trailers; h2 has held the body to its length.
        if parts.headers.contains_key(header::TRAILER) && !is_head {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let ended = body.is_end_stream();
        let bodiless = is_head || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let announced = parts.headers.contains_key(header::CONTENT_LENGTH);
        write_head(&Response::from_parts(parts, ()), &mut self.text);
        let chunked = !bodiless && !announced && !ended;
        if chunked {
            self.text.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if !bodiless && !announced {
            self.text.extend_from_slice(b"Content-Length: 0\r\n");
        }
        self.text.extend_from_slice(b"\r\n");
        self.answer = if bodiless || ended { Receiving::Done } else { Receiving::Body { body, chunked } };
    }

    /// Takes as much of `bytes` as belongs to the head, and sends it once it is whole.
    fn poll_head(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.connection.requests.poll_ready(cx)).map_err(broken)?;
        let Sending::Head(head) = &mut self.request else { return Poll::Ready(Ok(0)) };
        let before = head.len();
        head.extend_from_slice(bytes);
        let mut slots = http1::slots();
        let parsed = RequestHead::parse(head, &mut slots, &Limits::default(), &mut HeadScan::default());
        let (request, body, is_head, len) = match parsed {
            Ok(Parsed::Partial) => return Poll::Ready(Ok(bytes.len())),
            Ok(Parsed::Complete(parsed)) => {
                if parsed.upgrade.is_some() {
                    // One over HTTP/2 needs a target that announces it, and none is known that speaks h2c only.
                    self.refuse("501 Not Implemented", "A target that is spoken to over h2c takes no WebSockets.\n");
                    return Poll::Ready(Ok(bytes.len()));
                }
                let Ok(request) = request(&parsed) else {
                    self.refuse("400 Bad Request", "HTTP/2 has no room for a character of this URL.\n");
                    return Poll::Ready(Ok(bytes.len()));
                };
                (request, parsed.body, parsed.method == "HEAD", parsed.len)
            }
            // It was within the limits before the proxy added its own fields.
            Err(_) => {
                self.refuse("431 Request Header Fields Too Large", "The head of the request is too large.\n");
                return Poll::Ready(Ok(bytes.len()));
            }
        };
        let ends = matches!(body, BodyLength::Empty | BodyLength::Length(0));
        let (answer, stream) = self.connection.requests.send_request(request, ends).map_err(broken)?;
        self.answer = Receiving::Head { answer, is_head };
        self.request = if ends {
            Sending::Done { _stream: Some(stream) }
        } else {
            Sending::Body { stream, reader: BodyReader::new(body, &Limits::default()) }
        };
        // The answer is waited for by whoever polled for it before there was a request.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(len - before))
    }

    /// Answers in the target's place what cannot be asked.
    fn refuse(&mut self, status: &str, body: &str) {
        let _ = write!(
            self.text,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.request = Sending::Done { _stream: None };
        self.answer = Receiving::Done;
    }
}

fn poll_body(
    stream: &mut SendStream<Bytes>,
    reader: &mut BodyReader,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<(usize, bool)>> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    // What frames chunks takes no room: a target may open its window no further before it has seen the body's end.
    let mut framing = 0;
    while reader.run() == 0 {
        let Some(byte) = bytes.get(framing..=framing) else { return Poll::Ready(Ok((framing, false))) };
        match reader.read(byte).map_err(invalid)? {
            Piece::More { skip } => framing += skip,
            Piece::End { skip } => {
                match reader.trailers().map(fields_of_lines) {
                    Some(trailers) if !trailers.is_empty() => stream.send_trailers(trailers),
                    _ => stream.send_data(Bytes::new(), true),
                }
                .map_err(broken)?;
                return Poll::Ready(Ok((framing + skip, true)));
            }
            Piece::Data { .. } => return Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
        }
    }
    if framing > 0 {
        return Poll::Ready(Ok((framing, false)));
    }
    // What the reader is asked for counts as read, so it is asked only for what there is room for.
    let room = ready!(poll_room(stream, bytes.len(), cx))?;
    let bytes = &bytes[..room];
    match reader.read(bytes).map_err(invalid)? {
        Piece::Data { skip, len } => {
            let ends = reader.is_done();
            stream.send_data(Bytes::copy_from_slice(&bytes[skip..skip + len]), ends).map_err(broken)?;
            Poll::Ready(Ok((skip + len, ends)))
        }
        Piece::More { skip } | Piece::End { skip } => Poll::Ready(Ok((skip, false))),
    }
}

/// Room on a stream for some of `wanted` bytes, at least one.
pub(crate) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    stream.reserve_capacity(wanted.min(SEND_BUFFER));
    let mut room = stream.capacity();
    // Room that was given may be gone again when it is asked for.
    while room == 0 {
        room = match ready!(stream.poll_capacity(cx)) {
            Some(room) => room.map_err(broken)?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
    }
    Poll::Ready(Ok(room.min(wanted)))
}

/// A request as HTTP/2 has it: what framed it and what was for the connection stays behind.
fn request(head: &RequestHead<'_>) -> io::Result<Request<()>> {
    let invalid = |error: http::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
    let path = match head.target {
        http1::Target::Origin(path) | http1::Target::Absolute { path, .. } => path,
        http1::Target::Asterisk => "*",
    };
    let uri = Uri::builder().scheme("http").authority(head.host.unwrap_or_default()).path_and_query(path);
    let mut request = Request::builder().method(head.method).uri(uri.build().map_err(invalid)?);
    if let Some(headers) = request.headers_mut() {
        for field in head.fields.iter() {
            if head.fields.is_hop_by_hop(field.name) || field.name.eq_ignore_ascii_case("host") {
                continue;
            }
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(field.name), HeaderValue::from_bytes(field.value)) {
                headers.append(name, value);
            }
        }
        // gRPC servers refuse requests without it, and it is true: trailers are passed on.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    request.body(()).map_err(invalid)
}

fn write_head(answer: &Response<()>, out: &mut Vec<u8>) {
    let status = answer.status();
    http1::write_status_line(out, status.as_u16(), status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in answer.headers() {
        http1::write_field(out, name.as_str(), value.as_bytes());
    }
}

fn write_trailers(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    for (name, value) in trailers.into_iter().flatten() {
        if http1::is_trailer(name.as_str()) {
            http1::write_field(out, name.as_str(), value.as_bytes());
        }
    }
}

/// Field lines, as trailers are kept in, as a map.
pub(crate) fn fields_of_lines(lines: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
    } else {
        io::Error::other(error)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_readable(cx))?;
        let text = &this.text[this.text_read..];
        let n = text.len().min(buf.remaining());
        buf.put_slice(&text[..n]);
        this.text_read += n;
        let n = this.data.len().min(buf.remaining());
        buf.put_slice(&this.data[..n]);
        this.data.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.request {
            Sending::Head(_) => {
                let sent = this.poll_head(cx, bytes);
                if matches!(sent, Poll::Ready(Err(_))) {
                    // To what was not asked there is no answer, and whoever reads for one is to learn that.
                    this.answer = Receiving::Done;
                }
                sent
            }
            Sending::Body { stream, reader } => {
                if let Poll::Ready(reason) = stream.poll_reset(cx) {
                    // The answer, or what broke it, is to be read.
                    let _ = reason.map_err(broken)?;
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                let (taken, ended) = ready!(poll_body(stream, reader, cx, bytes))?;
                if ended {
                    this.request = Sending::Done { _stream: None };
                }
                Poll::Ready(Ok(taken))
            }
            Sending::Done { .. } => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes as soon as it can.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
