//! `list`, `get`, `url`, `health`, `watch`.

use std::process::ExitCode;

use mastra_router::control::ControlClient;
use mastra_router::control::wire::{EventJson, HealthJson, RequestJson, RouteJson, time};
use mastra_router::{EdgeRouterProvider, RequestInfo, RequestNews, RouteInfo, RouterControl, RouterError, RouterEvent};
use tokio::sync::broadcast::error::RecvError;

use super::Outcome;
use crate::cli::List;
use crate::config::nearest;
use crate::daemon::reach::Reach;
use crate::failure::Failure;
use crate::output::{Output, standing};

pub(crate) async fn list(args: List, client: &ControlClient, output: &Output) -> Outcome {
    let routes = match &args.project {
        Some(project) => client.list_routes(project).await?,
        None => client.all_routes().await?,
    };
    if output.json {
        output.json(&routes.into_iter().map(RouteJson::from).collect::<Vec<_>>());
    } else if routes.is_empty() {
        output.say("No routes yet: mastra-router add shop 5173");
    } else {
        table(&routes, output);
    }
    Ok(ExitCode::SUCCESS)
}

/// Routes in columns.
pub(crate) fn table(routes: &[RouteInfo], output: &Output) {
    let rows: Vec<[String; 4]> =
        routes.iter().map(|r| [name(r), r.public_url.clone(), r.target.to_string(), standing(r)]).collect();
    output.table(["NAME", "URL", "TARGET", "STATUS"], &rows);
}

pub(crate) async fn get(deployment: &str, client: &ControlClient, output: &Output) -> Outcome {
    let found = client.get_route(deployment).await?;
    let route = found.ok_or_else(|| RouterError::RouteNotFound { id: deployment.to_owned() })?;
    if output.json {
        output.json(&RouteJson::from(route));
    } else {
        table(&[route], output);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn url(key: &str, client: &ControlClient, output: &Output) -> Outcome {
    let route = find(key, client).await?;
    if output.json {
        output.json(&RouteJson::from(route));
    } else {
        output.line(&route.public_url);
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn health(key: &str, client: &ControlClient, output: &Output) -> Outcome {
    let route = find(key, client).await?;
    let health = client.check_route_health(route.route_id.as_str()).await?;
    let code = if health.healthy { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if output.json {
        output.json(&HealthJson::from(health));
        return Ok(code);
    }
    let took = health.latency.map(|l| format!(" in {:.1} ms", l.as_secs_f64() * 1e3)).unwrap_or_default();
    let said = health.status_code.map(|s| format!(" ({s})")).unwrap_or_default();
    match health.error {
        None => output.line(&format!("● healthy  {} → {}{said}{took}", route.subdomain, route.target)),
        Some(error) => {
            // Whether it sleeps is known after the check, and the route may be gone by then.
            let is_asleep = route.wake && find(route.route_id.as_str(), client).await.is_ok_and(|route| route.sleeping);
            let standing = if is_asleep { "○ sleeping" } else { "✗ not healthy" };
            output.line(&format!("{standing}  {} → {}: {error}", route.subdomain, route.target));
        }
    }
    Ok(code)
}

pub(crate) async fn watch(reach: Reach<'_>, output: &Output) -> Outcome {
    let client = reach.client().await?;
    let (mut pid, mut events) = (client.status().await?.pid, client.events().await?);
    output.say("Watching. Ctrl-C ends it.");
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        match event {
            Ok(event) if output.json => output.json(&EventJson::from(event)),
            Ok(event) => tell(&event, output),
            Err(RecvError::Lagged(missed)) => output.say(&format!("{missed} events were missed")),
            Err(RecvError::Closed) => match reach.successor(pid).await {
                Some(client) => {
                    (pid, events) = (client.status().await?.pid, client.events().await?);
                    output.say("The router was restarted.");
                }
                None => {
                    output.say("The router has stopped.");
                    return Ok(ExitCode::SUCCESS);
                }
            },
        }
    }
}

fn tell(event: &RouterEvent, output: &Output) {
    let line = |what: &str, r: &RouteInfo| format!("{what:10}  {}  {} → {}", r.subdomain, r.public_url, r.target);
    match event {
        RouterEvent::Registered(route) => output.line(&line("registered", route)),
        RouterEvent::Updated(route) => output.line(&line("updated", route)),
        RouterEvent::Removed(route) => output.line(&line("removed", route)),
        RouterEvent::Checked { route, health, .. } => {
            let said = health.error.as_deref().unwrap_or("healthy");
            output.line(&format!("{:10}  {}  {}: {said}", "checked", route.subdomain, standing(route)));
        }
        RouterEvent::Cleared => output.line("cleared     all routes"),
        _ => {}
    }
}

pub(crate) async fn watch_requests(reach: Reach<'_>, output: &Output) -> Outcome {
    let client = reach.client().await?;
    let (mut pid, mut requests) = (client.status().await?.pid, client.requests().await?);
    output.say("Watching requests. Ctrl-C ends it.");
    loop {
        let news = tokio::select! {
            news = requests.next() => news,
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        };
        match news {
            Some(RequestNews::Answered(request)) if output.json => output.json(&RequestJson::from(&*request)),
            Some(RequestNews::Answered(request)) => output.line(&request_line(&request)),
            Some(RequestNews::Missed(missed)) => output.say(&format!("{missed} requests were missed")),
            None => match reach.successor(pid).await {
                Some(client) => {
                    (pid, requests) = (client.status().await?.pid, client.requests().await?);
                    output.say("The router was restarted.");
                }
                None => {
                    output.say("The router has stopped.");
                    return Ok(ExitCode::SUCCESS);
                }
            },
        }
    }
}

/// Every column has something in it, also where nothing of the request could be read.
fn request_line(request: &RequestInfo) -> String {
    let said = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let (method, url) = (said(&request.method), said(&format!("{}{}", request.host, request.path)));
    let took = request.latency.as_secs_f64() * 1e3;
    let (at, status, protocol) = (time(request.at), request.status, request.protocol);
    format!("{at}  {method:7}  {url}  {status}  {took:.1} ms  {protocol}")
}

/// The route that is named.
///
/// # Errors
/// `ROUTE_NOT_FOUND`, with the name that is likeliest meant.
pub(super) async fn find(key: &str, client: &ControlClient) -> Result<RouteInfo, Failure> {
    if let Some(route) = client.find_route(key).await? {
        return Ok(route);
    }
    let failure = Failure::from(RouterError::RouteNotFound { id: key.to_owned() });
    let names: Vec<String> = client.all_routes().await.unwrap_or_default().iter().map(name).collect();
    let meant = nearest(key, names.iter().map(String::as_str));
    Err(Failure { hint: meant.map(|name| format!("did you mean {name}?")), ..failure })
}

/// The name of a route as it is typed and shown.
pub(crate) fn name(route: &RouteInfo) -> String {
    format!("{}{}", route.subdomain, route.path_prefix.as_deref().unwrap_or_default())
}
