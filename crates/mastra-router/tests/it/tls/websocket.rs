//! WebSockets over TLS, and over streams of HTTP/2 (RFC 8441).

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use h2::client::ResponseFuture;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client::{HTTP1, Http2, Secure, exactly, get, head, rest, send, whole};
use crate::streaming::{BOUND, push};
use crate::upstream::{EMPTY, Upstream};
use crate::websocket::{Server, server};
use crate::wire::{End, Wire, latin1, within};

/// A stream of HTTP/2 as a stream of bytes.
struct Bytestream {
    send: SendStream<Bytes>,
    receive: RecvStream,
    data: Bytes,
}

impl AsyncRead for Bytestream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.data.is_empty() {
            match ready!(this.receive.poll_data(cx)) {
                Some(Ok(data)) => this.data = data,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = this.data.len().min(buf.remaining());
        buf.put_slice(&this.data[..n]);
        this.data.advance(n);
        this.receive.flow_control().release_capacity(n).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bytestream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(bytes.len());
        let room = match self.send.capacity() {
            0 => match ready!(self.send.poll_capacity(cx)) {
                Some(room) => room.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => room,
        };
        let n = room.min(bytes.len());
        self.send.send_data(Bytes::copy_from_slice(&bytes[..n]), false).map_err(io::Error::other)?;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send.send_data(Bytes::new(), true).map_err(io::Error::other))
    }
}

/// A request for a WebSocket.
fn connect(path: &str) -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://app.localhost{path}"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "vite-hmr, other")
        .header("origin", "https://app.localhost")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    request
}

async fn joined(
    client: &Http2,
    name: &str,
    server: Server,
) -> (WebSocketStream<Bytestream>, WebSocketStream<tokio::net::TcpStream>, Response<()>) {
    let mut request = connect("/hmr?token=x");
    *request.uri_mut() = format!("https://{name}.localhost/hmr?token=x").parse().unwrap();
    let (answer, send) = client.begin(request, false).await;
    let (answer, receive) = head(answer).await.unwrap();
    let io = Bytestream { send, receive, data: Bytes::new() };
    let client = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    (client, within("the upgrade", server.task).await.unwrap(), answer)
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    within("a message", socket.next()).await.unwrap().unwrap()
}

/// What a client and a server say to each other through the router.
async fn talk<C: AsyncRead + AsyncWrite + Unpin, S: AsyncRead + AsyncWrite + Unpin>(
    mut client: WebSocketStream<C>,
    mut server: WebSocketStream<S>,
) {
    let large: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 251) as u8).collect();
    for message in [Message::text("hello"), Message::binary(large), Message::text("")] {
        let (sent, got) = tokio::join!(client.send(message.clone()), next(&mut server));
        sent.unwrap();
        assert!(got == message, "up");
        let (sent, got) = tokio::join!(server.send(message.clone()), next(&mut client));
        sent.unwrap();
        assert!(got == message, "down");
    }
    let close = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    client.close(Some(close.clone())).await.unwrap();
    assert_eq!(next(&mut server).await, Message::Close(Some(close)));
    assert!(within("the end", server.next()).await.is_none());
    drop(server);
    assert!(matches!(next(&mut client).await, Message::Close(Some(frame)) if frame.code == CloseCode::Library(4321)));
    assert!(within("the end", client.next()).await.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn messages_pass_both_ways_over_http_2() {
    let edge = Secure::start().await;
    let servers = [("app", server().await), ("other", server().await)];
    for (name, server) in &servers {
        edge.edge.route(name, server.port).await;
    }
    let client = edge.http2().await;
    client.serves().await;
    assert!(client.requests.is_extended_connect_protocol_enabled());
    // Two of them on one connection, and other requests beside them.
    for (name, server) in servers {
        let (socket, server, answer) = joined(&client, name, server).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "vite-hmr");
        for gone in ["sec-websocket-accept", "connection", "upgrade"] {
            assert_eq!(answer.headers().get(gone), None, "{gone}");
        }
        talk(socket, server).await;
        client.serves().await;
    }
}

#[tokio::test]
async fn messages_pass_both_ways_over_tls() {
    let edge = Secure::start().await;
    let server = server().await;
    edge.edge.route("app", server.port).await;
    let io = edge.tls("app.localhost", &HTTP1).await;
    let request = "wss://app.localhost/hmr?token=x".into_client_request().unwrap();
    let (client, _) = within("the upgrade", client_async(request, io)).await.unwrap();
    talk(client, within("the upgrade", server.task).await.unwrap()).await;
}

