//! Where routes lead: whether that is well, whose the port is, and whether two lead to one server.

use std::collections::BTreeMap;

use mastra_router::{RouteInfo, RouteStatus, port_holder};

use super::{Finding, Scene};
use crate::commands::look::name;
use crate::run;

const CHECK: &str = "routes";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for route in &scene.routes {
        if let Some(conflict) = conflict(scene, route) {
            found.push(conflict);
        } else if route.status != RouteStatus::Active {
            let why = route.last_error.as_deref().unwrap_or("it was not checked yet");
            let named = name(route);
            let message = format!("{named} → {} is {}: {why}", route.target.authority(), route.status);
            let fix = scene.command(&format!("health {named}"));
            found.push(Finding::warn(CHECK, "ROUTE_NOT_HEALTHY", message, fix));
        }
    }
    found.extend(shared(scene));
    if found.is_empty() {
        found.push(Finding::ok(
            CHECK,
            match scene.routes.len() {
                0 => "none yet".to_owned(),
                1 => "1 route, healthy".to_owned(),
                count => format!("{count} routes, all healthy"),
            },
        ));
    }
    found
}

/// The port of a `run` that a process of somebody else listens on.
fn conflict(scene: &Scene, route: &RouteInfo) -> Option<Finding> {
    let lease = route.lease.as_ref().filter(|lease| !lease.has_ended())?;
    let port = route.target.port();
    if !run::is_taken_from(lease, port) {
        return None;
    }
    let holder = port_holder(port);
    let pid = holder.as_deref().and_then(|holder| holder.rsplit_once("(pid ")?.1.strip_suffix(')').map(str::to_owned));
    let named = holder.unwrap_or_else(|| "another process".to_owned());
    let message = format!("port {port} of {} is held by {named}, which is not of its run", name(route));
    let fix = pid.map_or_else(|| scene.command(&format!("rm {}", name(route))), |pid| format!("kill {pid}"));
    Some(Finding::fail(CHECK, "ROUTE_PORT_TAKEN", message, fix))
}

/// Several routes that lead to one server. That may be meant, and is worth a word.
fn shared(scene: &Scene) -> Vec<Finding> {
    let mut by_target: BTreeMap<String, Vec<&RouteInfo>> = BTreeMap::new();
    for route in &scene.routes {
        by_target.entry(route.target.to_string()).or_default().push(route);
    }
    let several = by_target.into_iter().filter(|(_, routes)| routes.len() > 1);
    let finding = |(target, routes): (String, Vec<&RouteInfo>)| {
        let names: Vec<String> = routes.iter().map(|route| name(route)).collect();
        let fix = scene.command(&format!("rm {}", names.last().map_or("", String::as_str)));
        Finding::warn(
            CHECK,
            "ROUTE_TARGET_SHARED",
            format!("{} lead to one server, {target}", names.join(" and ")),
            fix,
        )
    };
    several.map(finding).collect()
}
