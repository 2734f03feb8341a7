//! Connections that become WebSockets, and those that must not.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

use crate::edge::Edge;
use crate::upstream::{EMPTY, Upstream};
use crate::wire::{End, Wire, get, latin1, within};

/// A server that takes WebSockets with the first subprotocol that is offered.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) task: JoinHandle<WebSocketStream<TcpStream>>,
}

pub(crate) async fn server() -> Server {
    server_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
}

#[expect(clippy::result_large_err, reason = "the signature is the library's")]
pub(crate) fn server_on(listener: TcpListener) -> Server {
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let io = listener.accept().await.unwrap().0;
        let choose = |request: &Request, mut response: Response| {
            if let Some(offered) = request.headers().get("sec-websocket-protocol") {
                let first = offered.to_str().unwrap().split(',').next().unwrap();
                response.headers_mut().insert("sec-websocket-protocol", first.parse().unwrap());
            }
            Ok(response)
        };
        accept_hdr_async(io, choose).await.unwrap()
    });
    Server { port, task }
}

async fn joined(edge: &Edge, server: Server) -> (WebSocketStream<TcpStream>, WebSocketStream<TcpStream>, Response) {
    edge.route("app", server.port).await;
    let mut request = "ws://app.localhost/hmr?token=x".into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "vite-hmr, other".parse().unwrap());
    let io = edge.client().await.io;
    let (client, answer) = within("the upgrade", client_async(request, io)).await.unwrap();
    let server = within("the upgrade", server.task).await.unwrap();
    (client, server, answer.map(|_| ()))
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    within("a message", socket.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn messages_pings_and_close_codes_pass_both_ways() {
    let edge = Edge::start().await;
    let (mut client, mut server, answer) = joined(&edge, server().await).await;
    assert_eq!(answer.headers()["sec-websocket-protocol"], "vite-hmr");
    let large: Vec<u8> = (0..1_048_576_u32).map(|i| (i % 251) as u8).collect();
    for message in [
        Message::text("hello"),
        Message::binary(large),
        Message::text(""),
        Message::Ping(b"ping".to_vec().into()),
        Message::Pong(b"pong".to_vec().into()),
    ] {
        let (sent, got) = tokio::join!(client.send(message.clone()), next(&mut server));
        sent.unwrap();
        assert!(got == message, "up");
        let (sent, got) = tokio::join!(server.send(message.clone()), next(&mut client));
        sent.unwrap();
        // The answer to a ping comes first.
        let got = if matches!(got, Message::Pong(_)) && !matches!(message, Message::Pong(_)) {
            next(&mut client).await
        } else {
            got
        };
        assert!(got == message || matches!(got, Message::Pong(_)), "down");
    }
    let close = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    client.close(Some(close.clone())).await.unwrap();
    loop {
        match next(&mut server).await {
            Message::Close(got) => break assert_eq!(got, Some(close)),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
    // The server's answer to it goes out, then the server closes first, as RFC 6455 has it.
    assert!(within("the end", server.next()).await.is_none());
    drop(server);
    let mut last = None;
    while let Some(Ok(message)) = within("the end", client.next()).await {
        last = Some(message);
    }
    assert!(matches!(last, Some(Message::Close(Some(frame))) if frame.code == CloseCode::Library(4321)));
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn upgrade(fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{fields}\r\n"
    )
}

fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )
}

async fn switched(edge: &Edge, upstream: &mut Upstream) -> (Wire, Wire) {
    let mut client = edge.client().await;
    client.send(upgrade("")).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    peer.send(switching()).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    (client, peer)
}

async fn edge_and_upstream() -> (Edge, Upstream) {
    let (edge, upstream) = (Edge::start().await, Upstream::start().await);
    edge.route("app", upstream.port()).await;
    (edge, upstream)
}

#[tokio::test]
async fn what_is_sent_early_is_held_until_the_upstream_has_agreed() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(format!("{}early", upgrade("Origin: http://app.localhost\r\n"))).await;
    let mut peer = upstream.accept().await;
    let head = peer.request().await;
    assert_eq!(head.fields("connection"), ["Upgrade"]);
    assert_eq!(head.fields("upgrade"), ["websocket"]);
    assert_eq!(head.field("sec-websocket-key"), Some(KEY));
    assert_eq!(head.field("origin"), Some("http://app.localhost"));
    client.send(" bird").await;
    assert_eq!(peer.read, b"", "raw bytes before the upgrade was agreed to");
    // What the upstream sends right behind its head is not lost either.
    peer.send(format!("{}hello", switching())).await;
    assert_eq!(latin1(&peer.exactly(10).await), "early bird");
    let head = client.head().await;
    assert!(head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: websocket\r\n"), "{head}");
    assert_eq!(client.exactly(5).await, b"hello");
}

#[tokio::test]
async fn what_is_sent_early_is_a_request_where_the_upstream_declines() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(format!("{}{}", upgrade(""), get("app.localhost", "/next"))).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    assert_eq!(peer.read, b"");
    peer.send("HTTP/1.1 426 No\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 426);
    assert_eq!(peer.request().await.line(), "GET /next HTTP/1.1");
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn either_side_may_end_its_own_direction_first() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = switched(&edge, &mut upstream).await;
    client.send("last").await;
    client.shutdown().await;
    assert_eq!(peer.rest().await, (b"last".to_vec(), End::Closed));
    peer.send("still here").await;
    drop(peer);
    assert_eq!(client.rest().await, (b"still here".to_vec(), End::Closed));

    let (mut client, mut peer) = switched(&edge, &mut upstream).await;
    peer.shutdown().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    client.send("still here").await;
    drop(client);
    assert_eq!(peer.rest().await, (b"still here".to_vec(), End::Closed));
}

#[tokio::test]
async fn a_side_that_breaks_ends_the_other() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (client, mut peer) = switched(&edge, &mut upstream).await;
    client.reset();
    peer.rest().await;
    let (mut client, peer) = switched(&edge, &mut upstream).await;
    peer.reset();
    client.rest().await;
}

