//! Targets that speak HTTP/2 without TLS.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use mastra_router::TargetScheme;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::client::{Http2, Secure, exactly, get, head, post, rest, send, whole};
use super::streams::offered;
use crate::streaming::BOUND;
use crate::upstream::Upstream;
use crate::wire::{End, get as get11, latin1, within};

/// A request that has come to the target, to be answered by hand.
struct Asked {
    request: Request<()>,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

impl Asked {
    fn answer(&mut self, fields: &[(&'static str, &'static str)], ends: bool) -> SendStream<Bytes> {
        let mut response = Response::builder();
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        self.respond.send_response(response.body(()).unwrap(), ends).unwrap()
    }
}

/// A server that speaks HTTP/2 at once.
struct Target {
    port: u16,
    accepted: Arc<AtomicUsize>,
    requests: mpsc::UnboundedReceiver<Asked>,
    tasks: mpsc::UnboundedReceiver<JoinHandle<()>>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Target {
    async fn start() -> Self {
        Self::with(h2::server::Builder::new()).await
    }

    async fn with(builder: h2::server::Builder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let (send, requests) = mpsc::unbounded_channel();
        let (send_task, tasks) = mpsc::unbounded_channel();
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let (send, builder) = (send.clone(), builder.clone());
                counter.fetch_add(1, Ordering::SeqCst);
                let connection = tokio::spawn(async move {
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let (parts, body) = request.into_parts();
                        let _ = send.send(Asked { request: Request::from_parts(parts, ()), body, respond });
                    }
                });
                let _ = send_task.send(connection);
            }
        });
        Self { port, accepted, requests, tasks, task }
    }

    async fn accept(&mut self) -> Asked {
        within("a request at the target", self.requests.recv()).await.unwrap()
    }

    /// Ends its oldest connection, without a word.
    async fn cut(&mut self) {
        let task = within("a connection", self.tasks.recv()).await.unwrap();
        task.abort();
        let _ = task.await;
    }
}

async fn edge_for(port: u16) -> Secure {
    let edge = Secure::start().await;
    edge.edge.route_with("app", port, |route| route.target_scheme = TargetScheme::H2c).await;
    edge
}

async fn edge_and_target() -> (Secure, Target, Http2) {
    let target = Target::start().await;
    let edge = edge_for(target.port).await;
    let client = edge.http2().await;
    (edge, target, client)
}

