//! What people and programs are told of the server of a run.

use serde_json::json;

use super::claim::Claim;
use super::serving::{NEVER, News};
use crate::output::{Output, status};

/// Tells news of the server that `command` runs, which was given `given` for a port.
pub(super) fn tell(claim: &Claim, news: &News, given: u16, command: &str, output: &Output) {
    let (name, url) = (&claim.route.subdomain, &claim.route.public_url);
    output.say(&match news {
        News::Answers { port, .. } if output.json => {
            output.json(&json!({
                "event": "ready",
                "name": name,
                "url": url,
                "port": port,
                "routeId": claim.route.route_id.as_str(),
                "pid": std::process::id(),
            }));
            return;
        }
        News::Answers { port, .. } => {
            let ignored = if *port == given { String::new() } else { format!(" (it did not take port {given})") };
            let active = status(mastra_router::RouteStatus::Active);
            let dot = active.split(' ').next().unwrap_or_default();
            format!("{dot} {url} → localhost:{port}{ignored}")
        }
        // It may answer soon.
        News::Listens { .. } => return,
        News::Waits => format!("{name}: waiting until {command} listens, on port {given} or another"),
        News::WaitsLong => format!(
            "{name}: {command} has not begun to listen within {} seconds; still waiting. Does it take its port \
             another way than by PORT={given}? In the command, {{port}} stands for it.",
            NEVER.as_secs()
        ),
        News::NoAnswer { port } => {
            format!("{name}: {command} listens on port {port}, and does not answer HTTP there; still waiting")
        }
        News::BadPort { port, why } => format!("{name}: port {port} cannot be routed to: {why}"),
        News::Lost { why } => format!("{name}: the route is lost: {why}. {command} goes on without."),
    });
}
