//! What looks odd and is fine: it passes, and not a byte that matters is changed.

use crate::edge::Edge;
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{End, get, latin1};

#[tokio::test]
async fn the_target_passes_byte_for_byte() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    let long = format!("/long?{}", "x".repeat(30_000));
    for target in [
        "/",
        "//double//slashes",
        "/%2F%2e%2E/%zz%00?a=%20&b=c+d",
        "/?q=a\\b|c{d}^[e]'",
        "/a/../b/./c",
        "/;a=b,c!$&'()*+:@",
        long.as_str(),
    ] {
        let answer = client.ask(get("app.localhost", target)).await;
        assert_eq!(answer.status(), 200, "{target}");
        assert_eq!(recorder.last().line(), format!("GET {target} HTTP/1.1"));
    }
}

#[tokio::test]
async fn large_cookies_and_values_outside_ascii_pass() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let cookie = format!("a={}", "b".repeat(16 * 1024));
    let mut request = format!("GET / HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\nX-Raw: ").into_bytes();
    request.extend_from_slice(b"\xff\x80\t\xe9 \r\nX-Empty:\r\n\r\n");
    assert_eq!(edge.client().await.ask(request).await.status(), 200);
    let seen = recorder.last();
    assert_eq!(seen.field("cookie"), Some(cookie.as_str()));
    assert_eq!(seen.field("x-raw"), Some("\u{ff}\u{80}\t\u{e9}"));
    assert_eq!(seen.field("x-empty"), Some(""));
}

#[tokio::test]
async fn options_of_the_whole_server() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    for target in ["*", "http://app.localhost"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
        assert_eq!(edge.client().await.ask(request).await.status(), 200);
        assert_eq!(recorder.last().line(), "OPTIONS * HTTP/1.1");
    }
}

#[tokio::test]
async fn the_host_of_an_absolute_target_wins() {
    let edge = Edge::start().await;
    let (one, other) = (Recorder::start().await, Recorder::start().await);
    edge.route("one", one.port).await;
    edge.route("other", other.port).await;
    let request = "GET http://One.Localhost:81/x?y HTTP/1.1\r\nHost: other.localhost\r\n\r\n";
    assert_eq!(edge.client().await.ask(request).await.status(), 200);
    let seen = one.last();
    assert_eq!(seen.line(), "GET /x?y HTTP/1.1");
    assert_eq!(seen.field("host"), Some("One.Localhost:81"));
    assert_eq!(seen.field("x-forwarded-host"), Some("One.Localhost:81"));
    assert!(other.log().is_empty());
}

#[tokio::test]
async fn a_chunked_upload_with_trailers_passes() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    let request = "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n\
                   5;ext=\"1\"\r\nhello\r\n00A\r\n, world...\r\n0\r\nX-Sum: 15\r\n\r\n";
    assert_eq!(client.ask(request).await.status(), 200);
    let seen = recorder.last();
    assert_eq!(seen.text(), "hello, world...");
    assert_eq!(seen.trailers, "X-Sum: 15\r\n");
    assert_eq!(seen.field("transfer-encoding"), Some("chunked"));
    assert_eq!(client.ask(get("app.localhost", "/next")).await.text(), "/next");
}