#[tokio::test]
async fn a_request_and_its_answer_cross() {
    let (edge, mut target, client) = edge_and_target().await;
    let request = Request::put("https://app.localhost/a?b=%2f")
        .header("x-own", "v")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-forwarded-for", "6.6.6.6")
        .body(())
        .unwrap();
    let (answer, mut stream) = client.begin(request, false).await;
    send(&mut stream, b"hello", true).await;
    let mut asked = target.accept().await;
    assert_eq!(asked.request.method(), "PUT");
    assert_eq!(asked.request.uri().to_string(), "http://app.localhost/a?b=%2f");
    let fields = asked.request.headers().clone();
    let field = |name: &str| fields.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(field("x-own"), ["v"]);
    assert_eq!(field("cookie"), ["a=1; b=2"]);
    assert_eq!(field("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(field("x-forwarded-proto"), ["https"]);
    assert_eq!(field("te"), ["trailers"]);
    for gone in ["host", "connection", "transfer-encoding"] {
        assert!(field(gone).is_empty(), "{gone}");
    }
    assert_eq!(rest(&mut asked.body).await.unwrap().0, b"hello");
    let mut down = asked.answer(&[("x-down", "1"), ("set-cookie", "a=1")], false);
    send(&mut down, b"world", true).await;
    let answer = whole(answer).await;
    assert_eq!((answer.status(), answer.text(), answer.field("x-down")), (200, "world", Some("1")));

    // From HTTP/1.1, on the same connection to the target.
    let mut client = edge.http1("app.localhost").await;
    client
        .send("POST /c HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\nConnection: x\r\nX: y\r\n\r\nhello")
        .await;
    let mut asked = target.accept().await;
    assert_eq!(asked.request.uri().path(), "/c");
    assert_eq!(asked.request.headers().get("x"), None);
    assert_eq!(asked.request.headers()["content-length"], "5");
    assert_eq!(rest(&mut asked.body).await.unwrap().0, b"hello");
    let mut down = asked.answer(&[("content-length", "5")], false);
    send(&mut down, b"world", true).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text(), answer.field("content-length")), (200, "world", Some("5")));
    assert_eq!(target.accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn bodies_of_all_sizes_pass_both_ways() {
    let (_edge, mut target, client) = edge_and_target().await;
    let all: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for size in [0, 1, 16_384, 65_535, 65_536, 300_000, 3_000_000] {
        for announced in [false, true] {
            let body = &all[..size];
            let mut request = post("/");
            if announced {
                request.headers_mut().insert("content-length", size.into());
            }
            let (answer, mut up) = client.begin(request, false).await;
            let asking = async {
                send(&mut up, body, true).await;
                whole(answer).await
            };
            let answering = async {
                let mut asked = target.accept().await;
                let seen = rest(&mut asked.body).await.unwrap().0;
                let mut response = Response::new(());
                if announced {
                    response.headers_mut().insert("content-length", size.into());
                }
                let mut down = asked.respond.send_response(response, false).unwrap();
                send(&mut down, body, true).await;
                seen
            };
            let (answer, seen) = tokio::join!(asking, answering);
            assert!(seen == body, "up: {size}, announced: {announced}");
            assert!(answer.body == body, "down: {size}, announced: {announced}");
        }
    }
}

#[tokio::test]
async fn a_target_that_wants_the_whole_body_first_gets_it() {
    // Exactly what its window takes, which it opens no further before the end.
    let (_edge, mut target, client) = edge_and_target().await;
    for framed in ["chunked", "announced"] {
        let mut request = post("/");
        if framed == "announced" {
            request.headers_mut().insert("content-length", 65_535.into());
        }
        let (answer, mut up) = client.begin(request, false).await;
        send(&mut up, &[b'x'; 65_535], true).await;
        let mut asked = target.accept().await;
        let mut got = 0;
        while let Some(data) = within("the end of the body", asked.body.data()).await {
            got += data.unwrap().len();
        }
        assert_eq!(got, 65_535, "{framed}");
        asked.body.flow_control().release_capacity(got).unwrap();
        asked.answer(&[], true);
        assert_eq!(whole(answer).await.status(), 200);
    }
}

#[tokio::test]
async fn grpc_streams_both_ways_and_ends_with_trailers() {
    let (_edge, mut target, client) = edge_and_target().await;
    let request = Request::post("https://app.localhost/pkg.Service/Chat")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut up) = client.begin(request, false).await;
    let mut asked = target.accept().await;
    assert_eq!(asked.request.headers()["te"], "trailers");
    let mut down = asked.answer(&[("content-type", "application/grpc")], false);
    let (_, mut body) = head(answer).await.unwrap();
    for i in 0..50 {
        let message = format!("\0\0\0\0\x02{i:02}");
        up.send_data(Bytes::from(message.clone()), false).unwrap();
        assert_eq!(exactly(&mut asked.body, 7).await, message.as_bytes());
        down.send_data(Bytes::from(message.clone()), false).unwrap();
        assert_eq!(exactly(&mut body, 7).await, message.as_bytes());
    }
    up.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(&mut asked.body).await.unwrap(), (Vec::new(), None));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", "fine".parse().unwrap());
    down.send_trailers(trailers.clone()).unwrap();
    assert_eq!(rest(&mut body).await.unwrap(), (Vec::new(), Some(trailers)));

    // An answer that is trailers only.
    let (answer, _up) = client.begin(post("/pkg.Service/No"), false).await;
    target.accept().await.answer(&[("content-type", "application/grpc"), ("grpc-status", "12")], true);
    let answer = whole(answer).await;
    assert_eq!((answer.status(), answer.field("grpc-status"), answer.body.len()), (200, Some("12"), 0));

    // One that ends the call before the client has sent all.
    let (answer, mut up) = client.begin(post("/pkg.Service/Early"), false).await;
    let mut asked = target.accept().await;
    up.send_data(Bytes::from_static(b"x"), false).unwrap();
    exactly(&mut asked.body, 1).await;
    let mut down = asked.answer(&[], false);
    down.send_data(Bytes::from_static(b"y"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "3".parse().unwrap());
    down.send_trailers(trailers.clone()).unwrap();
    drop((asked, down));
    let answer = whole(answer).await;
    assert_eq!((answer.text(), &answer.trailers), ("y", &Some(trailers)));
    let reason = within("a reset", poll_fn(|cx| up.poll_reset(cx))).await.unwrap();
    assert_eq!(reason, Reason::NO_ERROR);
}

#[tokio::test]
async fn trailers_cross_between_the_versions() {
    let (edge, mut target, client) = edge_and_target().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "1".parse().unwrap());
    let (answer, mut up) = client.begin(post("/"), false).await;
    up.send_data(Bytes::from_static(b"hi"), false).unwrap();
    up.send_trailers(trailers.clone()).unwrap();
    let mut asked = target.accept().await;
    assert_eq!(rest(&mut asked.body).await.unwrap(), (b"hi".to_vec(), Some(trailers.clone())));
    let mut down = asked.answer(&[], false);
    down.send_trailers(trailers.clone()).unwrap();
    assert_eq!(whole(answer).await.trailers, Some(trailers.clone()));

    // Beside an announced length, which HTTP/1.1 could not have.
    let request = Request::post("https://app.localhost/").header("content-length", "2").header("trailer", "x-up");
    let (answer, mut up) = client.begin(request.body(()).unwrap(), false).await;
    up.send_data(Bytes::from_static(b"hi"), false).unwrap();
    up.send_trailers(trailers.clone()).unwrap();
    let mut asked = target.accept().await;
    assert_eq!(rest(&mut asked.body).await.unwrap(), (b"hi".to_vec(), Some(trailers.clone())));
    let mut down = asked.answer(&[("content-length", "2"), ("trailer", "x-up")], false);
    down.send_data(Bytes::from_static(b"hi"), false).unwrap();
    down.send_trailers(trailers.clone()).unwrap();
    let answer = whole(answer).await;
    assert_eq!((answer.text(), &answer.trailers), ("hi", &Some(trailers.clone())));

    let mut client = edge.http1("app.localhost").await;
    client
        .send(
            "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n3\r\n ho\r\n0\r\nX-Up: 1\r\nHost: evil.test\r\n\r\n",
        )
        .await;
    let mut asked = target.accept().await;
    assert_eq!(rest(&mut asked.body).await.unwrap(), (b"hi ho".to_vec(), Some(trailers.clone())));
    let mut down = asked.answer(&[], false);
    down.send_data(Bytes::from_static(b"ab"), false).unwrap();
    down.send_trailers(trailers).unwrap();
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.trailers.as_str()), ("ab", "x-up: 1\r\n"));
}

