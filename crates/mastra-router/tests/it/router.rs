//! What a program that registers routes relies on.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mastra_router::{
    EdgeRouterProvider, LocalEdgeRouter, RouteConfig, RouteStatus, RouteUpdate, RouterControl, RouterError,
    RouterEvent, RoutingStrategy,
};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::edge::{Edge, config};
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{End, Wire, get, within};

fn route(deployment: &str, name: &str, port: u16) -> RouteConfig {
    RouteConfig::new(deployment, "project", name, "127.0.0.1", port)
}

fn to_port(port: u16) -> RouteUpdate {
    RouteUpdate { target_port: Some(port), ..RouteUpdate::default() }
}

#[tokio::test]
async fn a_registered_route_works_without_a_further_call() {
    let leases = TempDir::new().unwrap();
    // As an orchestrator does it: made, never started.
    let router: Arc<LocalEdgeRouter> = Arc::new(LocalEdgeRouter::new(config(&leases)).unwrap());
    assert!(!router.is_proxy_running());
    let provider: Arc<dyn EdgeRouterProvider> = router.clone();
    let mut upstream = Upstream::start().await;
    let info = provider.register_route(route("d", "app", upstream.port())).await.unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    let port = router.proxy_addresses()[0].port();
    assert_eq!(info.public_url, format!("http://localhost:{port}/app"));
    let mut client = Wire::connect(router.proxy_addresses()[0]).await;
    client.send(get(&format!("localhost:{port}"), "/app")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
    router.close().await;
}

#[tokio::test]
async fn a_second_registration_leaves_the_first_serving() {
    let edge = Edge::start().await;
    let (first, second) = (Recorder::with("X-Who: first\r\n").await, Recorder::with("X-Who: second\r\n").await);
    edge.router.register_route(route("d", "app", first.port)).await.unwrap();
    let error = edge.router.register_route(route("d", "other", second.port)).await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.code()), ("Route already exists for deployment d", "ROUTE_EXISTS"));
    let error = edge.router.register_route(route("e", "app", second.port)).await.unwrap_err();
    assert!(matches!(&error, RouterError::RouteConflict { holder, .. } if holder == "d"), "{error}");
    let answer = edge.client().await.ask(get("app.localhost", "/")).await;
    assert_eq!(answer.field("x-who"), Some("first"));
    // The loser's end does not take the winner with it.
    edge.router.remove_route("e").await.unwrap();
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 200);
    assert_eq!(edge.router.get_all_routes().len(), 1);
}

#[tokio::test]
async fn removing_is_idempotent_and_takes_either_id() {
    let edge = Edge::start().await;
    let by_id = edge.route("one", 1).await;
    edge.route("two", 1).await;
    for id in [by_id.route_id.as_str(), by_id.route_id.as_str(), "two", "two", "never"] {
        edge.router.remove_route(id).await.unwrap();
    }
    assert!(edge.router.get_all_routes().is_empty());
    assert_eq!(edge.client().await.ask(get("two.localhost", "/")).await.status(), 404);
}

#[tokio::test]
async fn an_update_of_nothing_that_is_there_fails() {
    let edge = Edge::start().await;
    let error = edge.router.update_route("route_0", RouteUpdate::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "Route not found: route_0");
}

#[tokio::test]
async fn a_redeploy_with_all_five_fields() {
    let edge = Edge::start().await;
    let (old, new) = (Recorder::start().await, Recorder::with("X-Who: new\r\n").await);
    let info = edge.router.register_route(route("d", "app", old.port)).await.unwrap();
    let mut redeployed = route("d2", "app2", new.port);
    redeployed.project_id = "project2".into();
    let id = info.route_id.as_str();
    let moved = edge.router.update_route(id, redeployed.into()).await.unwrap();
    assert_eq!((moved.route_id.as_str(), moved.created_at), (id, info.created_at));
    assert_eq!((moved.deployment_id.as_str(), moved.project_id.as_str()), ("d2", "project2"));
    assert!(edge.router.get_route("d").await.unwrap().is_none());
    assert!(edge.router.list_routes("project").await.unwrap().is_empty());
    assert_eq!(edge.router.list_routes("project2").await.unwrap().len(), 1);
    assert_eq!(edge.client().await.ask(get("app2.localhost", "/")).await.field("x-who"), Some("new"));
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 404);
}

