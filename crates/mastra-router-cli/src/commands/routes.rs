//! `add`, `update`, `rm`.

use std::process::ExitCode;

use mastra_router::control::ControlClient;
use mastra_router::control::wire::RouteJson;
use mastra_router::{
    EdgeRouterProvider, RouteConfig, RouteInfo, RouteName, RouteUpdate, RouterControl, RouterError, Target,
};

use super::Outcome;
use super::look::name;
use crate::cli::{Add, Keys, Update};
use crate::config::default_deployment;
use crate::daemon::reach::Reach;
use crate::failure::Failure;
use crate::output::{Output, standing};

pub(crate) async fn add(args: Add, reach: Reach<'_>, output: &Output) -> Outcome {
    // First of all, since it is what the deployment's id is made of.
    RouteName::parse(&args.name)?;
    let target = Target::parse_text(&args.target)?;
    let options = args.options;
    let deployment = args.deployment.unwrap_or_else(|| default_deployment(&args.name, options.path_prefix.as_deref()));
    let config = RouteConfig {
        path_prefix: options.path_prefix,
        strip_prefix: options.keep_prefix.then_some(false),
        health_path: options.health,
        wildcard: options.wildcard,
        tls: options.tls,
        target_scheme: target.scheme(),
        wait_healthy: args.wait_healthy,
        ..RouteConfig::new(deployment, args.project, args.name, target.host_text(), target.port())
    };
    let client = reach.client().await?;
    match client.register_route(config.clone()).await {
        Ok(route) => show(route, output),
        Err(error) => return Err(taken(error, &config, &target, &client).await),
    }
    Ok(ExitCode::SUCCESS)
}

/// A refused registration in the words of who typed it: the name, the route that has it, and the command that would do.
async fn taken(error: RouterError, config: &RouteConfig, target: &Target, client: &ControlClient) -> Failure {
    let code = error.code().to_owned();
    let mut failure = Failure::from(error);
    if !["ROUTE_EXISTS", "ROUTE_CONFLICT"].contains(&&*code) {
        return failure;
    }
    let Ok(routes) = client.all_routes().await else { return failure };
    let named =
        |r: &&RouteInfo| r.subdomain.eq_ignore_ascii_case(&config.subdomain) && r.path_prefix == config.path_prefix;
    let deployed = |r: &&RouteInfo| r.deployment_id == config.deployment_id;
    if let Some(route) = routes.iter().find(named) {
        failure.message = format!("{} is taken: it leads to {}", name(route), route.target);
        failure.hint = Some(format!("mastra-router update {} --target {target}", key(route)));
    } else if let Some(route) = routes.iter().find(deployed) {
        let (deployment, name) = (&route.deployment_id, name(route));
        failure.message = format!("deployment {deployment} has a route: {name}, which leads to {}", route.target);
        let rename = if route.path_prefix == config.path_prefix {
            format!(" --name {}", config.subdomain)
        } else {
            String::new()
        };
        failure.hint = Some(format!("mastra-router update {} --target {target}{rename}", key(route)));
    }
    failure
}

/// What names this route and no other on a command line, and is safe to paste into one.
fn key(route: &RouteInfo) -> &str {
    let plain =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b)) && !text.starts_with('-');
    match route.path_prefix {
        None => &route.subdomain,
        Some(_) if plain(&route.deployment_id) => &route.deployment_id,
        Some(_) => route.route_id.as_str(),
    }
}

pub(crate) async fn update(args: Update, reach: Reach<'_>, output: &Output) -> Outcome {
    let target = args.target.as_deref().map(Target::parse_text).transpose()?;
    let options = args.options;
    let update = RouteUpdate {
        project_id: args.project,
        subdomain: args.name,
        target_host: target.as_ref().map(Target::host_text),
        target_port: target.as_ref().map(Target::port),
        target_scheme: target.as_ref().map(Target::scheme),
        path_prefix: options.path_prefix,
        strip_prefix: match (options.keep_prefix, args.strip_prefix) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        },
        health_path: options.health,
        wildcard: options.wildcard.then_some(true),
        tls: options.tls,
        wait_healthy: args.wait_healthy,
        ..RouteUpdate::default()
    };
    let client = reach.client().await?;
    let found = client.find_route(&args.route).await?;
    let route = found.ok_or(RouterError::RouteNotFound { id: args.route })?;
    show(client.update_route(route.route_id.as_str(), update).await?, output);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(args: Keys, client: &ControlClient, output: &Output) -> Outcome {
    // All are looked up first, so that a name that is wrong changes nothing.
    let mut found = Vec::with_capacity(args.routes.len());
    for key in args.routes {
        found.push(client.find_route(&key).await?.ok_or(RouterError::RouteNotFound { id: key })?);
    }
    for route in found {
        client.remove_route(route.route_id.as_str()).await?;
        if output.json {
            output.json(&RouteJson::from(route));
        } else {
            output.say(&format!("removed {}", route.subdomain));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(route: RouteInfo, output: &Output) {
    if output.json {
        output.json(&RouteJson::from(route));
        return;
    }
    output.line(&route.public_url);
    output.say(&format!("{} → {}  {}", route.subdomain, route.target, standing(&route)));
    if let Some(error) = &route.last_error {
        output.say(&format!("  not healthy yet: {error}"));
    }
}
