//! What a `run` that was killed has left.

use mastra_router::RouteLease;

use super::{Finding, Scene};
use crate::run;

const CHECK: &str = "orphans";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let left = run::left_behind(&scene.home);
    let mut found: Vec<Finding> = Vec::new();
    if let [(first, _), rest @ ..] = &left[..] {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let message = format!("left by a run that was killed: pid {}, {}{more}", first.pid, first.command());
        found.push(Finding::warn(CHECK, "ORPHANS", message, scene.command("prune")));
    }
    let ended = scene.routes.iter().filter(|route| route.lease.as_ref().is_some_and(RouteLease::has_ended));
    for route in ended {
        let message = format!("the route {} is of a run that has ended", route.subdomain);
        found.push(Finding::warn(CHECK, "ORPHANS", message, scene.command("prune")));
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, "none"));
    }
    found
}