#[tokio::test]
async fn a_move_resets_what_was_known_of_the_old_target() {
    let edge = Edge::start().await;
    let alive = Upstream::start().await;
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let info = edge.router.register_route(route("d", "app", alive.port())).await.unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    let id = info.route_id.as_str();
    let moved = edge.router.update_route(id, to_port(dead.local_addr().unwrap().port())).await.unwrap();
    assert_eq!((moved.status, moved.health_check_failures), (RouteStatus::Pending, 0));
    for _ in 0..3 {
        assert!(!edge.router.check_route_health(id).await.unwrap().healthy);
    }
    let known = edge.router.get_route("d").await.unwrap().unwrap();
    assert_eq!((known.status, known.health_check_failures), (RouteStatus::Unhealthy, 3));
    let back = edge.router.update_route(id, to_port(alive.port())).await.unwrap();
    assert_eq!((back.status, back.health_check_failures), (RouteStatus::Active, 0));
}

#[tokio::test]
async fn an_update_that_waits_for_health_keeps_the_old_target_where_there_is_none() {
    let edge = Edge::with(|c| c.health_check.timeout = Duration::from_millis(50)).await;
    let old = Recorder::start().await;
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let info = edge.route("app", old.port).await;
    let update = RouteUpdate { wait_healthy: true, ..to_port(dead.local_addr().unwrap().port()) };
    let error = edge.router.update_route(info.route_id.as_str(), update).await.unwrap_err();
    assert_eq!(error.code(), "TARGET_UNHEALTHY");
    assert_eq!(edge.client().await.ask(get("app.localhost", "/x")).await.text(), "/x");
}

/// A target whose health is decided by the test, check after check.
pub(crate) struct Patient {
    pub(crate) listener: TcpListener,
    pub(crate) port: u16,
}

impl Patient {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// The next check.
    pub(crate) async fn asked(&self) -> Wire {
        self.asked_for("/health").await
    }

    /// The same at a path.
    pub(crate) async fn asked_for(&self, path: &str) -> Wire {
        let mut check = Wire::new(within("a check", self.listener.accept()).await.unwrap().0);
        let line = check.request().await.line().to_owned();
        assert_eq!(line, format!("GET {path} HTTP/1.1"));
        check
    }

    pub(crate) async fn says(check: &mut Wire, status: &str) {
        check.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
    }
}

fn waiting(deployment: &str, name: &str, port: u16) -> RouteConfig {
    RouteConfig { wait_healthy: true, ..route(deployment, name, port) }
}

#[tokio::test]
async fn a_registration_that_waits_for_health_is_there_only_after_it() {
    let edge = Edge::start().await;
    let target = Patient::start().await;
    let router = edge.router.clone();
    let config = waiting("d", "app", target.port);
    let registering = tokio::spawn(async move { router.register_route(config).await });
    // Not healthy at first: it is asked again.
    Patient::says(&mut target.asked().await, "503 Starting").await;
    let mut check = target.asked().await;
    assert!(edge.router.get_all_routes().is_empty());
    assert_eq!(edge.client().await.ask(get("app.localhost", "/")).await.status(), 404);
    Patient::says(&mut check, "200 OK").await;
    // The check that every registration ends with.
    Patient::says(&mut target.asked().await, "200 OK").await;
    let info = within("the registration's end", registering).await.unwrap().unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    assert_eq!(edge.router.get_all_routes().len(), 1);
}

#[tokio::test]
async fn a_registration_that_waits_in_vain_leaves_nothing() {
    let leases = TempDir::new().unwrap();
    let mut settings = config(&leases);
    settings.health_check.timeout = Duration::from_millis(50);
    settings.tls.cert_dir = Some(leases.path().join("certs"));
    let router = LocalEdgeRouter::new(settings).unwrap();
    let mut events = router.subscribe();
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for port in [dead.local_addr().unwrap().port(), silent.local_addr().unwrap().port()] {
        let config = RouteConfig { tls: Some(true), ..waiting("d", "app", port) };
        let error = within("the refusal", router.register_route(config)).await.unwrap_err();
        assert_eq!(error.code(), "TARGET_UNHEALTHY");
    }
    assert!(router.get_all_routes().is_empty());
    assert!(events.try_recv().is_err(), "nothing is told of a route that never was");
    assert!(!router.is_proxy_running(), "nothing was begun for it");
    assert!(!leases.path().join("certs").exists());
    // The name and the deployment are free.
    let alive = Upstream::start().await;
    router.register_route(waiting("d", "app", alive.port())).await.unwrap();
    router.close().await;
}