#[tokio::test]
async fn bodies_on_any_method_pass() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-own"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.ask(request).await.status(), 200, "{method}");
        let seen = recorder.last();
        assert_eq!((seen.line(), seen.text()), (format!("{method} / HTTP/1.1").as_str(), "abc"));
        assert_eq!(seen.field("content-length"), Some("3"));
    }
    let request = "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(client.ask(request).await.status(), 200);
    assert_eq!(recorder.last().field("content-length"), Some("0"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    let mut requests = String::from("\r\n");
    for i in 0..20 {
        let body = "b".repeat(i);
        requests.push_str(&format!("POST /{i} HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {i}\r\n\r\n{body}"));
        requests.push_str(&get("localhost", "/nobody"));
    }
    client.send(requests).await;
    for i in 0..20 {
        assert_eq!(client.answer().await.text(), format!("/{i}"));
        assert_eq!(client.answer().await.status(), 404);
    }
    assert_eq!(recorder.log().len(), 20);
}

#[tokio::test]
async fn http_1_0_clients() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let request = "GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n";

    let mut client = edge.client().await;
    client.send(request).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.line(), "GET / HTTP/1.1");
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.field("transfer-encoding"), answer.text()), (None, "abc"));
    assert_eq!(answer.field("connection"), Some("close"));

    let mut client = edge.client().await;
    client.send(request).await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));

    // Without a host it leads nowhere.
    let mut client = edge.client().await;
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").await.status(), 404);
}

#[tokio::test]
async fn a_client_that_asks_to_close_is_answered_and_closed() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    let request = "GET /x HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
    let answer = client.ask(format!("{request}{}", get("app.localhost", "/after"))).await;
    assert_eq!((answer.text(), answer.field("connection")), ("/x", Some("close")));
    assert_eq!(latin1(&client.rest().await.0), "");
    assert_eq!(recorder.log().len(), 1);
    assert_eq!(recorder.last().field("connection"), None);
}

#[tokio::test]
async fn a_head_may_come_byte_by_byte() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    for byte in get("app.localhost", "/slow").bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.text(), "/slow");
}

#[tokio::test]
async fn a_large_head_may_wait_behind_another_request() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    let cookie = "c".repeat(60_000);
    client.send(get("app.localhost", "/first")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    let second =
        format!("POST /second HTTP/1.1\r\nHost: app.localhost\r\nCookie: {cookie}\r\nContent-Length: 3\r\n\r\nabc");
    client.send(format!("{second}{}", get("app.localhost", "/third"))).await;
    peer.send(EMPTY).await;
    client.answer().await;
    let seen = peer.request().await;
    assert_eq!((seen.field("cookie"), seen.text()), (Some(cookie.as_str()), "abc"));
    peer.send(EMPTY).await;
    client.answer().await;
    assert_eq!(peer.request().await.line(), "GET /third HTTP/1.1");
}

#[tokio::test]
async fn a_body_for_no_route_is_passed_over() {
    let edge = Edge::start().await;
    let mut client = edge.client().await;
    let whole = "POST / HTTP/1.1\r\nHost: no.localhost\r\nContent-Length: 3\r\n\r\nabc";
    let chunked =
        "POST / HTTP/1.1\r\nHost: no.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n";
    client.send([whole, chunked, whole].concat()).await;
    for _ in 0..3 {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("connection")), (404, None));
    }
    // What is not there yet is not waited for.
    client.send("POST / HTTP/1.1\r\nHost: no.localhost\r\nContent-Length: 3000000\r\n\r\nabc").await;
    client.offer(vec![b'x'; 1_000_000]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("connection")), (404, Some("close")));
}

#[tokio::test]
async fn a_nominated_host_or_length_is_kept_all_the_same() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    for framing in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Host, Content-Length, Transfer-Encoding\r\n{framing}"
        );
        let answer = client.ask(request).await;
        if answer.status() == 400 {
            client = edge.client().await;
            continue;
        }
        let seen = recorder.last();
        assert_eq!((seen.field("host"), seen.text()), (Some("app.localhost"), "abc"));
    }
}

#[tokio::test]
async fn http_1_0_clients_may_keep_their_connection_only_where_they_are_told_so() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    for host in ["app.localhost", "no.localhost"] {
        let mut client = edge.client().await;
        let request = format!("GET /x HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.ask(&request).await;
        match answer.field("connection") {
            // Without a word a client of HTTP/1.0 waits for the end.
            Some("keep-alive") => assert_eq!(client.ask(&request).await.status(), answer.status()),
            _ => assert_eq!(client.rest().await, (Vec::new(), End::Closed)),
        }
    }
}
