//! Following the requests that are answered over TLS and HTTP/2.

use h2::ext::Protocol;
use http::{Method, Request};
use mastra_router::{RequestProtocol, RouterControl};

use super::client::{Secure, get, head, post};
use crate::requests::{line, told};
use crate::upstream::{Recorder, Upstream};
use crate::wire;

#[tokio::test]
async fn streams_are_told_one_by_one() {
    let edge = Secure::start().await;
    let (target, mut slow) = (Recorder::start().await, Upstream::start().await);
    let route = edge.edge.route("app", target.port).await;
    edge.edge.route("slow", slow.port()).await;
    let mut requests = edge.edge.router.requests().await.unwrap();
    edge.http1("app.localhost").await.ask(wire::get("app.localhost", "/one")).await;
    let request = told(&mut requests).await;
    assert_eq!((line(&request).as_str(), request.protocol), ("GET app.localhost /one 200", RequestProtocol::Http11));

    let client = edge.http2().await;
    // One that is not answered yet keeps no other from being told.
    let unanswered = Request::get("https://slow.localhost/slow").body(()).unwrap();
    let (answer, _stream) = client.begin(unanswered, true).await;
    let mut peer = slow.accept().await;
    peer.request().await;
    client.ask(get("/two?x")).await;
    client.ask(post("/three")).await;
    for want in ["GET app.localhost /two?x 200", "POST app.localhost /three 200"] {
        let request = told(&mut requests).await;
        assert_eq!((line(&request).as_str(), request.protocol), (want, RequestProtocol::Http2));
        assert_eq!(request.route_id.as_ref(), Some(&route.route_id));
    }
    peer.send("HTTP/1.1 404 Not Found\r\n\r\n").await;
    assert_eq!(line(&*told(&mut requests).await), "GET slow.localhost /slow 404");
    drop(answer);
}

#[tokio::test]
async fn our_own_answers_are_told_over_http_2() {
    let edge = Secure::with(|config| config.proxy.start_timeout = std::time::Duration::ZERO).await;
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    edge.edge.route("app", dead.local_addr().unwrap().port()).await;
    let mut requests = edge.edge.router.requests().await.unwrap();
    let client = edge.http2().await;
    let refused = Request::get("https://app.localhost/x").header("expect", "tea").body(()).unwrap();
    for (request, want, route) in [
        (Request::get("https://nobody.localhost/").body(()).unwrap(), "GET nobody.localhost / 404", None),
        (get("/x"), "GET app.localhost /x 502", Some("app")),
        (refused, "GET app.localhost /x 417", None),
    ] {
        client.ask(request).await;
        let request = told(&mut requests).await;
        assert_eq!((line(&request).as_str(), request.subdomain.as_deref()), (want, route));
        assert_eq!(request.protocol, RequestProtocol::Http2);
    }
}

#[tokio::test]
async fn a_websocket_over_http_2_is_told_when_it_opens() {
    let edge = Secure::start().await;
    let mut upstream = Upstream::start().await;
    edge.edge.route("app", upstream.port()).await;
    let client = edge.http2().await;
    client.serves().await;
    let mut requests = edge.edge.router.requests().await.unwrap();
    for (opens, want) in [(true, RequestProtocol::WebSocket), (false, RequestProtocol::Http2)] {
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri("https://app.localhost/ws")
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        request.extensions_mut().insert(Protocol::from_static("websocket"));
        let (answer, _stream) = client.begin(request, false).await;
        let mut peer = upstream.accept().await;
        let seen = peer.request().await;
        let key = seen.field("sec-websocket-key").unwrap();
        let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
        peer.send(if opens {
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            )
        } else {
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_owned()
        })
        .await;
        let (answer, _body) = head(answer).await.unwrap();
        let request = told(&mut requests).await;
        assert_eq!((request.status, request.protocol), (answer.status().as_u16(), want));
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/ws"));
    }
}

#[tokio::test]
async fn a_stream_that_is_taken_back_is_not_told() {
    let edge = Secure::start().await;
    let mut upstream = Upstream::start().await;
    edge.edge.route("app", upstream.port()).await;
    let mut requests = edge.edge.router.requests().await.unwrap();
    let client = edge.http2().await;
    let (answer, mut stream) = client.begin(get("/left"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(answer);
    // The router has seen it.
    peer.rest().await;
    client.serves().await;
    assert_eq!(told(&mut requests).await.host, "nobody.localhost");
}
