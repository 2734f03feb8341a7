//! Which route a request goes to, what of its head goes on, and what the router answers by itself.

use crate::edge::Edge;
use crate::upstream::{EMPTY, Recorder, Upstream};
use crate::wire::{Message, get};

async fn ask(edge: &Edge, host: &str, path: &str, fields: &str) -> Message {
    edge.client().await.ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await
}

#[tokio::test]
async fn hosts_prefixes_and_wildcards() {
    let edge = Edge::start().await;
    let app = Recorder::with("X-Who: app\r\n").await;
    let api = Recorder::with("X-Who: api\r\n").await;
    let kept = Recorder::with("X-Who: kept\r\n").await;
    let wild = Recorder::with("X-Who: wild\r\n").await;
    edge.route("app", app.port).await;
    edge.route_with("app", api.port, |c| {
        c.deployment_id = "api".into();
        c.path_prefix = Some("/api".into());
    })
    .await;
    edge.route_with("kept", kept.port, |c| c.strip_prefix = Some(false)).await;
    edge.route_with("wild", wild.port, |c| c.wildcard = true).await;
    for (host, path, who, seen) in [
        ("app.localhost", "/x?y", "app", "/x?y"),
        ("APP.LocalHost:1234", "/", "app", "/"),
        ("app.localhost.", "/", "app", "/"),
        ("app.localhost", "/api", "api", "/"),
        ("app.localhost", "/api/x?y=/api", "api", "/x?y=/api"),
        ("app.localhost", "/apix", "app", "/apix"),
        ("localhost", "/app", "app", "/"),
        ("localhost", "/app?x=1", "app", "/?x=1"),
        ("localhost", "/app/", "app", "/"),
        ("localhost", "/app/%2F%zz", "app", "/%2F%zz"),
        ("localhost", "/app//evil.test", "app", "/evil.test"),
        ("localhost", "/app/api/x", "api", "/x"),
        ("127.0.0.1", "/app/x", "app", "/x"),
        ("[::1]:80", "/app/x", "app", "/x"),
        ("localhost", "/kept/x", "kept", "/kept/x"),
        ("kept.localhost", "/kept/x", "kept", "/kept/x"),
        ("wild.localhost", "/x", "wild", "/x"),
        ("a.b.wild.localhost", "/x", "wild", "/x"),
    ] {
        let answer = ask(&edge, host, path, "").await;
        assert_eq!((answer.field("x-who"), answer.text()), (Some(who), seen), "{host}{path}");
    }
    for host in ["x.app.localhost", "appxlocalhost", "app.localhost.evil.test", "evil.test", "192.168.0.1"] {
        assert_eq!(ask(&edge, host, "/app/", "").await.status(), 404, "{host}");
    }
}

#[tokio::test]
async fn one_connection_may_ask_many_hosts() {
    let edge = Edge::start().await;
    let one = Recorder::with("X-Who: one\r\n").await;
    let two = Recorder::with("X-Who: two\r\n").await;
    edge.route("one", one.port).await;
    let mut client = edge.client().await;
    assert_eq!(client.ask(get("one.localhost", "/")).await.field("x-who"), Some("one"));
    assert_eq!(client.ask(get("two.localhost", "/")).await.status(), 404);
    let route = edge.route("two", two.port).await;
    assert_eq!(client.ask(get("two.localhost", "/")).await.field("x-who"), Some("two"));
    assert_eq!(client.ask(get("localhost", "/one/")).await.field("x-who"), Some("one"));
    assert_eq!(client.ask(get("two.localhost", "/")).await.field("x-who"), Some("two"));
    mastra_router::EdgeRouterProvider::remove_route(&edge.router, route.route_id.as_str()).await.unwrap();
    assert_eq!(client.ask(get("two.localhost", "/")).await.status(), 404);
}

#[tokio::test]
async fn forwarding_fields_are_set_anew() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let spoofed = "X-Forwarded-For: 6.6.6.6\r\nx-forwarded-host: evil.test\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Real-IP: 6.6.6.6\r\n\
                   Forwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nx_forwarded-host: evil.test\r\nX_Real_IP: 6.6.6.6\r\n\
                   Content_Length: 9\r\nTransfer_Encoding: chunked\r\n";
    let host = format!("App.localhost:{}", edge.address.port());
    assert_eq!(ask(&edge, &host, "/", spoofed).await.status(), 200);
    let seen = recorder.last();
    assert_eq!(seen.field("host"), Some(host.as_str()));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-host"), Some(host.as_str()));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-port"), Some(edge.address.port().to_string().as_str()));
    assert_eq!(seen.field("x-forwarded-prefix"), None);
    assert_eq!(seen.field("forwarded"), Some(format!("for=127.0.0.1;host=\"{host}\";proto=http").as_str()));
    for word in ["6.6.6.6", "evil", "_"] {
        assert!(!seen.head.contains(word), "{word}: {}", seen.head);
    }

    assert_eq!(ask(&edge, "localhost", "/app/x", spoofed).await.status(), 200);
    assert_eq!(recorder.last().field("x-forwarded-prefix"), Some("/app"));
}

