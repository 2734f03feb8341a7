//! `add`, `update`, `rm`.

use std::process::ExitCode;

use mastra_router::control::ControlClient;
use mastra_router::control::wire::RouteJson;
use mastra_router::{EdgeRouterProvider, RouteConfig, RouteInfo, RouteUpdate, RouterControl, RouterError, Target};

use super::Outcome;
use crate::cli::{Add, Keys, Update};
use crate::config_file::default_deployment;
use crate::output::{Output, status};

pub(crate) async fn add(args: Add, client: &ControlClient, output: &Output) -> Outcome {
    let target = Target::parse_text(&args.target)?;
    let options = args.options;
    let deployment = args.deployment.unwrap_or_else(|| default_deployment(&args.name, options.path_prefix.as_deref()));
    let config = RouteConfig {
        path_prefix: options.path_prefix,
        strip_prefix: options.keep_prefix.then_some(false),
        health_path: options.health,
        wildcard: options.wildcard,
        ..RouteConfig::new(deployment, args.project, args.name, target.host_text(), target.port())
    };
    show(client.register_route(config).await?, output);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn update(args: Update, client: &ControlClient, output: &Output) -> Outcome {
    let target = args.target.as_deref().map(Target::parse_text).transpose()?;
    let options = args.options;
    let update = RouteUpdate {
        project_id: args.project,
        subdomain: args.name,
        target_host: target.as_ref().map(Target::host_text),
        target_port: target.as_ref().map(Target::port),
        path_prefix: options.path_prefix,
        strip_prefix: match (options.keep_prefix, args.strip_prefix) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        },
        health_path: options.health,
        wildcard: options.wildcard.then_some(true),
        wait_healthy: args.wait_healthy,
        ..RouteUpdate::default()
    };
    show(client.update_route(&args.route, update).await?, output);
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
    output.say(&format!("{} → {}  {}", route.subdomain, route.target, status(route.status)));
    if let Some(error) = &route.last_error {
        output.say(&format!("  not healthy yet: {error}"));
    }
}
