//! What HTTP/2 clients ask, and what the upstream sees of it: the same as of HTTP/1.1.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};

use super::client::{Http2, Secure, get, head, post, rest, send, whole};
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::latin1;

async fn edge_and_upstream() -> (Secure, Upstream, Http2) {
    let (edge, upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let client = edge.http2().await;
    (edge, upstream, client)
}

async fn edge_and_recorder() -> (Secure, Recorder, Http2) {
    let (edge, recorder) = (Secure::start().await, Recorder::start().await);
    edge.edge.route("app", recorder.port).await;
    let client = edge.http2().await;
    (edge, recorder, client)
}

#[tokio::test]
async fn a_request_reaches_an_http_1_1_upstream_in_its_words() {
    let (edge, recorder, client) = edge_and_recorder().await;
    let port = edge.address().port();
    let request = Request::get(format!("https://app.localhost:{port}/a/b?x=%2f&y"))
        .header("accept", "text/plain")
        .header("cookie", "a=1")
        .header("x-own", "v")
        .header("cookie", "b=2")
        .header("cookie", "c=3")
        .header("te", "trailers")
        .header("forwarded", "for=6.6.6.6")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "http")
        .header("x_forwarded_for", "6.6.6.6")
        .header("x_real-ip", "6.6.6.6")
        .header("content_length", "7")
        .header("transfer_encoding", "chunked")
        .body(())
        .unwrap();
    let answer = client.ask(request).await;
    assert_eq!((answer.status(), answer.text()), (200, "/a/b?x=%2f&y"));
    let seen = recorder.last();
    assert_eq!(seen.line(), "GET /a/b?x=%2f&y HTTP/1.1");
    assert_eq!(seen.field("host"), Some(&*format!("app.localhost:{port}")));
    assert_eq!(seen.field("cookie"), Some("a=1; b=2; c=3"));
    assert_eq!(seen.field("x-own"), Some("v"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-port"), Some(&*port.to_string()));
    assert_eq!(seen.field("x-forwarded-host"), Some(&*format!("app.localhost:{port}")));
    assert_eq!(seen.field("forwarded"), Some(&*format!("for=127.0.0.1;host=\"app.localhost:{port}\";proto=https")));
    for gone in ["te", "x_forwarded_for", "x_real-ip", "content_length", "transfer_encoding", "content-length"] {
        assert_eq!(seen.field(gone), None, "{}", seen.head);
    }
}

#[tokio::test]
async fn bodies_of_all_sizes_pass_both_ways() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let all: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for size in [0, 1, 5, 16_384, 16_385, 65_535, 100_000, 5_000_000] {
        for announced in [false, true] {
            let body = &all[..size];
            let mut request = post("/up");
            if announced {
                request.headers_mut().insert("content-length", size.into());
            }
            let (answer, mut stream) = client.begin(request, false).await;
            let asking = async {
                send(&mut stream, body, true).await;
                whole(answer).await
            };
            let answering = async {
                let mut peer = upstream.accept().await;
                let seen = peer.request().await;
                peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n")).await;
                peer.send(body).await;
                seen
            };
            let (answer, seen) = tokio::join!(asking, answering);
            let case = format!("{size}, announced: {announced}");
            assert!(seen.body == body, "up: {case}, {}", seen.body.len());
            assert!(answer.body == body, "down: {case}");
            let framing = (seen.field("content-length"), seen.field("transfer-encoding"));
            match announced {
                true => assert_eq!(framing, (Some(&*size.to_string()), None)),
                false => assert_eq!(framing, (None, Some("chunked"))),
            }
        }
    }
}

#[tokio::test]
async fn an_upload_into_a_slow_upstream_arrives_whole() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let body: Vec<u8> = (0..8_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for announced in [false, true] {
        let mut request = post("/up");
        if announced {
            request.headers_mut().insert("content-length", body.len().into());
        }
        let (answer, mut stream) = client.begin(request, false).await;
        let asking = async {
            send(&mut stream, &body, true).await;
            whole(answer).await
        };
        let answering = async {
            let mut peer = upstream.accept().await;
            let seen = peer.head().await;
            // It does not read before it cannot take more.
            let mut peek = 0;
            loop {
                tokio::task::yield_now().await;
                let now = peer.io.peek(&mut vec![0; 1 << 23]).await.unwrap();
                if now == peek && now > 100_000 {
                    break;
                }
                peek = now;
            }
            let message = crate::wire::Message { head: seen, ..Default::default() };
            let seen = peer.body_of(message, false).await;
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
            seen
        };
        let (answer, seen) = tokio::join!(asking, answering);
        assert_eq!(answer.status(), 200);
        assert!(seen.body == body, "announced: {announced}, {}", seen.body.len());
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_the_length_they_announce() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let mut peer = None;
    for (method, answer, length) in [
        (Method::HEAD, "200 OK\r\nContent-Length: 1234\r\n", Some("1234")),
        (Method::HEAD, "200 OK\r\nTransfer-Encoding: chunked\r\n", None),
        (Method::HEAD, "200 OK\r\n", None),
        (Method::GET, "304 Not Modified\r\nContent-Length: 1234\r\n", Some("1234")),
        (Method::GET, "304 Not Modified\r\nETag: x\r\n", None),
        (Method::GET, "204 No Content\r\n", None),
        (Method::GET, "200 OK\r\nContent-Length: 0\r\n", Some("0")),
        (Method::OPTIONS, "204 No Content\r\n", None),
        (Method::HEAD, "204 No Content\r\nContent-Length: 5\r\n", None),
    ] {
        let request = Request::builder().method(method).uri("https://app.localhost/").body(()).unwrap();
        let (asked, _stream) = client.begin(request, true).await;
        let mut wire = match peer.take() {
            Some(peer) => peer,
            None => upstream.accept().await,
        };
        wire.request().await;
        wire.send(format!("HTTP/1.1 {answer}\r\n")).await;
        let (head, mut body) = head(asked).await.unwrap();
        assert_eq!(head.status().as_str(), &answer[..3]);
        assert_eq!(head.headers().get("content-length").map(|v| v.to_str().unwrap()), length, "{answer}");
        assert_eq!(head.headers().get("transfer-encoding"), None);
        assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), None), "{answer}");
        peer = Some(wire);
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn credentials_for_a_proxy_go_no_further() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let mut request = get("/");
    for name in ["proxy-authorization", "proxy-authenticate", "te"] {
        request.headers_mut().insert(name, "trailers".parse().unwrap());
    }
    let (_asked, _stream) = client.begin(request, true).await;
    let request = upstream.accept().await.request().await;
    for name in ["proxy-authorization", "proxy-authenticate", "te"] {
        assert_eq!(request.field(name), None, "{}", request.head);
    }
}

