//! `doctor`: looks at all that a router needs, and says what is wrong and which command mends it. It reads, and nothing
//! else: no router is started, no file written.
//!
//! Each check has a thread of its own and a time by which it has to be done, so that one that hangs delays no other and the
//! whole ends in time.

mod certificates;
mod configuration;
mod file_limit;
mod finding;
mod home;
mod hosts;
mod listener;
mod names;
mod orphans;
mod router;
mod routes;
mod scene;
mod trust;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use finding::{Finding, Status};
use mastra_router::Home;
use mastra_router::trust::CommandLine;
pub(crate) use scene::Scene;

/// By when every check has to be done. What is asked of the router before takes half a second at the most.
const CHECKS_MOST: Duration = Duration::from_millis(1300);
/// Tools that checks have started are ended before that.
const TOOLS_MOST: Duration = Duration::from_millis(1100);

/// What belongs together, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group(pub(crate) &'static str);

/// A check: what it is called where it does not end in time, and what it does.
type Check = (Group, &'static str, fn(&Scene) -> Vec<Finding>);

const CHECKS: [Check; 13] = [
    (Group("Router"), "router", router::check),
    (Group("Router"), "listener", listener::check),
    (Group("Router"), "control-socket", home::sockets),
    (Group("Router"), "saved-state", home::saved),
    (Group("Router"), "configuration", configuration::check),
    (Group("Names"), "names", names::check),
    (Group("Names"), "hosts-file", hosts::check),
    (Group("HTTPS"), "authority", certificates::check),
    (Group("HTTPS"), "trust", trust::check),
    (Group("Routes"), "routes", routes::check),
    (Group("Routes"), "orphans", orphans::check),
    (Group("Machine"), "clock", certificates::clock),
    (Group("Machine"), "file-limit", file_limit::check),
];

/// Runs every check; in the order of [`CHECKS`], whatever each takes.
pub(crate) async fn examine(home: &Home, home_given: bool) -> Vec<(Group, Vec<Finding>)> {
    let scene = Scene::look(home, home_given, Instant::now() + TOOLS_MOST).await;
    let deadline = Instant::now() + CHECKS_MOST;
    let (sender, receiver) = mpsc::channel();
    for (index, (_, _, check)) in CHECKS.iter().enumerate() {
        let (sender, scene, check) = (sender.clone(), scene.clone(), *check);
        // One that does not end in time ends with the process.
        thread::spawn(move || sender.send((index, check(&scene))));
    }
    drop(sender);
    let mut found: [Option<Vec<Finding>>; CHECKS.len()] = Default::default();
    while let Ok((index, findings)) = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Some(slot) = found.get_mut(index) {
            *slot = Some(findings);
        }
    }
    let late =
        |name| vec![Finding::warn(name, "CHECK_TIMEOUT", "this check did not end in time", "mastra-router doctor")];
    let each = CHECKS.iter().zip(found);
    each.map(|((group, name, _), findings)| (*group, findings.unwrap_or_else(|| late(name)))).collect()
}

/// A path as a shell reads it.
fn quoted(path: &std::path::Path) -> String {
    CommandLine::new([path.to_string_lossy()]).to_string()
}