#[tokio::test]
async fn an_upgrade_that_was_not_agreed_to_is_502() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for bad in [
        switching().replace(ACCEPT, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        switching().replace(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"), ""),
        switching().replace("Upgrade: websocket", "Upgrade: h2c"),
        switching().replace("Connection: Upgrade\r\n", ""),
    ] {
        let mut client = edge.client().await;
        client.send(upgrade("")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send(&bad).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("BAD_ANSWER")), "{bad}");
        // What the client sends next is a request, and no raw bytes.
        client.send(get("localhost", "/nothing")).await;
        assert_eq!(client.answer().await.status(), 404);
        assert_eq!(peer.rest().await.0, b"");
    }
}

#[tokio::test]
async fn other_upgrades_are_taken_off() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    let mut peer = None;
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Key: x\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{fields}\r\n")).await;
        let mut wire: Wire = match peer.take() {
            Some(wire) => wire,
            None => upstream.accept().await,
        };
        let seen = wire.request().await;
        for gone in ["connection", "upgrade", "http2-settings"] {
            assert_eq!(seen.field(gone), None, "{fields}");
        }
        wire.send(EMPTY).await;
        assert_eq!(client.answer().await.status(), 200);
        peer = Some(wire);
    }
    // An answer of the upstream's own accord is no upgrade.
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
    let mut peer = peer.unwrap();
    peer.request().await;
    peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 502);
}

#[tokio::test]
async fn http_1_0_cannot_upgrade() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(upgrade("").replace("HTTP/1.1", "HTTP/1.0")).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.field("upgrade"), None);
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_stop_ends_sockets_at_the_deadline_on_both_sides() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = switched(&edge, &mut upstream).await;
    within("the end of the router", edge.router.close()).await;
    client.rest().await;
    peer.rest().await;
}