#[tokio::test]
async fn fields_of_the_connection_stay_behind() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (asked, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\n\
         Proxy-Connection: x\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         X-Kept: 1\r\nX-Latin: \u{e9}\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            .chars()
            .map(|c| u8::try_from(c).unwrap())
            .collect::<Vec<u8>>(),
    )
    .await;
    let answer = whole(asked).await;
    assert_eq!((answer.status(), answer.text()), (200, "hi"));
    for gone in ["connection", "keep-alive", "x-private", "proxy-connection", "upgrade", "transfer-encoding"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(answer.field("x-kept"), Some("1"));
    assert_eq!(answer.head.headers()["x-latin"].as_bytes(), b"\xe9");
    let cookies: Vec<_> = answer.head.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[tokio::test]
async fn trailers_cross_from_and_to_http_1_1() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (asked, mut stream) = client.begin(post("/"), false).await;
    stream.send_data(Bytes::from_static(b"hi"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "1".parse().unwrap());
    trailers.append("x-up", "2".parse().unwrap());
    // What must not be said behind a body.
    trailers.insert("content-length", "3".parse().unwrap());
    trailers.insert("host", "evil.test".parse().unwrap());
    trailers.insert("x-forwarded-for", "6.6.6.6".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
    let mut peer = upstream.accept().await;
    let seen = peer.request().await;
    assert_eq!((seen.text(), seen.trailers.as_str()), ("hi", "x-up: 1\r\nx-up: 2\r\n"));
    peer.send(
        "HTTP/1.1 200 OK\r\nTrailer: X-Down\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
         X-Down: 1\r\nX-Down: 2\r\nContent-Length: 3\r\n\r\n",
    )
    .await;
    let answer = whole(asked).await;
    let trailers = answer.trailers.unwrap();
    let values: Vec<_> = trailers.get_all("x-down").iter().collect();
    assert_eq!(
        (&*answer.body, values.as_slice(), trailers.len()),
        (&b"abc"[..], &["1", "2"].map(|v| v.parse().unwrap()).iter().collect::<Vec<_>>()[..], 2)
    );
    // Trailers without a body.
    let (asked, _stream) = client.begin(get("/"), true).await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Down: 1\r\n\r\n").await;
    let answer = whole(asked).await;
    assert_eq!((answer.body.len(), answer.trailers.unwrap()["x-down"].as_bytes()), (0, &b"1"[..]));
}

#[tokio::test]
async fn interim_answers_pass() {
    let (_edge, mut upstream, client) = edge_and_upstream().await;
    let (mut asked, _stream) = client.begin(get("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.css>\r\n\r\n").await;
    let hints = crate::wire::within("hints", std::future::poll_fn(|cx| asked.poll_informational(cx))).await;
    let hints = hints.unwrap().unwrap();
    assert_eq!(hints.status(), 103);
    assert_eq!(hints.headers().get_all("link").iter().count(), 2);
    peer.send(format!("HTTP/1.1 102 Processing\r\n\r\n{EMPTY}")).await;
    let next = crate::wire::within("102", std::future::poll_fn(|cx| asked.poll_informational(cx))).await;
    assert_eq!(next.unwrap().unwrap().status(), 102);
    assert_eq!(whole(asked).await.status(), 200);

    // The upstream says when the body is wanted.
    let request = Request::post("https://app.localhost/").header("expect", "100-continue").body(()).unwrap();
    let (mut asked, mut stream) = client.begin(request, false).await;
    let seen = peer.head().await;
    assert!(seen.to_ascii_lowercase().contains("expect: 100-continue\r\n"), "{seen}");
    peer.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    let next = crate::wire::within("100", std::future::poll_fn(|cx| asked.poll_informational(cx))).await;
    assert_eq!(next.unwrap().unwrap().status(), 100);
    send(&mut stream, b"hello", true).await;
    assert_eq!(latin1(&peer.until("0\r\n\r\n").await), "5\r\nhello\r\n0\r\n\r\n");
    peer.send(EMPTY).await;
    assert_eq!(whole(asked).await.status(), 200);
}

#[tokio::test]
async fn an_answer_of_the_routers_own_is_complete() {
    let (_edge, _recorder, client) = edge_and_recorder().await;
    for (method, body) in [(Method::GET, true), (Method::HEAD, false)] {
        let request = Request::builder().method(method).uri("https://other.localhost/").body(()).unwrap();
        let answer = client.ask(request).await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (404, Some("ROUTE_NOT_FOUND")));
        let length: usize = answer.field("content-length").unwrap().parse().unwrap();
        assert_eq!(answer.body.len(), if body { length } else { 0 });
        assert!(length > 10);
    }
}
