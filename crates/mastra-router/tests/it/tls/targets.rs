//! Targets that speak TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mastra_router::{TargetScheme, TlsManager, TlsSettings};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client::{Secure, get, head, post, rest, send, whole};
use crate::edge::Edge;
use crate::streaming::BOUND;
use crate::upstream::EMPTY;
use crate::wire::{End, Wire, get as get11, latin1, within};

type Peer = Wire<TlsStream<TcpStream>>;

/// A server that a test answers for, over TLS.
struct Target {
    port: u16,
    accepted: Arc<AtomicUsize>,
    peers: mpsc::UnboundedReceiver<Peer>,
    task: JoinHandle<()>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Target {
    async fn start(config: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (send, peers) = mpsc::unbounded_channel();
        let counter = accepted.clone();
        let task = tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                io.set_nodelay(true).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, send) = (acceptor.clone(), send.clone());
                tokio::spawn(async move {
                    if let Ok(io) = acceptor.accept(io).await {
                        let _ = send.send(Wire { io, read: Vec::new() });
                    }
                });
            }
        });
        Self { port, accepted, peers, task }
    }

    async fn accept(&mut self) -> Peer {
        within("a connection at the target", self.peers.recv()).await.unwrap()
    }
}

/// Serves with a certificate of its own making.
fn self_signed() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    serving(vec![made.cert.der().clone()], PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
}

/// Serves with a certificate that the router's authority has issued for this name.
fn issued(edge: &Edge, name: &str) -> ServerConfig {
    let dir = edge.router.config().tls.cert_dir.clone().unwrap();
    let files = TlsManager::authority_only(TlsSettings::new(&dir)).unwrap().issue(name).unwrap();
    let chain = CertificateDer::pem_file_iter(files.cert_path).unwrap().map(Result::unwrap).collect();
    serving(chain, PrivateKeyDer::from_pem_file(files.key_path).unwrap())
}

