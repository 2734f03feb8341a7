//! The control door against what does not belong there: every hostile request is refused, none gets a 5xx, and the
//! router goes on.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::time::Duration;

use mastra_router::control::{ControlClient, ControlServer, ServerInfo};
use mastra_router::{
    Activities, CommandReport, EdgeRouterProvider, Home, LocalEdgeRouter, LocalEdgeRouterConfig, RequestInfo,
    RequestNews, Requests, RouteActivity, RouteConfig, RouteUpdate, RouterControl, RouterError, RouterEvent,
    RoutingStrategy,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

const MOST: Duration = Duration::from_secs(30);

/// A router with one route, its door open.
struct Door {
    router: LocalEdgeRouter,
    server: ControlServer,
    client: ControlClient,
    home: Home,
    _dir: TempDir,
}

impl Door {
    async fn open() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut LocalEdgeRouterConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().join("home")));
        let mut settings = LocalEdgeRouterConfig {
            lease_dir: Some(dir.path().join("ports")),
            proxy_port: 0,
            ..LocalEdgeRouterConfig::default()
        };
        change(&mut settings);
        let router = LocalEdgeRouter::new(settings).unwrap();
        router.register_route(config("first", "first").await).await.unwrap();
        let info = ServerInfo::default();
        let server = ControlServer::start(home.lock().unwrap(), Arc::new(router.clone()), info).unwrap();
        Self { router, server, client: ControlClient::new(&home), home, _dir: dir }
    }

    /// Sends bytes, and reads the status and all that is answered.
    async fn send(&self, request: &[u8]) -> (u16, String) {
        let mut stream = UnixStream::connect(self.home.socket_path()).await.unwrap();
        // The door may answer, and close, before it has read all of it.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(MOST, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    async fn ask(&self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n");
        self.send(format!("{head}{headers}\r\n{body}").as_bytes()).await
    }

    /// The route is there, alone, and the door answers.
    async fn is_as_it_was(&self) {
        let routes = self.client.all_routes().await.unwrap();
        assert_eq!(routes.iter().map(|r| r.deployment_id.as_str()).collect::<Vec<_>>(), ["first"]);
    }
}

/// A route to a port that refuses at once, since it is bound and let go.
async fn config(deployment: &str, name: &str) -> RouteConfig {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    RouteConfig::new(deployment, "p", name, "127.0.0.1", port)
}

const JSON: &str = "content-type: application/json\r\n";
const ROUTE: &str =
    r#"{"deploymentId":"d","projectId":"p","subdomain":"x","targetHost":"localhost","targetPort":4111}"#;

#[tokio::test]
async fn only_its_user_finds_it() {
    let door = Door::open().await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(door.home.path()), 0o700);
    assert_eq!(mode(&door.home.socket_path()), 0o600);
    let socket = door.home.socket_path();
    door.server.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn web_pages_are_refused_whatever_they_ask() {
    let door = Door::open().await;
    for header in [
        "origin: http://evil.test",
        "origin: null",
        "Origin: http://localhost",
        "sec-fetch-site: cross-site",
        "Sec-Fetch-Site: same-origin",
        "sec-fetch-site: none",
    ] {
        for line in [
            "GET /v1/routes",
            "POST /v1/routes",
            "DELETE /v1/routes/first",
            "POST /v1/stop",
            "OPTIONS /v1/routes",
            "GET /v1/events",
            "GET /v1/requests",
            "GET /nowhere",
        ] {
            let (status, answer) = door.ask(line, &format!("{header}\r\n{JSON}"), ROUTE).await;
            assert_eq!(status, 403, "{line} {header}: {answer}");
            assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
        }
    }
    door.is_as_it_was().await;
}

