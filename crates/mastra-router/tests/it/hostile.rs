//! Requests that two parsers can read differently: refused, and nothing of them forwarded.

use crate::edge::Edge;
use crate::upstream::{Recorder, Upstream};
use crate::wire::{End, get, latin1};

const H: &str = "Host: app.localhost\r\n";

/// Requests that never leave the router, with the status of the refusal.
fn refused() -> Vec<(u16, String)> {
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{H}{fields}\r\n");
    let post = |fields: &str| format!("POST / HTTP/1.1\r\n{H}{fields}\r\n0\r\n\r\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\n{H}\r\n");
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    vec![
        // Framing.
        (400, post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")),
        (400, post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 5\r\n")),
        (400, post("Content-Length: 5\r\nContent-Length: 6\r\n")),
        (400, post("Content-Length: 5, 5\r\n")),
        (400, post("Content-Length: +5\r\n")),
        (400, post("Content-Length: -5\r\n")),
        (400, post("Content-Length: 0x5\r\n")),
        (400, post("Content-Length: 5 5\r\n")),
        (400, post("Content-Length:\r\n")),
        (400, post("Content-Length: 99999999999999999999\r\n")),
        (400, post("Content-Length : 5\r\n")),
        (400, post("Transfer-Encoding : chunked\r\n")),
        (400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
        (400, post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")),
        (400, post("Transfer-Encoding: chunked, chunked\r\n")),
        (400, post("Transfer-Encoding: gzip, chunked\r\n")),
        (400, post("Transfer-Encoding: chunked, identity\r\n")),
        (400, post("Transfer-Encoding: chunked;q=1\r\n")),
        (400, post("Transfer-Encoding: \"chunked\"\r\n")),
        (400, post("Transfer-Encoding: \u{b}chunked\r\n")),
        (400, post("Transfer-Encoding:\r\n chunked\r\n")),
        (400, post("Transfer-Encoding:\r\n")),
        (501, post("Transfer-Encoding: gzip\r\n")),
        (501, post("Transfer-Encoding: identity\r\n")),
        (501, post("Transfer-Encoding: xchunked\r\n")),
        (400, format!("POST / HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        // Lines and fields.
        (400, format!("GET / HTTP/1.1\n{H}\r\n")),
        (400, "GET / HTTP/1.1\r\nHost: app.localhost\n\r\n".into()),
        (400, format!("GET / HTTP/1.1\r\n{H}\n")),
        (400, get("A: b\rC: d\r\n")),
        (400, get("A: b\0c\r\n")),
        (400, get("A: b\u{7f}\r\n")),
        (400, get("A: b\r\n c\r\n")),
        (400, format!("GET / HTTP/1.1\r\n {H}\r\n")),
        (400, get("no colon\r\n")),
        (400, get(": nothing\r\n")),
        (400, get("A B: c\r\n")),
        (400, get("A\u{1}: c\r\n")),
        (400, get("Connection: @\r\n")),
        // The request line.
        (400, format!("\r\n\r\nGET / HTTP/1.1\r\n{H}\r\n")),
        (400, format!(" GET / HTTP/1.1\r\n{H}\r\n")),
        (400, format!("GET  / HTTP/1.1\r\n{H}\r\n")),
        (400, format!("GET\t/\tHTTP/1.1\r\n{H}\r\n")),
        (400, format!("GET / HTTP/1.1 \r\n{H}\r\n")),
        (400, format!("GET / x HTTP/1.1\r\n{H}\r\n")),
        (400, "GET /\r\n\r\n".into()),
        (400, format!("GET / HTTP/1\r\n{H}\r\n")),
        (400, format!("GET / http/1.1\r\n{H}\r\n")),
        (505, format!("GET / HTTP/1.2\r\n{H}\r\n")),
        (505, format!("GET / HTTP/2.0\r\n{H}\r\n")),
        (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        (400, format!("G@T / HTTP/1.1\r\n{H}\r\n")),
        (405, format!("CONNECT app.localhost:80 HTTP/1.1\r\n{H}\r\n")),
        (400, format!("{} / HTTP/1.1\r\n{H}\r\n", "M".repeat(40))),
        // The target.
        (400, target("*")),
        (400, target("x")),
        (400, target("app.localhost:80")),
        (400, target("/a\\..\\b")),
        (400, target("/a\u{1}b")),
        (400, target("http://u@app.localhost/")),
        (400, target("http:///x")),
        (400, target("file:///etc/passwd")),
        // The host.
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, format!("GET / HTTP/1.1\r\n{H}{H}\r\n")),
        (400, format!("GET / HTTP/1.1\r\n{H}Host: other.localhost\r\n\r\n")),
        (400, host("")),
        (400, host("app.localhost, other.localhost")),
        (400, host("app localhost")),
        (400, host("u@app.localhost")),
        (400, host("app.localhost/x")),
        (400, host("app.localhost:99999")),
        (400, host("app.localhost:x")),
        (400, host("[::1")),
        (400, host("app%2elocalhost")),
        // What is asked for besides.
        (417, get("Expect: something\r\n")),
        (
            400,
            format!(
                "GET / HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nContent-Length: 3\r\n\r\nabc"
            ),
        ),
        // Limits.
        (431, get(&format!("A: {}\r\n", "x".repeat(70_000)))),
        (431, get(&"A: b\r\n".repeat(2000))),
        (414, target(&format!("/{}", "x".repeat(40_000)))),
    ]
}

/// A request that must not be taken for the next one where the first was refused.
fn smuggled() -> String {
    get("app.localhost", "/smuggled")
}

#[tokio::test]
async fn what_is_refused_never_reaches_the_upstream() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    for (status, request) in refused() {
        let shown = &request[..request.len().min(200)];
        let mut client = edge.client().await;
        client.send(format!("{request}{}", smuggled())).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{shown:?}\n{}", answer.head);
        assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
        assert_eq!(answer.field("x-mastra-router-error"), Some("BAD_REQUEST"), "{shown:?}");
        let (more, end) = client.rest().await;
        assert_eq!((latin1(&more).as_str(), end), ("", End::Closed), "{shown:?}");
    }
    edge.client().await.ask(get("app.localhost", "/last")).await;
    let seen: Vec<String> = recorder.log().iter().map(|m| m.line().to_owned()).collect();
    assert_eq!(seen, ["GET /last HTTP/1.1"]);
}

#[tokio::test]
async fn a_broken_chunk_ends_both_connections() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    for broken in [
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        " 5\r\nhello\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n",
        "5\r\nhello0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "-1\r\n",
        "\r\n",
        "g\r\n",
        "5;\n\r\nhello\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\nBad Name: x\r\n\r\n",
        "0\r\n folded\r\n\r\n",
    ] {
        let mut client = edge.client().await;
        let head = format!("POST /up HTTP/1.1\r\n{H}Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        client.send(head).await;
        let mut peer = upstream.accept().await;
        peer.until("5\r\nfirst\r\n").await;
        client.send(format!("{broken}{}", smuggled())).await;
        let (more, _) = peer.rest().await;
        let more = latin1(&more);
        assert!(!more.contains("0\r\n\r\n") && !more.contains("smuggled"), "{broken:?}: {more:?}");
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("connection")), (400, Some("close")), "{broken:?}");
        let (more, end) = client.rest().await;
        assert_eq!((latin1(&more).as_str(), end), ("", End::Closed), "{broken:?}");
    }
    assert_eq!(upstream.accepted(), 17);
}

#[tokio::test]
async fn an_ambiguous_path_under_a_prefix_is_refused() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    for path in ["/app/../x", "/app/%2e%2e/x", "/app/.%2E/x", "/app/..%2fx", "/app/..%5cx", "/app/..;a/x", "/app/a/.."]
    {
        let answer = edge.client().await.ask(get("localhost", path)).await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (400, Some("AMBIGUOUS_PATH")), "{path}");
    }
    assert!(recorder.log().is_empty());
}
