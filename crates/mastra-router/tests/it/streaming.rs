//! Bodies on their way: nothing is held back, nothing piles up, and nothing broken looks whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;

use crate::edge::Edge;
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{End, Wire, get, latin1, within};

async fn edge_and_upstream() -> (Edge, Upstream) {
    let (edge, upstream) = (Edge::start().await, Upstream::start().await);
    edge.route("app", upstream.port()).await;
    (edge, upstream)
}

/// A client's request that has come to the upstream.
async fn asked(edge: &Edge, upstream: &mut Upstream) -> (Wire, Wire) {
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    (client, peer)
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const UPLOAD: &str = "POST /up HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn an_event_arrives_before_the_next_is_written() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for (head, framed) in [
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 600\r\n\r\n", false),
    ] {
        let (mut client, mut peer) = asked(&edge, &mut upstream).await;
        // The head alone, before anything follows.
        peer.send(head).await;
        let head = client.head().await;
        assert!(head.contains("text/event-stream"));
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
    let mut client = edge.client().await;
    client.send(UPLOAD).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    peer.send(CHUNKED).await;
    client.head().await;
    for i in 0..50 {
        let part = format!("2\r\n{i:02}\r\n");
        client.send(&part).await;
        peer.until(&part).await;
        peer.send(&part).await;
        client.until(&part).await;
    }
    client.send("0\r\nX-Up: 1\r\n\r\n").await;
    assert_eq!(latin1(&peer.until("\r\n\r\n").await), "0\r\nX-Up: 1\r\n\r\n");
    peer.send("0\r\nX-Down: 1\r\n\r\n").await;
    assert_eq!(latin1(&client.until("\r\n\r\n").await), "0\r\nX-Down: 1\r\n\r\n");
    // Both connections are as good as before.
    client.send(get("app.localhost", "/next")).await;
    assert_eq!(peer.request().await.line(), "GET /next HTTP/1.1");
}

#[tokio::test]
async fn large_bodies_pass_whole() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let body: Vec<u8> = (0..8_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for chunked in [false, true] {
        let framing = |n: usize| match chunked {
            true => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
            false => format!("Content-Length: {n}\r\n\r\n"),
        };
        let mut framed = Vec::new();
        if chunked {
            for (i, part) in body.chunks(70_001).enumerate() {
                // Chunks of all sizes, single bytes too.
                let (one, rest) = part.split_at(part.len().min(1 + i % 5));
                for part in [one, rest].into_iter().filter(|p| !p.is_empty()) {
                    framed.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    framed.extend_from_slice(part);
                    framed.extend_from_slice(b"\r\n");
                }
            }
            framed.extend_from_slice(b"0\r\n\r\n");
        } else {
            framed.clone_from(&body);
        }
        let mut client = edge.client().await;
        let head = format!("PUT / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n{}", framing(body.len()));
        let (up, down) = (framed.clone(), framed);
        let sent = async {
            client.send(head).await;
            client.send(up).await;
            client.answer().await
        };
        let answered = async {
            let mut peer = upstream.accept().await;
            let request = peer.request().await;
            peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{}", framing(body.len()))).await;
            peer.send(down).await;
            request
        };
        let (answer, request) = tokio::join!(sent, answered);
        assert!(request.body == body, "upload, chunked: {chunked}");
        assert!(answer.body == body, "download, chunked: {chunked}");
    }
}

/// Sends `bytes` again and again, counting them, until there has been no room for them for a while or the other side is
/// gone. The pause decides only when the test gives up pushing, never whether it passes.
pub(crate) async fn push(wire: &mut Wire, bytes: &[u8], most: usize, pushed: &AtomicUsize) {
    while pushed.load(Ordering::SeqCst) < most {
        let room = tokio::time::timeout(std::time::Duration::from_millis(300), wire.io.write(bytes)).await;
        match room {
            Ok(Ok(n)) => pushed.fetch_add(n, Ordering::SeqCst),
            _ => return,
        };
    }
}

pub(crate) const BOUND: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let pushed = AtomicUsize::new(0);
    push(&mut peer, &[b'x'; 65536], BOUND, &pushed).await;
    let pushed = pushed.into_inner();
    assert!(pushed < BOUND, "{pushed} bytes went somewhere");
    // Another client is served meanwhile, and this one gets all that was taken.
    let (_other, _peer) = asked(&edge, &mut upstream).await;
    client.head().await;
    client.exactly(pushed).await;
}

#[tokio::test]
async fn an_upstream_that_does_not_read_holds_the_client_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1000000000\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    let pushed = AtomicUsize::new(0);
    push(&mut client, &[b'x'; 65536], BOUND, &pushed).await;
    let pushed = pushed.into_inner();
    assert!(pushed < BOUND, "{pushed} bytes went somewhere");
    peer.head().await;
    peer.exactly(pushed).await;
}