async fn edge_and_upstream() -> (Secure, Upstream, Http2) {
    let (edge, upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let client = edge.http2().await;
    // The router's settings have come, too; only then may a client ask.
    client.serves().await;
    (edge, upstream, client)
}

/// The `Sec-WebSocket-Accept` for the key in this request.
fn accept(request: &crate::wire::Message) -> String {
    tokio_tungstenite::tungstenite::handshake::derive_accept_key(request.field("sec-websocket-key").unwrap().as_bytes())
}

fn switching(request: &crate::wire::Message) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept(request)
    )
}

async fn asked(
    client: &Http2,
    upstream: &mut Upstream,
) -> (ResponseFuture, SendStream<Bytes>, Wire, crate::wire::Message) {
    let (answer, stream) = client.begin(connect("/ws?x=%2f"), false).await;
    let mut peer = upstream.accept().await;
    let seen = peer.request().await;
    (answer, stream, peer, seen)
}

async fn switched(client: &Http2, upstream: &mut Upstream) -> (SendStream<Bytes>, RecvStream, Wire) {
    let (answer, stream, mut peer, seen) = asked(client, upstream).await;
    peer.send(switching(&seen)).await;
    let (head, body) = head(answer).await.unwrap();
    assert_eq!(head.status(), 200);
    (stream, body, peer)
}

#[tokio::test]
async fn the_upstream_sees_an_upgrade() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut request = connect("/ws?x=%2f");
        // Not a client's to choose over HTTP/2.
        request.headers_mut().insert("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
        let (_answer, _stream) = client.begin(request, false).await;
        let seen = upstream.accept().await.request().await;
        assert_eq!(seen.line(), "GET /ws?x=%2f HTTP/1.1");
        for (name, value) in [
            ("host", "app.localhost"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "vite-hmr, other"),
            ("origin", "https://app.localhost"),
            ("x-forwarded-proto", "https"),
        ] {
            assert_eq!(seen.field(name), Some(value), "{name}");
        }
        for gone in [":protocol", "content-length", "transfer-encoding"] {
            assert_eq!(seen.field(gone), None, "{gone}");
        }
        keys.push(seen.field("sec-websocket-key").unwrap().to_owned());
    }
    assert_ne!(keys[0], keys[1]);
    assert!(keys.iter().all(|key| key.len() == 24 && key.ends_with("==") && !key.starts_with("dGhl")), "{keys:?}");
}

#[tokio::test]
async fn what_is_sent_early_is_held_until_the_upstream_has_agreed() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (answer, mut stream, mut peer, seen) = asked(&client, &mut upstream).await;
    send(&mut stream, b"early", false).await;
    client.serves().await;
    assert_eq!(peer.read, b"", "raw bytes before the upgrade was agreed to");
    peer.send(format!("{}hello", switching(&seen))).await;
    assert_eq!(peer.exactly(5).await, b"early");
    let (_, mut body) = head(answer).await.unwrap();
    assert_eq!(exactly(&mut body, 5).await, b"hello");
}

#[tokio::test]
async fn an_upgrade_that_was_not_agreed_to_is_no_tunnel() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    type Bad = fn(&crate::wire::Message) -> String;
    let bad: [(Bad, u16); 8] = [
        (|seen| switching(seen).replace(&accept(seen), "AAAAAAAAAAAAAAAAAAAAAAAAAAA="), 502),
        (|seen| switching(seen).replace(&format!("Sec-WebSocket-Accept: {}\r\n", accept(seen)), ""), 502),
        (|seen| switching(seen).replace("Upgrade: websocket", "Upgrade: h2c"), 502),
        (|seen| switching(seen).replace("Connection: Upgrade\r\n", ""), 502),
        // Any 2xx would open the tunnel over HTTP/2, and what follows is a page.
        (|_| "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<p>hi".to_owned(), 502),
        (|_| "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), 502),
        (|_| "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_owned(), 403),
        (|_| "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_owned(), 302),
    ];
    for (bad, status) in bad {
        let (answer, mut stream, mut peer, seen) = asked(&client, &mut upstream).await;
        let bad = bad(&seen);
        peer.send(&bad).await;
        let answer = whole(answer).await;
        assert_eq!(answer.status(), status, "{bad}");
        let ours = (status == 502).then_some("BAD_ANSWER");
        assert_eq!(answer.field("x-mastra-router-error"), ours, "{bad}");
        let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await.unwrap();
        assert_eq!(reason, Reason::NO_ERROR, "{bad}");
        if status == 502 {
            assert_eq!(peer.rest().await.0, b"", "{bad}");
        } else {
            // The upstream's connection goes on.
            let (answer, _stream) = client.begin(get("/next"), true).await;
            assert_eq!(peer.request().await.line(), "GET /next HTTP/1.1");
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            assert_eq!(whole(answer).await.status(), 200);
        }
    }
}

#[tokio::test]
async fn either_side_may_end_its_own_direction_first() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (mut stream, mut body, mut peer) = switched(&client, &mut upstream).await;
    send(&mut stream, b"last", true).await;
    assert_eq!(peer.rest().await, (b"last".to_vec(), End::Closed));
    peer.send("still here").await;
    assert_eq!(exactly(&mut body, 10).await, b"still here");
    drop(peer);
    assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), None));

    let (mut stream, mut body, mut peer) = switched(&client, &mut upstream).await;
    peer.send("last").await;
    peer.shutdown().await;
    assert_eq!(rest(&mut body).await.unwrap(), (b"last".to_vec(), None));
    send(&mut stream, b"still here", false).await;
    assert_eq!(latin1(&peer.exactly(10).await), "still here");
    send(&mut stream, b"", true).await;
    assert_eq!(peer.rest().await, (Vec::new(), End::Closed));
    client.serves().await;
}

