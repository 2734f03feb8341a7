//! Who gets a certificate, how many are minted, and what a handshake says.

use std::sync::Arc;
use std::time::Instant;

use mastra_router::{Certificates, RouteConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::certificate::served;
use crate::place::Place;
use crate::server::{Server, client, connect};

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_routes_and_no_others() {
    let place = Place::new("mastra.local");
    place.route("shop");
    let mut prefixed = RouteConfig::new("api", "p", "api", "localhost", 1);
    prefixed.path_prefix = Some("/v1".into());
    place.add(prefixed);
    let manager = place.open();
    for host in ["shop.mastra.local", "api.mastra.local", "mastra.local", "router.mastra.local", "127.0.0.1", "::1"] {
        assert!(manager.held(host).is_none(), "{host}");
        assert!(manager.obtain(host).await.is_some(), "{host}");
        assert!(manager.held(host).is_some(), "{host}");
    }
    let files = place.leaves().len();
    for host in [
        "",
        ".",
        "none.mastra.local",
        "a.shop.mastra.local",
        "appxmastra.local",
        "local",
        "localhost",
        "shop.localhost",
        "example.com",
        "../../x",
        "shop.mastra.local/..",
        "127.0.0.2",
        "10.0.0.1",
        "0.0.0.0",
        "::2",
        "[::1]",
        "*.mastra.local",
        "shop.mastra.local\0",
    ] {
        assert!(manager.held(host).is_none() && manager.obtain(host).await.is_none(), "{host}");
    }
    assert_eq!((manager.minted(), place.leaves().len()), (6, files));

    place.remove("shop");
    assert!(manager.held("shop.mastra.local").is_none(), "its route is gone");
    assert!(manager.obtain("shop.mastra.local").await.is_none());
    place.route("shop");
    assert!(manager.obtain("shop.mastra.local").await.is_some());
    assert_eq!(manager.minted(), 6, "it was kept for when the route is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_names_mint_nothing() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    let server = Server::start(manager.clone());
    let client = client(&manager.ca_pem().unwrap());
    let mut asked = JoinSet::new();
    for worker in 0..20 {
        let (client, manager, address) = (client.clone(), manager.clone(), server.address);
        asked.spawn(async move {
            for i in 0..500 {
                let host = format!("x{worker}-{i}.localhost");
                if i % 10 == 0 {
                    assert!(connect(&client, address, &host).await.is_err());
                }
                assert!(manager.held(&host).is_none() && manager.obtain(&host).await.is_none());
            }
        });
    }
    asked.join_all().await;
    assert_eq!((manager.minted(), place.leaves().len()), (0, 0));
    connect(&client, server.address, "shop.localhost").await.unwrap();
    assert_eq!(manager.minted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_routed_names_mint_a_thousand() {
    const NAMES: usize = 1000;
    let place = Place::new("localhost");
    (0..NAMES).for_each(|i| place.route(&format!("h{i}")));
    let manager = place.open();
    let servers: Vec<Server> = (0..2).map(|_| Server::start(manager.clone())).collect();
    let client = client(&manager.ca_pem().unwrap());
    let start = Instant::now();
    let mut asked = JoinSet::new();
    // Each name by a handshake, while others ask for it at the same time.
    for worker in 0..40 {
        let (client, manager, address) = (client.clone(), manager.clone(), servers[worker % 2].address);
        asked.spawn(async move {
            for host in (worker..NAMES).step_by(40).map(|i| format!("h{i}.localhost")) {
                let others = async { (manager.obtain(&host).await, manager.obtain(&host).await) };
                let (connected, others) = tokio::join!(connect(&client, address, &host), others);
                connected.unwrap();
                assert!(others.0.is_some() && others.1.is_some());
            }
        });
    }
    asked.join_all().await;
    eprintln!("1,000 handshakes, 1,000 names: {:?}", start.elapsed());
    assert_eq!((manager.minted(), place.leaves().len()), (NAMES as u64, NAMES));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_ask_for_one_and_one_is_minted() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    // Most give up at once, which stops nothing for those who wait.
    for _ in 0..100 {
        let mut asking = manager.obtain("shop.localhost");
        let given_up =
            std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context).is_pending()));
        given_up.await;
    }
    let mut asked = JoinSet::new();
    for _ in 0..100 {
        let manager = manager.clone();
        asked.spawn(async move { served(&*manager, "shop.localhost").await.unwrap() });
    }
    let all = asked.join_all().await;
    assert!(all.iter().all(|leaf| *leaf == all[0]));
    assert_eq!(manager.minted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handshake_agrees_on() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    let server = Server::start(manager.clone());
    let trust = client(&manager.ca_pem().unwrap());
    for (offered, agreed) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)] {
        let mut config = rustls::ClientConfig::clone(trust.config());
        config.alpn_protocols = offered.iter().map(|p| p.as_bytes().to_vec()).collect();
        let client = tokio_rustls::TlsConnector::from(Arc::new(config));
        let connection = connect(&client, server.address, "shop.localhost").await.unwrap();
        assert_eq!(connection.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
        assert_eq!(connection.get_ref().1.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::X25519);
    }
    let mut resumed = 0;
    for _ in 0..3 {
        let mut connection = connect(&trust, server.address, "shop.localhost").await.unwrap();
        resumed += usize::from(connection.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
        connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("ok\n"));
    }
    assert_eq!(resumed, 2, "each connection brings a ticket for the next");
}

/// A client that uses an address sends no name.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_instead_of_a_name() {
    let place = Place::new("localhost");
    let manager = place.open();
    let client = client(&manager.ca_pem().unwrap());
    for ip in ["127.0.0.1", "::1"] {
        let server = Server::start_at(manager.clone(), ip.parse().unwrap());
        let connection = connect(&client, server.address, ip).await.unwrap();
        assert!(connection.get_ref().1.peer_certificates().is_some());
    }
    // Anything but TLS ends a connection and nothing else.
    let server = Server::start(manager.clone());
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    connect(&client, server.address, "127.0.0.1").await.unwrap();
}
