//! `prune`: ends what a `run` that was killed has left.

use std::process::ExitCode;
use std::time::Duration;

use mastra_router::control::ControlClient;
use mastra_router::{Home, RouteInfo, RouteLease, RouterControl, RouterError};
use rustix::process::Signal;
use serde_json::json;

use super::processes::{self, Process};
use crate::cli::Prune;
use crate::failure::Failure;
use crate::output::Output;

/// How long what is asked to end may take for it, and then what is killed.
const GRACE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Ends the processes of runs that have ended, and removes their routes.
///
/// # Errors
/// Where a process does not end.
pub(crate) async fn prune(args: &Prune, home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    let client = ControlClient::new(home);
    let routes: Vec<RouteInfo> = match client.all_routes().await {
        Ok(routes) => {
            routes.into_iter().filter(|route| route.lease.as_ref().is_some_and(RouteLease::has_ended)).collect()
        }
        // Without a router there are no routes to remove. The next one does not put them back.
        Err(RouterError::Unreachable { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let found: Vec<Process> = processes::left_behind(home).into_iter().map(|(process, _)| process).collect();
    let told: Vec<(u32, String)> = found.iter().map(|process| (process.pid, process.command())).collect();
    if !args.dry_run {
        for route in &routes {
            if let Some(lease) = &route.lease {
                client.end_lease(route.route_id.as_str(), lease).await?;
            }
        }
        end(home).await?;
    }
    if output.json {
        let processes: Vec<_> = told.iter().map(|(pid, command)| json!({ "pid": pid, "command": command })).collect();
        let routes: Vec<_> =
            routes.iter().map(|r| json!({ "routeId": r.route_id.as_str(), "name": r.subdomain })).collect();
        output.json(&json!({ "dryRun": args.dry_run, "processes": processes, "routes": routes }));
        return Ok(ExitCode::SUCCESS);
    }
    let (ended, removed) = if args.dry_run { ("would end", "would remove") } else { ("ended", "removed") };
    told.iter().for_each(|(pid, command)| output.line(&format!("{ended} pid {pid}: {command}")));
    routes.iter().for_each(|route| output.line(&format!("{removed} {}", route.subdomain)));
    if told.is_empty() && routes.is_empty() {
        output.say("nothing is left behind");
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends all that is left behind: asks, waits, and kills. What they start meanwhile is found as well.
async fn end(home: &Home) -> Result<(), Failure> {
    let mut all: Vec<Process> = Vec::new();
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = tokio::time::Instant::now() + GRACE;
        let mut asked: Vec<Process> = Vec::new();
        loop {
            let left: Vec<Process> = processes::left_behind(home).into_iter().map(|(process, _)| process).collect();
            // One that is about to end has no environment any more, but sockets.
            if left.is_empty() && !all.iter().any(Process::runs) {
                return Ok(());
            }
            for process in &left {
                if !asked.iter().any(|other| other.is_same(process)) {
                    process.signal(signal);
                    asked.push(*process);
                    all.push(*process);
                }
            }
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    let left: Vec<String> = processes::left_behind(home).iter().map(|(process, _)| process.pid.to_string()).collect();
    Err(Failure::failed("PRUNE_TIMEOUT", format!("these processes do not end: {}", left.join(", "))))
}
