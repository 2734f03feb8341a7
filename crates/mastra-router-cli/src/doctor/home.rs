//! The state directory: its sockets, what is saved, and what a process that was killed has left.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use mastra_router::{HomeHolder, PortManager, default_lease_dir};

use super::{Finding, Scene, quoted};
use crate::daemon::door;

const SOCKET: &str = "control-socket";
const STATE: &str = "saved-state";

/// The directory and the sockets in it.
pub(super) fn sockets(scene: &Scene) -> Vec<Finding> {
    let path = scene.home.path();
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(_) => return vec![Finding::ok(SOCKET, "none; no router has run here yet")],
    };
    if let Some(fault) = fault_of_home(path, &meta) {
        return vec![fault];
    }
    let control = scene.home.socket_path();
    let mut found: Vec<Finding> =
        [control.clone(), door::path(&scene.home)].iter().filter_map(|path| fault_of(scene, path)).collect();
    if found.is_empty() {
        let message = if scene.router.is_some() { "answers, for you alone" } else { "none" };
        found.push(Finding::ok(SOCKET, message));
    }
    found
}

fn fault_of_home(path: &Path, meta: &Metadata) -> Option<Finding> {
    let shown = path.display();
    let fail = |what, fix| Some(Finding::fail(SOCKET, "HOME_UNSAFE", format!("{shown} {what}"), fix));
    if meta.is_symlink() {
        return fail("is a symbolic link, which no router follows", format!("readlink -f {}", quoted(path)));
    }
    if !meta.is_dir() {
        return fail("is no directory", format!("ls -l {}", quoted(path)));
    }
    if !is_own(meta) {
        return fail("belongs to another user", format!("ls -ld {}", quoted(path)));
    }
    if meta.mode() & 0o022 != 0 {
        return fail("can be written to by others", format!("chmod go-w {}", quoted(path)));
    }
    None
}

/// What is wrong with a socket, if it is there.
fn fault_of(scene: &Scene, path: &Path) -> Option<Finding> {
    let meta = fs::symlink_metadata(path).ok()?;
    let (shown, remove) = (path.display(), format!("rm {}", quoted(path)));
    if !meta.file_type().is_socket() {
        return Some(Finding::fail(SOCKET, "SOCKET_REPLACED", format!("{shown} is no socket"), remove));
    }
    if !is_own(&meta) {
        let message = format!("{shown} belongs to another user (uid {})", meta.uid());
        return Some(Finding::fail(SOCKET, "SOCKET_OWNER", message, remove));
    }
    if meta.mode() & 0o777 != 0o600 {
        let message = format!("{shown} has mode {:04o}; it should be 0600", meta.mode() & 0o777);
        return Some(Finding::fail(SOCKET, "SOCKET_MODE", message, format!("chmod 600 {}", quoted(path))));
    }
    let nobody = scene.holder == Ok(HomeHolder::Nobody);
    if nobody && scene.router.is_none() && UnixStream::connect(path).is_err() {
        let message = format!("{shown} was left by a router that was killed; the next one replaces it");
        return Some(Finding::warn(SOCKET, "SOCKET_STALE", message, scene.command("start")));
    }
    None
}

/// Under sudo, files are those of the user who called it.
fn is_own(meta: &Metadata) -> bool {
    let user = mastra_router::InvokingUser::current().sudo.map(|(uid, _)| uid);
    let own = rustix::process::geteuid().as_raw();
    meta.uid() == user.unwrap_or(own)
}

/// The saved routes, and files that nobody uses any more.
pub(super) fn saved(scene: &Scene) -> Vec<Finding> {
    let saved = match &scene.saved {
        Ok(saved) => saved,
        Err(error) => {
            return vec![Finding::fail(STATE, "FILE_ERROR", error, format!("ls -la {}", quoted(scene.home.path())))];
        }
    };
    let is_free = scene.router.is_none() && scene.holder == Ok(HomeHolder::Nobody);
    let mut found = Vec::new();
    for damage in &saved.damaged {
        let message = format!("{damage}; the next start keeps it under another name and begins without it");
        let fix = scene.command(if is_free { "start" } else { "restart" });
        found.push(Finding::fail(STATE, "STATE_DAMAGED", message, fix));
    }
    for kept in &saved.kept {
        let message = format!("{} could not be used and was kept", kept.display());
        found.push(Finding::warn(STATE, "STATE_KEPT_ASIDE", message, format!("rm {}", quoted(kept))));
    }
    // While one runs, it may be at work on them.
    if is_free {
        for path in &saved.unfinished {
            let message = format!("{} was left by a process that was killed", path.display());
            found.push(Finding::warn(STATE, "LEFTOVER", message, format!("rm {}", quoted(path))));
        }
    }
    let leases = PortManager::lease_files(&default_lease_dir());
    let ended: Vec<String> = leases.iter().filter(|lease| !lease.is_held).map(|lease| quoted(&lease.path)).collect();
    if let [first, ..] = &ended[..] {
        let what = if ended.len() == 1 { "lease of a port" } else { "leases of ports" };
        let message = format!("{} {what} left by processes that were killed; they hold nothing", ended.len());
        let fix = if ended.len() == 1 { format!("rm {first}") } else { format!("rm {}", ended.join(" ")) };
        found.push(Finding::warn(STATE, "LEFTOVER", message, fix));
    }
    if found.is_empty() {
        let routes = if saved.routes == 1 { "1 route".to_owned() } else { format!("{} routes", saved.routes) };
        found.push(Finding::ok(STATE, format!("{routes} saved")));
    }
    found
}
