//! Routes that are leased to a process.

use std::process::{Child, Command};
use std::time::Duration;

use futures_util::StreamExt;
use mastra_router::{
    EdgeRouterProvider, LeaseUpdate, RouteConfig, RouteLease, RouteUpdate, RouterControl, RouterEvent,
};
use tokio_tungstenite::client_async;

use crate::edge::Edge;
use crate::tls::client::{Secure, get as get2, head};
use crate::upstream::{Recorder, Upstream};
use crate::websocket::server;
use crate::wire::{End, get, within};

/// A process that ends when it is told to.
pub(crate) struct Owner {
    child: Child,
    pub(crate) lease: RouteLease,
}

impl Owner {
    pub(crate) fn start() -> Self {
        let child = Command::new("sleep").arg("1000").spawn().unwrap();
        let lease = RouteLease::of_process(child.id()).unwrap();
        Self { child, lease }
    }

    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn leased(name: &str, port: u16, lease: &RouteLease) -> RouteConfig {
    RouteConfig { lease: Some(lease.clone()), ..RouteConfig::new(name, "project", name, "127.0.0.1", port) }
}

#[tokio::test]
async fn a_route_goes_with_its_process() {
    let (edge, target) = (Edge::start().await, Recorder::start().await);
    let mut owner = Owner::start();
    let mut events = edge.router.subscribe();
    let route = edge.router.register_route(leased("app", target.port, &owner.lease)).await.unwrap();
    assert_eq!(route.lease, Some(owner.lease.clone()));
    edge.route("stays", target.port).await;
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 200);
    owner.end();
    let removed = within("the end of the lease", async {
        loop {
            if let RouterEvent::Removed(route) = events.recv().await.unwrap() {
                return route;
            }
        }
    });
    assert_eq!(removed.await.route_id, route.route_id);
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 404);
    assert_eq!(edge.client().await.ask(get("stays.localhost", "/")).await.status(), 200);
}

#[tokio::test]
async fn only_its_owner_ends_a_lease() {
    let (edge, target) = (Edge::start().await, Recorder::start().await);
    let (first, second) = (Owner::start(), Owner::start());
    let router = &edge.router;
    let route = router.register_route(leased("app", target.port, &first.lease)).await.unwrap();
    let id = route.route_id.as_str();
    let moved = RouteUpdate { target_port: Some(target.port), ..RouteUpdate::default() };
    assert_eq!(router.update_route(id, moved).await.unwrap().lease, Some(first.lease.clone()), "it is kept");
    // Another takes the route over, and the first has no say any more.
    let over = RouteUpdate { lease: Some(LeaseUpdate::To(second.lease.clone())), ..RouteUpdate::default() };
    assert_eq!(router.update_route(id, over).await.unwrap().lease, Some(second.lease.clone()));
    assert!(!router.end_lease(id, &first.lease).await.unwrap());
    let late = RouteUpdate { target_port: Some(1), leased_to: Some(first.lease.clone()), ..RouteUpdate::default() };
    assert_eq!(router.update_route(id, late).await.unwrap_err().code(), "ROUTE_NOT_FOUND");
    assert_eq!(router.get_all_routes()[0].target.port(), target.port);
    let own = RouteUpdate { leased_to: Some(second.lease.clone()), ..RouteUpdate::default() };
    router.update_route(id, own).await.unwrap();
    // Neither has whoever asks by the deployment's name.
    assert!(!router.end_lease("app", &second.lease).await.unwrap());
    assert!(router.end_lease(id, &second.lease).await.unwrap());
    assert!(!router.end_lease(id, &second.lease).await.unwrap());
    assert!(router.get_all_routes().is_empty());
    // A route that stays is leased, and stays again.
    let route = edge.route("stays", target.port).await;
    let id = route.route_id.as_str();
    assert!(!router.end_lease(id, &second.lease).await.unwrap());
    let lease = |lease| RouteUpdate { lease: Some(lease), ..RouteUpdate::default() };
    router.update_route(id, lease(LeaseUpdate::To(second.lease.clone()))).await.unwrap();
    assert_eq!(router.update_route(id, lease(LeaseUpdate::End)).await.unwrap().lease, None);
    let nobody = RouteLease { pid: 0, ..second.lease.clone() };
    assert_eq!(router.update_route(id, lease(LeaseUpdate::To(nobody))).await.unwrap_err().code(), "INVALID_FIELD");
    edge.router.close().await;
}

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";

#[tokio::test]
async fn the_end_of_a_lease_ends_streams_and_nothing_else() {
    let (edge, mut upstream, mut other) = (Edge::start().await, Upstream::start().await, Upstream::start().await);
    let owner = Owner::start();
    edge.route("other", other.port()).await;
    let route = edge.route_with("app", upstream.port(), |c| c.lease = Some(owner.lease.clone())).await;
    let (mut stream, mut kept, mut whole) = (edge.client().await, edge.client().await, edge.client().await);
    stream.send(get("app.localhost", "/events")).await;
    let mut of_stream = upstream.accept().await;
    of_stream.request().await;
    of_stream.send(EVENTS).await;
    stream.head().await;
    kept.send(get("other.localhost", "/events")).await;
    let mut of_kept = other.accept().await;
    of_kept.request().await;
    of_kept.send(EVENTS).await;
    kept.head().await;
    whole.send(get("app.localhost", "/file")).await;
    let mut of_whole = upstream.accept().await;
    of_whole.request().await;
    of_whole.send(WHOLE).await;
    whole.until("01234").await;

    assert!(edge.router.end_lease(route.route_id.as_str(), &owner.lease).await.unwrap());
    // Both sides are told: what cannot be told is that the answer is whole.
    of_stream.rest().await;
    assert_eq!(stream.rest().await.1, End::Reset);
    of_whole.send("56789").await;
    whole.until("56789").await;
    of_kept.send("4\r\nmore\r\n").await;
    kept.until("more").await;
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 404);
}

#[tokio::test]
async fn the_end_of_a_lease_ends_websockets() {
    let edge = Edge::start().await;
    let owner = Owner::start();
    let server = server().await;
    let route = edge.route_with("app", server.port, |c| c.lease = Some(owner.lease.clone())).await;
    let io = edge.client().await.io;
    let (mut client, _) = within("the upgrade", client_async("ws://app.localhost/", io)).await.unwrap();
    let mut server = within("the upgrade", server.task).await.unwrap();
    assert!(edge.router.end_lease(route.route_id.as_str(), &owner.lease).await.unwrap());
    assert!(within("the client's end", client.next()).await.is_none_or(|end| end.is_err()));
    assert!(within("the server's end", server.next()).await.is_none_or(|end| end.is_err()));
}

#[tokio::test]
async fn the_end_of_a_lease_ends_streams_over_http2() {
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    let owner = Owner::start();
    let router = &edge.edge.router;
    let route = edge.edge.route_with("app", upstream.port(), |c| c.lease = Some(owner.lease.clone())).await;
    let client = edge.http2().await;
    let (answer, _stream) = client.begin(get2("/"), true).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EVENTS).await;
    let (_, mut body) = head(answer).await.unwrap();
    // An update makes another route of it, with the same streams.
    let update = RouteUpdate { project_id: Some("other".into()), ..RouteUpdate::default() };
    router.update_route(route.route_id.as_str(), update).await.unwrap();
    assert!(router.end_lease(route.route_id.as_str(), &owner.lease).await.unwrap());
    let end = tokio::time::timeout(Duration::from_secs(30), body.data()).await.unwrap();
    assert!(end.is_none_or(|end| end.is_err()), "the stream was reset");
    peer.rest().await;
}
