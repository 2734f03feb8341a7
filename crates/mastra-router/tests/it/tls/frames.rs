//! Frames of HTTP/2, written by hand where no client would send such ones.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::{HTTP2, Secure};
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{Wire, within};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection in HTTP/2, frame by frame.
pub(super) struct Frames {
    wire: Wire<TlsStream<TcpStream>>,
    next: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM.
    fn code(&self) -> u32 {
        u32::from_be_bytes(self.payload[..4].try_into().unwrap())
    }

    /// The status of an answer. `h2` writes the first field of a head in one of these ways.
    fn status(&self) -> u16 {
        match self.payload[0] {
            0x88 => 200,
            0x8c => 400,
            0x8d => 404,
            0x8e => 500,
            // A literal whose name is `:status`; digits, in Huffman's code or plain.
            _ => 0,
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Fields as literals that nobody is to remember, without Huffman's code.
fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let string = |out: &mut Vec<u8>, text: &[u8]| {
        if text.len() < 127 {
            out.push(u8::try_from(text.len()).unwrap());
        } else {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
        out.extend_from_slice(text);
    };
    for (name, value) in fields {
        out.push(0);
        string(&mut out, name);
        string(&mut out, value);
    }
    out
}

/// The head of a GET, with changes: a field of the same name is replaced, an empty value that is `None` leaves it out.
fn head(changes: &[(&str, Option<&str>)], more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "app.localhost")];
    for (name, value) in changes {
        fields.retain(|(n, _)| n != name);
        if let Some(value) = value {
            fields.insert(0, (name, value));
        }
    }
    fields.extend_from_slice(more);
    let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    block(&fields)
}

impl Frames {
    /// With the settings exchanged.
    pub(super) async fn start(edge: &Secure) -> Self {
        let io = edge.tls("app.localhost", &HTTP2).await;
        let mut frames = Self { wire: Wire { io, read: Vec::new() }, next: 1 };
        frames.wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(SETTINGS, 0, 0, &[]).await;
        while frames.read().await.unwrap() != (Frame { kind: SETTINGS, flags: ACK, stream: 0, payload: Vec::new() }) {}
        frames.send(SETTINGS, ACK, 0, &[]).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.wire.offer(frame(kind, flags, stream, payload)).await;
        let _ = tokio::io::AsyncWriteExt::flush(&mut self.wire.io).await;
    }

    /// Writes bytes; false where the connection has ended.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> bool {
        tokio::io::AsyncWriteExt::write_all(&mut self.wire.io, bytes).await.is_ok()
    }

    /// The next frame, or `None` at the end of the connection.
    async fn read(&mut self) -> Option<Frame> {
        let head = self.wire.exactly_or_end(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = self.wire.exactly_or_end(length as usize).await?;
        let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// A stream with this head. Returns its id.
    async fn request(&mut self, block: &[u8], ends: bool) -> u32 {
        let id = self.next;
        self.next += 2;
        let end = if ends { END_STREAM } else { 0 };
        let mut parts = block.chunks(16_384).peekable();
        let first = parts.next().unwrap_or_default();
        let whole = if parts.peek().is_none() { END_HEADERS } else { 0 };
        self.send(HEADERS, end | whole, id, first).await;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            self.send(CONTINUATION, last, id, part).await;
        }
        id
    }

    /// The first frame of an answer on this stream, a head or a reset; or the end of the connection.
    async fn outcome(&mut self, id: u32) -> Frame {
        loop {
            let frame = self.read().await.unwrap();
            if frame.kind == GOAWAY || frame.stream == id && matches!(frame.kind, HEADERS | RST_STREAM) {
                return frame;
            }
        }
    }

    /// How the connection ends: with a GOAWAY of which code.
    pub(super) async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.read().await {
            if frame.kind == GOAWAY {
                code = Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()));
            }
        }
        code
    }
}

async fn edge_and_recorder() -> (Secure, Recorder) {
    let (edge, recorder) = (Secure::start().await, Recorder::start().await);
    edge.edge.route("app", recorder.port).await;
    (edge, recorder)
}

