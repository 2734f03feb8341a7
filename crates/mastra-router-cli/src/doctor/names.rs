//! Whether programs of this machine find the routes' names, as the system's resolver has them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Finding, Scene};

const CHECK: &str = "names";
/// A name server that does not answer takes longer; then that is what is said.
const MOST: Duration = Duration::from_millis(1000);
/// Names that are looked up at one time.
const WORKERS: usize = 8;
/// More of them say nothing new: names of one domain resolve alike, but for those that a hosts file has.
const NAMES_MAX: usize = 200;

/// What became of a name.
enum Found {
    Addresses(Vec<IpAddr>),
    Nothing,
}

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let Some(router) = scene.router.as_ref().filter(|router| router.strategy == "reverse-proxy") else {
        return vec![Finding::ok(CHECK, "no names are served")];
    };
    let names = scene.hosts();
    if names.is_empty() {
        return vec![Finding::ok(CHECK, "there are no routes yet")];
    }
    let listen: Vec<IpAddr> =
        router.listen.iter().filter_map(|a| a.parse::<SocketAddr>().ok()).map(|a| a.ip()).collect();
    let answers = look_up(names.iter().take(NAMES_MAX).cloned().collect());
    let (mut late, mut unknown, mut elsewhere, mut unserved) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names.iter().take(NAMES_MAX) {
        match answers.get(name) {
            None => late.push(name.as_str()),
            Some(Found::Nothing) => unknown.push(name.as_str()),
            Some(Found::Addresses(found)) => {
                if let Some(other) = found.iter().find(|ip| !is_of_this_machine(**ip, &listen)) {
                    elsewhere.push((name.as_str(), *other));
                } else if !found.iter().any(|ip| is_served(*ip, &listen)) {
                    unserved.push((name.as_str(), found.clone()));
                }
            }
        }
    }
    let mut found = Vec::new();
    let sync = sync_command(scene);
    if !unknown.is_empty() {
        found.push(not_found(&unknown, &scene.base_domain(), sync.clone()));
    }
    for (name, ip) in elsewhere {
        let message = format!("{name} is {ip} to this machine, and not the router");
        found.push(Finding::fail(CHECK, "NAME_ELSEWHERE", message, format!("{sync} --force")));
    }
    for (name, ips) in unserved {
        let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
        let message = format!("{name} is {} to this machine, where the router does not listen", ips.join(", "));
        found.push(Finding::fail(CHECK, "NAME_UNSERVED", message, sync.clone()));
    }
    if !late.is_empty() {
        let message = format!("{}: the system's resolver gave no answer in time", listed(&late));
        found.push(Finding::warn(CHECK, "NAME_TIMEOUT", message, sync));
    }
    if found.is_empty() {
        let of = if names.len() == 1 { "its 1 name".to_owned() } else { format!("all {} names", names.len()) };
        found.push(Finding::ok(CHECK, format!("{of} resolve")));
    }
    found
}

/// Browsers and curl find names of `localhost` by themselves, so that is something to live with.
fn not_found(names: &[&str], base: &str, fix: String) -> Finding {
    let does = if names.len() == 1 { "does" } else { "do" };
    let message = format!("{} {does} not resolve", listed(names));
    if base == "localhost" || base.ends_with(".localhost") {
        let message = format!("{message} outside of browsers and curl, which know by themselves");
        Finding::warn(CHECK, "NAME_NOT_FOUND", message, fix)
    } else {
        Finding::fail(CHECK, "NAME_NOT_FOUND", message, fix)
    }
}

/// What writes the names into the hosts file; the domain of somebody else takes a word at the terminal.
fn sync_command(scene: &Scene) -> String {
    let base = scene.base_domain();
    let allow = if crate::commands::hosts::is_local(&base) { String::new() } else { format!(" --allow {base}") };
    scene.command(&format!("hosts sync{allow}"))
}

fn listed(names: &[&str]) -> String {
    match names {
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
        [] => String::new(),
    }
}

fn is_of_this_machine(ip: IpAddr, listen: &[IpAddr]) -> bool {
    ip.is_loopback() || listen.contains(&ip) || listen.iter().any(IpAddr::is_unspecified)
}

fn is_served(ip: IpAddr, listen: &[IpAddr]) -> bool {
    listen.iter().any(|at| *at == ip || at.is_unspecified() && at.is_ipv4() == ip.is_ipv4())
}

/// What the system says of each name; a name that it says nothing of in time is missing.
fn look_up(names: Vec<String>) -> HashMap<String, Found> {
    let until = Instant::now() + MOST;
    let workers = WORKERS.min(names.len());
    let left = Arc::new(Mutex::new(names));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..workers {
        let (left, sender) = (left.clone(), sender.clone());
        // A resolver has no cancellation: one that hangs does so until the process ends.
        thread::spawn(move || {
            loop {
                let Some(name) = left.lock().unwrap_or_else(PoisonError::into_inner).pop() else { return };
                let found = resolve(&name);
                if sender.send((name, found)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut found = HashMap::new();
    while let Ok((name, answer)) = receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
        found.insert(name, answer);
    }
    found
}

/// Both families, as `getaddrinfo` gives them to any program.
fn resolve(name: &str) -> Found {
    match (name, 80).to_socket_addrs() {
        Ok(addresses) => {
            let mut found: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
            found.dedup();
            if found.is_empty() { Found::Nothing } else { Found::Addresses(found) }
        }
        Err(_) => Found::Nothing,
    }
}
