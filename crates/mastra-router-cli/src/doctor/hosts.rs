//! Our block of the hosts file.

use std::collections::BTreeSet;

use mastra_router::{HostsEdit, HostsManager, HostsOwner, HostsSettings, RouterError};

use super::{Finding, Scene, quoted};

const CHECK: &str = "hosts-file";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let own = HostsOwner::of_home(scene.home.path());
    let settings = HostsSettings { suffixes: vec![scene.base_domain()], ..HostsSettings::new(own.clone()) };
    let manager = match HostsManager::new(settings) {
        Ok(manager) => manager,
        Err(error) => return vec![unreadable(&error, "/etc/hosts".to_owned())],
    };
    let path = quoted(manager.path());
    let entries = match manager.entries() {
        Ok(entries) => entries,
        Err(error) => return vec![unreadable(&error, path)],
    };
    let mut found = Vec::new();
    // A home's names are its router's, and there is none.
    let has_ended = |owner: &HostsOwner| owner.has_ended() || (*owner == own && scene.router.is_none());
    let is_stale = |entry: &&mastra_router::HostsEntry| entry.owner.as_ref().is_some_and(has_ended);
    let stale: BTreeSet<&str> = entries.iter().filter(is_stale).map(|entry| entry.name.as_str()).collect();
    if !stale.is_empty() {
        let names = if stale.len() == 1 { "1 name".to_owned() } else { format!("{} names", stale.len()) };
        let first = stale.first().copied().unwrap_or_default();
        let message = format!("{names} of routers that have ended ({first}) in {}", manager.path().display());
        let is_alone = entries.iter().all(|entry| is_stale(&entry));
        let fix = match (&scene.router, is_alone) {
            (Some(_), _) => "hosts sync",
            (None, true) => "hosts clean",
            // What would clean it would take the names of others that run.
            (None, false) => "start",
        };
        found.push(Finding::warn(CHECK, "HOSTS_STALE", message, scene.command(fix)));
    }
    let refused = manager.preview(&HostsEdit::Sync(scene.hosts())).map(|change| change.refused).unwrap_or_default();
    for (_, error) in refused {
        if let RouterError::HostsTaken { line, .. } = &error {
            let fix = format!("sudoedit {path} # line {line}");
            found.push(Finding::fail(CHECK, error.code(), error.to_string(), fix));
        }
    }
    if found.is_empty() {
        let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let message = match names.len() {
            0 => "has no names of ours".to_owned(),
            1 => "has 1 name of ours".to_owned(),
            count => format!("has {count} names of ours"),
        };
        found.push(Finding::ok(CHECK, message));
    }
    found
}

fn unreadable(error: &RouterError, path: String) -> Finding {
    Finding::fail(CHECK, error.code(), error.to_string(), format!("sudoedit {path}"))
}