/// What becomes of the pseudo-fields, and more fields behind them.
type Case = (&'static [(&'static str, Option<&'static str>)], &'static [(&'static str, &'static str)]);

#[tokio::test]
async fn a_request_that_breaks_the_rules_reaches_no_upstream() {
    let (edge, recorder) = edge_and_recorder().await;
    let mut frames = Frames::start(&edge).await;
    let cases: &[Case] = &[
        (&[], &[("X-Upper", "1")]),
        (&[], &[("x\u{e9}", "1")]),
        (&[], &[("", "1")]),
        (&[], &[("x y", "1")]),
        (&[], &[("x:y", "1")]),
        (&[], &[("x\"y", "1")]),
        (&[], &[("x\r\ny", "1")]),
        (&[], &[("x", "1\r\ny: 2")]),
        (&[], &[("x", "1\ny")]),
        (&[], &[("x", "1\0y")]),
        (&[], &[("connection", "close")]),
        (&[], &[("connection", "x-forwarded-for")]),
        (&[], &[("keep-alive", "1")]),
        (&[], &[("proxy-connection", "1")]),
        (&[], &[("transfer-encoding", "chunked")]),
        (&[], &[("upgrade", "websocket")]),
        (&[], &[("te", "gzip")]),
        (&[], &[("te", "trailers, deflate")]),
        (&[(":method", None)], &[]),
        (&[(":method", Some(""))], &[]),
        (&[(":method", Some("G T"))], &[]),
        (&[(":method", Some("GET\r\n"))], &[]),
        (&[(":path", None)], &[]),
        (&[(":path", Some(""))], &[]),
        (&[(":path", Some("x"))], &[]),
        (&[(":path", Some("*"))], &[]),
        (&[(":path", Some("/a b"))], &[]),
        (&[(":path", Some("/a HTTP/1.1\r\nX: y\r\n\r\n"))], &[]),
        (&[(":path", Some("/a\tb"))], &[]),
        (&[(":path", Some("/a\0b"))], &[]),
        (&[(":path", Some("/a\\b"))], &[]),
        (&[(":path", Some("/\u{e9}"))], &[]),
        (&[(":path", Some("http://app.localhost/"))], &[]),
        (&[(":scheme", None)], &[]),
        (&[(":scheme", Some(""))], &[]),
        (&[(":scheme", Some("ftp"))], &[]),
        (&[(":scheme", Some("https://x/"))], &[]),
        (&[(":authority", None)], &[]),
        (&[(":authority", Some(""))], &[]),
        (&[(":authority", Some("user@app.localhost"))], &[]),
        (&[(":authority", Some("user:pass@app.localhost"))], &[]),
        (&[(":authority", Some("app.localhost@evil.test"))], &[]),
        (&[(":authority", Some("app.localhost:99999"))], &[]),
        (&[(":authority", Some("app.localhost:"))], &[]),
        (&[(":authority", Some("app.localhost:80:80"))], &[]),
        (&[(":authority", Some("app.localhost,app.localhost"))], &[]),
        (&[(":authority", Some("app.localhost/x"))], &[]),
        (&[(":authority", Some("app%2elocalhost"))], &[]),
        (&[(":authority", Some("[::1"))], &[]),
        (&[], &[("host", "evil.test")]),
        (&[], &[("host", "app.localhost:80")]),
        (&[], &[("host", "")]),
        (&[], &[("host", "app.localhost"), ("host", "app.localhost")]),
        (&[(":authority", None)], &[("host", "user@app.localhost")]),
        (&[(":authority", None)], &[("host", "app.localhost"), ("host", "app.localhost")]),
        (&[], &[("content-length", "5")]),
        (&[], &[("content-length", "abc")]),
        (&[], &[("content-length", "-1")]),
        (&[], &[("content-length", "0, 0")]),
        (&[], &[("content-length", "")]),
        (&[], &[("content-length", "0"), ("content-length", "0")]),
        (&[], &[("content-length", "99999999999999999999999")]),
        (&[], &[(":path", "/twice")]),
        (&[], &[("x", "1"), (":foo", "1")]),
        (&[(":foo", Some("1"))], &[]),
        (&[(":status", Some("200"))], &[]),
        (&[(":protocol", Some("websocket"))], &[]),
        (&[(":method", Some("CONNECT"))], &[]),
        (&[(":method", Some("CONNECT")), (":path", None), (":scheme", None)], &[]),
        (&[(":method", Some("CONNECT")), (":protocol", Some("websocket")), (":path", None)], &[]),
        (&[(":method", Some("CONNECT")), (":protocol", Some("connect-udp"))], &[]),
        (&[(":method", Some("CONNECT")), (":protocol", Some("websocket"))], &[("host", "evil.test")]),
        (&[], &[("expect", "the-unexpected")]),
        (&[], &[("expect", "100-continue"), ("expect", "the-unexpected")]),
        (&[], &[("x", " a")]),
        (&[], &[("x", "a ")]),
        (&[], &[("x", "\ta")]),
        (&[], &[("x", "fine"), ("y", "a\t")]),
        (&[], &[("x", " ")]),
        (&[(":method", Some("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"))], &[]),
    ];
    for (changes, more) in cases {
        let id = frames.request(&head(changes, more), true).await;
        let outcome = frames.outcome(id).await;
        match outcome.kind {
            RST_STREAM => assert_eq!(outcome.code(), 1, "{changes:?} {more:?}: no PROTOCOL_ERROR"),
            // What is not even a field ends the connection; RFC 9113, section 5.4.2, leaves that to a server.
            GOAWAY => {
                assert!(matches!(outcome.payload[7], 1 | 9), "{changes:?} {more:?}: {outcome:?}");
                eprintln!("ends the connection: {changes:?} {more:?}");
                frames = Frames::start(&edge).await;
            }
            _ => assert_ne!(outcome.status(), 200, "{changes:?} {more:?}"),
        }
        assert_eq!(recorder.log().len(), 0, "{changes:?} {more:?}: {}", recorder.last().head);
    }
    // What is unusual and no fault, on the same connection.
    let fine: &[Case] = &[
        (&[], &[]),
        (&[], &[("host", "app.localhost")]),
        (&[(":authority", Some("APP.localhost"))], &[("host", "app.LOCALHOST")]),
        (&[(":authority", None)], &[("host", "app.localhost")]),
        (&[(":method", Some("OPTIONS"))], &[]),
        (&[(":method", Some("PROPFIND"))], &[]),
        (&[], &[("te", "trailers")]),
        (&[], &[("content-length", "0")]),
        (&[(":path", Some("//double"))], &[]),
        (&[(":path", Some("/a?b=\\c"))], &[]),
        (&[(":scheme", Some("http"))], &[]),
        (&[], &[("x", "a\u{e9}b")]),
        (&[], &[("x", "")]),
        (&[], &[("x", "a b\tc")]),
        (&[], &[("expect", "100-CONTINUE")]),
        (&[(":method", Some("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF"))], &[]),
    ];
    for (i, (changes, more)) in fine.iter().enumerate() {
        let id = frames.request(&head(changes, more), true).await;
        let outcome = frames.outcome(id).await;
        assert_eq!((outcome.kind, outcome.status()), (HEADERS, 200), "{changes:?} {more:?}");
        assert_eq!(recorder.log().len(), i + 1);
        assert!(recorder.last().field("host").is_some_and(|host| host.eq_ignore_ascii_case("app.localhost")));
    }
}

