//! One router takes another's place, on the same sockets.

use std::net::SocketAddr;
use std::time::Duration;

use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouterError};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::edge::config;
use crate::upstream::{Recorder, Upstream};
use crate::wire::{Wire, get, within};

fn saving(dir: &TempDir, threads: usize) -> LocalEdgeRouterConfig {
    let mut config = LocalEdgeRouterConfig { state_dir: Some(dir.path().join("state")), ..config(dir) };
    config.proxy.threads = Some(threads);
    config
}

#[tokio::test]
async fn a_router_is_replaced_and_nobody_notices() {
    let dir = TempDir::new().unwrap();
    let app = Recorder::with("X-Who: app\r\n").await;
    let mut router = LocalEdgeRouter::start(saving(&dir, 2)).await.unwrap();
    let addresses = router.proxy_addresses();
    let address = addresses[0];
    let config = RouteConfig::new("d", "project", "app", "127.0.0.1", app.port);
    let made = router.register_route(config.clone()).await.unwrap();
    // More threads than sockets, and fewer.
    for threads in [1, 4, 2] {
        let mut kept = Wire::connect(address).await;
        assert_eq!(kept.ask(get("app.localhost", "/")).await.status(), 200);
        assert!(router.connections() >= 1);
        let listeners = router.listeners().await.unwrap();
        router.release().await;
        assert!(matches!(router.register_route(config.clone()).await, Err(RouterError::Closed)));
        // It goes on serving, meanwhile.
        assert_eq!(Wire::connect(address).await.ask(get("app.localhost", "/")).await.status(), 200);
        let next = LocalEdgeRouter::start_on(saving(&dir, threads), listeners).await.unwrap();
        assert_eq!(next.proxy_addresses(), addresses, "with {threads} threads");
        let old = std::mem::replace(&mut router, next);
        let handing_over =
            tokio::spawn(async move { old.hand_over(Duration::from_secs(60), std::future::pending()).await });
        assert_eq!(router.get_route("d").await.unwrap().unwrap().route_id, made.route_id);
        // One that listened before the other stopped to accept is served by either.
        for _ in 0..20 {
            assert_eq!(Wire::connect(address).await.ask(get("app.localhost", "/")).await.status(), 200);
        }
        let last = kept.ask(get("app.localhost", "/")).await;
        assert_eq!((last.status(), last.field("x-who")), (200, Some("app")));
        within("the old one to end", handing_over).await.unwrap();
    }
    router.close().await;
    assert!(TcpStream::connect(address).await.is_err(), "something listens");
}

#[tokio::test]
async fn a_hand_over_can_be_cut_short() {
    let dir = TempDir::new().unwrap();
    let mut config = saving(&dir, 1);
    config.proxy.drain_timeout = Duration::from_millis(50);
    let router = LocalEdgeRouter::start(config).await.unwrap();
    let address = router.proxy_addresses()[0];
    let app = Recorder::with("X-Who: app\r\n").await;
    router.register_route(RouteConfig::new("d", "project", "app", "127.0.0.1", app.port)).await.unwrap();
    let mut kept = Wire::connect(address).await;
    assert_eq!(kept.ask(get("app.localhost", "/")).await.status(), 200);
    router.release().await;
    within("its end", router.hand_over(Duration::from_secs(3600), std::future::ready(()))).await;
    assert_eq!(router.connections(), 0);
    assert!(TcpStream::connect(address).await.is_err(), "nobody took its place");
}

/// One that is accepted and waits for a place when the listeners change hands has its answer from the old router.
#[tokio::test]
async fn who_waits_for_a_place_is_served_over_a_hand_over() {
    let dir = TempDir::new().unwrap();
    let mut config = saving(&dir, 1);
    config.proxy.max_connections = 1;
    let old = LocalEdgeRouter::start(config.clone()).await.unwrap();
    let address = old.proxy_addresses()[0];
    let mut app = Upstream::start().await;
    old.register_route(RouteConfig::new("d", "project", "app", "127.0.0.1", app.port())).await.unwrap();
    let mut first = Wire::connect(address).await;
    first.send(get("app.localhost", "/first")).await;
    let mut served = app.accept().await;
    served.head().await;
    let mut second = Wire::connect(address).await;
    second.send(get("app.localhost", "/second")).await;
    within("the second to be accepted", async {
        while waiting_to_be_accepted(address) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let listeners = old.listeners().await.unwrap();
    old.release().await;
    let next = LocalEdgeRouter::start_on(config, listeners).await.unwrap();
    let handing_over =
        tokio::spawn(async move { old.hand_over(Duration::from_secs(60), std::future::pending()).await });
    served.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nfirst").await;
    assert_eq!(first.answer().await.text(), "first");
    drop(first);
    let mut served = app.accept().await;
    assert!(served.head().await.starts_with("GET /second "));
    served.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond").await;
    let answer = second.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("second", Some("close")));
    within("the old one to end", handing_over).await.unwrap();
    next.close().await;
}

/// How many connections to a listener of 127.0.0.1 nobody has accepted yet, as the system counts them.
fn waiting_to_be_accepted(address: SocketAddr) -> u32 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{:04X}", address.port());
    let listens = |line: &&str| line.split_whitespace().nth(1) == Some(&local) && line.contains(" 0A ");
    let queue = |line: &str| line.split_whitespace().nth(4).unwrap().split_once(':').unwrap().1.to_owned();
    table.lines().filter(listens).map(|line| u32::from_str_radix(&queue(line), 16).unwrap()).sum()
}
