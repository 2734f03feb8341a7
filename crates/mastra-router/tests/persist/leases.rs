//! Leased ports.

use std::net::TcpListener;

use mastra_router::{PortManager, RouterControl};

use crate::desk::{Desk, add, deployments};
use crate::span::free_span;

fn desk(ports: u16) -> Desk {
    let mut desk = Desk::new();
    desk.config.port_range = free_span(ports);
    desk
}

#[tokio::test]
async fn a_leased_port_stays_leased() {
    let desk = desk(5);
    let router = desk.router();
    let ports = [router.allocate_port().await.unwrap(), router.allocate_port().await.unwrap()];
    let given_back = router.allocate_port().await.unwrap();
    assert!(router.release_port(given_back).await.unwrap());
    assert!(!router.release_port(given_back).await.unwrap());
    add(&router, "route").await;
    router.close().await;
    let other = PortManager::new(desk.config.port_range, desk.path("ports"));
    assert!(other.is_port_available(ports[0]), "between the two runs nobody holds it");

    // Its tenant has outlived the router.
    let tenant = TcpListener::bind(("127.0.0.1", ports[1])).unwrap();
    let router = desk.router();
    assert_eq!(router.warnings(), [""; 0]);
    assert!(!other.reserve(ports[0]).unwrap() && !other.reserve(ports[1]).unwrap());
    assert_eq!(router.allocate_port().await.unwrap(), given_back);
    assert!(router.release_port(ports[0]).await.unwrap());
    drop(router);
    drop(tenant);
    let router = desk.router();
    assert!(other.is_port_available(ports[0]) && !other.is_port_available(ports[1]));
    assert_eq!(deployments(&router), ["route"]);
}

#[tokio::test]
async fn a_port_that_another_took_meanwhile_is_reported() {
    let desk = desk(3);
    let router = desk.router();
    let port = router.allocate_port().await.unwrap();
    router.close().await;
    let other = PortManager::new(desk.config.port_range, desk.path("ports"));
    assert!(other.reserve(port).unwrap());
    let router = desk.router();
    assert_eq!(router.warnings().len(), 1);
    assert!(router.warnings()[0].contains(&port.to_string()), "{:?}", router.warnings());
    assert!(!router.release_port(port).await.unwrap());
    assert_eq!(router.allocate_port().await.unwrap(), port + 1);
    router.close().await;
    drop(other);
    let router = desk.router();
    assert_eq!(router.warnings(), [""; 0], "it is not asked for again");
    assert_eq!(router.allocate_port().await.unwrap(), port);
}

#[tokio::test]
async fn leases_that_everybody_forgot_do_not_use_the_range_up() {
    let desk = desk(3);
    let first = desk.config.port_range.start;
    let router = desk.router();
    for i in 0..3 {
        assert_eq!(router.allocate_port().await.unwrap(), first + i);
    }
    assert_eq!(router.allocate_port().await.unwrap_err().code(), "NO_PORT_AVAILABLE", "those of this run are in use");
    let to_second = mastra_router::RouteConfig::new("d", "p", "routed", "localhost", first + 1);
    mastra_router::EdgeRouterProvider::register_route(&router, to_second).await.unwrap();
    router.close().await;

    let tenant = TcpListener::bind(("127.0.0.1", first)).unwrap();
    let router = desk.router();
    assert_eq!(router.allocate_port().await.unwrap(), first + 2, "nobody listens, and no route leads there");
    assert_eq!(router.allocate_port().await.unwrap_err().code(), "NO_PORT_AVAILABLE", "and now it is in use");
    drop(tenant);
    assert_eq!(router.allocate_port().await.unwrap(), first);
    assert_eq!(router.allocate_port().await.unwrap_err().code(), "NO_PORT_AVAILABLE");
    router.close().await;
}

#[tokio::test]
async fn a_port_of_an_earlier_run_that_was_given_back_is_leased_once() {
    let desk = desk(2);
    let router = desk.router();
    let port = router.allocate_port().await.unwrap();
    drop(router);
    let router = desk.router();
    assert!(router.release_port(port).await.unwrap());
    // Whoever gets it now does not listen on it yet.
    let mut leased = vec![router.allocate_port().await.unwrap(), router.allocate_port().await.unwrap()];
    let third = router.allocate_port().await;
    assert!(third.is_err(), "{third:?} after {leased:?}");
    // Of several who give it back at once, one has it; the next lease is not theirs to end.
    leased.retain(|leased| *leased == port);
    let released: usize = futures_util::future::join_all((0..8).map(|_| router.release_port(port)))
        .await
        .into_iter()
        .map(|r| usize::from(r.unwrap()))
        .sum();
    assert_eq!((leased.len(), released), (1, 1));
}
