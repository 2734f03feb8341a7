//! Bodies on their way over HTTP/2 and TLS: nothing is held back, nothing piles up, and nothing broken looks whole.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::ResponseFuture;
use http::Request;

use super::client::{HTTP2, Http2, Secure, exactly, get, head, post, rest, send, whole};
use crate::streaming::{BOUND, push};
use crate::upstream::{EMPTY, Upstream};
use crate::wire::{End, Wire, latin1, within};

async fn edge_and_upstream() -> (Secure, Upstream) {
    let (edge, upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    (edge, upstream)
}

/// A client's request that has come to the upstream.
async fn asked(client: &Http2, upstream: &mut Upstream) -> (ResponseFuture, Wire) {
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    (answer, peer)
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const EVENTS: [(&str, bool); 3] = [
    ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", true),
    ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n", false),
    ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 600\r\n\r\n", false),
];

#[tokio::test]
async fn an_event_arrives_before_the_next_is_written() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    for (head_text, framed) in EVENTS {
        let (answer, mut peer) = asked(&client, &mut upstream).await;
        peer.send(head_text).await;
        let (head, mut body) = head(answer).await.unwrap();
        assert_eq!(head.headers()["content-type"], "text/event-stream");
        for i in 0..50 {
            let event = format!("data: {i:02}\n\n");
            peer.send(if framed { format!("a\r\n{event}\r\n") } else { event.clone() }).await;
            assert_eq!(exactly(&mut body, event.len()).await, event.as_bytes());
        }
    }
    for (head, framed) in EVENTS {
        let mut client = edge.http1("app.localhost").await;
        client.send(crate::wire::get("app.localhost", "/")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send(head).await;
        assert!(client.head().await.contains("text/event-stream"));
        for i in 0..50 {
            let event = format!("data: {i:02}\n\n");
            peer.send(if framed { format!("a\r\n{event}\r\n") } else { event.clone() }).await;
            client.until(&event).await;
        }
    }
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    let (answer, mut stream) = client.begin(post("/up"), false).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    peer.send(CHUNKED).await;
    let (_, mut body) = head(answer).await.unwrap();
    for i in 0..50 {
        let part = format!("{i:02}");
        stream.send_data(Bytes::from(part.clone()), false).unwrap();
        let framed = format!("2\r\n{part}\r\n");
        peer.until(&framed).await;
        peer.send(&framed).await;
        assert_eq!(exactly(&mut body, 2).await, part.as_bytes());
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(latin1(&peer.until("\r\n\r\n").await), "0\r\n\r\n");
    peer.send("0\r\n\r\n").await;
    assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), None));
    // The upstream's connection is as good as before.
    let (answer, _stream) = client.begin(get("/next"), true).await;
    assert!(peer.request().await.line().starts_with("GET /next"));
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}