fn serving(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

async fn edge_and_target(scheme: TargetScheme) -> (Secure, Target) {
    let edge = Secure::start().await;
    let config = if scheme == TargetScheme::Https { issued(&edge.edge, "localhost") } else { self_signed() };
    let target = Target::start(config).await;
    route(&edge, target.port, scheme).await;
    (edge, target)
}

async fn route(edge: &Secure, port: u16, scheme: TargetScheme) {
    edge.edge
        .route_with("app", port, |route| {
            route.target_host = "localhost".to_owned();
            route.target_scheme = scheme;
        })
        .await;
}

#[tokio::test]
async fn a_certificate_that_is_believed_or_need_not_be() {
    for scheme in [TargetScheme::Https, TargetScheme::HttpsUnverified] {
        let (edge, mut target) = edge_and_target(scheme).await;
        // From both versions, over one connection to the target.
        let client = edge.http2().await;
        let (answer, mut stream) = client.begin(post("/a"), false).await;
        send(&mut stream, b"hello", true).await;
        let mut peer = target.accept().await;
        assert_eq!(peer.io.get_ref().1.server_name(), Some("localhost"));
        let seen = peer.request().await;
        assert_eq!((seen.line(), seen.text()), ("POST /a HTTP/1.1", "hello"));
        assert_eq!(seen.field("host"), Some("app.localhost"));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld").await;
        assert_eq!(whole(answer).await.text(), "world");
        let mut client = edge.http1("app.localhost").await;
        client.send(get11("app.localhost", "/b")).await;
        assert_eq!(peer.request().await.line(), "GET /b HTTP/1.1");
        peer.send(EMPTY).await;
        assert_eq!(client.answer().await.status(), 200);
        assert_eq!(target.accepted.load(Ordering::SeqCst), 1, "{scheme:?}");
    }
}

#[tokio::test]
async fn what_is_not_believed_is_not_spoken_to() {
    let edge = Secure::start().await;
    let client = edge.http2_as("router.localhost").await;
    let mut targets = Vec::new();
    // Of nobody who is known; for another name; without TLS.
    let configs = [Some(self_signed()), Some(issued(&edge.edge, "other.localhost")), None];
    for (i, config) in configs.into_iter().enumerate() {
        let (port, plain) = match config {
            Some(config) => {
                let target = Target::start(config).await;
                let port = target.port;
                targets.push(target);
                (port, None)
            }
            None => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                (listener.local_addr().unwrap().port(), Some(listener))
            }
        };
        let name = format!("app{i}");
        edge.edge
            .route_with(&name, port, |route| {
                route.target_host = "localhost".to_owned();
                route.target_scheme = TargetScheme::Https;
            })
            .await;
        let mut request = get("/secret");
        *request.uri_mut() = format!("https://{name}.localhost/secret").parse().unwrap();
        let (answer, _stream) = client.begin(request, true).await;
        if let Some(listener) = plain {
            // It answers what it cannot read.
            let mut peer = Wire::new(listener.accept().await.unwrap().0);
            peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
        let answer = whole(answer).await;
        assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (502, Some("TARGET_TLS")), "{i}");
    }
    for mut target in targets {
        if let Ok(mut peer) = target.peers.try_recv() {
            let (got, _) = peer.rest().await;
            assert_eq!(latin1(&got), "");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let (edge, mut target) = edge_and_target(TargetScheme::Https).await;
    for (fields, part) in [
        ("Content-Length: 10\r\n\r\n", "12345"),
        ("Transfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n"),
        ("\r\n", "12345"),
    ] {
        let mut client = edge.http1("app.localhost").await;
        client.send(get11("app.localhost", "/")).await;
        let mut peer = target.accept().await;
        peer.request().await;
        peer.send(format!("HTTP/1.1 200 OK\r\n{fields}{part}")).await;
        client.until("12345").await;
        // The end of the connection, without a word of TLS that it is one.
        drop(peer);
        let (got, end) = client.rest().await;
        assert_eq!((latin1(&got).contains("0\r\n\r\n"), end), (false, End::Reset), "{part:?}");
    }
    // With that word, a body without a length is whole.
    let mut client = edge.http1("app.localhost").await;
    client.send(get11("app.localhost", "/")).await;
    let mut peer = target.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
    tokio::io::AsyncWriteExt::shutdown(&mut peer.io).await.unwrap();
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn what_nobody_asked_for_is_nobodys_answer() {
    let (edge, mut target) = edge_and_target(TargetScheme::Https).await;
    const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    // Answers of sizes that end a buffer and a record in all kinds of places, with another one behind them.
    for size in [0, 5, 4096, 16_000, 16_300, 16_384, 16_341, 16_342, 16_343, 32_768, 40_000, 262_144, 300_000] {
        for gap in [false, true] {
            let mut client = edge.http1("app.localhost").await;
            client.send(get11("app.localhost", "/one")).await;
            let mut peer = target.accept().await;
            peer.request().await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size));
            if gap {
                peer.send(&answer).await;
                peer.offer(EVIL).await;
            } else {
                peer.send(format!("{answer}{EVIL}")).await;
            }
            assert_eq!(client.answer().await.body.len(), size);
            if gap {
                // Closed, once the router has seen what it did not ask for; or left alone by the next request.
                client.send(get11("localhost", "/nothing")).await;
                client.answer().await;
            }
            let mut next = edge.http1("app.localhost").await;
            next.send(get11("app.localhost", "/two")).await;
            let mut peer = target.accept().await;
            assert_eq!(peer.request().await.line(), "GET /two HTTP/1.1");
            peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood").await;
            assert_eq!(next.answer().await.text(), "good", "{size}, gap: {gap}");
        }
    }
}

#[tokio::test]
async fn events_arrive_one_by_one_and_uploads_whole() {
    let (edge, mut target) = edge_and_target(TargetScheme::HttpsUnverified).await;
    let client = edge.http2().await;
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = target.accept().await;
    peer.request().await;
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let (_, mut body) = head(answer).await.unwrap();
    for i in 0..50 {
        let event = format!("data: {i:02}\n\n");
        peer.send(format!("a\r\n{event}\r\n")).await;
        assert_eq!(super::client::exactly(&mut body, event.len()).await, event.as_bytes());
    }
    peer.send("0\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(rest(&mut body).await.unwrap().1.unwrap()["x-sum"], "1");

    let all: Vec<u8> = (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (answer, mut stream) = client.begin(post("/"), false).await;
    let asking = async {
        send(&mut stream, &all, true).await;
        whole(answer).await
    };
    let answering = async {
        let seen = peer.request().await;
        assert!(seen.body == all);
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", all.len())).await;
        peer.send(&all).await;
    };
    assert!(tokio::join!(asking, answering).0.body == all);
    // Bit by bit, each of which arrives.
    let (answer, mut stream) = client.begin(post("/"), false).await;
    peer.head().await;
    for i in 0..50 {
        let part = format!("{i:02}");
        stream.send_data(part.clone().into(), false).unwrap();
        peer.until(&format!("2\r\n{part}\r\n")).await;
    }
    stream.send_data(bytes::Bytes::new(), true).unwrap();
    peer.until("0\r\n\r\n").await;
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn a_stale_connection_is_retried_and_never_for_a_post() {
    let (edge, mut target) = edge_and_target(TargetScheme::Https).await;
    let client = edge.http2().await;
    for goodbye in [false, true] {
        let (answer, _stream) = client.begin(get("/"), true).await;
        let mut peer = target.accept().await;
        peer.request().await;
        peer.send(EMPTY).await;
        assert_eq!(whole(answer).await.status(), 200);
        let (answer, _stream) = client.begin(get("/again"), true).await;
        peer.request().await;
        if goodbye {
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut peer.io).await;
        }
        drop(peer);
        let mut peer = target.accept().await;
        assert_eq!(peer.request().await.line(), "GET /again HTTP/1.1");
        peer.send(EMPTY).await;
        assert_eq!(whole(answer).await.status(), 200);
        let (answer, mut stream) = client.begin(post("/once"), false).await;
        send(&mut stream, b"hi", true).await;
        peer.request().await;
        drop(peer);
        assert_eq!(whole(answer).await.status(), 502);
    }
    // One that was closed while it was idle is not used for a POST.
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = target.accept().await;
    peer.request().await;
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
    let _ = tokio::io::AsyncWriteExt::shutdown(&mut peer.io).await;
    drop(peer);
    let (answer, mut stream) = client.begin(post("/once"), false).await;
    send(&mut stream, b"hi", true).await;
    let mut peer = target.accept().await;
    assert_eq!(peer.request().await.text(), "hi");
    peer.send(EMPTY).await;
    assert_eq!(whole(answer).await.status(), 200);
}

#[tokio::test]
async fn either_side_that_leaves_is_gone_for_the_other() {
    let (edge, mut target) = edge_and_target(TargetScheme::Https).await;
    let client = edge.http2().await;
    for phase in 0..3 {
        let (answer, mut stream) = client.begin(post("/"), false).await;
        let mut peer = target.accept().await;
        peer.head().await;
        if phase == 1 {
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
        }
        if phase == 2 {
            let sent = super::streams::offered(&mut stream, BOUND).await;
            assert!(sent < BOUND);
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop((answer, stream));
        let (got, _) = peer.rest().await;
        assert!(!latin1(&got).contains("0\r\n\r\n"));
    }
    let (answer, _stream) = client.begin(get("/"), true).await;
    let mut peer = target.accept().await;
    peer.request().await;
    drop(peer);
    assert_eq!(whole(answer).await.status(), 502);
}

#[tokio::test]
async fn a_websocket_reaches_it() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    use tokio_tungstenite::tungstenite::protocol::Message;
    let (edge, mut target) = edge_and_target(TargetScheme::Https).await;
    let io = edge.tls("app.localhost", &super::client::HTTP1).await;
    let request = "wss://app.localhost/hmr".into_client_request().unwrap();
    let server = async { tokio_tungstenite::accept_async(target.accept().await.io).await.unwrap() };
    let (client, mut server) = tokio::join!(tokio_tungstenite::client_async(request, io), server);
    let (mut client, _) = client.unwrap();
    for i in 0..20 {
        client.send(Message::text(format!("up {i}"))).await.unwrap();
        assert_eq!(within("a message", server.next()).await.unwrap().unwrap(), Message::text(format!("up {i}")));
        server.send(Message::text(format!("down {i}"))).await.unwrap();
        assert_eq!(within("a message", client.next()).await.unwrap().unwrap(), Message::text(format!("down {i}")));
    }
    client.close(None).await.unwrap();
    assert!(matches!(within("the end", server.next()).await, Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn a_target_that_says_nothing_is_given_up() {
    let edge = Secure::with(|c| c.proxy.connect_timeout = std::time::Duration::from_millis(200)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    route(&edge, port, TargetScheme::Https).await;
    let answer = edge.http2().await.ask(get("/")).await;
    assert_eq!((answer.status(), answer.field("x-mastra-router-error")), (504, Some("TARGET_TIMEOUT")));
    // One that closes at once.
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            drop(io)
        }
    });
    let answer = edge.http2().await.ask(get("/")).await;
    assert_eq!(answer.status(), 502);
}
