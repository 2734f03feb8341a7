//! Where the hosts file and its backups are, unless somebody says otherwise.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names another hosts file than the system's, for containers and trials.
const PATH_VARIABLE: &str = "MASTRA_ROUTER_HOSTS_FILE";

/// `$MASTRA_ROUTER_HOSTS_FILE`, or the system's hosts file.
pub(super) fn path() -> PathBuf {
    let named = std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    named.map_or_else(system_path, PathBuf::from)
}

#[cfg(not(windows))]
fn system_path() -> PathBuf {
    PathBuf::from("/etc/hosts")
}

#[cfg(windows)]
fn system_path() -> PathBuf {
    let root = std::env::var_os("SystemRoot").map_or_else(|| PathBuf::from(r"C:\Windows"), PathBuf::from);
    root.join(r"System32\drivers\etc\hosts")
}

/// `~/.mastra/hosts-backups` of the user this process runs as: root keeps its own, since under sudo `$HOME` may be that of
/// a user whose programs could lead root's writes elsewhere.
pub(super) fn backup_dir() -> PathBuf {
    let own = rustix::process::geteuid().as_raw();
    let is_own = |home: &PathBuf| fs::metadata(home).is_ok_and(|meta| meta.uid() == own);
    let home = std::env::home_dir().filter(is_own).or_else(|| passwd_home(&own.to_string()));
    home.unwrap_or_else(std::env::temp_dir).join(".mastra/hosts-backups")
}

fn passwd_home(uid: &str) -> Option<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&uid))?;
    entry.get(5).filter(|home| Path::new(home).is_absolute()).map(PathBuf::from)
}
