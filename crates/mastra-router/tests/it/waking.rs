//! Routes that wake what is behind them: what a supervisor is told, and what is said of a route that sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use mastra_router::{
    Activities, CommandReport, EdgeRouterProvider, LocalEdgeRouter, RouteActivity, RouteConfig, RouteStatus,
    RouteUpdate, RouterControl, RouterEvent,
};
use tokio::net::TcpListener;
use tokio_tungstenite::client_async;

use crate::cold::refusing;
use crate::edge::Edge;
use crate::upstream::{EMPTY, Upstream};
use crate::websocket::server_on;
use crate::wire::{Wire, get, within};

fn waking(name: &str, port: u16) -> RouteConfig {
    RouteConfig { wake: true, ..RouteConfig::new(name, "project", name, "127.0.0.1", port) }
}

/// The first state that is as wanted.
async fn until(activities: &mut Activities, wanted: impl Fn(&RouteActivity) -> bool) -> RouteActivity {
    within("a state", async {
        loop {
            let now = activities.next().await.unwrap();
            if wanted(&now) {
                return now;
            }
        }
    })
    .await
}

/// A port that only the supervisor listens on, from time to time.
async fn free_port() -> u16 {
    let (socket, port) = refusing();
    drop(socket);
    port
}

/// Starts a server when a request asks for it, and stops it as soon as nothing is open.
async fn supervise(router: LocalEdgeRouter, id: String, port: u16, starts: Arc<AtomicUsize>) {
    let mut activities = router.follow_activity(&id).await.unwrap();
    let (mut running, mut begun_for) = (None, 0);
    while let Some(now) = activities.next().await {
        if running.is_none() && now.asked > begun_for {
            let report = CommandReport { output: vec!["starting".into()], ..CommandReport::default() };
            router.report_command(&id, report).await.unwrap();
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            starts.fetch_add(1, Ordering::SeqCst);
            running = Some(tokio::spawn(async move {
                while let Ok((io, _)) = listener.accept().await {
                    let mut peer = Wire::new(io);
                    if peer.head_or_end().await.is_some() {
                        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nup").await;
                    }
                }
            }));
        }
        if now.open == 0
            && let Some(server) = running.take()
        {
            begun_for = now.asked;
            server.abort();
            let _ = server.await;
            router.check_route_health(&id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_supervisor_starts_it_with_the_first_request_and_stops_it_when_idle() {
    let edge = Edge::start().await;
    let port = free_port().await;
    let route = edge.router.register_route(waking("app", port)).await.unwrap();
    assert!(route.wake && route.sleeping);
    let starts = Arc::new(AtomicUsize::new(0));
    let id = route.route_id.to_string();
    let supervisor = tokio::spawn(supervise(edge.router.clone(), id.clone(), port, starts.clone()));
    for turn in 1..=3 {
        let answer = edge.client().await.ask(get("app.localhost", "/")).await;
        assert_eq!((answer.status(), answer.text()), (200, "up"));
        within("its sleep", async {
            while !edge.router.get_all_routes()[0].sleeping {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(starts.load(Ordering::SeqCst), turn);
    }
    // A browser is shown the page, or is as quick as that; that it asked is not lost.
    let page = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\n\r\n";
    let answer = edge.client().await.ask(page).await;
    assert_eq!(answer.status(), 200, "it was started within the moment that a page takes");
    edge.router.remove_route(&id).await.unwrap();
    within("the supervisor's end", supervisor).await.unwrap();
}

#[tokio::test]
async fn all_that_is_open_counts() {
    let edge = Edge::with(|c| c.proxy.start_timeout = Duration::from_secs(3600)).await;
    let mut upstream = Upstream::start().await;
    let route = edge.router.register_route(waking("app", upstream.port())).await.unwrap();
    let mut activities = edge.router.follow_activity(route.route_id.as_str()).await.unwrap();
    let first = activities.next().await.unwrap();
    assert_eq!((first.open, first.waiting, first.asked), (0, 0, 0));
    assert!(first.idle_since.is_some());
    // A stream, for as long as it is one.
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/events")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.until("hi").await;
    assert_eq!(until(&mut activities, |now| now.open == 1).await.idle_since, None);
    peer.send("0\r\n\r\n").await;
    client.until("0\r\n\r\n").await;
    let idle = until(&mut activities, |now| now.open == 0).await;
    assert!(idle.idle_since > first.idle_since);
    // A WebSocket, too; a connection that is kept and asks nothing does not.
    let (router, id) = (edge.router.clone(), route.route_id.to_string());
    let moved = id.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let update = RouteUpdate { target_port: Some(listener.local_addr().unwrap().port()), ..RouteUpdate::default() };
    let moving = tokio::spawn(async move { router.update_route(&moved, update).await });
    let mut check = Wire::new(within("a check", listener.accept()).await.unwrap().0);
    check.request().await;
    check.send(EMPTY).await;
    within("the move", moving).await.unwrap().unwrap();
    let server = server_on(listener);
    let io = edge.client().await.io;
    let (socket, _) = within("the upgrade", client_async("ws://app.localhost/", io)).await.unwrap();
    let mut server = within("the upgrade", server.task).await.unwrap();
    until(&mut activities, |now| now.open == 1).await;
    drop(socket);
    within("the server's end", async { while server.next().await.is_some_and(|message| message.is_ok()) {} }).await;
    drop(server);
    until(&mut activities, |now| now.open == 0).await;
    // What waits is open, and counted as asked; who leaves is not.
    let (_socket, port) = refusing();
    let update = RouteUpdate { target_port: Some(port), ..RouteUpdate::default() };
    edge.router.update_route(&id, update).await.unwrap();
    let (mut one, two) = (edge.client().await, edge.client().await);
    one.send(get("app.localhost", "/")).await;
    let waits = until(&mut activities, |now| now.waiting > 0).await;
    assert_eq!((waits.open, waits.waiting, waits.asked), (1, 1, 1));
    assert!(!edge.router.get_all_routes()[0].sleeping, "it is about to start");
    drop(one);
    let left = until(&mut activities, |now| now.open == 0).await;
    assert_eq!((left.waiting, left.asked), (0, 1));
    drop(two);
}

#[tokio::test]
async fn a_target_that_sleeps_is_not_unhealthy() {
    let edge = Edge::start().await;
    let port = free_port().await;
    let route = edge.router.register_route(waking("app", port)).await.unwrap();
    let id = route.route_id.as_str();
    for _ in 0..5 {
        let health = edge.router.check_route_health(id).await.unwrap();
        assert!(!health.healthy);
        assert_eq!(health.error.as_deref(), Some("it sleeps, and starts with its first request"));
        let now = edge.router.get_route("app").await.unwrap().unwrap();
        assert_eq!((now.status, now.sleeping, now.health_check_failures), (RouteStatus::Pending, true, 0));
        assert_eq!(now.last_error, None);
    }
    // What listens is checked as anything.
    let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    client.answer().await;
    assert!(!edge.router.get_route("app").await.unwrap().unwrap().sleeping, "it has answered a request");
    assert!(edge.router.check_route_health(id).await.unwrap().healthy);
    let now = edge.router.get_route("app").await.unwrap().unwrap();
    assert_eq!((now.status, now.sleeping), (RouteStatus::Active, false));
    drop(upstream);
    // It was active, and once nothing listens nothing has failed.
    within("its sleep", async {
        while !edge.router.get_route("app").await.unwrap().unwrap().sleeping {
            edge.router.check_route_health(id).await.unwrap();
        }
    })
    .await;
    // The same of a route that wakes nothing is a failure.
    let update = RouteUpdate { wake: Some(false), ..RouteUpdate::default() };
    assert!(!edge.router.update_route(id, update).await.unwrap().sleeping);
    for _ in 0..3 {
        edge.router.check_route_health(id).await.unwrap();
    }
    let now = edge.router.get_route("app").await.unwrap().unwrap();
    assert_eq!((now.status, now.sleeping, now.health_check_failures), (RouteStatus::Unhealthy, false, 3));
    assert!(now.last_error.unwrap().contains("ECONNREFUSED"));
}

#[tokio::test]
async fn what_started_is_active_by_itself() {
    // Nothing but what requests find brings a check within the test's time.
    let edge = Edge::with(|c| c.health_check.interval = Duration::from_secs(3600)).await;
    edge.router.start_health_checking();
    for (name, wake) in [("wakes", true), ("plain", false)] {
        let (socket, port) = refusing();
        edge.router.register_route(RouteConfig { wake, ..waking(name, port) }).await.unwrap();
        let mut events = edge.router.subscribe();
        let mut client = edge.client().await;
        client.send(get(&format!("{name}.localhost"), "/")).await;
        // The first look at it finds nothing.
        within("a check", async {
            while !matches!(events.recv().await.unwrap(), RouterEvent::Checked { health, .. } if !health.healthy) {}
        })
        .await;
        drop(socket);
        let mut upstream = Upstream::on(&format!("127.0.0.1:{port}")).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send(EMPTY).await;
        assert_eq!(client.answer().await.status(), 200);
        within("a check that passes", async {
            while !matches!(events.recv().await.unwrap(), RouterEvent::Checked { route, .. } if route.status == RouteStatus::Active && !route.sleeping) {}
        })
        .await;
    }
}

#[tokio::test]
async fn following_ends_with_what_is_followed() {
    let edge = Edge::start().await;
    let plain = edge.route("plain", 1).await;
    for id in [plain.route_id.as_str(), "route_0", "app", ""] {
        assert_eq!(edge.router.follow_activity(id).await.unwrap_err().code(), "ROUTE_NOT_FOUND", "{id:?}");
    }
    let port = free_port().await;
    let route = edge.router.register_route(waking("app", port)).await.unwrap();
    let id = route.route_id.as_str();
    let mut activities = edge.router.follow_activity(id).await.unwrap();
    activities.next().await.unwrap();
    let other = RouteUpdate { project_id: Some("other".into()), ..RouteUpdate::default() };
    edge.router.update_route(id, other).await.unwrap();
    let wakes_no_more = RouteUpdate { wake: Some(false), ..RouteUpdate::default() };
    edge.router.update_route(id, wakes_no_more).await.unwrap();
    assert_eq!(within("the end", activities.next()).await, None);
    assert_eq!(within("the end, again", activities.next()).await, None);
    let wakes = RouteUpdate { wake: Some(true), ..RouteUpdate::default() };
    edge.router.update_route(id, wakes).await.unwrap();
    let mut activities = edge.router.follow_activity(id).await.unwrap();
    activities.next().await.unwrap();
    edge.router.close().await;
    assert_eq!(within("the end", activities.next()).await, None);
    assert_eq!(edge.router.follow_activity(id).await.unwrap_err().code(), "ROUTER_CLOSED");
}