#[tokio::test]
async fn a_side_that_breaks_ends_the_other() {
    let (edge, mut upstream, client) = edge_and_upstream().await;
    // The client takes its stream back: with all open, after its own end, and after the upstream's.
    for (client_ended, upstream_ended) in [(false, false), (true, false), (false, true)] {
        let (mut stream, mut body, mut peer) = switched(&client, &mut upstream).await;
        if client_ended {
            send(&mut stream, b"", true).await;
            assert_eq!(peer.rest().await, (Vec::new(), End::Closed));
        }
        if upstream_ended {
            peer.shutdown().await;
            rest(&mut body).await.unwrap();
        }
        stream.send_reset(Reason::CANCEL);
        drop((stream, body));
        gone(&mut peer, client_ended).await;
        client.serves().await;
    }
    // Its connection ends.
    let other = edge.http2().await;
    other.serves().await;
    let (stream, body, mut peer) = switched(&other, &mut upstream).await;
    drop(other);
    gone(&mut peer, false).await;
    drop((stream, body));
    // The upstream breaks.
    let (mut stream, mut body, peer) = switched(&client, &mut upstream).await;
    peer.reset();
    let error = rest(&mut body).await.unwrap_err();
    assert!(error.is_reset(), "{error}");
    assert!(within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await.is_ok());
    client.serves().await;
}

/// Waits until the router has ended this connection, without sending anything that would tell it to.
async fn gone(peer: &mut Wire, was_ended: bool) {
    if was_ended {
        // Only a reset tells, behind an end.
        within("a reset", peer.io.ready(tokio::io::Interest::ERROR)).await.unwrap();
    } else {
        peer.rest().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (edge, mut upstream, _) = edge_and_upstream().await;
    // What one stream leaves unread is not all that the connection may have.
    let client = edge.http2_with(h2::client::Builder::new().initial_connection_window_size(1 << 20)).await;
    client.serves().await;
    let (_stream, _body, mut peer) = switched(&client, &mut upstream).await;
    let pushed = AtomicUsize::new(0);
    push(&mut peer, &[b'x'; 65536], BOUND, &pushed).await;
    assert!(pushed.load(Ordering::SeqCst) < BOUND);
    client.serves().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back_and_still_speaks() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (mut stream, mut body, mut peer) = switched(&client, &mut upstream).await;
    let sent = super::streams::offered(&mut stream, BOUND).await;
    assert!(sent < BOUND);
    peer.send("hello").await;
    assert_eq!(exactly(&mut body, 5).await, b"hello");
    peer.exactly(sent).await;
}

#[tokio::test]
async fn a_request_that_asks_for_no_websocket_is_none() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    // HTTP/2 has no Upgrade; `h2` sends such fields on, and the router's side refuses them.
    for protocol in ["connect-udp", "webtransport", "WebSocketX"] {
        let mut request = connect("/");
        request.extensions_mut().insert(Protocol::from(protocol));
        let (answer, _stream) = client.begin(request, false).await;
        assert_eq!(whole(answer).await.status(), 501, "{protocol}");
    }
    let request = Request::builder().method(Method::CONNECT).uri("app.localhost:443").body(()).unwrap();
    let (answer, _stream) = client.begin(request, false).await;
    let answer = whole(answer).await;
    assert_eq!(answer.status(), 405);
    assert!(answer.field("allow").is_some());
    assert_eq!(upstream.accepted(), 0);
    // An ordinary request on the same connection.
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}
