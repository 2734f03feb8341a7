//! Connections to upstreams: kept, made anew, waited for, and never trusted.

use std::time::Duration;

use mastra_router::{EdgeRouterProvider, RouteUpdate};
use tokio::net::TcpSocket;

use crate::edge::Edge;
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{End, get, latin1};

fn post(body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A port that refuses connections for as long as the socket is kept: bound, and not listening.
fn refusing() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut first = edge.client().await;
    first.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    for i in 0..10 {
        let body = if i % 2 == 0 {
            "Content-Length: 2\r\n\r\nok"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        };
        peer.request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        assert_eq!(first.answer().await.text(), "ok");
        // Another client's request comes on the same connection.
        first = edge.client().await;
        first.send(if i % 3 == 0 { post("x") } else { get("app.localhost", "/") }).await;
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_what_ends_it() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    for (i, answer) in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        // More than was asked for: the next answer would be out of step.
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = edge.client().await;
        client.send(get("app.localhost", "/")).await;
        let mut peer = upstream.accept().await;
        assert_eq!(upstream.accepted(), i + 1);
        peer.request().await;
        peer.send(answer).await;
        assert_eq!(client.answer().await.text(), "ok");
        assert_eq!(peer.rest().await.0, b"", "nothing comes after it, {answer:?}");
    }
}

#[tokio::test]
async fn a_late_second_answer_never_reaches_another_request() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
    // The connection is in the pool now, and out of step.
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
    for request in [post("x"), get("app.localhost", "/")] {
        client.send(request).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood").await;
        assert_eq!(client.answer().await.text(), "good");
    }
}

/// An upstream that closes an idle connection at the very moment a request is sent on it.
#[tokio::test]
async fn a_stale_connection_is_retried_once_for_a_get() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut stale = upstream.accept().await;
    stale.request().await;
    stale.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);

    client.send(get("app.localhost", "/again")).await;
    assert_eq!(stale.request().await.line(), "GET /again HTTP/1.1");
    drop(stale);
    let mut fresh = upstream.accept().await;
    assert_eq!(fresh.request().await.line(), "GET /again HTTP/1.1");
    fresh.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);

    // The second time it is a fault of the upstream's.
    client.send(get("app.localhost", "/twice")).await;
    fresh.request().await;
    drop(fresh);
    let mut last = upstream.accept().await;
    last.request().await;
    drop(last);
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_CLOSED")));
    assert_eq!(upstream.accepted(), 3);
}

#[tokio::test]
async fn a_put_is_sent_again_only_if_nothing_of_its_body_is_lost() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut stale = upstream.accept().await;
    stale.request().await;
    stale.send(EMPTY).await;
    client.answer().await;

    let put = "PUT /x HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\nabc";
    client.send(put).await;
    assert_eq!(stale.request().await.text(), "abc");
    drop(stale);
    let mut fresh = upstream.accept().await;
    assert_eq!(fresh.request().await.text(), "abc");
    fresh.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);

    // Its first part is gone from the router when the connection breaks.
    client.send("PUT /y HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 6\r\n\r\nabc").await;
    fresh.until("abc").await;
    client.send("de").await;
    fresh.until("de").await;
    drop(fresh);
    assert_eq!(client.answer().await.status(), 502);
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    for (i, body) in ["", "x", &"y".repeat(100_000)].into_iter().enumerate() {
        let mut client = edge.client().await;
        client.send(get("app.localhost", "/")).await;
        let mut stale = upstream.accept().await;
        assert_eq!(upstream.accepted(), i + 1);
        stale.request().await;
        stale.send(EMPTY).await;
        client.answer().await;
        client.send(post(body)).await;
        assert_eq!(stale.request().await.text(), body);
        drop(stale);
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_CLOSED")));
    }
    // A request that came meanwhile would have been another connection.
    assert_eq!(upstream.accepted(), 3);
}

#[tokio::test]
async fn a_connection_known_to_be_closed_costs_a_post_nothing() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut stale = upstream.accept().await;
    stale.request().await;
    stale.send(EMPTY).await;
    client.answer().await;
    drop(stale);
    client.send(post("x")).await;
    let mut fresh = upstream.accept().await;
    assert_eq!(fresh.request().await.text(), "x");
    fresh.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn bad_answers_become_502() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let endless =
        format!("HTTP/1.1 200 OK\r\n{}", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(1800));
    let flood = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    for bad in [
        "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "garbage\r\n\r\n",
        "\0\0\0\x12\x04\0\0\0\0\0\r\n\r\n",
        "220 smtp ready\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
        "HTTP/1.1 101 Switching\r\n\r\n",
        endless.as_str(),
    ] {
        let shown = &bad[..bad.len().min(80)];
        let mut client = edge.client().await;
        client.send(get("app.localhost", "/")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.offer(bad).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("BAD_ANSWER")), "{shown:?}");
        let _ = peer.rest().await;
        // The client's connection is as good as before.
        client.send(get("app.localhost", "/next")).await;
        let mut peer = upstream.accept().await;
        assert_eq!(peer.request().await.line(), "GET /next HTTP/1.1");
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood").await;
        assert_eq!(client.answer().await.text(), "good", "{shown:?}");
    }

    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.offer(&flood).await;
    let mut interim = 0;
    let answer = loop {
        let answer = client.answer().await;
        if answer.status() != 102 {
            break answer;
        }
        interim += 1;
    };
    assert_eq!((answer.status(), interim), (502, 100));
}

