//! How many files a router may have open, beside how many connections it is to take.

use mastra_router::ProxyConfig;
use rustix::process::{Resource, getrlimit};

use super::{Finding, Scene};

const CHECK: &str = "file-limit";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let connections = ProxyConfig::default().max_connections as u64;
    // A client and its target.
    let needed = connections * 2;
    let own = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let of_router = scene.router.as_ref().and_then(|router| limit_of(router.pid)).unwrap_or(own);
    let low = |limit: u64, fix: String| {
        let message = format!(
            "{limit} open files are allowed, so {} of {connections} connections are taken at one time",
            limit / 2
        );
        vec![Finding::warn(CHECK, "FILE_LIMIT_LOW", message, fix)]
    };
    if of_router < needed && own >= needed {
        return low(of_router, scene.command("restart"));
    }
    if of_router < needed {
        return low(of_router, format!("sudo prlimit --nofile={needed} --pid $$"));
    }
    vec![Finding::ok(CHECK, if of_router == u64::MAX { "none".to_owned() } else { format!("{of_router} files") })]
}

/// The limit that a process can have at the most; unknown on other systems than Linux.
fn limit_of(pid: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}