#[tokio::test]
async fn fields_for_the_connection_do_not_pass() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: keep-alive, X-Mine\r\nConnection: x-other, X-Forwarded-For\r\n\
             Keep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nX-Mine: 1\r\nX-Other: 2\r\nX-Stays: 3\r\n\r\n",
        )
        .await;
    let mut peer = upstream.accept().await;
    let seen = peer.request().await;
    for gone in ["connection", "keep-alive", "proxy-connection", "te", "x-mine", "x-other"] {
        assert_eq!(seen.field(gone), None, "{gone}: {}", seen.head);
    }
    assert_eq!(seen.field("x-stays"), Some("3"));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"), "what is nominated goes before ours comes");

    peer.send(
        "HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let answer = client.answer().await;
    assert_eq!(answer.line(), "HTTP/1.1 200 Fine");
    for gone in ["connection", "keep-alive", "x-hop"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!(answer.field("x-end"), Some("2"));
}

#[tokio::test]
async fn order_case_and_repetition_are_kept_both_ways() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let fields = "aCCept: */*\r\nB: 1\r\nHost: app.localhost\r\nb: 2\r\nA: 1\r\nCookie: x=1\r\nB: 3\r\nCookie: y=2\r\n";
    let mut client = edge.client().await;
    client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n")).await;
    let mut peer = upstream.accept().await;
    let seen = peer.request().await;
    assert!(seen.head.starts_with(&format!("GET / HTTP/1.1\r\n{fields}")), "{}", seen.head);

    let fields = "sEt-cookie: a=1; Path=/\r\nX: 1\r\nSet-Cookie: b=2\r\nx: 2\r\nX-Raw: \u{e9}\r\nServer: own\r\n";
    let answer: Vec<u8> =
        format!("HTTP/1.1 200 \r\n{fields}Content-Length: 0\r\n\r\n").chars().map(|c| c as u8).collect();
    peer.send(answer).await;
    let answer = client.answer().await;
    assert_eq!(answer.head, format!("HTTP/1.1 200 \r\n{fields}Content-Length: 0\r\n\r\n"));
}

#[tokio::test]
async fn locations_and_cookies_under_a_stripped_prefix() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut peer = None;
    let target = upstream.address;
    for (host, sent, want) in [
        ("localhost:3000", "Location: /login?x", "Location: /app/login?x"),
        ("localhost:3000", "Location: login", "Location: login"),
        ("localhost:3000", "Location: http://localhost:3000/a", "Location: http://localhost:3000/app/a"),
        ("localhost:3000", &format!("Location: http://{target}/a"), "Location: http://localhost:3000/app/a"),
        ("localhost:3000", "Location: https://other.test/a", "Location: https://other.test/a"),
        ("localhost:3000", "location: /app/a", "location: /app/a"),
        ("localhost:3000", "Set-Cookie: a=b; Path=/; HttpOnly", "Set-Cookie: a=b; Path=/app; HttpOnly"),
        ("localhost:3000", "Set-Cookie: __Host-a=b; Path=/", "Set-Cookie: __Host-a=b; Path=/"),
        ("app.localhost", "Location: /login", "Location: /login"),
        ("app.localhost", "Set-Cookie: a=b; Path=/", "Set-Cookie: a=b; Path=/"),
    ] {
        let path = if host == "app.localhost" { "/x" } else { "/app/x" };
        let mut client = edge.client().await;
        client.send(get(host, path)).await;
        let mut wire = match peer.take() {
            Some(wire) => wire,
            None => upstream.accept().await,
        };
        wire.request().await;
        wire.send(format!("HTTP/1.1 302 Found\r\n{sent}\r\nContent-Length: 0\r\n\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.head.contains(&format!("\r\n{want}\r\n")), "{want}: {}", answer.head);
        peer = Some(wire);
    }
}

#[tokio::test]
async fn an_unknown_host_learns_nothing_unless_it_is_ours() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("shop", recorder.port).await;
    let url = format!("http://shop.localhost:{}/", edge.address.port());
    for accept in ["text/html", "application/json", "*/*"] {
        let accept = format!("Accept: {accept}\r\n");
        let foreign = ask(&edge, "evil.test", "/", &accept).await;
        assert_eq!(foreign.status(), 404);
        assert!(!foreign.text().contains("shop"), "{}", foreign.text());
        let near = ask(&edge, "shpo.localhost", "/", &accept).await;
        assert_eq!((near.status(), near.field("x-mastra-router-error")), (404, Some("ROUTE_NOT_FOUND")));
        assert!(near.text().contains(&url), "{}", near.text());
        let path = ask(&edge, "localhost", "/shpo/x", &accept).await;
        assert_eq!(path.status(), 404);
        assert!(path.text().contains(&url), "{}", path.text());
    }
    assert!(recorder.log().is_empty());
}