#[tokio::test]
async fn a_client_that_pipelines_without_end_is_held_back() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    let pushed = AtomicUsize::new(0);
    push(&mut client, get("app.localhost", "/p").as_bytes(), BOUND, &pushed).await;
    assert!(pushed.into_inner() < BOUND);
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(peer.request().await.line(), "GET /p HTTP/1.1");
}

/// What a client has done when it leaves.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    WaitingForHead,
    InBody,
    InUpload,
    InBoth,
    HeldBack,
    /// With more requests behind the first.
    Pipelining,
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_for_the_upstream_in_every_phase() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for phase in
        [Leaves::WaitingForHead, Leaves::InBody, Leaves::InUpload, Leaves::InBoth, Leaves::HeldBack, Leaves::Pipelining]
    {
        for reset in [false, true] {
            let (client, mut peer) = match phase {
                Leaves::WaitingForHead => asked(&edge, &mut upstream).await,
                Leaves::InBody => {
                    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
                    peer.send(format!("{CHUNKED}2\r\nhi\r\n")).await;
                    client.until("hi\r\n").await;
                    (client, peer)
                }
                Leaves::InUpload | Leaves::InBoth => {
                    let mut client = edge.client().await;
                    client.send(format!("{UPLOAD}2\r\nhi\r\n")).await;
                    let mut peer = upstream.accept().await;
                    peer.until("hi\r\n").await;
                    if matches!(phase, Leaves::InBoth) {
                        peer.send(format!("{CHUNKED}2\r\nhi\r\n")).await;
                        client.until("hi\r\n").await;
                    }
                    (client, peer)
                }
                Leaves::HeldBack => {
                    let (client, mut peer) = asked(&edge, &mut upstream).await;
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
                    push(&mut peer, &[b'x'; 65536], BOUND, &Arc::default()).await;
                    (client, peer)
                }
                Leaves::Pipelining => {
                    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
                    client.send(get("app.localhost", "/p").repeat(100)).await;
                    peer.send(format!("{CHUNKED}2\r\nhi\r\n")).await;
                    client.until("hi\r\n").await;
                    (client, peer)
                }
            };
            if reset {
                client.reset();
            } else {
                drop(client);
            }
            let (more, _) = peer.rest().await;
            assert!(!latin1(&more).contains("0\r\n\r\n"), "{phase:?}: an upload that broke off looks whole");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for (head, part) in [
        ("Content-Length: 10\r\n\r\n", "12345"),
        ("Content-Length: 10\r\n\r\n", ""),
        ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", "a\r\n12345"),
        ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n0\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\nnothing\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", ""),
    ] {
        for reset in [false, true] {
            let (mut client, mut peer) = asked(&edge, &mut upstream).await;
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}")).await;
            client.head().await;
            peer.send(part).await;
            if reset {
                peer.reset();
            } else {
                drop(peer);
            }
            let (got, end) = client.rest().await;
            assert!(!latin1(&got).ends_with("0\r\n\r\n") && got.len() < 10 + 5, "{part:?}: {}", latin1(&got));
            assert_eq!(end, End::Reset, "{part:?}");
        }
    }
    // Without a length only a reset tells, and the client's chunks are not ended.
    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
    client.until("hello").await;
    peer.reset();
    let (got, end) = client.rest().await;
    assert_eq!((latin1(&got).contains("0\r\n\r\n"), end), (false, End::Reset));
    // A client of HTTP/1.0 has no chunks to tell by: it sees the reset.
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(format!("{CHUNKED}5\r\nhello\r\n")).await;
    client.until("hello").await;
    drop(peer);
    assert_eq!(client.rest().await, (Vec::new(), End::Reset));
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_chunked() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    peer.send("HTTP/1.0 200 OK\r\n\r\nhello").await;
    client.until("hello").await;
    peer.send(" world").await;
    drop(peer);
    client.until(" world\r\n0\r\n\r\n").await;
    let next = get("localhost", "/nothing");
    assert_eq!(client.ask(next).await.status(), 404, "the client's connection goes on");
}

#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for close in [false, true] {
        let mut client = edge.client().await;
        client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 50000000\r\n\r\n").await;
        client.send(vec![b'x'; 100_000]).await;
        let mut peer = upstream.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig").await;
        if close {
            // With bytes unread: the system resets the connection.
            drop(peer);
        }
        // The client sends on, and only then looks.
        client.offer(vec![b'x'; 5_000_000]).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "big"));
    }
}

#[tokio::test]
async fn expect_100_continue_is_the_upstreams_to_answer() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let request = "POST / HTTP/1.1\r\nHost: app.localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let mut client = edge.client().await;
    client.send(request).await;
    let mut peer = upstream.accept().await;
    assert!(peer.head().await.contains("Expect: 100-continue\r\n"));
    peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(peer.exactly(5).await, b"hello");
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);

    // Refused: nothing of the body is asked for, and the answer comes.
    client.send(request).await;
    peer.head().await;
    peer.send("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 417);
}