/// Parts of answers, each of which breaks off.
const BROKEN: [(&str, &str); 8] = [
    ("Content-Length: 10\r\n\r\n", "12345"),
    ("Content-Length: 10\r\n\r\n", ""),
    ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n"),
    ("Transfer-Encoding: chunked\r\n\r\n", "a\r\n12345"),
    ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n0\r\n"),
    ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n0\r\nX: y\r\n"),
    ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\nnothing\r\n"),
    ("Transfer-Encoding: chunked\r\n\r\n", ""),
];

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_reset_and_no_end() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    for (fields, part) in BROKEN {
        for reset in [false, true] {
            let (answer, mut peer) = asked(&client, &mut upstream).await;
            peer.send(format!("HTTP/1.1 200 OK\r\n{fields}")).await;
            let (_, mut body) = head(answer).await.unwrap();
            peer.send(part).await;
            if reset {
                peer.reset();
            } else {
                drop(peer);
            }
            let error = rest(&mut body).await.expect_err(part);
            assert!(error.is_reset(), "{part:?}: {error}");
            assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{part:?}");
        }
    }
    // Without a length only a reset tells.
    let (answer, mut peer) = asked(&client, &mut upstream).await;
    peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
    let (_, mut body) = head(answer).await.unwrap();
    exactly(&mut body, 5).await;
    peer.reset();
    assert!(rest(&mut body).await.is_err());
    // The connection is as good as before.
    let (answer, mut peer) = asked(&client, &mut upstream).await;
    peer.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    drop(peer);
    assert_eq!(whole(answer).await.text(), "hello");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole_over_tls() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for (version, fields, part) in
        BROKEN.iter().map(|(fields, part)| ("1.1", *fields, *part)).chain([("1.0", BROKEN[2].0, BROKEN[2].1)])
    {
        let mut client = edge.http1("app.localhost").await;
        client.send(format!("GET / HTTP/{version}\r\nHost: app.localhost\r\n\r\n")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\n{fields}")).await;
        client.head().await;
        peer.send(part).await;
        drop(peer);
        let (got, end) = client.rest().await;
        assert!(!latin1(&got).ends_with("0\r\n\r\n") && got.len() < 10 + 5, "{part:?}: {}", latin1(&got));
        assert_eq!(end, End::Reset, "{version}, {part:?}");
    }
    // One that ends with its connection, as it should.
    let mut client = edge.http1("app.localhost").await;
    client.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n")).await;
    client.head().await;
    assert_eq!(client.rest().await, (b"hello".to_vec(), End::Closed));
    // One whose client says that it is done: that ends the answer, and not as if it were whole.
    let mut client = edge.http1("app.localhost").await;
    client.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    peer.request().await;
    peer.send(format!("{CHUNKED}5\r\nhello\r\n")).await;
    client.head().await;
    assert_eq!(client.exactly(5).await, b"hello");
    client.shutdown().await;
    assert_eq!(client.rest().await, (Vec::new(), End::Reset));
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    WaitingForHead,
    AfterInterim,
    InBody,
    InUpload,
    InBoth,
    /// The client reads nothing of the answer.
    HeldBack,
    /// The upstream reads nothing of the request.
    UploadHeldBack,
    /// The body was sent, the answer has not begun.
    Uploaded,
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_for_the_upstream_in_every_phase() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for phase in [
        Phase::WaitingForHead,
        Phase::AfterInterim,
        Phase::InBody,
        Phase::InUpload,
        Phase::InBoth,
        Phase::HeldBack,
        Phase::UploadHeldBack,
        Phase::Uploaded,
    ] {
        for whole_connection in [false, true] {
            let client = edge.http2().await;
            let uploads = matches!(phase, Phase::InUpload | Phase::InBoth | Phase::UploadHeldBack | Phase::Uploaded);
            let request = if uploads { post("/") } else { get("/") };
            let (mut answer, mut stream) = client.begin(request, !uploads).await;
            let mut body = None;
            if uploads {
                stream.send_data(Bytes::from_static(b"hi"), matches!(phase, Phase::Uploaded)).unwrap();
            }
            let mut peer = upstream.accept().await;
            match phase {
                Phase::UploadHeldBack => {
                    peer.head().await;
                    let _ = offered(&mut stream, BOUND).await;
                }
                _ if uploads => {
                    peer.until("hi\r\n").await;
                    if matches!(phase, Phase::Uploaded) {
                        peer.until("0\r\n\r\n").await;
                    }
                }
                _ => {
                    peer.request().await;
                }
            }
            match phase {
                Phase::AfterInterim => {
                    peer.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
                    let hints = std::future::poll_fn(|cx| answer.poll_informational(cx));
                    within("hints", hints).await.unwrap().unwrap();
                }
                Phase::InBody | Phase::InBoth => {
                    peer.send(format!("{CHUNKED}2\r\nhi\r\n")).await;
                }
                Phase::HeldBack => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                    push(&mut peer, &[b'x'; 65536], BOUND, &AtomicUsize::new(0)).await;
                }
                _ => {}
            }
            if matches!(phase, Phase::InBody | Phase::InBoth | Phase::HeldBack) {
                body = Some(within("a head", &mut answer).await.unwrap());
            }
            if whole_connection {
                drop(client);
                let more = peer.rest().await.0;
                assert!(!latin1(&more).contains("0\r\n\r\n"), "{phase:?}: an upload that broke off looks whole");
            } else {
                drop((stream, answer, body));
                let more = peer.rest().await.0;
                assert!(!latin1(&more).contains("0\r\n\r\n"), "{phase:?}: an upload that broke off looks whole");
                client.serves().await;
            }
        }
    }
}

/// Sends until there has been no room for a while. How much went.
pub(super) async fn offered(stream: &mut h2::SendStream<Bytes>, most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        stream.reserve_capacity(65_536);
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx));
        match tokio::time::timeout(Duration::from_millis(300), room).await {
            Ok(Some(Ok(n))) => {
                stream.send_data(Bytes::from(vec![b'x'; n]), false).unwrap();
                sent += n;
            }
            _ => break,
        }
    }
    sent
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    for (close, announced) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut request = post("/");
        if announced {
            request.headers_mut().insert("content-length", 50_000_000.into());
        }
        let (answer, mut stream) = client.begin(request, false).await;
        send(&mut stream, &[b'x'; 100_000], false).await;
        let mut peer = upstream.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
        if close {
            drop(peer);
        }
        let answer = whole(answer).await;
        assert_eq!((answer.status(), answer.text()), (413, "big"));
        let reason = within("a reset", std::future::poll_fn(|cx| stream.poll_reset(cx))).await.unwrap();
        assert_eq!(reason, Reason::NO_ERROR, "close: {close}, announced: {announced}");
    }
    // What was sent and not read is no burden on the connection: another upload passes.
    let (answer, mut stream) = client.begin(post("/"), false).await;
    let asking = async {
        send(&mut stream, &[b'x'; 1_000_000], true).await;
        whole(answer).await
    };
    let answering = async {
        let mut peer = upstream.accept().await;
        assert_eq!(peer.request().await.body.len(), 1_000_000);
        peer.send(EMPTY).await;
    };
    assert_eq!(tokio::join!(asking, answering).0.status(), 200);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    let (answer, mut peer) = asked(&client, &mut upstream).await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let pushed = AtomicUsize::new(0);
    push(&mut peer, &[b'x'; 65536], BOUND, &pushed).await;
    let pushed = pushed.into_inner();
    assert!(pushed < BOUND, "{pushed} bytes went somewhere");
    // Another stream of the same connection is served meanwhile, and this one gets all that was taken.
    let (other, mut second) = asked(&client, &mut upstream).await;
    second.send(EMPTY).await;
    assert_eq!(whole(other).await.status(), 200);
    let (_, mut body) = head(answer).await.unwrap();
    let mut got = 0;
    while got < pushed {
        let data = within("data", body.data()).await.unwrap().unwrap();
        got += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(got, pushed);
}

