//! A program with a reverse proxy in it: two servers behind one port, told apart by name or by path.
//!
//! `cargo run -p mastra-router --example embedded_proxy`
#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::net::SocketAddr;

use mastra_router::{
    EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, LocalhostUrls, RouteConfig, RoutingStrategy,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let router = LocalEdgeRouter::start(LocalEdgeRouterConfig {
        strategy: RoutingStrategy::ReverseProxy,
        localhost_urls: LocalhostUrls::Subdomain,
        listen: vec!["127.0.0.1:0".parse()?],
        ..LocalEdgeRouterConfig::default()
    })
    .await?;
    let proxy = router.proxy_addresses()[0];
    router.start_health_checking();

    for name in ["shop", "agent"] {
        let port = start(name).await?;
        let route = router.register_route(RouteConfig::new(name, "example", name, "localhost", port)).await?;
        println!("{} → {}  {}", route.public_url, route.target, route.status);
    }

    for (host, path) in [("shop.localhost", "/"), ("agent.localhost", "/"), ("localhost", "/agent/x")] {
        let answer = get(proxy, host, path).await?;
        println!("{host}{path}: {}", answer.lines().last().unwrap_or_default());
        assert!(answer.starts_with("HTTP/1.1 200 "));
    }
    let nobody = get(proxy, "nobody.localhost", "/").await?;
    assert!(nobody.contains("X-Mastra-Router-Error: ROUTE_NOT_FOUND"));

    // Open exchanges are let go on for the drain timeout.
    router.close().await;
    Ok(())
}

/// Starts a server that says its name, and returns its port.
async fn start(name: &'static str) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\nthis is {name}\n", name.len() + 9);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    Ok(port)
}

/// A client in four lines, so that the example needs no other crate.
async fn get(proxy: SocketAddr, host: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(proxy).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n", proxy.port());
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}