#[tokio::test]
async fn interim_answers_pass() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.css>\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.css>\r\n\r\n");
    peer.send(format!("HTTP/1.1 102 Processing\r\n\r\n{EMPTY}")).await;
    assert_eq!(client.answer().await.status(), 102);
    assert_eq!(client.answer().await.status(), 200);

    // HTTP/1.0 does not know them.
    client.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    peer.request().await;
    peer.send(format!("HTTP/1.1 103 Early Hints\r\n\r\n{EMPTY}")).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_upload() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(format!("{UPLOAD}2\r\nhi\r\n")).await;
    let mut peer = upstream.accept().await;
    peer.until("hi\r\n").await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await;
    client.head().await;
    client.send("0\r\n\r\n").await;
    peer.until("0\r\n\r\n").await;
    peer.send("hello").await;
    assert_eq!(client.exactly(5).await, b"hello");
    client.send(get("app.localhost", "/next")).await;
    assert_eq!(peer.request().await.line(), "GET /next HTTP/1.1");
}

#[tokio::test]
async fn many_clients_at_once() {
    let edge = Edge::with(|c| c.proxy.threads = Some(4)).await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let address = edge.address;
    let clients: Vec<_> = (0..50)
        .map(|i| {
            tokio::spawn(async move {
                let mut client = Wire::connect(address).await;
                for j in 0..20 {
                    let path = format!("/{i}/{j}");
                    assert_eq!(client.ask(get("app.localhost", &path)).await.text(), path);
                }
            })
        })
        .collect();
    for client in clients {
        within("a client's end", client).await.unwrap();
    }
    assert_eq!(recorder.log().len(), 1000);
}

#[tokio::test]
async fn a_multitude_of_tiny_chunks_passes() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let body: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
    let mut framed: Vec<u8> = body.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect();
    framed.extend_from_slice(b"0\r\n\r\n");
    let mut client = edge.client().await;
    let sent = async {
        client.send(UPLOAD).await;
        client.send(&framed).await;
        client.answer().await
    };
    let answered = async {
        let mut peer = upstream.accept().await;
        let request = peer.request().await;
        peer.send(CHUNKED).await;
        peer.send(&framed).await;
        request
    };
    let (answer, request) = tokio::join!(sent, answered);
    assert!(request.body == body && answer.body == body);
}

#[tokio::test]
async fn a_chunk_extension_without_end_is_cut() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let endless = format!("5;{}", "x".repeat(1_000_000));
    let mut client = edge.client().await;
    client.send(UPLOAD).await;
    let mut peer = upstream.accept().await;
    peer.head().await;
    client.offer(&endless).await;
    assert_eq!(client.answer().await.status(), 400);
    assert_eq!(peer.rest().await.0, b"");

    let (mut client, mut peer) = asked(&edge, &mut upstream).await;
    peer.send(CHUNKED).await;
    client.head().await;
    peer.offer(&endless).await;
    assert_eq!(client.rest().await, (Vec::new(), End::Reset));
}

#[tokio::test]
async fn trailers_do_not_say_what_only_the_router_says() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let trailers = "X-Sum: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nHost: evil.test\r\nConnection: close\r\n\
                    X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    let mut client = edge.client().await;
    client.send(format!("{UPLOAD}2\r\nhi\r\n0\r\n{trailers}\r\n")).await;
    let mut peer = upstream.accept().await;
    let seen = peer.request().await;
    assert_eq!((seen.text(), seen.trailers.as_str()), ("hi", "X-Sum: 1\r\n"));
    peer.send(format!("{CHUNKED}0\r\nX-Sum: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    assert_eq!(client.answer().await.trailers, "X-Sum: 1\r\n");
}

#[tokio::test]
async fn an_upstream_that_leaves_during_an_upload_is_told_of() {
    let (edge, mut upstream) = edge_and_upstream().await;
    for reset in [false, true] {
        let mut client = edge.client().await;
        client.send(format!("{UPLOAD}2\r\nhi\r\n")).await;
        let mut peer = upstream.accept().await;
        peer.until("hi\r\n").await;
        if reset {
            peer.reset();
        } else {
            drop(peer);
        }
        // The client waits with the rest; it need not send it to be told.
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("connection")), (502, Some("close")));
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    }
}

#[tokio::test]
async fn an_answer_that_is_whole_before_the_upload_ends_the_connection() {
    let (edge, mut upstream) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(format!("{UPLOAD}2\r\nhi\r\n")).await;
    let mut peer = upstream.accept().await;
    peer.until("hi\r\n").await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    assert_eq!(peer.rest().await.0, b"");
}
