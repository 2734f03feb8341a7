//! How connections over TLS and HTTP/2 begin and end.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{HTTP2, Secure, exactly, get, head, post, rest, send, whole};
use super::frames::Frames;
use crate::edge::Edge;
use crate::upstream::{EMPTY, Upstream};
use crate::wire::{End, Wire, get as get11, within};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_connection_without_a_request_ends() {
    let edge = Secure::with(|c| c.proxy.idle_timeout = SHORT).await;
    let mut upstream = Upstream::start().await;
    edge.edge.route("app", upstream.port()).await;
    // One that never asked.
    let mut client = edge.http2().await;
    let _ = within("the end", &mut client.ended).await.unwrap();
    let mut client = edge.http1("app.localhost").await;
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    // One that asked and was answered.
    let mut client = edge.http2().await;
    client.serves().await;
    let _ = within("the end", &mut client.ended).await.unwrap();
    // One that does not say a word to the router's goodbye.
    let mut frames = Frames::start(&edge).await;
    assert_eq!(within("the end", frames.goaway()).await, Some(0));

    // A stream on which nothing happens is something to do.
    let client = edge.http2().await;
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (_, mut body) = head(answer).await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    peer.send("2\r\nhi\r\n0\r\n\r\n").await;
    assert_eq!(rest(&mut body).await.unwrap().0, b"hi");
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut() {
    let edge = Secure::with(|c| c.proxy.head_timeout = SHORT).await;
    edge.edge.route("app", 1).await;
    // What a ClientHello may begin with; what none begins with; and one without end.
    for start in [&b"\x16"[..], b"\x16\x03\x01\x02\x00\x01", b"\x16\x03", b"\x16\xff\xff\xff\xff", &[0x16; 5000]] {
        let mut wire = edge.edge.client().await;
        wire.send(start).await;
        let (_, _end) = within("the end", wire.rest()).await;
    }
    let mut wire = edge.edge.client().await;
    wire.send(b"\x16\x03\x01\x40\x00").await;
    within("the end", async {
        while wire.io.write_all(b"\x01").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // TLS, and within it no HTTP/2, though it was agreed on.
    let mut wire = Wire { io: edge.tls("app.localhost", &HTTP2).await, read: Vec::new() };
    within("the end", wire.rest()).await;
    edge.http2().await.serves().await;
}

#[tokio::test]
async fn slow_handshakes_keep_nobody_waiting() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut io = TcpStream::connect(edge.address()).await.unwrap();
        io.write_all(b"\x16\x03\x01\x02").await.unwrap();
        slow.push(io);
    }
    let client = edge.http2().await;
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn a_stop_lets_streams_end_and_takes_no_new_ones() {
    let edge = Secure::with(|c| c.proxy.drain_timeout = Duration::from_secs(60)).await;
    let mut upstream = Upstream::start().await;
    edge.edge.route("app", upstream.port()).await;
    let mut client = edge.http2().await;
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let (_, mut body) = head(answer).await.unwrap();
    exactly(&mut body, 2).await;
    let (uploaded, mut upload) = client.begin(post("/up"), false).await;
    send(&mut upload, b"hi", false).await;
    let mut second = upstream.accept().await;
    second.until("hi\r\n").await;
    let mut idle = edge.http2().await;
    let mut idle1 = edge.http1("app.localhost").await;

    let router = edge.edge.router.clone();
    let stopping = tokio::spawn(async move { router.stop_proxy().await });
    let _ = within("the end of an idle connection", &mut idle.ended).await.unwrap();
    assert_eq!(idle1.rest().await, (Vec::new(), End::Closed));
    // The client is told to begin no more.
    within("a goodbye", async {
        while client.requests.clone().ready().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // Those that were open go on to their end.
    peer.send("2\r\nho\r\n").await;
    exactly(&mut body, 2).await;
    send(&mut upload, b"ho", true).await;
    second.until("0\r\n\r\n").await;
    second.send(EMPTY).await;
    assert_eq!(whole(uploaded).await.status(), 200);
    assert!(!stopping.is_finished());
    peer.send("0\r\n\r\n").await;
    assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), None));
    let _ = within("the end of the connection", &mut client.ended).await.unwrap();
    within("the end of the stop", stopping).await.unwrap();
}

#[tokio::test]
async fn what_a_stop_cuts_does_not_look_whole() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let client = edge.http2().await;
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    let (_, mut body) = head(answer).await.unwrap();
    exactly(&mut body, 2).await;
    let mut old = edge.http1("app.localhost").await;
    old.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    let mut second = upstream.accept().await;
    second.request().await;
    second.send("HTTP/1.1 200 OK\r\n\r\nhi").await;
    old.until("hi").await;
    within("the end of the router", edge.edge.router.close()).await;
    assert!(rest(&mut body).await.is_err());
    assert_eq!(old.rest().await, (Vec::new(), End::Reset));
    peer.rest().await;
    second.rest().await;
}

#[tokio::test]
async fn a_client_that_ends_its_connection_is_told_the_same() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    // HTTP/1.1 over TLS: `Connection: close`, and an answer of one's own.
    for host in ["app.localhost", "nobody.localhost"] {
        let mut client = edge.http1("app.localhost").await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        if host == "app.localhost" {
            let mut peer = upstream.accept().await;
            peer.request().await;
            peer.send(EMPTY).await;
        }
        client.answer().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Closed), "{host}");
    }
    // Requests that were sent at once are answered in their order.
    let mut client = edge.http1("app.localhost").await;
    client.send(get11("nobody.localhost", "/").repeat(20)).await;
    for _ in 0..20 {
        assert_eq!(client.answer().await.status(), 404);
    }
}

#[tokio::test]
async fn a_client_of_tls_is_told_where_there_is_none() {
    let edge = Edge::start().await;
    edge.route("app", 1).await;
    let mut wire = edge.client().await;
    // A ClientHello that asks for a name.
    let mut hello = hello("app.localhost");
    wire.send(&hello).await;
    let (alert, _) = wire.rest().await;
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 112]);
    // In pieces.
    let mut wire = edge.client().await;
    let second = hello.split_off(7);
    wire.send(&hello).await;
    tokio::task::yield_now().await;
    wire.send(&second).await;
    assert_eq!(wire.rest().await.0, [21, 3, 3, 0, 2, 2, 112]);
}

/// What a client of TLS says first.
fn hello(host: &str) -> Vec<u8> {
    let config =
        rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut out = Vec::new();
    client.write_tls(&mut out).unwrap();
    out
}

/// A server over TLS reads what came in the same record as the end of the handshake.
#[tokio::test]
async fn a_request_right_behind_the_handshake_is_read() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let mut io = edge.tls("app.localhost", &super::client::HTTP1).await;
    io.write_all(get11("app.localhost", "/first").as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.line(), "GET /first HTTP/1.1");
    peer.send(EMPTY).await;
    let mut got = [0; 12];
    within("an answer", io.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"HTTP/1.1 200");
}
