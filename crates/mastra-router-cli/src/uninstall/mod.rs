//! `uninstall`: finds all that the router has ever written on this machine, and removes it in the one order that leaves
//! nothing half done: nothing runs any more before files go, and an authority is trusted nowhere before its directory goes.
//!
//! What is to go is found first, in [`inventory`], and is the same whether it is then shown or removed.

mod files;
mod inventory;
mod plan;

use std::path::PathBuf;

use mastra_router::control::ControlClient;
use mastra_router::trust::{Mode, Outcome as Became};
use mastra_router::{Home, HomeHolder, HomeLock, HostsEdit, InvokingUser, RouterError};

use self::files::remove;
pub(crate) use self::inventory::Inventory;
use self::inventory::held_leases;
pub(crate) use self::plan::{Item, Kind, Outcome, Report};
use crate::commands::daemon::{answering, until_ended};
use crate::failure::Failure;
use crate::service;

/// Removes all that was found.
///
/// # Errors
/// Where the router does not stop; then nothing else was changed but the service.
pub(crate) async fn apply(inventory: Inventory, home: &Home) -> Result<Report, Failure> {
    let mut report = Report::default();
    for (manager, files) in &inventory.services {
        let item = Item::service(&**manager, files);
        let outcome = match service::uninstall(&**manager, files) {
            Ok(()) => Outcome::Removed,
            Err(failure) => Outcome::of_service(&**manager, &failure),
        };
        report.items.push((item, outcome));
    }
    stop(&inventory, home, &mut report).await?;
    let _lock = lock(&inventory, home)?;
    untrust(&inventory, &mut report)?;
    let made = clean_hosts(&inventory, &mut report);
    for mut group in inventory.groups {
        if let Some(reason) = group.kept_while(&report) {
            report.kept.extend(group.roots().map(|path| (path, reason.to_owned())));
            continue;
        }
        // As it was shown; the backup of the last change is nobody's.
        let item = Item::files(&group);
        if group.kind == Kind::Backups {
            group.add(made.clone());
        }
        let mut failed: Vec<(PathBuf, String)> = Vec::new();
        // One may have been taken just now.
        let held = if group.kind == Kind::State { held_leases() } else { Vec::new() };
        for path in group.files.iter().chain(&group.dirs).filter(|path| !held.contains(path)) {
            if let Err(error) = remove(path) {
                failed.push((path.clone(), error.to_string()));
            }
        }
        let outcome = match failed.first() {
            None => Outcome::Removed,
            Some((path, why)) => Outcome::failed(format!("{}: {why}", path.display())),
        };
        report.items.push((item, outcome));
    }
    // Directories that were made for others of these go when those have gone.
    inventory.parents.iter().for_each(|dir| drop(remove(dir)));
    report.kept.extend(inventory.kept);
    Ok(report)
}

/// What [`apply`] would do.
pub(crate) fn preview(inventory: Inventory) -> Report {
    let mut report = Report::default();
    for (manager, files) in &inventory.services {
        report.items.push((Item::service(&**manager, files), Outcome::Would));
    }
    report.items.extend(inventory.router.map(|pid| (Item::router(pid), Outcome::Would)));
    for outcome in &inventory.stores {
        report.items.push((Item::store(outcome), Outcome::of_store(outcome)));
    }
    if let Some(hosts) = &inventory.hosts {
        report.items.push((Item::hosts(hosts), hosts.expected()));
    }
    for group in inventory.groups {
        match group.kept_while(&report) {
            Some(reason) => report.kept.extend(group.roots().map(|path| (path, reason.to_owned()))),
            None => report.items.push((Item::files(&group), Outcome::Would)),
        }
    }
    report.kept.extend(inventory.kept);
    report
}

async fn stop(inventory: &Inventory, home: &Home, report: &mut Report) -> Result<(), Failure> {
    // Its service may have ended it.
    if let (Some(pid), Some(_)) = (inventory.router, answering(home).await) {
        ControlClient::new(home).stop().await?;
        until_ended(home, pid).await?;
    }
    report.items.extend(inventory.router.map(|pid| (Item::router(pid), Outcome::Removed)));
    if inventory.is_home
        && let HomeHolder::Process(pid) = home.holder()?
    {
        let error = RouterError::HomeInUse { home: home.path().to_owned(), pid };
        let hint = match InvokingUser::current().sudo {
            Some(_) => Some("stop it as yourself: mastra-router stop".to_owned()),
            None => pid.map(|pid| format!("end it: kill {pid}")),
        };
        return Err(Failure { hint, ..error.into() });
    }
    Ok(())
}

/// Keeps a router from being started meanwhile. Under sudo the home is not root's to lock.
fn lock(inventory: &Inventory, home: &Home) -> Result<Option<HomeLock>, Failure> {
    if !inventory.is_home {
        return Ok(None);
    }
    match home.lock() {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ RouterError::HomeInUse { .. }) => Err(error.into()),
        // One that no router would use any more is removed all the same.
        Err(_) => Ok(None),
    }
}

fn untrust(inventory: &Inventory, report: &mut Report) -> Result<(), Failure> {
    if inventory.stores.is_empty() {
        return Ok(());
    }
    let outcomes = inventory.untrust(Mode::Apply)?;
    for outcome in outcomes {
        let was_found = inventory.stores.iter().any(|before| before.store == outcome.store);
        if was_found || matches!(outcome.outcome, Became::Removed(_)) {
            report.items.push((Item::store(&outcome), Outcome::of_store(&outcome)));
        }
    }
    Ok(())
}

/// Returns the backup that was made of it, which nobody will put back.
fn clean_hosts(inventory: &Inventory, report: &mut Report) -> Option<PathBuf> {
    let hosts = inventory.hosts.as_ref()?;
    let (outcome, made) = match hosts.manager.apply(&HostsEdit::Clean) {
        Ok(change) => (Outcome::Removed, change.backup),
        Err(error @ RouterError::HostsDenied { .. }) => (Outcome::NeedsPrivilege { reason: error.to_string() }, None),
        Err(error) => (Outcome::failed(error.to_string()), None),
    };
    report.items.push((Item::hosts(hosts), outcome));
    made
}