#[tokio::test]
async fn bodies_are_json_and_small() {
    let door = Door::open().await;
    for content_type in [
        "",
        "content-type: text/plain\r\n",
        "content-type: text/plain;application/json\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/json5\r\n",
    ] {
        for line in ["POST /v1/routes", "PATCH /v1/routes/first"] {
            assert_eq!(door.ask(line, content_type, ROUTE).await.0, 415, "{line} {content_type}");
        }
    }
    let deep = "[".repeat(60_000);
    for body in ["", "{", "null", "[]", "{\"targetPort\":70000}", "\u{0}", "{\"subdomain\":1}", &deep] {
        let (status, answer) = door.ask("POST /v1/routes", JSON, body).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer.contains("\"BAD_JSON\""), "{answer}");
    }
    let huge = format!("{{\"deploymentId\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(door.ask("POST /v1/routes", JSON, &huge).await.0, 413);
    for (field, value) in [("targetPort", "0"), ("subdomain", "\"a b\""), ("targetHost", "\"a/b\"")] {
        let mut route: serde_json::Value = serde_json::from_str(ROUTE).unwrap();
        route[field] = serde_json::from_str(value).unwrap();
        assert_eq!(door.ask("POST /v1/routes", JSON, &route.to_string()).await.0, 422, "{field}");
    }
    door.is_as_it_was().await;
}

#[tokio::test]
async fn paths_and_methods_it_does_not_have() {
    let door = Door::open().await;
    for (line, expected) in [
        ("GET /", 404),
        ("GET /v1", 404),
        ("GET /v2/routes", 404),
        ("GET /v1/routes/", 404),
        ("GET /v1/routes/first/x", 404),
        ("GET /v1/../v1/status", 404),
        ("GET /v1/routes/absent", 404),
        ("GET /v1/deployments/absent", 404),
        ("PATCH /v1/routes/absent", 404),
        ("PUT /v1/routes", 405),
        ("DELETE /v1/routes", 405),
        ("GET /v1/stop", 405),
        ("GET /v1/ports", 405),
        ("POST /v1/requests", 405),
        ("GET /v1/requests/x", 404),
        ("OPTIONS /v1/routes", 405),
        ("TRACE /v1/status", 405),
        ("DELETE /v1/ports/1", 404),
        ("DELETE /v1/ports/x", 404),
        ("DELETE /v1/ports/65536", 404),
        ("GET /v1/routes/%ff", 400),
        ("GET /v1/routes?project=%ff&project", 200),
    ] {
        let (status, answer) = door.ask(line, JSON, "{}").await;
        assert_eq!(status, expected, "{line}: {answer}");
    }
    door.is_as_it_was().await;
}

#[tokio::test]
async fn other_protocols_are_turned_away() {
    let door = Door::open().await;
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"{\"jsonrpc\":\"2.0\"}\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET /v1/status\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST /v1/routes HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /v1/routes HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /v1/routes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let mut stream = UnixStream::connect(door.home.socket_path()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        // Nothing more comes, as where the other side has given up.
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(MOST, stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bytes:?}: {answer}");
    }
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_ne!(door.ask("GET /v1/status", upgrade, "").await.0, 101);
    let headers = (0..200).map(|i| format!("x-{i}: y\r\n")).collect::<String>();
    let (status, answer) = door.ask("GET /v1/status", &headers, "").await;
    assert!((400..500).contains(&status), "{answer}");
    door.is_as_it_was().await;
}

#[tokio::test]
async fn a_key_is_what_it_is_whatever_is_in_it() {
    let door = Door::open().await;
    for (i, key) in ["a/b", "..", ".", "%2e", "a?b#c", "a b", "ü→路", "x&project=y", "first/health"].iter().enumerate()
    {
        let name = format!("n{i}");
        let mut route = config(key, &name).await;
        route.project_id = (*key).to_owned();
        let registered = door.client.register_route(route).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert_eq!(registered.deployment_id, *key);
        assert_eq!(door.client.get_route(key).await.unwrap().unwrap().route_id, registered.route_id);
        assert_eq!(door.client.find_route(key).await.unwrap().unwrap().subdomain, name);
        assert_eq!(door.client.list_routes(key).await.unwrap().len(), 1, "{key:?}");
        let update = RouteUpdate { subdomain: Some(format!("m{i}")), ..RouteUpdate::default() };
        let id = registered.route_id.as_str();
        assert_eq!(door.client.update_route(id, update).await.unwrap().subdomain, format!("m{i}"));
        assert!(!door.client.check_route_health(id).await.unwrap().healthy);
        // A name is not an id: it may be another deployment's.
        door.client.remove_route(&format!("m{i}")).await.unwrap();
        assert!(door.client.update_route(&format!("m{i}"), RouteUpdate::default()).await.is_err());
        assert!(door.client.get_route(key).await.unwrap().is_some());
        door.client.remove_route(key).await.unwrap();
        assert!(door.client.get_route(key).await.unwrap().is_none());
    }
    let hostile = door.client.register_route(config("\u{1b}[2J\n", "x").await).await;
    assert!(matches!(&hostile, Err(RouterError::Remote { code, .. }) if code == "INVALID_FIELD"), "{hostile:?}");
    door.is_as_it_was().await;
}

