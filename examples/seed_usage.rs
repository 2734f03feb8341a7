//! The basic use of a router, with port mapping: a route's URL is its target's own.
//!
//! `cargo run -p mastra-router --example seed_usage`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to whoever runs it")]

use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, PortRange, RouteConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Stands for the deployed server.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(serve(listener));

    let router = LocalEdgeRouter::start(LocalEdgeRouterConfig {
        base_domain: "localhost".to_owned(),
        port_range: PortRange { start: 3100, end: 3199 },
        log_routes: true,
        ..LocalEdgeRouterConfig::default()
    })
    .await?;

    // Register a route.
    let route =
        router.register_route(RouteConfig::new("deploy-123", "project-456", "job-matcher", "localhost", port)).await?;
    println!("Server available at: {}", route.public_url);
    assert_eq!(route.public_url, format!("http://localhost:{port}"));

    // Check health.
    let health = router.check_route_health(route.route_id.as_str()).await?;
    if !health.healthy {
        eprintln!("Route unhealthy: {}", health.error.unwrap_or_default());
        return Err("the server of this example answers".into());
    }
    println!("Route healthy: {}", health.status_code.unwrap_or_default());

    // List routes for a project.
    for route in router.list_routes("project-456").await? {
        println!("{} is {}", route.subdomain, route.status);
    }

    // Clean up.
    router.remove_route(route.route_id.as_str()).await?;
    assert!(router.get_route("deploy-123").await?.is_none());
    router.close().await;
    Ok(())
}

/// Answers every request with 200.
async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut socket, _) = listener.accept().await?;
        // Enough of a server for requests that come in one packet.
        let _ = socket.read(&mut [0; 4096]).await?;
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n").await?;
    }
}