#[tokio::test]
async fn of_two_registrations_the_second_to_be_added_is_refused() {
    let edge = Edge::start().await;
    let (target, alive) = (Patient::start().await, Upstream::start().await);
    for (deployment, name, code) in [("d", "other", "ROUTE_EXISTS"), ("e", "app", "ROUTE_CONFLICT")] {
        let router = edge.router.clone();
        let config = waiting("d", "app", target.port);
        let registering = tokio::spawn(async move { router.register_route(config).await });
        let mut check = target.asked().await;
        // It waits, and has taken nothing.
        let other = edge.router.register_route(route(deployment, name, alive.port())).await.unwrap();
        Patient::says(&mut check, "200 OK").await;
        let error = within("the refusal", registering).await.unwrap().unwrap_err();
        assert_eq!(error.code(), code);
        // What is known at once is told at once: no check is made.
        let error = edge.router.register_route(waiting("d", "app", target.port)).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(edge.router.get_all_routes().len(), 1);
        edge.router.remove_route(other.route_id.as_str()).await.unwrap();
    }
}

#[tokio::test]
async fn a_close_while_a_registration_waits_ends_it() {
    let edge = Edge::start().await;
    let target = Patient::start().await;
    let router = edge.router.clone();
    let config = waiting("d", "app", target.port);
    let registering = tokio::spawn(async move { router.register_route(config).await });
    let mut check = target.asked().await;
    edge.router.close().await;
    Patient::says(&mut check, "200 OK").await;
    let error = within("the refusal", registering).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "ROUTER_CLOSED");
}

#[test]
fn a_configuration_as_an_update_waits_as_it_does() {
    assert!(RouteUpdate::from(waiting("d", "app", 1)).wait_healthy);
    assert!(!RouteUpdate::from(route("d", "app", 1)).wait_healthy);
}

#[tokio::test]
async fn an_update_during_the_first_check_is_not_lost() {
    let edge = Edge::start().await;
    // A target that takes connections and says nothing: its check lasts.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let router = edge.router.clone();
    let registering = tokio::spawn(async move { router.register_route(route("d", "app", port)).await });
    let (_check, _) = within("the first check", silent.accept()).await.unwrap();
    let id = edge.router.get_route("d").await.unwrap().unwrap().route_id;
    let new = Upstream::start().await;
    let moved = edge.router.update_route(id.as_str(), to_port(new.port())).await.unwrap();
    assert_eq!((moved.target.port(), moved.status), (new.port(), RouteStatus::Active));
    drop(_check);
    drop(silent);
    let info = within("the registration's end", registering).await.unwrap().unwrap();
    assert_eq!((info.target.port(), info.status), (new.port(), RouteStatus::Active));
}

#[tokio::test]
async fn a_busy_port_is_an_error_that_names_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = holder.local_addr().unwrap();
    let leases = TempDir::new().unwrap();
    let mut config = config(&leases);
    config.listen = vec![address];
    let Err(error) = LocalEdgeRouter::start(config.clone()).await else { panic!("two listen on {address}") };
    let RouterError::PortInUse { address: said, holder: Some(name) } = &error else { panic!("{error}") };
    assert_eq!(*said, address);
    assert!(name.contains(&std::process::id().to_string()), "{name}");

    // So is another router's, which shares its port among its own threads only.
    drop(holder);
    let first = LocalEdgeRouter::start(config.clone()).await.unwrap();
    let Err(error) = LocalEdgeRouter::start(config.clone()).await else { panic!("two listen on {address}") };
    assert_eq!(error.code(), "PORT_IN_USE");
    // A router that was never started says so when a route needs the proxy, and has no route then.
    let late = LocalEdgeRouter::new(config.clone()).unwrap();
    assert_eq!(late.register_route(route("d", "app", 1)).await.unwrap_err().code(), "PORT_IN_USE");
    assert!(late.get_all_routes().is_empty() && !late.is_proxy_running());
    first.close().await;
    let again = LocalEdgeRouter::start(config).await.unwrap();
    again.close().await;
}

#[tokio::test]
async fn closing_ends_open_streams_at_the_deadline() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut stream = edge.client().await;
    stream.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    stream.until("hi\r\n").await;
    let mut idle = edge.client().await;
    assert_eq!(idle.ask(get("no.localhost", "/")).await.status(), 404);

    let addresses = edge.router.proxy_addresses();
    within("the end of the router", edge.router.close()).await;
    let (rest, _) = stream.rest().await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "a stream that was cut looks whole");
    assert_eq!(idle.rest().await.0, b"");
    assert_eq!(peer.rest().await.0, b"");
    assert!(edge.router.proxy_addresses().is_empty());
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err(), "{address} still listens");
        TcpListener::bind(address).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_closing_cuts_off_does_not_look_whole() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    // Its end is the connection's, since HTTP/1.0 has no chunks.
    let mut client = edge.client().await;
    client.send("GET / HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    client.until("hi").await;
    within("the end of the router", edge.router.close()).await;
    assert_eq!(client.rest().await, (Vec::new(), End::Reset));
}