/// With windows as large as they may be, the connection's own buffers are what holds.
#[tokio::test]
async fn a_client_with_endless_windows_that_does_not_read_holds_the_upstream_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let io = edge.tls("app.localhost", &HTTP2).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size((1 << 31) - 1).initial_connection_window_size((1 << 31) - 1);
    let (mut requests, mut connection) = builder.handshake::<_, Bytes>(io).await.unwrap();
    let mut answers = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..20 {
        answers.push(requests.send_request(get("/"), true).unwrap().0);
        let asked = async {
            let mut peer = upstream.accept().await;
            peer.request().await;
            peer
        };
        peers.push(tokio::select! {
            peer = asked => peer,
            ended = &mut connection => panic!("{ended:?}"),
        });
    }
    // From here on nobody reads the client's socket.
    let pushed = AtomicUsize::new(0);
    for peer in &mut peers {
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        push(peer, &[b'x'; 65536], 20 * BOUND, &pushed).await;
    }
    let pushed = pushed.into_inner();
    // Each upstream's socket takes some megabytes by itself; the router's share is what a stream may hold.
    assert!(pushed < 20 * 12 * 1024 * 1024, "{pushed} bytes went somewhere");
    edge.http2().await.serves().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    let (_answer, mut stream) = client.begin(post("/"), false).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    let pushed = offered(&mut stream, BOUND).await;
    assert!(pushed < BOUND, "{pushed} bytes went somewhere");
    // The uploads of others pass meanwhile.
    let (answer, mut other) = client.begin(post("/"), false).await;
    let asking = async {
        send(&mut other, &[b'x'; 1_000_000], true).await;
        whole(answer).await
    };
    let answering = async {
        let mut peer = upstream.accept().await;
        assert_eq!(peer.request().await.body.len(), 1_000_000);
        peer.send(EMPTY).await;
    };
    assert_eq!(tokio::join!(asking, answering).0.status(), 200);
    // What was taken arrives.
    let mut got = 0;
    while got < pushed {
        let size = latin1(&peer.until("\r\n").await);
        let n = usize::from_str_radix(size.trim_end(), 16).unwrap();
        peer.exactly(n + 2).await;
        got += n;
    }
    assert_eq!(got, pushed);
}

#[tokio::test]
async fn a_stale_connection_is_retried_once_and_never_for_a_post() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    let (answer, mut peer) = asked(&client, &mut upstream).await;
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
    // The upstream closes when the next request comes.
    let (answer, _stream) = client.begin(get("/again"), true).await;
    assert_eq!(peer.request().await.line(), "GET /again HTTP/1.1");
    drop(peer);
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.line(), "GET /again HTTP/1.1");
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
    let (answer, mut stream) = client.begin(post("/once"), false).await;
    stream.send_data(Bytes::from_static(b"hi"), true).unwrap();
    assert_eq!(peer.request().await.text(), "hi");
    drop(peer);
    let answer = whole(answer).await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_CLOSED")));
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn a_request_waits_for_a_target_that_restarts() {
    let edge = Secure::with(|c| c.proxy.start_timeout = Duration::from_secs(60)).await;
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    edge.edge.route("app", port).await;
    let client = edge.http2().await;
    let (answer, mut stream) = client.begin(post("/"), false).await;
    stream.send_data(Bytes::from_static(b"hi"), true).unwrap();
    // Others are served meanwhile, also what is told at once.
    let page = Request::get("https://app.localhost/").header("accept", "text/html").body(()).unwrap();
    let page = client.ask(page).await;
    assert_eq!((page.status(), page.field("x-mastra-router-error")), (503, Some("TARGET_STARTING")));
    // One that is taken back is gone; the connection goes on.
    drop(client.begin(post("/"), true).await);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.text(), "hi");
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn resets_in_a_row_do_not_stop_the_other_streams() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let client = edge.http2().await;
    let (answer, mut peer) = asked(&client, &mut upstream).await;
    peer.send(CHUNKED).await;
    let (_, mut body) = head(answer).await.unwrap();
    for round in 0..10 {
        // A page that is left takes back all it has asked for.
        let mut begun = Vec::new();
        for _ in 0..60 {
            begun.push(client.begin(get("/page"), true).await);
        }
        drop(begun);
        let event = format!("{round:02}");
        peer.send(format!("2\r\n{event}\r\n")).await;
        assert_eq!(exactly(&mut body, 2).await, event.as_bytes());
    }
    peer.send("0\r\n\r\n").await;
    assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), None));
}