#[tokio::test]
async fn a_registration_waits_for_health_where_it_is_to() {
    let door = Door::with(|config| config.health_check.timeout = Duration::from_millis(50)).await;
    let refused = door.client.register_route(RouteConfig { wait_healthy: true, ..config("d", "x").await }).await;
    assert!(matches!(&refused, Err(RouterError::Remote { code, .. }) if code == "TARGET_UNHEALTHY"), "{refused:?}");
    door.is_as_it_was().await;
    // A program that is older than the field does not wait.
    let (status, answer) = door.ask("POST /v1/routes", JSON, ROUTE).await;
    assert_eq!(status, 201, "{answer}");
    door.client.remove_route("d").await.unwrap();
    let waiting = ROUTE.replace('}', ",\"waitHealthy\":true}").replace("4111", "1");
    assert_eq!(door.ask("POST /v1/routes", JSON, &waiting).await.0, 409);
    door.is_as_it_was().await;
}

#[tokio::test]
async fn events_are_followed_from_the_moment_they_are_asked_for() {
    let door = Door::open().await;
    let mut events = door.client.events().await.unwrap();
    door.router.remove_route("first").await.unwrap();
    match tokio::time::timeout(MOST, events.recv()).await.unwrap() {
        Ok(RouterEvent::Removed(route)) => assert_eq!(route.deployment_id, "first"),
        other => panic!("{other:?}"),
    }
    let began = std::time::Instant::now();
    door.server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "an open stream of events ends by itself");
    let closed = tokio::time::timeout(MOST, events.recv()).await.unwrap();
    assert!(matches!(closed, Err(tokio::sync::broadcast::error::RecvError::Closed)), "{closed:?}");
    assert!(matches!(door.client.events().await, Err(RouterError::Unreachable { .. })));
}