#[tokio::test]
async fn interim_answers_and_answers_without_a_body_pass() {
    let (edge, mut target, client) = edge_and_target().await;
    let (mut answer, _up) = client.begin(get("/"), true).await;
    let mut asked = target.accept().await;
    let hints = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
    asked.respond.send_informational(hints).unwrap();
    let got = within("hints", poll_fn(|cx| answer.poll_informational(cx))).await.unwrap().unwrap();
    assert_eq!((got.status().as_u16(), got.headers()["link"].as_bytes()), (103, &b"</a.css>"[..]));
    asked.answer(&[], true);
    assert_eq!(whole(answer).await.status(), 200);

    let mut client = edge.http1("app.localhost").await;
    for (method, status, length) in [
        ("HEAD", 200, Some("1234")),
        ("HEAD", 200, None),
        ("GET", 304, Some("1234")),
        ("GET", 204, None),
        ("GET", 200, Some("0")),
    ] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")).await;
        let mut asked = target.accept().await;
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        asked.respond.send_response(response.body(()).unwrap(), true).unwrap();
        let answer = client.bodiless().await;
        assert_eq!((answer.status(), answer.field("content-length")), (status, length), "{method} {status}");
        assert_eq!(answer.field("transfer-encoding"), None);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let (edge, mut target, client) = edge_and_target().await;
    for (fields, cut) in [
        (&[][..], false),
        (&[][..], true),
        (&[("content-length", "10")][..], false),
        (&[("content-length", "10")][..], true),
    ] {
        let (answer, _up) = client.begin(get("/"), true).await;
        let mut plain = edge.http1("app.localhost").await;
        plain.send(get11("app.localhost", "/")).await;
        let (mut one, mut two) = (target.accept().await, target.accept().await);
        let mut down = [one.answer(fields, false), two.answer(fields, false)];
        for down in &mut down {
            down.send_data(Bytes::from_static(b"12345"), false).unwrap();
        }
        let (_, mut body) = head(answer).await.unwrap();
        exactly(&mut body, 5).await;
        plain.until("12345").await;
        if cut {
            target.cut().await;
            while let Ok(task) = target.tasks.try_recv() {
                task.abort();
            }
        } else {
            down.iter_mut().for_each(|down| down.send_reset(Reason::INTERNAL_ERROR));
        }
        assert!(rest(&mut body).await.is_err(), "{fields:?}, cut: {cut}");
        let (got, end) = plain.rest().await;
        assert_eq!((latin1(&got).contains("0\r\n\r\n"), end), (false, End::Reset), "{fields:?}, cut: {cut}");
    }
}

