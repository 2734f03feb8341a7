//! `demo`: two servers of our own behind names, to see what the router does before one has anything to route to.

use std::net::SocketAddr;
use std::time::Duration;

use mastra_router::{Home, RouteConfig, RouterControl};
use serde_json::json;

use super::serve::{self, Running, Signals};
use super::{Outcome, look, sample, settings};
use crate::cli::Demo;
use crate::config::ConfiguredRoutes;
use crate::failure::Failure;
use crate::output::Output;

/// How long Ctrl-C waits for requests that are being answered.
const DRAIN: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: Demo, output: &Output) -> Outcome {
    settings::loopback_only(&args.listen, "choose a loopback address: --listen 127.0.0.1:0")?;
    let signals = Signals::new()?;
    // A home of its own: a demo meets no router that runs, and leaves nothing.
    let directory = tempfile::Builder::new().prefix("mastra-router-demo-").tempdir()?;
    let home = Home::resolve(Some(directory.path().to_owned()));
    let hello = sample::Server::start("hello").await?;
    let echo = sample::Server::start("echo").await?;
    let routes = [&hello, &echo].map(|s| RouteConfig::new(s.name, "demo", s.name, "127.0.0.1", s.address.port()));
    let configured = ConfiguredRoutes::from(routes.to_vec());
    let running = launch(args.listen, &configured, &home, output).await?;
    let all = running.router.all_routes().await?;
    for route in &all {
        // So that the table says `active`, and the page of routes too.
        let _ = mastra_router::EdgeRouterProvider::check_route_health(&running.router, route.route_id.as_str()).await;
    }
    show(&running, output).await?;
    let ended = running.until_stopped(signals, output).await;
    hello.stop().await;
    echo.stop().await;
    ended
}

/// The asked addresses; unasked port 3000, or where that is taken any that is free.
async fn launch(
    listen: Vec<SocketAddr>,
    configured: &ConfiguredRoutes,
    home: &Home,
    output: &Output,
) -> Result<Running, Failure> {
    let asked = !listen.is_empty();
    let mut config = settings::defaults();
    config.listen = listen;
    // The table below says what there is.
    config.log_routes = false;
    // The page of a sample server keeps a stream and a WebSocket open for as long as it is shown.
    config.proxy.drain_timeout = DRAIN;
    match serve::launch(config.clone(), configured, home.lock()?).await {
        Err(failure) if failure.code == "PORT_IN_USE" && !asked => {
            output.say(&format!("{}; taking a free port instead.", failure.message));
            config.proxy_port = 0;
            serve::launch(config, configured, home.lock()?).await
        }
        outcome => outcome,
    }
}

async fn show(running: &Running, output: &Output) -> Result<(), Failure> {
    let routes = running.router.all_routes().await?;
    if output.json {
        let routes: Vec<_> = routes.into_iter().map(mastra_router::control::wire::RouteJson::from).collect();
        let listen: Vec<String> = running.router.proxy_addresses().iter().map(ToString::to_string).collect();
        output.json(&json!({
            "event": "ready", "pid": std::process::id(), "listen": listen, "url": running.url(), "routes": routes,
        }));
        return Ok(());
    }
    output.say("Two sample servers run behind the router. Open one of these, or the list of all routes:");
    output.line("");
    look::table(&routes, output);
    output.line("");
    let url = |name: &str| routes.iter().find(|r| r.subdomain == name).map_or("", |r| r.public_url.as_str());
    output.line(&format!("all routes    {}", running.url()));
    output.line(&format!("HTTP          curl {}/health", url("hello")));
    output.line(&format!("SSE           curl -N {}/events", url("hello")));
    output.line(&format!("WebSocket     {}/ws", url("echo").replacen("http", "ws", 1)));
    output.line(&format!("POST          curl --data hi {}/echo", url("echo")));
    output.line(&format!("by path       curl {}/hello/health", running.url()));
    output.line("");
    output.say("Ctrl-C ends it.");
    Ok(())
}
