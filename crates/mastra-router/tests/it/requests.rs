//! Following the requests that are answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use mastra_router::{
    BaseDomain, LocalEdgeRouter, ProxyConfig, ProxySetup, ProxyTls, RequestInfo, RequestNews, RequestObserver,
    RequestProtocol, Requests, ReverseProxy, RouteRegistry, RouterControl, RoutingStrategy, TargetTls,
};
use tempfile::TempDir;

use crate::edge::{Edge, config};
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{Wire, get, within};

/// The next request that is told.
pub(crate) async fn told(requests: &mut Requests) -> Arc<RequestInfo> {
    match within("a request", requests.next()).await {
        Some(RequestNews::Answered(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Method, host, path and status.
pub(crate) fn line(request: &RequestInfo) -> String {
    format!("{} {} {} {}", request.method, request.host, request.path, request.status)
}

async fn edge_and_upstream() -> (Edge, Upstream, Requests) {
    let (edge, upstream) = (Edge::start().await, Upstream::start().await);
    edge.route("app", upstream.port()).await;
    let requests = edge.router.requests().await.unwrap();
    (edge, upstream, requests)
}

#[tokio::test]
async fn a_request_is_told_with_all_that_it_says() {
    let edge = Edge::start().await;
    let target = Recorder::start().await;
    let route = edge.route("app", target.port).await;
    let mut requests = edge.router.requests().await.unwrap();
    let before = SystemTime::now();
    let mut client = edge.client().await;
    client.ask("POST /a%20b?c=d HTTP/1.1\r\nHost: App.localhost:80\r\nContent-Length: 2\r\n\r\nhi").await;
    let request = told(&mut requests).await;
    assert_eq!(line(&request), "POST App.localhost:80 /a%20b?c=d 200");
    assert_eq!((request.route_id.as_ref(), request.subdomain.as_deref()), (Some(&route.route_id), Some("app")));
    assert_eq!(request.protocol, RequestProtocol::Http11);
    assert!(request.at >= before && request.at <= SystemTime::now());
    assert!(request.latency <= before.elapsed().unwrap());
    // One by one, on a connection that is kept, by path as by name; the path is the one that was received.
    client.ask(get("localhost", "/app/x?y")).await;
    client.ask("GET http://app.localhost/abs HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    client.ask("GET /old HTTP/1.0\r\nHost: app.localhost\r\n\r\n").await;
    for (want, protocol) in [
        ("GET localhost /app/x?y 200", "http/1.1"),
        ("GET app.localhost /abs 200", "http/1.1"),
        ("GET app.localhost /old 200", "http/1.1"),
    ] {
        let request = told(&mut requests).await;
        assert_eq!((line(&request).as_str(), request.protocol.as_str()), (want, protocol));
        assert_eq!(request.route_id.as_ref(), Some(&route.route_id));
    }
}

#[tokio::test]
async fn it_is_told_when_the_head_of_the_answer_goes_out() {
    let (edge, mut upstream, mut requests) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/events")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    let waited = Duration::from_millis(20);
    tokio::time::sleep(waited).await;
    // What comes before the answer proper is none.
    peer.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 103"));
    peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
    let request = told(&mut requests).await;
    assert_eq!(line(&request), "GET app.localhost /events 200");
    assert!(request.latency >= waited, "{request:?}");
    // The stream goes on, and is told no second time.
    peer.send("data: 1\n\n").await;
    client.until("data: 1").await;
    drop(client);
    edge.client().await.ask(get("nobody.localhost", "/")).await;
    assert_eq!(line(&*told(&mut requests).await), "GET nobody.localhost / 404");
}

#[tokio::test]
async fn a_websocket_is_told_when_it_opens() {
    let (edge, mut upstream, mut requests) = edge_and_upstream().await;
    let upgrade = "GET /ws?t=1 HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut client = edge.client().await;
    client.send(upgrade).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    peer.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
    .await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    let request = told(&mut requests).await;
    assert_eq!(
        (line(&request).as_str(), request.protocol),
        ("GET app.localhost /ws?t=1 101", RequestProtocol::WebSocket)
    );
    assert_eq!(request.subdomain.as_deref(), Some("app"));
    // One that the target declines is a request like others.
    let mut client = edge.client().await;
    client.send(upgrade).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n").await;
    let request = told(&mut requests).await;
    assert_eq!((request.status, request.protocol), (426, RequestProtocol::Http11));
}

#[tokio::test]
async fn our_own_answers_are_told_with_the_route_where_it_is_known() {
    let edge = Edge::with(|config| {
        config.proxy.restart_grace = Duration::ZERO;
        config.proxy.start_timeout = Duration::ZERO;
        config.proxy.head_timeout = Duration::from_millis(50);
        config.enable_tls = true;
        config.tls.redirect_http = true;
        config.tls.cert_dir = config.lease_dir.as_ref().map(|dir| dir.join("certs"));
    })
    .await;
    let plain = |c: &mut mastra_router::RouteConfig| c.tls = Some(false);
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    edge.route_with("dead", dead.local_addr().unwrap().port(), plain).await;
    edge.route("secure", 1).await;
    let mut broken = Upstream::start().await;
    edge.route_with("broken", broken.port(), plain).await;
    let broken_task = tokio::spawn(async move {
        let mut peer = broken.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n").await;
    });
    let mut requests = edge.router.requests().await.unwrap();
    let hops = "GET / HTTP/1.1\r\nHost: dead.localhost\r\nMastra-Router-Hops: 9\r\n\r\n";
    let page = "GET / HTTP/1.1\r\nHost: dead.localhost\r\nAccept: text/html\r\n\r\n";
    for (request, want, route) in [
        (get("nobody.localhost", "/x"), "GET nobody.localhost /x 404", None),
        (get("evil.test", "/"), "GET evil.test / 404", None),
        (get("localhost", "/"), "GET localhost / 200", None),
        (get("localhost", "/none"), "GET localhost /none 404", None),
        (get("localhost", "/dead/../x"), "GET localhost /dead/../x 400", None),
        (get("dead.localhost", "/"), "GET dead.localhost / 502", Some("dead")),
        (page.to_owned(), "GET dead.localhost / 503", Some("dead")),
        (hops.to_owned(), "GET dead.localhost / 508", Some("dead")),
        (get("secure.localhost", "/x"), "GET secure.localhost /x 308", Some("secure")),
        (get("broken.localhost", "/"), "GET broken.localhost / 502", Some("broken")),
        // Of what cannot be read, nothing is said.
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "   400", None),
        ("GET /a\u{202e}b HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(), "   400", None),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n".to_owned(), "   405", None),
        // A head that does not go on.
        ("GET / HTTP/1.1\r\nHost".to_owned(), "   408", None),
    ] {
        let answer = edge.client().await.ask(&request).await;
        let request = told(&mut requests).await;
        assert_eq!(request.status, answer.status(), "{request:?}");
        assert!(line(&request) == want || want == "   400" && line(&request) == "   505", "{request:?}");
        assert_eq!((request.subdomain.as_deref(), request.route_id.is_some()), (route, route.is_some()), "{want}");
        assert_eq!(request.protocol, RequestProtocol::Http11);
    }
    broken_task.await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_not_told() {
    let (edge, mut upstream, mut requests) = edge_and_upstream().await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/left")).await;
    let mut peer = upstream.accept().await;
    peer.request().await;
    drop(client);
    // The router has seen it leave.
    peer.rest().await;
    edge.client().await.ask(get("nobody.localhost", "/stayed")).await;
    assert_eq!(told(&mut requests).await.path, "/stayed");
}

#[tokio::test]
async fn text_is_bounded() {
    let (edge, mut upstream, mut requests) = edge_and_upstream().await;
    let path = format!("/{}", "x".repeat(30_000));
    let mut client = edge.client().await;
    client.send(get("app.localhost", &path)).await;
    let mut peer = upstream.accept().await;
    assert!(peer.request().await.line().contains(&path));
    peer.send(EMPTY).await;
    let request = told(&mut requests).await;
    assert!(request.path.len() <= 2048 && request.path.ends_with("x…"), "{}", request.path.len());
}

/// Says whether it watches, and keeps what it is told.
#[derive(Default)]
struct Observer {
    watches: AtomicBool,
    told: Mutex<Vec<RequestInfo>>,
}

impl RequestObserver for Observer {
    fn is_watching(&self) -> bool {
        self.watches.load(Ordering::SeqCst)
    }

    fn answered(&self, request: RequestInfo) {
        self.told.lock().unwrap().push(request);
    }
}

#[tokio::test]
async fn nothing_is_told_while_nobody_listens() {
    let observer = Arc::new(Observer::default());
    let registry = RouteRegistry::new(true);
    let tls = ProxyTls { certificates: None, by_default: false, redirect: false, targets: TargetTls::new(None) };
    let setup = ProxySetup {
        base: BaseDomain::parse("localhost").unwrap(),
        config: ProxyConfig { threads: Some(1), ..ProxyConfig::default() },
        reader: registry.reader(),
        suspect: Arc::new(|_| {}),
        tls,
        observer: Some(observer.clone()),
    };
    let proxy = ReverseProxy::start(&["127.0.0.1:0".parse().unwrap()], setup).unwrap();
    let mut client = Wire::connect(proxy.addresses()[0]).await;
    for _ in 0..3 {
        client.ask(get("x.localhost", "/unseen")).await;
    }
    assert!(observer.told.lock().unwrap().is_empty());
    observer.watches.store(true, Ordering::SeqCst);
    client.ask(get("x.localhost", "/seen")).await;
    observer.watches.store(false, Ordering::SeqCst);
    client.ask(get("x.localhost", "/unseen")).await;
    // The proxy's threads have ended.
    proxy.stop().await;
    let told: Vec<String> = observer.told.lock().unwrap().iter().map(|request| request.path.clone()).collect();
    assert_eq!(told, ["/seen"]);
}

#[tokio::test]
async fn followers_are_counted_and_each_is_told_all() {
    let (edge, _upstream, first) = edge_and_upstream().await;
    assert_eq!(edge.router.request_followers(), 1);
    drop(first);
    assert_eq!(edge.router.request_followers(), 0);
    // What is asked while nobody follows is lost, and not told later.
    edge.client().await.ask(get("nobody.localhost", "/unseen")).await;
    let (mut one, mut two) = (edge.router.requests().await.unwrap(), edge.router.requests().await.unwrap());
    assert_eq!(edge.router.request_followers(), 2);
    edge.client().await.ask(get("nobody.localhost", "/seen")).await;
    for requests in [&mut one, &mut two] {
        assert_eq!(told(requests).await.path, "/seen");
    }
    // A call that is given up takes nothing with it.
    assert!(tokio::time::timeout(Duration::from_millis(1), one.next()).await.is_err());
    edge.client().await.ask(get("nobody.localhost", "/again")).await;
    assert_eq!(told(&mut one).await.path, "/again");
    drop((one, two));
    assert_eq!(edge.router.request_followers(), 0);
}

#[tokio::test]
async fn a_follower_that_falls_behind_is_told_how_far_and_slows_nobody() {
    let (edge, _upstream, mut requests) = edge_and_upstream().await;
    let mut client = edge.client().await;
    let asked = 1500;
    for _ in 0..asked {
        client.ask(get("nobody.localhost", "/")).await;
    }
    client.ask(get("nobody.localhost", "/last")).await;
    let (mut missed, mut read) = (0, 0);
    loop {
        match within("a request", requests.next()).await.unwrap() {
            RequestNews::Missed(n) => missed += n,
            RequestNews::Answered(request) => {
                read += 1;
                if request.path == "/last" {
                    break;
                }
            }
        }
    }
    assert_eq!((missed + read, read), (asked + 1, 1024));
}

#[tokio::test]
async fn they_may_be_followed_before_the_proxy_starts_and_over_its_restart() {
    let leases = TempDir::new().unwrap();
    let router = LocalEdgeRouter::new(config(&leases)).unwrap();
    let mut requests = router.requests().await.unwrap();
    for path in ["/first", "/second"] {
        router.start_proxy().await.unwrap();
        Wire::connect(router.proxy_addresses()[0]).await.ask(get("nobody.localhost", path)).await;
        assert_eq!(told(&mut requests).await.path, path);
        router.stop_proxy().await;
    }
    router.close().await;
}

#[tokio::test]
async fn the_end_of_the_router_ends_them_after_the_rest() {
    let (edge, _upstream, mut requests) = edge_and_upstream().await;
    let mut waiting = edge.router.requests().await.unwrap();
    edge.client().await.ask(get("nobody.localhost", "/last")).await;
    let waiter = tokio::spawn(async move { while waiting.next().await.is_some() {} });
    edge.router.close().await;
    assert_eq!(told(&mut requests).await.path, "/last");
    assert!(within("the end", requests.next()).await.is_none());
    assert!(within("the end", requests.next()).await.is_none(), "an end stays one");
    within("the end", waiter).await.unwrap();
    assert_eq!(edge.router.requests().await.unwrap_err().code(), "ROUTER_CLOSED");
    // One that leaves in haste, too.
    let (edge, _upstream, mut requests) = edge_and_upstream().await;
    edge.router.leave().await;
    assert!(within("the end", requests.next()).await.is_none());
    assert_eq!(edge.router.requests().await.unwrap_err().code(), "ROUTER_CLOSED");
    // Also where nobody closed it.
    let leases = TempDir::new().unwrap();
    let router = LocalEdgeRouter::new(config(&leases)).unwrap();
    let mut requests = router.requests().await.unwrap();
    drop(router);
    assert!(within("the end", requests.next()).await.is_none());
}

#[tokio::test]
async fn without_a_proxy_there_are_none() {
    let edge = TempDir::new().unwrap();
    let mut settings = config(&edge);
    settings.strategy = RoutingStrategy::PortMapping;
    let router = LocalEdgeRouter::new(settings).unwrap();
    let mut requests = router.requests().await.unwrap();
    router.close().await;
    assert!(within("the end", requests.next()).await.is_none());
}
