//! What is there after a restart.

use std::future::Future as _;
use std::os::unix::fs::MetadataExt;
use std::task::Poll;

use futures_util::future::join_all;
use mastra_router::{
    EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouteUpdate, RouterError, RoutingStrategy,
};

use crate::desk::{Desk, add, all_kept, deployments, entries, route};

fn to_port(port: u16) -> RouteUpdate {
    RouteUpdate { target_port: Some(port), ..RouteUpdate::default() }
}

fn full() -> RouteConfig {
    RouteConfig {
        path_prefix: Some("/api".into()),
        strip_prefix: Some(false),
        health_path: Some("/live?x=1".into()),
        wildcard: true,
        tls: Some(false),
        ..RouteConfig::new("deploy ü/1", "p\"1", "a.shop", "::1", 9)
    }
}

/// A router on the port of the one before, which closes its sockets a moment after it was dropped.
async fn started(desk: &Desk) -> LocalEdgeRouter {
    let started = async {
        loop {
            match LocalEdgeRouter::start(desk.config.clone()).await {
                Err(error) if error.code() == "PORT_IN_USE" => tokio::task::yield_now().await,
                started => return started.unwrap(),
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), started).await.unwrap()
}

#[tokio::test]
async fn everything_is_as_it_was() {
    for strategy in [RoutingStrategy::PortMapping, RoutingStrategy::ReverseProxy] {
        let mut desk = Desk::with(strategy);
        let router = desk.router();
        let first = add(&router, "first").await;
        router.register_route(full()).await.unwrap();
        let gone = add(&router, "gone").await;
        add(&router, "last").await;
        router.update_route(first.route_id.as_str(), to_port(10)).await.unwrap();
        router.remove_route(gone.route_id.as_str()).await.unwrap();
        let before = all_kept(router.get_all_routes());
        assert_eq!(before.len(), 3);
        // So that URLs can be compared, which have the port in them.
        if let Some(address) = router.proxy_addresses().first() {
            desk.config.listen = vec![*address];
        }
        router.close().await;
        assert!(router.get_all_routes().is_empty());

        // The second and third time, nothing was changed in between.
        for turn in 0..3 {
            let router = started(&desk).await;
            assert_eq!(all_kept(router.get_all_routes()), before, "{turn}");
            assert_eq!(router.warnings(), [""; 0]);
            if turn == 1 {
                drop(router);
            } else {
                router.close().await;
            }
        }
        let router = started(&desk).await;
        let new = add(&router, "new").await;
        assert_eq!(deployments(&router), ["first", "deploy ü/1", "last", "new"], "what is new comes last");
        assert!(before.iter().all(|old| old.route_id != new.route_id && old.created_at < new.created_at));
        let error = router.register_route(route("first", "other")).await.unwrap_err();
        assert_eq!(error.code(), "ROUTE_EXISTS", "it is a route like any other");
        let renamed = RouteUpdate { subdomain: Some("renamed".into()), ..RouteUpdate::default() };
        router.update_route(before[0].route_id.as_str(), renamed).await.unwrap();
        router.remove_route("last").await.unwrap();
        let before = all_kept(router.get_all_routes());
        router.close().await;
        let router = started(&desk).await;
        assert_eq!(all_kept(router.get_all_routes()), before);
        assert_eq!(before[0].subdomain, "renamed");
        router.close().await;
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_on_disk() {
    let desk = Desk::new();
    let router = desk.router();
    let first = add(&router, "first").await;
    assert_eq!(all_kept(desk.on_disk()), all_kept(router.get_all_routes()));
    router.update_route(first.route_id.as_str(), to_port(10)).await.unwrap();
    assert_eq!(desk.on_disk()[0].target.port(), 10);
    add(&router, "second").await;
    router.remove_route(first.route_id.as_str()).await.unwrap();
    assert_eq!(all_kept(desk.on_disk()), all_kept(router.get_all_routes()));
    router.remove_route(first.route_id.as_str()).await.unwrap();
    let none = RouteUpdate::default();
    router.update_route("second", none.clone()).await.unwrap_err();
    let second = router.get_route("second").await.unwrap().unwrap();
    router.update_route(second.route_id.as_str(), none).await.unwrap();
    assert_eq!(all_kept(desk.on_disk()), all_kept(router.get_all_routes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_at_the_same_time_are_all_saved() {
    let desk = Desk::new();
    let router = desk.router();
    let changes = (0..100).map(|i| {
        let router = router.clone();
        tokio::spawn(async move {
            let kept = add(&router, &format!("kept-{i}")).await;
            let gone = add(&router, &format!("gone-{i}")).await;
            router.update_route(kept.route_id.as_str(), to_port(1000 + i)).await.unwrap();
            router.remove_route(gone.route_id.as_str()).await.unwrap();
        })
    });
    for done in join_all(changes).await {
        done.unwrap();
    }
    let saved = desk.on_disk();
    assert_eq!(saved.len(), 100);
    assert!(saved.iter().all(|r| r.target.port() == 1000 + r.subdomain["kept-".len()..].parse::<u16>().unwrap()));
    assert_eq!(all_kept(saved), all_kept(router.get_all_routes()));
    router.close().await;
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_nothing_half_done() {
    let desk = Desk::new();
    let router = desk.router();
    for i in 0..50 {
        let name = format!("d{i}");
        let registering = router.register_route(route(&name, &name));
        // Polled so often, and dropped.
        let mut registering = std::pin::pin!(registering);
        for _ in 0..=i % 5 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(registering.as_mut().poll(cx)));
            if polled.await.is_ready() {
                break;
            }
        }
    }
    add(&router, "last").await;
    assert_eq!(all_kept(desk.on_disk()), all_kept(router.get_all_routes()));
    router.close().await;
}

#[tokio::test]
async fn all_routes_removed_is_a_change_and_a_close_is_none() {
    let desk = Desk::new();
    let router = desk.router();
    add(&router, "first").await;
    router.close().await;
    let router = desk.router();
    assert_eq!(deployments(&router), ["first"]);
    router.clear_routes();
    // Nothing waits for it but the end.
    router.close().await;
    assert_eq!(deployments(&desk.router()), [""; 0]);
}

#[tokio::test]
async fn a_router_ends_with_its_last_handle() {
    let desk = Desk::new();
    let router = desk.router();
    let handle = router.clone();
    add(&router, "first").await;
    drop(router);
    assert_eq!(LocalEdgeRouter::new(desk.config.clone()).err().unwrap().code(), "HOME_IN_USE");
    handle.clear_routes();
    drop(handle);
    assert_eq!(deployments(&desk.router()), [""; 0], "what was done last is saved, too");
}

#[tokio::test]
async fn a_second_router_is_refused_and_the_first_goes_on() {
    let desk = Desk::new();
    let router = desk.router();
    add(&router, "first").await;
    match LocalEdgeRouter::new(desk.config.clone()).err() {
        Some(RouterError::HomeInUse { home, pid }) => {
            assert_eq!((home, pid), (desk.state(), Some(std::process::id())));
        }
        other => panic!("{other:?}"),
    }
    add(&router, "second").await;
    assert_eq!(desk.on_disk().len(), 2);
    router.close().await;
    assert_eq!(router.register_route(route("d", "d")).await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(deployments(&desk.router()), ["first", "second"]);
}

#[tokio::test]
async fn without_a_directory_nothing_is_saved() {
    let desk = Desk::new();
    let config = LocalEdgeRouterConfig { state_dir: None, ..desk.config.clone() };
    let router = LocalEdgeRouter::new(config).unwrap();
    add(&router, "first").await;
    router.close().await;
    assert_eq!((router.state_file(), desk.state().exists()), (None, false));
}

#[tokio::test]
async fn only_its_user_can_read_it() {
    let desk = Desk::new();
    let router = desk.router();
    add(&router, "first").await;
    assert_eq!(router.state_file(), Some(desk.journal()));
    assert_eq!(std::fs::metadata(desk.state()).unwrap().mode() & 0o777, 0o700);
    for path in entries(&desk.state()) {
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    }
    router.close().await;
}