#[tokio::test]
async fn answers_come_in_the_form_that_is_asked_for() {
    let edge = Edge::start().await;
    for (accept, content_type, start) in [
        ("text/html,*/*;q=0.8", "text/html; charset=utf-8", "<!doctype html>"),
        ("application/json", "application/problem+json", "{"),
        ("application/problem+json", "application/problem+json", "{"),
        ("*/*", "text/plain; charset=utf-8", "404 ROUTE_NOT_FOUND"),
    ] {
        let answer = ask(&edge, "no.localhost", "/", &format!("Accept: {accept}\r\n")).await;
        assert_eq!((answer.status(), answer.field("content-type")), (404, Some(content_type)));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert!(answer.text().starts_with(start), "{}", answer.text());
        assert!(answer.body.len() < 20_000);
    }
    let answer = ask(&edge, "no.localhost", "/", "Accept: application/json\r\n").await;
    let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&problem["status"], &problem["code"]), (&404.into(), &"ROUTE_NOT_FOUND".into()));
}

#[tokio::test]
async fn the_index_lists_routes() {
    let edge = Edge::start().await;
    assert!(ask(&edge, "localhost", "/", "").await.text().contains("No routes yet"));
    edge.route("shop", 1).await;
    let url = format!("http://shop.localhost:{}/", edge.address.port());
    for (host, accept) in [("localhost", "*/*"), ("127.0.0.1", "text/html"), ("[::1]", "application/json")] {
        let answer = ask(&edge, host, "/", &format!("Accept: {accept}\r\n")).await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (200, None));
        assert!(answer.text().contains(&url), "{}", answer.text());
    }
    let answer = ask(&edge, "localhost", "/", "Accept: application/json\r\n").await;
    let index: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&index["routes"][0], &index["total"]), (&url.into(), &1.into()));
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let mut client = edge.client().await;
    let head = |host: &str| format!("HEAD /four HTTP/1.1\r\nHost: {host}\r\n\r\n");
    // Were there a body, the next answer would not start where it does.
    client.send(format!("{}{}", head("app.localhost"), head("no.localhost"))).await;
    let answer = client.bodiless().await;
    assert_eq!((answer.status(), answer.field("content-length")), (200, Some("5")));
    let answer = client.bodiless().await;
    assert_eq!(answer.status(), 404);
    assert_ne!(answer.field("content-length"), Some("0"));
    assert_eq!(client.ask(get("app.localhost", "/x")).await.text(), "/x");
}

#[tokio::test]
async fn statuses_without_a_body_have_none() {
    let edge = Edge::start().await;
    let mut upstream = Upstream::start().await;
    edge.route("app", upstream.port()).await;
    let mut client = edge.client().await;
    client.send(get("app.localhost", "/")).await;
    let mut peer = upstream.accept().await;
    for (sent, want) in [
        ("HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 7\r\n\r\n", Some("7")),
        ("HTTP/1.1 204 No Content\r\n\r\n", None),
        ("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ] {
        peer.request().await;
        peer.send(sent).await;
        let answer = client.answer().await;
        assert_eq!((answer.field("content-length"), answer.field("transfer-encoding")), (want, None), "{sent}");
        client.send(get("app.localhost", "/")).await;
    }
    // Where chunks were announced they may still come, and would be the next answer.
    assert_eq!(peer.rest().await.0, b"");
    let mut peer = upstream.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(client.answer().await.status(), 200);
}

#[tokio::test]
async fn a_circle_ends() {
    let edge = Edge::start().await;
    let other = Edge::start().await;
    // Each leads to the other, and neither knows that the other is a router.
    edge.route("app", other.address.port()).await;
    other.route("app", edge.address.port()).await;
    let answer = ask(&edge, "app.localhost", "/", "Accept: application/json\r\n").await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (508, Some("LOOP_DETECTED")));
    let recorder = Recorder::start().await;
    edge.route("good", recorder.port).await;
    for (hops, status) in [("4", 200), ("5", 508), ("x", 508), ("-1", 508), ("99999999999", 508)] {
        let fields = format!("mastra-router-hops: {hops}\r\nConnection: mastra-router-hops\r\n");
        assert_eq!(ask(&edge, "good.localhost", "/", &fields).await.status(), status, "{hops}");
    }
    assert_eq!(recorder.last().field("mastra-router-hops"), Some("5"));
}

#[tokio::test]
async fn both_loopback_families_lead_to_one_router() {
    let edge = Edge::start().await;
    let recorder = Recorder::start().await;
    edge.route("app", recorder.port).await;
    let addresses = edge.router.proxy_addresses();
    assert_eq!(addresses.len(), 2, "this machine has no ::1");
    assert_eq!(addresses[0].port(), addresses[1].port());
    for address in addresses {
        let answer = crate::wire::Wire::connect(address).await.ask(get("app.localhost", "/x")).await;
        assert_eq!(answer.text(), "/x");
        assert_eq!(recorder.last().field("x-forwarded-for"), Some(address.ip().to_string().as_str()));
    }
    assert_eq!(recorder.last().field("forwarded"), Some("for=\"[::1]\";host=\"app.localhost\";proto=http"));
}
