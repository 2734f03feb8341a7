//! One port for TLS and plain HTTP: what tells them apart, and which certificate a client gets.

use std::net::SocketAddr;
use std::path::Path;

use mastra_router::EdgeRouterProvider;
use mastra_router::RouteConfig;
use rustls::version::{TLS12, TLS13};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::client::{HTTP1, HTTP2, Offer, Secure};
use crate::edge::Edge;
use crate::upstream::Recorder;
use crate::wire::{Wire, get, within};

const EITHER: Offer = Offer { alpn: &["h2", "http/1.1"], ..HTTP1 };

async fn edge_and_recorder() -> (Secure, Recorder) {
    let (edge, recorder) = (Secure::start().await, Recorder::start().await);
    edge.edge.route("app", recorder.port).await;
    (edge, recorder)
}

/// The names in the certificate that was shown, addresses among them.
fn names(io: &TlsStream<TcpStream>) -> Vec<String> {
    let chain = io.get_ref().1.peer_certificates().unwrap();
    let (_, leaf) = X509Certificate::from_der(&chain[0]).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    let names = names.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        GeneralName::IPAddress(bytes) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).unwrap()).to_string(),
        other => format!("{other:?}"),
    });
    names.collect()
}

/// Files of certificates that are served.
fn minted(edge: &Secure) -> usize {
    fn count(dir: &Path) -> usize {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let counted = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
            true => count(&entry.path()),
            false => usize::from(entry.file_name().to_str().unwrap().ends_with(".pem")),
        });
        counted.sum()
    }
    let dir = edge.edge.router.config().tls.cert_dir.clone().unwrap();
    // The authority's own certificate and key are such files, too.
    count(&dir)
        - std::fs::read_dir(&dir)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".pem"))
            .count()
}

#[tokio::test]
async fn versions_and_protocols() {
    let (edge, recorder) = edge_and_recorder().await;
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS13, &TLS12]] {
        for (alpn, chosen) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1", "h2"], Some("h2")),
            (&["h2"], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            let versions: &'static [_] = Box::leak(versions.to_vec().into_boxed_slice());
            let alpn: &'static [_] = Box::leak(alpn.to_vec().into_boxed_slice());
            let io = edge.tls("app.localhost", &Offer { alpn, versions, sni: true }).await;
            let session = io.get_ref().1;
            assert_eq!(session.alpn_protocol().map(|name| std::str::from_utf8(name).unwrap()), chosen, "{alpn:?}");
            if chosen == Some("h2") {
                continue;
            }
            let answer = Wire { io, read: Vec::new() }.ask(get("app.localhost", "/x")).await;
            assert_eq!((answer.status(), recorder.last().field("x-forwarded-proto")), (200, Some("https")));
        }
    }
    // Neither of what is spoken here.
    assert!(edge.try_tls("app.localhost", &Offer { alpn: &["spdy/3"], ..HTTP1 }).await.is_err());
    // The same port, without TLS.
    let answer = edge.edge.client().await.ask(get("app.localhost", "/plain")).await;
    assert_eq!((answer.text(), recorder.last().field("x-forwarded-proto")), ("/plain", Some("http")));
    // HTTP/2 without TLS is not asked for by any browser, and refused.
    let mut wire = edge.edge.client().await;
    wire.offer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(matches!(wire.answer().await.status(), 400 | 505));
}

#[tokio::test]
async fn a_session_is_resumed() {
    let (edge, _recorder) = edge_and_recorder().await;
    for version in [&TLS12, &TLS13] {
        let connector = edge.connector(&Offer { versions: Box::leak(Box::new([version])), ..HTTP1 });
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let io = TcpStream::connect(edge.address()).await.unwrap();
            let name = "app.localhost".try_into().unwrap();
            let io = within("a handshake", connector.connect(name, io)).await.unwrap();
            let mut wire = Wire { io, read: Vec::new() };
            assert_eq!(wire.ask(get("app.localhost", "/")).await.status(), 200);
            kinds.push(wire.io.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed], "{version:?}");
    }
}