#[tokio::test]
async fn closing_lets_a_request_end_that_can() {
    let edge = Edge::with(|c| c.proxy.drain_timeout = Duration::from_secs(3600)).await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    let mut idle = edge.client().await;
    assert_eq!(idle.ask(get("no.localhost", "/")).await.status(), 404);
    let router = edge.router.clone();
    let closing = tokio::spawn(async move { router.close().await });
    // An idle connection is closed at once, which tells that draining has begun.
    assert_eq!(idle.rest().await, (Vec::new(), End::Closed));
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("done", Some("close")));
    assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    within("the end of the router", closing).await.unwrap();
}

#[tokio::test]
async fn after_close_every_call_says_closed() {
    let edge = Edge::start().await;
    edge.route("app", 1).await;
    edge.router.close().await;
    edge.router.close().await;
    let router = &edge.router;
    assert_eq!(router.register_route(route("d", "x", 1)).await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.update_route("x", RouteUpdate::default()).await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.remove_route("x").await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.get_route("x").await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.list_routes("x").await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.check_route_health("x").await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.load_routes(vec![]).await.unwrap_err().code(), "ROUTER_CLOSED");
    assert_eq!(router.start_proxy().await.unwrap_err().code(), "ROUTER_CLOSED");
    assert!(router.get_all_routes().is_empty() && !router.is_proxy_running());
}

#[tokio::test]
async fn a_proxy_stops_and_starts_again() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    assert_eq!(edge.router.start_proxy().await.unwrap_err().code(), "PROXY_RUNNING");
    edge.router.stop_proxy().await;
    edge.router.stop_proxy().await;
    assert!(!edge.router.is_proxy_running());
    edge.router.start_proxy().await.unwrap();
    let address = edge.router.proxy_addresses()[0];
    assert_eq!(Wire::connect(address).await.ask(get("app.localhost", "/x")).await.text(), "/x");
}

#[tokio::test]
async fn port_mapping_has_no_proxy() {
    let edge = Edge::start().await;
    let leases = TempDir::new().unwrap();
    let mut config = config(&leases);
    config.strategy = RoutingStrategy::PortMapping;
    let router = LocalEdgeRouter::start(config).await.unwrap();
    assert_eq!(router.start_proxy().await.unwrap_err().code(), "NO_PROXY_IN_STRATEGY");
    let mut six = route("six", "app", edge.address.port());
    six.target_host = "::1".into();
    let info = router.register_route(six).await.unwrap();
    assert_eq!(info.public_url, format!("http://[::1]:{}", edge.address.port()));
    // Two may have one name where nothing is routed by it.
    router.register_route(route("other", "app", edge.address.port())).await.unwrap();
    assert!(!router.is_proxy_running());
    router.close().await;
}

#[tokio::test]
async fn targets_that_must_not_be_proxied_to() {
    let edge = Edge::start().await;
    let own = edge.address.port();
    for (host, port) in [
        ("192.0.2.1", 80),
        ("169.254.169.254", 80),
        ("10.0.0.1", 80),
        ("fd00::1", 80),
        ("127.0.0.1", own),
        ("localhost", own),
        ("::1", own),
        ("127.0.0.1", 0),
        ("", 80),
        ("a b", 80),
        ("user@localhost", 80),
        ("localhost/x", 80),
    ] {
        let mut config = route("d", "app", port);
        config.target_host = host.into();
        let error = edge.router.register_route(config).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_TARGET", "{host}:{port}: {error}");
    }
    assert!(edge.router.get_all_routes().is_empty());
    let info = edge.route("app", 1).await;
    assert_eq!(
        edge.router.update_route(info.route_id.as_str(), to_port(own)).await.unwrap_err().code(),
        "INVALID_TARGET"
    );
    assert_eq!(edge.router.get_route("app").await.unwrap().unwrap().target.port(), 1);
}

#[tokio::test]
async fn names_that_are_no_labels_are_refused_with_one_that_is() {
    let edge = Edge::start().await;
    for bad in ["", "a/b", "../x", "feature/x--app", "-a", "a_b", &"x".repeat(64), "router", "a\r\nb"] {
        let error = edge.router.register_route(route("d", bad, 1)).await.unwrap_err();
        assert_eq!(error.code(), "INVALID_NAME", "{bad:?}");
        if let RouterError::InvalidName { suggestion: Some(name), .. } = error {
            assert!(mastra_router::RouteName::parse(&name).is_ok(), "{name}");
        }
    }
}