#[tokio::test]
async fn limits_of_heads() {
    let (edge, recorder) = edge_and_recorder().await;
    let client = edge.http2().await;
    let large = "x".repeat(16 * 1024);
    let request = http::Request::get("https://app.localhost/").header("cookie", &large).body(()).unwrap();
    assert_eq!(client.ask(request).await.status(), 200);
    assert_eq!(recorder.last().field("cookie"), Some(&*large));

    // A browser may send each of its cookies in a field of its own (RFC 9113, section 8.2.3).
    let crumbs =
        (0..180).fold(http::Request::get("https://app.localhost/"), |r, i| r.header("cookie", format!("c{i}=1")));
    assert_eq!(client.ask(crumbs.body(()).unwrap()).await.status(), 200);
    let cookie = recorder.last().field("cookie").unwrap().to_owned();
    assert!(cookie.starts_with("c0=1; c1=1; ") && cookie.ends_with("; c179=1"), "{cookie}");

    let endless = "x".repeat(70 * 1024);
    let mut many = http::Request::get("https://app.localhost/");
    for i in 0..200 {
        many = many.header(format!("x-{i}"), "1");
    }
    let long = format!("https://app.localhost/{}", "x".repeat(40_000));
    for (request, status) in [
        (http::Request::get("https://app.localhost/").header("cookie", &endless), 431),
        (many, 431),
        (http::Request::get(long), 414),
    ] {
        let answer = client.ask(request.body(()).unwrap()).await;
        assert_eq!(answer.status(), status);
        client.serves().await;
    }
    assert_eq!(recorder.log().len(), 2);
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_is_no_whole_request() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let mut frames = Frames::start(&edge).await;
    let announced = head(&[(":method", Some("POST"))], &[("content-length", "5")]);
    for body in [&b"abc"[..], b"", b"abcdefgh"] {
        let id = frames.request(&announced, false).await;
        let mut peer = upstream.accept().await;
        peer.head().await;
        frames.send(DATA, END_STREAM, id, body).await;
        let outcome = frames.outcome(id).await;
        assert_eq!((outcome.kind, outcome.code()), (RST_STREAM, 1), "{body:?}");
        let (got, _) = peer.rest().await;
        assert!(got.len() < 5, "{body:?}: {got:?}");
    }
    // The connection goes on.
    let id = frames.request(&announced, false).await;
    frames.send(DATA, END_STREAM, id, b"abcde").await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.text(), "abcde");
    peer.send(EMPTY).await;
    assert_eq!(frames.outcome(id).await.status(), 200);
}