#[tokio::test]
async fn a_socket_that_was_left_is_no_obstacle_and_its_mode_is_ours() {
    let door = Door::open().await;
    let home = door.home.clone();
    door.server.stop().await;
    // As after a kill, with whatever mode.
    drop(std::os::unix::net::UnixListener::bind(home.socket_path()).unwrap());
    std::fs::set_permissions(home.socket_path(), PermissionsExt::from_mode(0o777)).unwrap();
    let router = Arc::new(door.router.clone());
    let server = ControlServer::start(home.lock().unwrap(), router, ServerInfo::default()).unwrap();
    assert_eq!(std::fs::metadata(home.socket_path()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(door.client.all_routes().await.unwrap().len(), 1);
    server.stop().await;
}

/// A door whose router has a proxy that runs.
async fn proxied() -> Door {
    Door::with(|config| {
        config.strategy = RoutingStrategy::ReverseProxy;
        config.proxy.threads = Some(1);
        config.proxy.restart_grace = Duration::ZERO;
        config.proxy.start_timeout = Duration::ZERO;
    })
    .await
}

/// Asks through the proxy for a path of a host.
async fn ask(door: &Door, host: &str, path: &str) {
    let mut stream = TcpStream::connect(door.router.proxy_addresses()[0]).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::timeout(MOST, stream.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

async fn told(requests: &mut Requests) -> Arc<RequestInfo> {
    match tokio::time::timeout(MOST, requests.next()).await.unwrap() {
        Some(RequestNews::Answered(request)) => request,
        other => panic!("{other:?}"),
    }
}

async fn followed_by(door: &Door, followers: usize) {
    let reached = async {
        while door.router.request_followers() != followers {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MOST, reached).await.unwrap();
}

#[tokio::test]
async fn requests_are_told_as_in_the_own_process() {
    let door = proxied().await;
    let mut own = door.router.requests().await.unwrap();
    let client: Arc<dyn RouterControl> = Arc::new(door.client.clone());
    let mut requests = client.requests().await.unwrap();
    assert_eq!(door.router.request_followers(), 2, "they are followed from before this returns");
    for (host, path) in [("first.localhost", "/a?b=%20"), ("nobody.localhost", "/it's"), ("first.localhost", "/c")] {
        ask(&door, host, path).await;
        let (mine, theirs) = (told(&mut own).await, told(&mut requests).await);
        // A time has milliseconds on the wire, and a latency microseconds.
        let apart = mine.at.duration_since(theirs.at).unwrap();
        assert!(apart < Duration::from_millis(1), "{apart:?}");
        assert!(mine.latency.abs_diff(theirs.latency) <= Duration::from_micros(1), "{mine:?} {theirs:?}");
        let mut same = RequestInfo::clone(&theirs);
        (same.at, same.latency) = (mine.at, mine.latency);
        assert_eq!(same, *mine);
        assert_eq!(theirs.path, path);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_telling() {
    let door = proxied().await;
    for _ in 0..3 {
        let (one, mut two) = (door.client.requests().await.unwrap(), door.client.requests().await.unwrap());
        assert_eq!(door.router.request_followers(), 2);
        // At once: no request has to come by.
        drop(one);
        followed_by(&door, 1).await;
        ask(&door, "nobody.localhost", "/x").await;
        assert_eq!(told(&mut two).await.path, "/x");
        drop(two);
        followed_by(&door, 0).await;
    }
    // Nor has a connection to be closed in order.
    let mut stream = UnixStream::connect(door.home.socket_path()).await.unwrap();
    stream.write_all(b"GET /v1/requests HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    followed_by(&door, 1).await;
    drop(stream);
    followed_by(&door, 0).await;
    // None of this is any business of a page's.
    assert_eq!(door.ask("GET /v1/requests", "origin: null\r\n", "").await.0, 403);
    assert_eq!(door.router.request_followers(), 0);
}

#[tokio::test]
async fn the_form_of_a_request_on_the_wire() {
    let door = proxied().await;
    let mut stream = UnixStream::connect(door.home.socket_path()).await.unwrap();
    stream.write_all(b"GET /v1/requests HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    followed_by(&door, 1).await;
    ask(&door, "first.localhost", "/x").await;
    ask(&door, "nobody.localhost", "/end").await;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("/end") {
        let mut part = [0; 4096];
        let n = tokio::time::timeout(MOST, stream.read(&mut part)).await.unwrap().unwrap();
        read.extend_from_slice(&part[..n]);
    }
    let text = String::from_utf8(read).unwrap();
    let told: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|json| serde_json::from_str(json).unwrap())
        .collect();
    let mut keys: Vec<&str> = told[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["at", "host", "latencyMs", "method", "path", "protocol", "routeId", "status", "subdomain"]);
    assert_eq!((&told[0]["protocol"], &told[0]["status"]), (&"http/1.1".into(), &502.into()));
    assert!(told[0]["at"].as_str().unwrap().ends_with('Z') && told[0]["latencyMs"].is_f64());
    assert!(told[1].get("routeId").is_none() && told[1].get("subdomain").is_none());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_what_it_missed() {
    let door = proxied().await;
    let mut requests = door.client.requests().await.unwrap();
    let mut proxy = TcpStream::connect(door.router.proxy_addresses()[0]).await.unwrap();
    // More than the door's socket and the router's buffer hold together.
    let host = "first.localhost";
    let (asked, path) = (4000_u64, format!("/{}", "x".repeat(1500)));
    let request = format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for _ in 0..asked {
        proxy.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(proxy.read_u8().await.unwrap());
        }
    }
    ask(&door, host, "/last").await;
    let (mut missed, mut read) = (0, 0);
    loop {
        match tokio::time::timeout(MOST, requests.next()).await.unwrap().unwrap() {
            RequestNews::Missed(n) => missed += n,
            RequestNews::Answered(request) => {
                read += 1;
                if request.path == "/last" {
                    break;
                }
            }
        }
    }
    assert!(missed > 0);
    assert_eq!(missed + read, asked + 1);
}

#[tokio::test]
async fn the_end_of_the_router_or_of_the_door_ends_the_requests() {
    let door = proxied().await;
    let mut requests = door.client.requests().await.unwrap();
    door.router.close().await;
    assert!(tokio::time::timeout(MOST, requests.next()).await.unwrap().is_none());
    assert!(tokio::time::timeout(MOST, requests.next()).await.unwrap().is_none());
    let refused = door.client.requests().await;
    assert!(matches!(&refused, Err(RouterError::Remote { code, .. }) if code == "ROUTER_CLOSED"), "{refused:?}");

    let door = proxied().await;
    let mut requests = door.client.requests().await.unwrap();
    let began = std::time::Instant::now();
    door.server.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2), "an open stream ends by itself");
    assert!(tokio::time::timeout(MOST, requests.next()).await.unwrap().is_none());
    assert_eq!(door.router.request_followers(), 0);
    assert!(matches!(door.client.requests().await, Err(RouterError::Unreachable { .. })));
}

#[tokio::test]
async fn activity_is_followed_as_in_the_own_process() {
    let door = proxied().await;
    let route = door.client.register_route(RouteConfig { wake: true, ..config("d", "sleeper").await }).await.unwrap();
    assert!(route.wake, "{route:?}");
    assert!(!door.client.find_route("first").await.unwrap().unwrap().wake);
    let id = route.route_id.as_str();
    let mut activities = door.client.follow_activity(id).await.unwrap();
    let first = tokio::time::timeout(MOST, activities.next()).await.unwrap().unwrap();
    assert_eq!((first.open, first.waiting, first.asked), (0, 0, 0));
    assert!(first.idle_since.is_some());
    let (asked, ()) = tokio::join!(activity_after(&mut activities, 1), ask(&door, "sleeper.localhost", "/"));
    assert!(asked.waiting <= 1, "{asked:?}");
    // The form, for programs that are not ours.
    let mut stream = UnixStream::connect(door.home.socket_path()).await.unwrap();
    let request = format!("GET /v1/routes/{id}/activity HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    while !read.contains("idleSince") {
        let mut part = [0; 4096];
        let n = tokio::time::timeout(MOST, stream.read(&mut part)).await.unwrap().unwrap();
        assert_ne!(n, 0, "{read}");
        read += &String::from_utf8_lossy(&part[..n]);
    }
    assert!(read.contains(r#"data: {"waiting":0,"open":0,"asked":1,"idleSince":""#), "{read}");
    for missing in ["first", "route_0"] {
        let refused = door.client.follow_activity(missing).await;
        assert!(matches!(&refused, Err(RouterError::Remote { code, .. }) if code == "ROUTE_NOT_FOUND"), "{refused:?}");
    }
    door.client.remove_route(id).await.unwrap();
    let end = async { while activities.next().await.is_some() {} };
    tokio::time::timeout(MOST, end).await.unwrap();
}

/// The first state after this many have asked.
async fn activity_after(activities: &mut Activities, asked: u64) -> RouteActivity {
    let reached = async {
        loop {
            let now = activities.next().await.unwrap();
            if now.asked >= asked {
                return now;
            }
        }
    };
    tokio::time::timeout(MOST, reached).await.unwrap()
}

#[tokio::test]
async fn a_report_is_taken_from_whoever_may_make_it() {
    let door = Door::open().await;
    let id = door.client.find_route("first").await.unwrap().unwrap().route_id.to_string();
    let report = CommandReport { output: vec!["one".into()], ended: Some("exited with 1".into()), lease: None };
    door.client.report_command(&id, report.clone()).await.unwrap();
    let path = format!("PUT /v1/routes/{id}/command");
    for (body, status) in [
        ("{}", 204),
        (r#"{"output":["a","b"]}"#, 204),
        (r#"{"output":["a"],"ended":"exited with 1","more":1}"#, 204),
        (r#"{"ended":" "}"#, 422),
        (r#"{"output":"a"}"#, 400),
        (r#"{"output":[1]}"#, 400),
        (r#"{"lease":{"pid":1}}"#, 404),
        ("nonsense", 400),
    ] {
        let (answered, text) = door.ask(&path, JSON, body).await;
        assert_eq!(answered, status, "{body}: {text}");
    }
    let large = format!("{{\"output\":[\"{}\"]}}", "x".repeat(100_000));
    assert_eq!(door.ask(&path, JSON, &large).await.0, 413);
    assert_eq!(door.ask(&path, "content-type: text/plain\r\n", "{}").await.0, 415);
    assert_eq!(door.ask(&path, &format!("{JSON}origin: http://a.example\r\n"), "{}").await.0, 403);
    // Not by a name, which might be another deployment's.
    for key in ["first", "route_0", ""] {
        let refused = door.client.report_command(key, report.clone()).await.unwrap_err();
        assert_eq!(refused.code(), "ROUTE_NOT_FOUND", "{key}");
    }
    door.is_as_it_was().await;
}