#[tokio::test]
async fn routes_are_loaded_all_or_none() {
    let edge = Edge::start().await;
    let error = edge.router.load_routes(vec![route("a", "a", 1), route("b", "a", 1)]).await.unwrap_err();
    assert_eq!(error.code(), "ROUTE_CONFLICT");
    assert!(edge.router.get_all_routes().is_empty());
}

#[tokio::test]
async fn a_slow_head_is_cut_while_others_are_served() {
    let edge = Edge::with(|c| c.proxy.head_timeout = Duration::from_millis(30)).await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut slow: Vec<Wire> = Vec::new();
    for _ in 0..50 {
        let mut client = edge.client().await;
        client.send("GET / HTTP/1.1\r\nHost: app.lo").await;
        slow.push(client);
    }
    let mut good = edge.client().await;
    assert_eq!(good.ask(get("app.localhost", "/x")).await.text(), "/x");
    for mut client in slow {
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.field("connection")), (408, Some("close")));
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    }
    assert_eq!(good.ask(get("app.localhost", "/y")).await.text(), "/y", "an idle connection is not a slow one");
    assert_eq!(recorder.log().len(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let edge = Edge::with(|c| c.proxy.idle_timeout = Duration::from_millis(30)).await;
    let mut never = edge.client().await;
    assert_eq!(never.rest().await, (Vec::new(), End::Closed));
    let mut once = edge.client().await;
    assert_eq!(once.ask(get("no.localhost", "/")).await.status(), 404);
    assert_eq!(once.rest().await, (Vec::new(), End::Closed));
}

#[tokio::test]
async fn connections_beyond_the_most_wait_for_a_place() {
    for threads in [1, 3] {
        let edge = Edge::with(|c| {
            c.proxy.max_connections = 1;
            c.proxy.threads = Some(threads);
        })
        .await;
        // Whichever family and thread a connection comes in at, the one place is for it.
        for _ in 0..8 {
            for address in edge.router.proxy_addresses() {
                let mut first = Wire::connect(address).await;
                assert_eq!(first.ask(get("no.localhost", "/")).await.status(), 404);
                let mut second = Wire::connect(address).await;
                second.send(get("no.localhost", "/")).await;
                assert_eq!(first.ask(get("no.localhost", "/")).await.status(), 404);
                drop(first);
                assert_eq!(second.answer().await.status(), 404);
            }
        }
    }
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let edge = Edge::start().await;
    let ips: Vec<IpAddr> = edge.router.proxy_addresses().iter().map(SocketAddr::ip).collect();
    assert!(ips.iter().all(IpAddr::is_loopback), "{ips:?}");
}

#[tokio::test]
async fn of_many_registrations_of_one_name_one_wins() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    let tries: Vec<_> = (0..20)
        .map(|i| {
            let (router, port) = (edge.router.clone(), recorder.port);
            tokio::spawn(async move { router.register_route(route(&format!("d{i}"), "app", port)).await })
        })
        .collect();
    let mut won = 0;
    for registered in tries {
        match within("a registration", registered).await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.code(), "ROUTE_CONFLICT"),
        }
    }
    assert_eq!((won, edge.router.get_all_routes().len()), (1, 1));
}

#[tokio::test]
async fn loaded_routes_do_not_lead_to_the_router_itself() {
    let leases = TempDir::new().unwrap();
    let mut config = config(&leases);
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    config.listen = vec![address];
    drop(free);
    let router = LocalEdgeRouter::new(config).unwrap();
    let error = router.load_routes(vec![route("d", "app", address.port())]).await.unwrap_err();
    assert_eq!(error.code(), "INVALID_TARGET");
    router.close().await;
}

#[tokio::test]
async fn a_refused_connection_brings_the_next_check() {
    let edge = Edge::with(|c| {
        c.health_check.interval = Duration::from_secs(3600);
        c.health_check.failure_threshold = 1;
    })
    .await;
    let upstream = Upstream::start().await;
    let info = edge.router.register_route(route("d", "app", upstream.port())).await.unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    edge.router.start_health_checking();
    let mut events = RouterControl::subscribe(&edge.router);
    // Its listener is closed once its task has ended; until then it may be asked as if it lived.
    drop(upstream);
    let page = "GET / HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\n\r\n";
    while edge.client().await.ask(page).await.field("x-mastra-router-error") != Some("TARGET_STARTING") {}
    loop {
        let event = within("a check", events.recv()).await.unwrap();
        if let RouterEvent::Checked { route, .. } = event
            && route.status == RouteStatus::Unhealthy
        {
            break;
        }
    }
}