#[tokio::test]
async fn an_upstream_that_dies_within_its_head() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for end in 0..whole.len() {
        let mut client = edge.client().await;
        client.send(get("app.localhost", "/")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send(&whole[..end]).await;
        drop(peer);
        let answer = client.answer().await;
        let code = if end == 0 { "TARGET_CLOSED" } else { "BAD_ANSWER" };
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some(code)), "{end}");
    }
}

#[tokio::test]
async fn a_target_on_the_other_family_is_found() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::on("[::1]:0").await;
    edge.route_with("app", upstream.port(), |c| c.target_host = "localhost".into()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn a_request_waits_while_its_target_restarts() {
    let edge = Edge::start().await;
    let (socket, port) = refusing();
    edge.route("app", port).await;
    let mut waiting = edge.client().await;
    waiting.send(post("held")).await;
    // Another one has been told meanwhile that it would have to wait.
    let html = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\n\r\n";
    assert_eq!(edge.client().await.ask(html).await.status(), 503);
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.text(), "held");
    peer.send(EMPTY).await;
    assert_eq!(waiting.answer().await.status(), 200);
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_target_that_stays_away_is_502_after_the_grace() {
    let edge = Edge::with(|c| c.proxy.start_timeout = Duration::from_millis(30)).await;
    let (_socket, port) = refusing();
    edge.route("app", port).await;
    let mut client = edge.client().await;
    let answer = client.ask(get("app.localhost", "/")).await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_REFUSED")));
    assert!(answer.text().contains(&format!("127.0.0.1:{port}")), "{}", answer.text());
    // The connection goes on where nothing of the request is left on it.
    assert_eq!(client.ask(get("app.localhost", "/")).await.status(), 502);
    let answer = client.ask(post("x")).await;
    assert_eq!((answer.status(), answer.field("connection")), (502, Some("close")));
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn a_browser_gets_a_page_that_comes_back() {
    let edge = Edge::with(|c| c.proxy.start_timeout = Duration::from_secs(3600)).await;
    let (_socket, port) = refusing();
    edge.route("app", port).await;
    for mode in ["", "Sec-Fetch-Mode: navigate\r\n"] {
        let request = format!("GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html,*/*\r\n{mode}\r\n");
        let answer = edge.client().await.ask(request).await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (503, Some("TARGET_STARTING")));
        assert_eq!((answer.field("refresh"), answer.field("retry-after")), (Some("1"), Some("1")));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
    // What is no navigation waits; the client's leaving ends that.
    let request = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: cors\r\n\r\n";
    let mut script = edge.client().await;
    script.send(request).await;
    script.shutdown().await;
    assert_eq!(script.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn a_waiting_request_follows_its_route() {
    let edge = Edge::with(|c| c.proxy.start_timeout = Duration::from_secs(3600)).await;
    let (_socket, port) = refusing();
    let route = edge.route("app", port).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/x")).await;
    let recorder = Recorder::start().await;
    let update = RouteUpdate { target_port: Some(recorder.port), ..RouteUpdate::default() };
    edge.router.update_route(route.route_id.as_str(), update).await.unwrap();
    assert_eq!(client.answer().await.text(), "/x");
}

#[tokio::test]
async fn a_request_in_flight_ends_on_the_old_target() {
    let edge = Edge::start().await;
    let (mut old, new) = (Upstream::start().await, Recorder::with("X-Who: new\r\n").await);
    let route = edge.route("app", old.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = old.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nX-Who: old\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    client.until("one\r\n").await;
    let update = RouteUpdate { target_port: Some(new.port), ..RouteUpdate::default() };
    edge.router.update_route(route.route_id.as_str(), update).await.unwrap();
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.field("x-who"), Some("new"));
    peer.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(latin1(&client.until("0\r\n\r\n").await), "3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.ask(get("app.localhost", "/")).await.field("x-who"), Some("new"));
    assert_eq!(old.accepted(), 1);
}

#[tokio::test]
async fn a_restart_loses_nothing_that_comes_after_it() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    let port = upstream.port();
    edge.route("app", port).await;
    // Several connections that the restart makes stale.
    let mut clients = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..5 {
        let mut client = edge.client().await;
        client.send(get("app.localhost", "/")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        clients.push(client);
        peers.push(peer);
    }
    for (client, peer) in clients.iter_mut().zip(&mut peers) {
        peer.send(EMPTY).await;
        client.answer().await;
    }
    drop(upstream);
    peers.into_iter().for_each(|peer| peer.reset());
    let mut upstream = loop {
        // The old listener is closed once its task has ended; what came to it until then would be lost with it.
        match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
            Ok(free) => {
                drop(free);
                break Upstream::on(&format!("127.0.0.1:{port}")).await;
            }
            Err(_) => tokio::task::yield_now().await,
        }
    };
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(if i % 2 == 0 { post("x") } else { get("app.localhost", "/") }).await;
    }
    for _ in 0..5 {
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status(), 200);
    }
}

#[tokio::test]
async fn a_bad_answer_to_one_is_nothing_to_another() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut bad = edge.client().await;
    bad.send(get("app.localhost", "/bad")).await;
    let mut bad_peer = upstream.accept().await;
    let mut good = edge.client().await;
    good.send(get("app.localhost", "/good")).await;
    let mut good_peer = upstream.accept().await;
    bad_peer.request().await;
    good_peer.request().await;
    good_peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
    bad_peer.send("nonsense\r\n\r\n").await;
    assert_eq!(bad.answer().await.status(), 502);
    good_peer.send("lf").await;
    assert_eq!(good.answer().await.text(), "half");
}