#[tokio::test]
async fn a_connection_that_ended_is_no_ones_fault() {
    let (_edge, mut target, client) = edge_and_target().await;
    for _ in 0..5 {
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method).uri("https://app.localhost/").body(()).unwrap();
            let (answer, _up) = client.begin(request, true).await;
            target.accept().await.answer(&[], true);
            assert_eq!(whole(answer).await.status(), 200, "{method}");
        }
        target.cut().await;
    }
    // Cut while a request is under way: one that may be sent again is.
    let (answer, _up) = client.begin(get("/"), true).await;
    let asked = target.accept().await;
    target.cut().await;
    drop(asked);
    let status = tokio::select! {
        answer = whole(answer) => answer.status(),
        mut asked = target.accept() => {
            asked.answer(&[], true);
            200
        }
    };
    // On a connection of its own it was the first request, so nothing says that sending it again would help.
    assert!(status == 502 || status == 200, "{status}");
}

#[tokio::test]
async fn a_stream_that_is_refused_is_sent_again_if_it_may_be() {
    let (_edge, mut target, client) = edge_and_target().await;
    let (answer, _up) = client.begin(get("/"), true).await;
    target.accept().await.answer(&[], true);
    whole(answer).await;
    let (answer, _up) = client.begin(get("/again"), true).await;
    target.accept().await.respond.send_reset(Reason::REFUSED_STREAM);
    target.accept().await.answer(&[], true);
    assert_eq!(whole(answer).await.status(), 200);
    let (answer, mut up) = client.begin(post("/once"), false).await;
    up.send_data(Bytes::from_static(b"hi"), true).unwrap();
    let mut asked = target.accept().await;
    rest(&mut asked.body).await.unwrap();
    asked.respond.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(whole(answer).await.status(), 502);
}

#[tokio::test]
async fn an_early_refusal_reaches_the_client() {
    let (edge, mut target, client) = edge_and_target().await;
    for announced in [true, false] {
        let (answer, mut up) = client.begin(post("/"), false).await;
        up.send_data(Bytes::from_static(b"hi"), false).unwrap();
        let mut plain = edge.http1("app.localhost").await;
        plain.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 50000000\r\n\r\nhi").await;
        for _ in 0..2 {
            let mut asked = target.accept().await;
            exactly(&mut asked.body, 2).await;
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            if announced {
                response.headers_mut().insert("content-length", 3.into());
            }
            let mut down = asked.respond.send_response(response, false).unwrap();
            down.send_data(Bytes::from_static(b"big"), true).unwrap();
            // Dropping the rest of the request resets the stream, with NO_ERROR.
        }
        let answer = whole(answer).await;
        assert_eq!((answer.status(), answer.text()), (413, "big"), "announced: {announced}");
        let answer = plain.answer().await;
        assert_eq!((answer.status(), answer.text()), (413, "big"), "announced: {announced}");
    }
}