#[tokio::test]
async fn a_connection_that_breaks_the_rules_ends_and_others_do_not() {
    let (edge, recorder) = edge_and_recorder().await;
    let other = edge.http2().await;
    let block = head(&[], &[]);
    let cases: &[(&str, &[Vec<u8>])] = &[
        ("data on the connection", &[frame(DATA, 0, 0, b"x")]),
        ("data on a stream that is none", &[frame(DATA, 0, 1, b"x")]),
        ("an even stream", &[frame(HEADERS, END_HEADERS, 2, &block)]),
        ("no stream", &[frame(HEADERS, END_HEADERS, 0, &block)]),
        ("a head within a head", &[frame(HEADERS, 0, 1, &block), frame(HEADERS, END_HEADERS, 3, &block)]),
        ("a ping within a head", &[frame(HEADERS, 0, 1, &block), frame(PING, 0, 0, &[0; 8])]),
        ("the end of no head", &[frame(CONTINUATION, END_HEADERS, 1, &block)]),
        ("a frame too large", &[frame(DATA, 0, 1, &[0; 16_385])]),
        ("a short ping", &[frame(PING, 0, 0, b"x")]),
        ("settings with a value that may not be", &[frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255])]),
        ("settings of odd length", &[frame(SETTINGS, 0, 0, &[0; 5])]),
        ("a window of nothing more", &[frame(WINDOW_UPDATE, 0, 0, &[0; 4])]),
        ("a window beyond all", &[frame(WINDOW_UPDATE, 0, 0, &[127, 255, 255, 255])]),
        ("a reset of what never was", &[frame(RST_STREAM, 0, 7, &[0, 0, 0, 8])]),
        ("fields that cannot be read", &[frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20])]),
        ("a push", &[frame(5, END_HEADERS, 1, &[0, 0, 0, 2])]),
    ];
    for (what, sent) in cases {
        let mut frames = Frames::start(&edge).await;
        for frame in *sent {
            frames.wire.offer(frame).await;
        }
        let code = within("the end of a connection", frames.goaway()).await;
        assert!(code.is_some_and(|code| code != 0), "{what}: {code:?}");
        other.serves().await;
    }
    assert_eq!(recorder.log().len(), 0);
    // No HTTP/2 at all within TLS that has agreed on it.
    for start in ["GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"] {
        let mut wire = Wire { io: edge.tls("app.localhost", &HTTP2).await, read: Vec::new() };
        wire.offer(start).await;
        wire.rest().await;
    }
    assert_eq!(recorder.log().len(), 0);
    other.serves().await;
}

