//! Whether a router runs, and whether it is the one of this command.

use mastra_router::HomeHolder;

use super::{Finding, Scene};
use crate::cli::VERSION;

const CHECK: &str = "router";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let Some(router) = &scene.router else { return vec![not_answering(scene)] };
    let mut found = vec![Finding::ok(CHECK, format!("running, version {}, pid {}", router.version, router.pid))];
    if router.version != VERSION {
        let message = format!("the router is version {}, this command is {VERSION}", router.version);
        found.push(Finding::warn("version", "VERSION_DIFFERS", message, scene.command("restart")));
    }
    let told = router.warnings.iter();
    found.extend(told.map(|warning| Finding::warn(CHECK, "ROUTER_WARNING", warning, scene.command("logs"))));
    found
}

fn not_answering(scene: &Scene) -> Finding {
    match &scene.holder {
        Ok(HomeHolder::Nobody) => Finding::warn(
            CHECK,
            "ROUTER_NOT_RUNNING",
            "none runs; commands that need one start it",
            scene.command("start"),
        ),
        Ok(HomeHolder::Process(pid)) => {
            let (named, fix) = match pid {
                Some(pid) => (format!(" (pid {pid})"), format!("kill -KILL {pid}")),
                None => (String::new(), scene.command("logs")),
            };
            let message = format!("a process{named} has the home and does not answer");
            Finding::fail(CHECK, "ROUTER_NOT_ANSWERING", message, fix)
        }
        Err(error) => Finding::fail(CHECK, "FILE_ERROR", error, format!("ls -ld {}", super::quoted(scene.home.path()))),
    }
}
