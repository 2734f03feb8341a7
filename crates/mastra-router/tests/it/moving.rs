//! Updates that wait until the new target is healthy, and what happens meanwhile.

use std::time::Duration;

use mastra_router::{
    EdgeRouterProvider, LeaseUpdate, LocalEdgeRouter, Result, RouteConfig, RouteInfo, RouteUpdate, RouterControl,
};
use tokio::task::JoinHandle;

use crate::edge::Edge;
use crate::leases::Owner;
use crate::router::Patient;
use crate::upstream::{Recorder, Upstream};
use crate::wire::{End, get, latin1, within};

fn to(port: u16) -> RouteUpdate {
    RouteUpdate { target_port: Some(port), wait_healthy: true, ..RouteUpdate::default() }
}

fn updating(router: &LocalEdgeRouter, id: &str, update: RouteUpdate) -> JoinHandle<Result<RouteInfo>> {
    let (router, id) = (router.clone(), id.to_owned());
    tokio::spawn(async move { router.update_route(&id, update).await })
}

async fn who(edge: &Edge, host: &str) -> String {
    let answer = edge.client().await.ask(get(host, "/")).await;
    answer.field("x-who").unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_is_in_flight_finishes_where_it_is_and_the_rest_moves_after_the_check() {
    let edge = Edge::start().await;
    let (mut old, new) = (Upstream::start().await, Patient::start().await);
    let route = edge.route("app", old.port()).await;
    let mut streaming = edge.client().await;
    streaming.send(get("app.localhost", "/")).await;
    let mut peer = old.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    streaming.until("one\r\n").await;
    let update = updating(&edge.router, route.route_id.as_str(), to(new.port));
    for _ in 0..2 {
        Patient::says(&mut new.asked().await, "503 Starting").await;
    }
    let mut check = new.asked().await;
    // It was not healthy yet, so the old one has what comes.
    let mut second = edge.client().await;
    second.send(get("app.localhost", "/during")).await;
    let mut during = old.accept().await;
    assert_eq!(during.request().await.line(), "GET /during HTTP/1.1");
    Patient::says(&mut check, "200 OK").await;
    // The check that every move ends with: by then new requests go there.
    let mut check = new.asked().await;
    let mut third = edge.client().await;
    third.send(get("app.localhost", "/after")).await;
    let mut after = crate::wire::Wire::new(within("a request", new.listener.accept()).await.unwrap().0);
    assert_eq!(after.request().await.line(), "GET /after HTTP/1.1");
    Patient::says(&mut check, "200 OK").await;
    within("the update", update).await.unwrap().unwrap();
    during.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
    assert_eq!(second.answer().await.text(), "old");
    peer.send("3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(latin1(&streaming.until("0\r\n\r\n").await), "3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_failed_check_says_why_and_leaves_all_as_it_was() {
    let edge = Edge::with(|c| c.health_check.timeout = Duration::from_millis(300)).await;
    let (old, new) = (Recorder::with("X-Who: old\r\n").await, Patient::start().await);
    let route = edge.route("app", old.port).await;
    let before = edge.router.get_all_routes();
    let mut events = edge.router.subscribe();
    let update = RouteUpdate { subdomain: Some("other".into()), ..to(new.port) };
    let update = updating(&edge.router, route.route_id.as_str(), update);
    let answering = tokio::spawn(async move {
        loop {
            Patient::says(&mut new.asked().await, "503 Broken").await;
        }
    });
    let error = within("the refusal", update).await.unwrap().unwrap_err();
    answering.abort();
    assert_eq!(error.code(), "TARGET_UNHEALTHY");
    assert!(error.to_string().contains("503"), "{error}");
    assert_eq!(edge.router.get_all_routes(), before);
    assert!(events.try_recv().is_err(), "nothing is told of what did not happen");
    assert_eq!(who(&edge, "app.localhost").await, "old");
}

#[tokio::test]
async fn of_two_updates_none_leads_to_what_was_not_checked() {
    let edge = Edge::start().await;
    let (one, other) = (Patient::start().await, Patient::start().await);
    let old = Recorder::start().await;
    let route = edge.route("app", old.port).await;
    let id = route.route_id.as_str();
    // The first changes the port and the second the path that is checked: what the first has checked is not what comes of it.
    let first = updating(&edge.router, id, to(one.port));
    let mut check = one.asked().await;
    let health = RouteUpdate { health_path: Some("/ready".into()), ..RouteUpdate::default() };
    edge.router.update_route(id, health).await.unwrap();
    Patient::says(&mut check, "200 OK").await;
    let mut check = one.asked_for("/ready").await;
    assert_eq!(edge.router.get_all_routes()[0].target.port(), old.port, "it was checked at the path of before only");
    Patient::says(&mut check, "200 OK").await;
    Patient::says(&mut one.asked_for("/ready").await, "200 OK").await;
    let info = within("the first", first).await.unwrap().unwrap();
    assert_eq!((info.target.port(), info.health_path.as_deref()), (one.port, Some("/ready")));
    // Two that wait at once: each is done when its target is healthy, and both are kept.
    let first = updating(&edge.router, id, to(other.port));
    let mut check = other.asked_for("/ready").await;
    let second = RouteUpdate { project_id: Some("second".into()), ..to(old.port) };
    let second = edge.router.update_route(id, second).await.unwrap();
    assert_eq!((second.target.port(), second.project_id.as_str()), (old.port, "second"));
    Patient::says(&mut check, "200 OK").await;
    Patient::says(&mut other.asked_for("/ready").await, "200 OK").await;
    let info = within("the first", first).await.unwrap().unwrap();
    assert_eq!((info.target.port(), info.project_id.as_str()), (other.port, "second"));
}

#[tokio::test]
async fn a_route_that_goes_while_one_waits_stays_gone() {
    let edge = Edge::start().await;
    let (old, new) = (Recorder::start().await, Patient::start().await);
    for (answer, again) in [("200 OK", false), ("503 Starting", true)] {
        let route = edge.route("app", old.port).await;
        let update = updating(&edge.router, route.route_id.as_str(), to(new.port));
        let mut check = new.asked().await;
        edge.router.remove_route(route.route_id.as_str()).await.unwrap();
        let successor = if again { Some(edge.route("app", old.port).await) } else { None };
        Patient::says(&mut check, answer).await;
        assert_eq!(within("the refusal", update).await.unwrap().unwrap_err().code(), "ROUTE_NOT_FOUND");
        // A route of the same name is another one.
        let routes = edge.router.get_all_routes();
        assert_eq!(routes.len(), usize::from(again));
        if let Some(successor) = successor {
            assert_eq!((&routes[0].route_id, routes[0].target.port()), (&successor.route_id, old.port));
        }
    }
}

#[tokio::test]
async fn a_name_and_a_prefix_that_change_while_one_waits_are_kept() {
    let edge = Edge::start().await;
    let (old, new) = (Recorder::start().await, Patient::start().await);
    let route = edge.route("app", old.port).await;
    let id = route.route_id.as_str();
    let update = updating(&edge.router, id, to(new.port));
    let mut check = new.asked().await;
    let renamed =
        RouteUpdate { subdomain: Some("shop".into()), path_prefix: Some("/api".into()), ..RouteUpdate::default() };
    edge.router.update_route(id, renamed).await.unwrap();
    // The name of before may be somebody else's by now.
    let other = edge.route_with("app", old.port, |c| c.deployment_id = "other".into()).await;
    Patient::says(&mut check, "200 OK").await;
    Patient::says(&mut new.asked().await, "200 OK").await;
    let info = within("the update", update).await.unwrap().unwrap();
    assert_eq!((info.subdomain.as_str(), info.path_prefix.as_deref()), ("shop", Some("/api")));
    assert_eq!(info.target.port(), new.port);
    assert_eq!(edge.router.get_route("other").await.unwrap().unwrap().target, other.target);
    // A name that was taken meanwhile is refused, and nothing of the update is done.
    let late = RouteUpdate { subdomain: Some("late".into()), ..to(new.port) };
    let late = updating(&edge.router, other.route_id.as_str(), late);
    let mut check = new.asked().await;
    edge.route("late", old.port).await;
    Patient::says(&mut check, "200 OK").await;
    assert_eq!(within("the refusal", late).await.unwrap().unwrap_err().code(), "ROUTE_CONFLICT");
    assert_eq!(edge.router.get_route("other").await.unwrap().unwrap().target, other.target);
}

#[tokio::test]
async fn who_gives_up_waiting_has_changed_nothing() {
    let edge = Edge::start().await;
    let (old, new) = (Recorder::with("X-Who: old\r\n").await, Patient::start().await);
    let route = edge.route("app", old.port).await;
    let update = updating(&edge.router, route.route_id.as_str(), to(new.port));
    let mut check = new.asked().await;
    update.abort();
    assert!(update.await.unwrap_err().is_cancelled());
    // The check ends with whoever asked.
    check.rest().await;
    assert_eq!(who(&edge, "app.localhost").await, "old");
    assert_eq!(edge.router.get_all_routes()[0].target.port(), old.port);
}

#[tokio::test]
async fn a_close_ends_an_update_that_waits() {
    for answer in ["200 OK", "503 Starting"] {
        let edge = Edge::start().await;
        let (old, new) = (Recorder::start().await, Patient::start().await);
        let route = edge.route("app", old.port).await;
        let update = updating(&edge.router, route.route_id.as_str(), to(new.port));
        let mut check = new.asked().await;
        edge.router.close().await;
        Patient::says(&mut check, answer).await;
        assert_eq!(within("the refusal", update).await.unwrap().unwrap_err().code(), "ROUTER_CLOSED");
        assert!(!edge.router.is_proxy_running());
    }
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn who_takes_a_route_over_ends_the_streams_of_the_one_before() {
    let (edge, mut old, mut new) = (Edge::start().await, Upstream::start().await, Upstream::start().await);
    let (loser, winner) = (Owner::start(), Owner::start());
    let config = RouteConfig {
        lease: Some(loser.lease.clone()),
        ..RouteConfig::new("app", "project", "app", "127.0.0.1", old.port())
    };
    let route = edge.router.register_route(config).await.unwrap();
    let id = route.route_id.as_str();
    let mut stream = edge.client().await;
    stream.send(get("app.localhost", "/events")).await;
    let mut of_stream = old.accept().await;
    of_stream.request().await;
    of_stream.send(EVENTS).await;
    stream.head().await;
    // The owner itself may move, and keeps what is open.
    let own = RouteUpdate { lease: Some(LeaseUpdate::To(loser.lease.clone())), ..RouteUpdate::default() };
    edge.router.update_route(id, own).await.unwrap();
    of_stream.send("4\r\nkept\r\n").await;
    stream.until("kept").await;
    let over = RouteUpdate {
        target_port: Some(new.port()),
        lease: Some(LeaseUpdate::To(winner.lease.clone())),
        ..RouteUpdate::default()
    };
    edge.router.update_route(id, over).await.unwrap();
    of_stream.rest().await;
    assert_eq!(stream.rest().await.1, End::Reset);
    // Those of the one that has it now are its own.
    let mut stream = edge.client().await;
    stream.send(get("app.localhost", "/events")).await;
    let mut of_stream = new.accept().await;
    of_stream.request().await;
    of_stream.send(EVENTS).await;
    stream.head().await;
    of_stream.send("4\r\nopen\r\n").await;
    stream.until("open").await;
    assert!(edge.router.end_lease(id, &winner.lease).await.unwrap());
    assert_eq!(stream.rest().await.1, End::Reset);
}
