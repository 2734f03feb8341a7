//! Targets that do not listen yet: who waits, who gets a page, and what is said of the command behind a route.

use std::time::Duration;

use mastra_router::{CommandReport, EdgeRouterProvider, LeaseUpdate, RouteUpdate, RouterControl};
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;

use crate::edge::Edge;
use crate::leases::Owner;
use crate::tls::client::{Secure, get as get2};
use crate::upstream::{EMPTY, Upstream};
use crate::websocket::server_on;
use crate::wire::{Message, get, within};

/// A port that refuses connections for as long as the socket is kept: bound, and not listening.
pub(crate) fn refusing() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// The same on a port that somebody has just left.
async fn refusing_on(port: u16) -> TcpSocket {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        match socket.bind(([127, 0, 0, 1], port).into()) {
            Ok(()) => return socket,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

const NAVIGATION: &str = "GET /page?x=1 HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html,*/*\r\n\r\n";

/// One wait is long and the other is none, so that a test that ends tells which of them there was.
async fn patient() -> Edge {
    Edge::with(|c| (c.proxy.start_timeout, c.proxy.restart_grace) = (Duration::from_secs(3600), Duration::ZERO)).await
}

fn code(answer: &Message) -> (u16, Option<&str>) {
    (answer.status(), answer.field("x-mastra-router-error"))
}

fn wrote(lines: &[&str]) -> CommandReport {
    CommandReport { output: lines.iter().map(ToString::to_string).collect(), ..CommandReport::default() }
}

fn ended(how: &str) -> CommandReport {
    CommandReport { ended: Some(how.to_owned()), ..wrote(&["listen EADDRINUSE", "\u{1b}[31m<boom>\u{1b}[0m"]) }
}

#[tokio::test]
async fn what_is_no_navigation_waits_and_is_served() {
    let edge = patient().await;
    let (socket, port) = refusing();
    edge.route("app", port).await;
    let mut waiting = Vec::new();
    for request in [
        get("app.localhost", "/curl"),
        "GET /script HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: cors\r\n\r\n".to_owned(),
        "POST /form HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\nContent-Length: 4\r\n\r\nbody".to_owned(),
        "HEAD /json HTTP/1.1\r\nHost: app.localhost\r\nAccept: application/json\r\n\r\n".to_owned(),
    ] {
        let mut client = edge.client().await;
        client.send(request).await;
        waiting.push(client);
    }
    // A browser's answer came later than they asked, so they wait.
    assert_eq!(code(&edge.client().await.ask(NAVIGATION).await), (503, Some("TARGET_STARTING")));
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut seen = Vec::new();
    for _ in 0..waiting.len() {
        let mut peer = upstream.accept().await;
        let request = peer.request().await;
        seen.push(format!("{} {}", request.line(), request.text()));
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    }
    seen.sort();
    assert_eq!(
        seen,
        ["GET /curl HTTP/1.1 ", "GET /script HTTP/1.1 ", "HEAD /json HTTP/1.1 ", "POST /form HTTP/1.1 body"]
    );
    for client in &mut waiting {
        assert!(client.head().await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(upstream.accepted(), waiting.len(), "each came once");
}

#[tokio::test]
async fn a_websocket_waits() {
    let edge = patient().await;
    let (socket, port) = refusing();
    edge.route("app", port).await;
    let io = edge.client().await.io;
    let client = tokio::spawn(async move { client_async("ws://app.localhost/", io).await });
    assert_eq!(edge.client().await.ask(NAVIGATION).await.status(), 503);
    drop(socket);
    let server = server_on(tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap());
    let _server = within("the upgrade", server.task).await.unwrap();
    assert!(within("the upgrade", client).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_target_that_was_up_has_the_grace_and_one_that_was_not_has_longer() {
    let edge = patient().await;
    let mut upstream = Upstream::start().await;
    let port = upstream.port();
    let route = edge.route("app", port).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
    drop((peer, upstream));
    let dead = refusing_on(port).await;
    assert_eq!(code(&client.ask(get("app.localhost", "/")).await), (502, Some("TARGET_REFUSED")));
    // What a move leads to was never up.
    let (socket, other) = refusing();
    let update = RouteUpdate { target_port: Some(other), ..RouteUpdate::default() };
    edge.router.update_route(route.route_id.as_str(), update).await.unwrap();
    client.send(get("app.localhost", "/moved")).await;
    assert_eq!(edge.client().await.ask(NAVIGATION).await.status(), 503);
    drop((socket, dead));
    let mut upstream = Upstream::on(&format!("127.0.0.1:{other}")).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.line(), "GET /moved HTTP/1.1");
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_check_that_is_answered_tells_that_a_target_was_up() {
    let edge = patient().await;
    let upstream = Upstream::start().await;
    let route = edge.route("app", upstream.port()).await;
    edge.router.check_route_health(route.route_id.as_str()).await.unwrap();
    let port = upstream.port();
    drop(upstream);
    let _dead = refusing_on(port).await;
    assert_eq!(code(&edge.client().await.ask(get("app.localhost", "/")).await), (502, Some("TARGET_REFUSED")));
}

#[tokio::test]
async fn a_route_that_is_removed_ends_the_wait() {
    let edge = patient().await;
    let (_socket, port) = refusing();
    let route = edge.route("app", port).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    assert_eq!(edge.client().await.ask(NAVIGATION).await.status(), 503);
    edge.router.remove_route(route.route_id.as_str()).await.unwrap();
    assert_eq!(code(&client.answer().await), (502, Some("TARGET_REFUSED")));
}

/// Whatever it has sent that nobody has read.
#[tokio::test]
async fn a_client_that_leaves_gives_its_place_up() {
    let edge = Edge::with(|c| {
        (c.proxy.start_timeout, c.proxy.restart_grace) = (Duration::from_secs(3600), Duration::ZERO);
        c.proxy.max_connections = 1;
    })
    .await;
    let (_socket, port) = refusing();
    edge.route("app", port).await;
    for (body, resets) in [(0, false), (0, true), (100, false), (1_000_000, false), (1_000_000, true)] {
        let mut client = edge.client().await;
        let head = format!("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: {body}\r\n\r\n");
        // What the sockets between take.
        let sent = "x".repeat(body.min(20_000));
        client.send(format!("{head}{sent}")).await;
        // The one place there is.
        within("the connection", async {
            while edge.router.connections() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if resets {
            client.reset()
        } else {
            drop(client)
        }
        let nothing = "GET / HTTP/1.1\r\nHost: x.localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(edge.client().await.ask(nothing).await.status(), 404, "{body} {resets}");
    }
}

#[tokio::test]
async fn a_browser_sees_what_the_command_says() {
    let edge = patient().await;
    let (_socket, port) = refusing();
    let route = edge.route("app", port).await;
    let id = route.route_id.as_str();
    let page = edge.client().await.ask(NAVIGATION).await;
    assert_eq!(code(&page), (503, Some("TARGET_STARTING")));
    assert!(page.text().contains("<h1>Starting app</h1>"), "{}", page.text());
    assert!(!page.text().contains("<pre"), "{}", page.text());
    let hostile =
        wrote(&["\u{1b}[32mcompiling\u{1b}[0m", "</pre><script>alert(1)</script>", "\u{1b}]0;title\u{7}done\u{202e}"]);
    edge.router.report_command(id, hostile).await.unwrap();
    let page = edge.client().await.ask(NAVIGATION).await;
    let want = "compiling\n&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;\ndone</pre>";
    assert!(page.text().contains(want), "{}", page.text());
    assert_eq!(page.text().matches("<script").count(), 1, "{}", page.text());
    let policy = page.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script-src 'unsafe"), "{policy}");
    // A report takes the place of the one before, within bounds.
    let many: Vec<String> = (0..1000).map(|i| format!("{i} {}", "\"".repeat(1000))).collect();
    edge.router.report_command(id, CommandReport { output: many, ..CommandReport::default() }).await.unwrap();
    let page = edge.client().await.ask(NAVIGATION).await;
    assert!(page.text().contains("\n999 &quot;") && !page.text().contains("compiling"), "{}", page.text());
    assert!(page.body.len() < 20_000, "{}", page.body.len());
}

#[tokio::test]
async fn the_pages_own_script_is_answered_as_the_navigation_was() {
    let edge = patient().await;
    let (socket, port) = refusing();
    edge.route("app", port).await;
    let look = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: same-origin\r\n\
                X-Mastra-Router-Page: 1\r\n\r\n";
    assert_eq!(code(&edge.client().await.ask(look).await), (503, Some("TARGET_STARTING")));
    // One that asks when it begins to listen gets the application.
    let mut client = edge.client().await;
    client.send(look).await;
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.request().await.field("x-mastra-router-page"), None, "it is between us and our page");
    peer.send(EMPTY).await;
    assert_eq!(code(&client.answer().await), (200, None));
}

#[tokio::test]
async fn what_starts_quickly_is_loaded_without_a_page() {
    let edge = patient().await;
    let (socket, port) = refusing();
    edge.route("app", port).await;
    let mut client = edge.client().await;
    client.send(NAVIGATION).await;
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn nobody_waits_for_a_command_that_has_ended() {
    let edge = patient().await;
    let (socket, port) = refusing();
    let route = edge.route("app", port).await;
    let id = route.route_id.as_str();
    let mut waiting = edge.client().await;
    waiting.send(get("app.localhost", "/")).await;
    assert_eq!(edge.client().await.ask(NAVIGATION).await.status(), 503);
    edge.router.report_command(id, ended("exited with 1")).await.unwrap();
    let answer = waiting.answer().await;
    assert_eq!(code(&answer), (502, Some("TARGET_ENDED")));
    assert!(answer.text().contains("The command behind app exited with 1"), "{}", answer.text());
    assert_eq!(answer.field("refresh"), None, "only a page comes back");
    let page = edge.client().await.ask(NAVIGATION).await;
    assert_eq!((code(&page), page.field("refresh")), ((502, Some("TARGET_ENDED")), Some("1")));
    assert!(page.text().contains("exited with 1") && page.text().contains("\n&lt;boom&gt;</pre>"), "{}", page.text());
    let json = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: application/json\r\n\r\n";
    assert!(edge.client().await.ask(json).await.text().contains("\"code\":\"TARGET_ENDED\""));
    // It is started again.
    edge.router.report_command(id, wrote(&["again"])).await.unwrap();
    waiting.send(get("app.localhost", "/again")).await;
    assert_eq!(code(&edge.client().await.ask(NAVIGATION).await), (503, Some("TARGET_STARTING")));
    // What listens is asked, whatever was said.
    edge.router.report_command(id, ended("exited with 1")).await.unwrap();
    assert_eq!(waiting.answer().await.status(), 502);
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    waiting.send(get("app.localhost", "/up")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(waiting.answer().await.status(), 200);
}

#[tokio::test]
async fn only_the_owner_of_a_lease_reports() {
    let edge = patient().await;
    let (_socket, port) = refusing();
    let (owner, other) = (Owner::start(), Owner::start());
    let leased = edge.route_with("app", port, |c| c.lease = Some(owner.lease.clone())).await;
    let free = edge.route("free", port).await;
    let by = |owner: &Owner| CommandReport { lease: Some(owner.lease.clone()), ..wrote(&["mine"]) };
    let (id, free) = (leased.route_id.as_str(), free.route_id.as_str());
    edge.router.report_command(id, by(&owner)).await.unwrap();
    edge.router.report_command(free, wrote(&["mine"])).await.unwrap();
    for (id, report) in
        [(id, by(&other)), (id, wrote(&["x"])), (free, by(&owner)), ("route_0", wrote(&[])), ("app", by(&owner))]
    {
        assert_eq!(edge.router.report_command(id, report).await.unwrap_err().code(), "ROUTE_NOT_FOUND");
    }
    let bad = CommandReport { ended: Some(String::new()), ..by(&owner) };
    assert_eq!(edge.router.report_command(id, bad).await.unwrap_err().code(), "INVALID_FIELD");
    assert!(edge.client().await.ask(NAVIGATION).await.text().contains("\nmine</pre>"));
    // Whoever takes the route over says what there is of its own.
    let over = RouteUpdate { lease: Some(LeaseUpdate::To(other.lease.clone())), ..RouteUpdate::default() };
    edge.router.update_route(id, over).await.unwrap();
    assert!(!edge.client().await.ask(NAVIGATION).await.text().contains("mine"));
    assert_eq!(edge.router.report_command(id, by(&owner)).await.unwrap_err().code(), "ROUTE_NOT_FOUND");
    edge.router.report_command(id, by(&other)).await.unwrap();
}

#[tokio::test]
async fn it_is_the_same_over_http2() {
    let edge =
        Secure::with(|c| (c.proxy.start_timeout, c.proxy.restart_grace) = (Duration::from_secs(3600), Duration::ZERO))
            .await;
    let (socket, port) = refusing();
    let route = edge.edge.route("app", port).await;
    let client = edge.http2().await;
    let (waiting, _stream) = client.begin(get2("/"), true).await;
    let mut page = get2("/");
    page.headers_mut().insert("accept", "text/html".parse().unwrap());
    let answer = client.ask(page.clone()).await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (503, Some("TARGET_STARTING")));
    assert!(answer.field("content-security-policy").unwrap().contains("script-src 'sha256-"));
    edge.edge.router.report_command(route.route_id.as_str(), ended("exited with 1")).await.unwrap();
    assert_eq!(crate::tls::client::whole(waiting).await.status(), 502);
    assert_eq!(client.ask(page).await.status(), 502);
    edge.edge.router.report_command(route.route_id.as_str(), wrote(&[])).await.unwrap();
    let (waiting, _stream) = client.begin(get2("/"), true).await;
    drop(socket);
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(crate::tls::client::whole(waiting).await.status(), 200);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_what_does_not_start() {
    let edge = patient().await;
    let (_socket, port) = refusing();
    edge.route("app", port).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    assert_eq!(edge.client().await.ask(NAVIGATION).await.status(), 503);
    within("the end", edge.router.close()).await;
    client.rest().await;
}