#[tokio::test]
async fn every_character_of_a_target_is_answered() {
    let (edge, mut target, _) = edge_and_target().await;
    tokio::spawn(async move {
        loop {
            target.accept().await.answer(&[], true);
        }
    });
    for c in (0x21..0x7f_u8).map(char::from) {
        let mut client = edge.http1("app.localhost").await;
        for path in [format!("/a{c}b"), format!("/a?x={c}y")] {
            client.send(get11("app.localhost", &path)).await;
            let status = client.answer().await.status();
            assert!(matches!(status, 200 | 400), "{path}: {status}");
            if status == 400 {
                client = edge.http1("app.localhost").await;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_for_the_target() {
    let (_edge, mut target, client) = edge_and_target().await;
    let (answer, _up) = client.begin(get("/"), true).await;
    target.accept().await.answer(&[], true);
    whole(answer).await;
    // Waiting for the head; in the body; in the upload; after the upload; in an upload that is not read.
    for phase in 0..5 {
        let (answer, mut up) = client.begin(post("/"), false).await;
        up.send_data(Bytes::from_static(b"hi"), phase == 3).unwrap();
        let mut asked = target.accept().await;
        exactly(&mut asked.body, 2).await;
        let mut body = None;
        let mut down = None;
        if phase == 4 {
            assert!(offered(&mut up, BOUND).await < BOUND);
        }
        if phase == 1 {
            let mut sending = asked.answer(&[], false);
            sending.send_data(Bytes::from_static(b"x"), false).unwrap();
            down = Some(sending);
            body = Some(head(answer).await.unwrap());
        } else {
            drop(answer);
        }
        up.send_reset(Reason::CANCEL);
        drop((up, body));
        let reset = match &mut down {
            Some(down) => within("a reset", poll_fn(|cx| down.poll_reset(cx))).await,
            None => within("a reset", poll_fn(|cx| asked.respond.poll_reset(cx))).await,
        };
        assert_eq!(reset.unwrap(), Reason::CANCEL, "phase {phase}");
    }
    assert_eq!(target.accepted.load(Ordering::SeqCst), 1, "resets do not cost the connection");
}

#[tokio::test]
async fn neither_side_piles_up() {
    let (_edge, mut target, client) = edge_and_target().await;
    let (_answer, mut up) = client.begin(post("/"), false).await;
    let mut asked = target.accept().await;
    let sent = offered(&mut up, BOUND).await;
    assert!(sent < 4 << 20, "{sent} bytes went somewhere");
    let mut down = asked.answer(&[], false);
    let sent = offered(&mut down, BOUND).await;
    assert!(sent < 4 << 20, "{sent} bytes went somewhere");
    // Others pass meanwhile.
    let (answer, mut up) = client.begin(post("/"), false).await;
    send(&mut up, b"hello", true).await;
    let mut asked = target.accept().await;
    assert_eq!(rest(&mut asked.body).await.unwrap().0, b"hello");
    asked.answer(&[], true);
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn more_requests_than_the_target_takes_wait() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let mut target = Target::with(builder).await;
    let edge = edge_for(target.port).await;
    let client = edge.http2().await;
    let (answer, _up) = client.begin(get("/"), true).await;
    target.accept().await.answer(&[], true);
    whole(answer).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(client.begin(get("/"), true).await);
    }
    for _ in 0..20 {
        target.accept().await.answer(&[], true);
    }
    for (answer, _up) in answers {
        assert_eq!(whole(answer).await.status(), 200);
    }
}

#[tokio::test]
async fn streams_that_never_end_keep_no_other_request_waiting() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(2);
    let mut target = Target::with(builder).await;
    let edge = edge_for(target.port).await;
    let client = edge.http2().await;
    // So that there is a connection which the next ones share.
    let (answer, _up) = client.begin(get("/"), true).await;
    target.accept().await.answer(&[], true);
    whole(answer).await;
    let mut watches = Vec::new();
    for _ in 0..4 {
        let (answer, up) = client.begin(get("/watch"), true).await;
        let mut asked = target.accept().await;
        let down = asked.answer(&[], false);
        watches.push((head(answer).await.unwrap(), up, down));
    }
    let (answer, _up) = client.begin(get("/"), true).await;
    target.accept().await.answer(&[], true);
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn a_target_of_another_kind_is_told_of() {
    let mut upstream = Upstream::start().await;
    let edge = edge_for(upstream.port()).await;
    let client = edge.http2().await;
    let (answer, _up) = client.begin(get("/"), true).await;
    // It takes the preface for a request of HTTP/1.1.
    let mut peer = upstream.accept().await;
    peer.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    drop(peer);
    let answer = whole(answer).await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_CLOSED")));
    // No WebSockets, from either version.
    let (edge, _target, _) = edge_and_target().await;
    let mut client = edge.http1("app.localhost").await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.status(), 501);
}