#[tokio::test]
async fn resets_without_end_end_the_connection_and_nobody_elses() {
    let (edge, recorder) = edge_and_recorder().await;
    let other = edge.http2().await;
    let block = head(&[], &[]);
    let upload = head(&[(":method", Some("POST"))], &[]);
    let [nobody, bad] = [(":authority", "nobody.localhost"), (":path", "x")].map(|(n, v)| head(&[(n, Some(v))], &[]));
    // Requests that are taken back at once; in the middle of their upload; such that make the router reset them; and such
    // that it answers by itself.
    for kind in 0..6 {
        let mut frames = Frames::start(&edge).await;
        let mut ended = false;
        'flood: for round in 0..500 {
            let mut out = Vec::new();
            for _ in 0..20 {
                let id = frames.next;
                frames.next += 2;
                let (block, flags) = match kind {
                    0 => (&block, END_STREAM | END_HEADERS),
                    4 => (&nobody, END_STREAM | END_HEADERS),
                    5 => (&bad, END_STREAM | END_HEADERS),
                    _ => (&upload, END_HEADERS),
                };
                out.extend(frame(HEADERS, flags, id, block));
                match kind {
                    0 | 1 | 4 | 5 => out.extend(frame(RST_STREAM, 0, id, &[0, 0, 0, 8])),
                    // A window of nothing more, and one beyond all.
                    2 => out.extend(frame(WINDOW_UPDATE, 0, id, &[0; 4])),
                    _ => out.extend(frame(WINDOW_UPDATE, 0, id, &[127, 255, 255, 255])),
                }
            }
            frames.wire.offer(&out).await;
            if round % 10 == 0 {
                // In step, so that the router has seen what was sent.
                frames.send(PING, 0, 0, &[7; 8]).await;
                loop {
                    match frames.read().await {
                        None => {
                            ended = true;
                            break 'flood;
                        }
                        Some(frame) if frame.kind == GOAWAY => {
                            ended = true;
                            break 'flood;
                        }
                        Some(frame) if frame.kind == PING => break,
                        Some(_) => {}
                    }
                }
                other.serves().await;
            }
        }
        assert!(ended, "kind {kind}: 10,000 resets, and the connection lives");
        other.serves().await;
    }
    drop(recorder);
}

/// The frame that the first stream's head is followed by, again and again.
pub(super) fn floods() -> [(&'static str, Vec<u8>); 6] {
    [
        ("pings", frame(PING, 0, 0, &[7; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("empty data", frame(DATA, 0, 1, &[])),
        ("an endless head", frame(CONTINUATION, 0, 1, &[])),
        ("a large head", frame(CONTINUATION, 0, 1, &block(&[(b"x", &[b'x'; 10_000])]))),
        ("priorities", frame(2, 0, 1, &[0, 0, 0, 0, 1])),
    ]
}

/// Begins the first stream; with a head that is not whole where the flood is to go on with it.
pub(super) async fn opened(frames: &mut Frames, flood: &[u8]) {
    let whole = if flood[3] == CONTINUATION { 0 } else { END_HEADERS };
    frames.send(HEADERS, whole, 1, &head(&[(":method", Some("POST"))], &[])).await;
}