#[tokio::test]
async fn each_host_gets_its_certificate() {
    let (edge, recorder) = edge_and_recorder().await;
    edge.edge.route_with("wild", recorder.port, |route| route.wildcard = true).await;
    edge.edge.route("deep.name", recorder.port).await;
    for (host, name) in [
        ("app.localhost", "app.localhost"),
        ("APP.localhost", "app.localhost"),
        ("localhost", "localhost"),
        ("router.localhost", "router.localhost"),
        ("deep.name.localhost", "deep.name.localhost"),
        ("wild.localhost", "wild.localhost"),
        ("x.wild.localhost", "*.wild.localhost"),
        ("y.wild.localhost", "*.wild.localhost"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        let io = edge.tls(host, &EITHER).await;
        let names = names(&io);
        assert!(names.iter().any(|n| n == name), "{host}: {names:?}");
        let io = edge.tls(host, &HTTP1).await;
        let path = if matches!(host, "localhost" | "127.0.0.1") { "/app/x" } else { "/x" };
        let answer = Wire { io, read: Vec::new() }.ask(get(host, path)).await;
        assert_eq!(answer.status(), 200, "{host}");
        if host != "router.localhost" {
            assert_eq!(answer.text(), "/x", "{host}");
        }
    }
    for host in
        ["other.localhost", "x.app.localhost", "x.y.wild.localhost", "example.com", "app.example.com", "name.localhost"]
    {
        let error = edge.try_tls(host, &EITHER).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{host}: {error}");
    }
    // A client that sends no name gets the address it has asked, and does not take it for a name.
    assert!(edge.try_tls("app.localhost", &Offer { sni: false, ..EITHER }).await.is_err());
}

#[tokio::test]
async fn an_address_of_the_other_family_gets_its_certificate() {
    let (edge, _recorder) = edge_and_recorder().await;
    let addresses = edge.edge.router.proxy_addresses();
    let Some(six) = addresses.iter().find(|address| address.is_ipv6()) else { return };
    let io = TcpStream::connect(six).await.unwrap();
    let name = "::1".try_into().unwrap();
    let io = within("a handshake", edge.connector(&HTTP1).connect(name, io)).await.unwrap();
    assert!(names(&io).contains(&"::1".to_owned()), "{:?}", names(&io));
    let mut wire = Wire { io, read: Vec::new() };
    let answer = wire.ask(get(&format!("[::1]:{}", six.port()), "/app/x")).await;
    assert!(matches!(answer.status(), 200 | 404), "{}", answer.status());
}

#[tokio::test]
async fn a_certificate_comes_and_goes_with_its_route() {
    let (edge, recorder) = edge_and_recorder().await;
    assert!(edge.try_tls("late.localhost", &EITHER).await.is_err());
    let route = edge.edge.route("late", recorder.port).await;
    edge.tls("late.localhost", &EITHER).await;
    edge.edge.router.remove_route(route.route_id.as_str()).await.unwrap();
    assert!(edge.try_tls("late.localhost", &EITHER).await.is_err());
}

#[tokio::test]
async fn the_users_own_certificate_is_served_for_every_host() {
    let dir = tempfile::TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["app.localhost".to_owned(), "*.dev.test".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut edge = Secure::with(|c| {
        c.tls.cert = Some(cert.clone());
        c.tls.key = Some(key.clone());
    })
    .await;
    edge.believe(made.cert.der().clone());
    let recorder = Recorder::start().await;
    edge.edge.route("app", recorder.port).await;
    let io = edge.tls("app.localhost", &HTTP1).await;
    assert_eq!(names(&io), ["app.localhost", "*.dev.test"]);
    let answer = Wire { io, read: Vec::new() }.ask(get("app.localhost", "/x")).await;
    assert_eq!(answer.text(), "/x");
    edge.tls("a.dev.test", &HTTP2).await;
    // No authority was made beside it.
    assert!(!edge.edge.router.config().tls.cert_dir.as_ref().unwrap().join("ca.pem").exists());
}

#[tokio::test]
async fn urls_are_https_where_the_route_does_not_say_otherwise() {
    let (edge, recorder) = edge_and_recorder().await;
    let info = |edge: &Edge, name: &str| {
        let routes = edge.router.get_all_routes();
        routes.into_iter().find(|route| route.deployment_id == name).unwrap().public_url
    };
    assert!(info(&edge.edge, "app").starts_with("https://"), "{}", info(&edge.edge, "app"));
    edge.edge.route_with("plain", recorder.port, |route| route.tls = Some(false)).await;
    assert!(info(&edge.edge, "plain").starts_with("http://"));
    // A router without TLS, and one route that has it.
    let edge = Edge::with(|config| config.tls.cert_dir = config.lease_dir.as_ref().map(|dir| dir.join("certs"))).await;
    edge.route("plain", recorder.port).await;
    edge.route_with("safe", recorder.port, |route| route.tls = Some(true)).await;
    assert!(info(&edge, "plain").starts_with("http://"));
    assert!(info(&edge, "safe").starts_with("https://"));
    let edge = Secure::of(edge);
    let io = edge.tls("safe.localhost", &HTTP1).await;
    assert_eq!(Wire { io, read: Vec::new() }.ask(get("safe.localhost", "/x")).await.text(), "/x");
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_that_is_asked() {
    let edge = Secure::with(|c| c.tls.redirect_http = true).await;
    let recorder = Recorder::start().await;
    edge.edge.route("app", recorder.port).await;
    edge.edge.route_with("plain", recorder.port, |route| route.tls = Some(false)).await;
    let port = edge.address().port();
    for (request, location) in [
        (get(&format!("app.localhost:{port}"), "/a?b=%2f"), format!("https://app.localhost:{port}/a?b=%2f")),
        (get(&format!("APP.localhost:{port}"), "/"), format!("https://APP.localhost:{port}/")),
        (get(&format!("localhost:{port}"), "/app/x"), format!("https://localhost:{port}/app/x")),
        (get(&format!("app.localhost:{port}"), "//evil.test"), format!("https://app.localhost:{port}//evil.test")),
        (
            format!("POST /p HTTP/1.1\r\nHost: app.localhost:{port}\r\nContent-Length: 2\r\n\r\nhi"),
            format!("https://app.localhost:{port}/p"),
        ),
    ] {
        let answer = edge.edge.client().await.ask(&request).await;
        assert_eq!((answer.status(), answer.field("location")), (308, Some(&*location)), "{request}");
    }
    assert_eq!(recorder.log().len(), 0);
    let plain = edge.edge.client().await.ask(get("plain.localhost", "/x")).await;
    assert_eq!((plain.status(), plain.text()), (200, "/x"));
    let mut secure = edge.http1("app.localhost").await;
    assert_eq!(secure.ask(get("app.localhost", "/x")).await.text(), "/x");
    let unknown = edge.edge.client().await.ask(get("nobody.localhost", "/x")).await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn names_that_nobody_has_make_no_certificates() {
    let (edge, _recorder) = edge_and_recorder().await;
    edge.tls("app.localhost", &HTTP1).await;
    let before = minted(&edge);
    let connector = edge.connector(&EITHER);
    let address = edge.address();
    let tasks: Vec<_> = (0..50)
        .map(|task| {
            let connector = connector.clone();
            tokio::spawn(async move {
                for i in 0..200 {
                    let io = TcpStream::connect(address).await.unwrap();
                    let domain = ["localhost", "app.localhost", "test", "example.com"][i % 4];
                    let name = format!("n{task}-{i}.{domain}").try_into().unwrap();
                    let error = connector.connect(name, io).await.unwrap_err();
                    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
                }
            })
        })
        .collect();
    for task in tasks {
        within("10,000 handshakes", task).await.unwrap();
    }
    assert_eq!(minted(&edge), before);
}

#[tokio::test]
async fn a_thousand_names_under_parallel_handshakes_are_a_thousand_certificates() {
    let (edge, recorder) = edge_and_recorder().await;
    let routes = (0..1000).map(|i| {
        let name = format!("r{i}");
        RouteConfig::new(&name, "project", &name, "127.0.0.1", recorder.port)
    });
    edge.edge.router.load_routes(routes.collect()).await.unwrap();
    let before = minted(&edge);
    let connector = edge.connector(&HTTP1);
    let address = edge.address();
    // Each name from two sides at a time.
    let tasks: Vec<_> = (0..20)
        .map(|task| {
            let connector = connector.clone();
            tokio::spawn(async move {
                for i in 0..100 {
                    let host = format!("r{}.localhost", task / 2 * 100 + i);
                    handshake(&connector, address, &host).await;
                }
            })
        })
        .collect();
    for task in tasks {
        within("2,000 handshakes", task).await.unwrap();
    }
    assert_eq!(minted(&edge) - before, 1000);
}

async fn handshake(connector: &tokio_rustls::TlsConnector, address: SocketAddr, host: &str) {
    let io = TcpStream::connect(address).await.unwrap();
    let io = connector.connect(host.to_owned().try_into().unwrap(), io).await.unwrap();
    assert_eq!(names(&io), [host]);
}

/// What people use: if it is installed.
#[tokio::test]
async fn curl_speaks_all_of_it() {
    let (edge, _recorder) = edge_and_recorder().await;
    let dir = edge.edge.router.config().tls.cert_dir.clone().unwrap();
    let port = edge.address().port();
    let url = format!("https://app.localhost:{port}/x");
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let output = tokio::process::Command::new("curl")
            .args(["-sS", flag, "--noproxy", "*", "--resolve", &format!("app.localhost:{port}:127.0.0.1"), "--cacert"])
            .arg(dir.join("ca.pem"))
            .args(["-w", " %{http_version} %{http_code}", "-d", "some=body", &url])
            .output()
            .await;
        let Ok(output) = output else { return };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text, format!("/x {version} 200"), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
