//! What is asked of a hosts file, and what came of it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::owner::HostsOwner;
use crate::error::RouterError;

/// Names that cannot be written, each with the reason.
pub(super) type Refused = Vec<(String, RouterError)>;

/// Settings of a [`HostsManager`](super::HostsManager).
#[derive(Clone, Debug)]
pub struct HostsSettings {
    /// The hosts file. Default: `$MASTRA_ROUTER_HOSTS_FILE`, else the system's.
    pub path: Option<PathBuf>,
    /// Directory of its backups, the last ten. Default: `~/.mastra/hosts-backups`.
    pub backup_dir: Option<PathBuf>,
    /// Whose the entries are that are written and removed.
    pub owner: HostsOwner,
    /// Domains that names may lie under, beside `localhost`, `test` and `internal`. Default: none.
    pub suffixes: Vec<String>,
    /// Address of the names, a loopback address. With 127.0.0.1 or ::1 they have both. Default: 127.0.0.1.
    pub local_ip: IpAddr,
    /// Write names too that the file gives another address outside of our block. Default: off.
    pub force: bool,
}

impl HostsSettings {
    /// The defaults, for an owner.
    pub fn new(owner: HostsOwner) -> Self {
        let local_ip = Ipv4Addr::LOCALHOST.into();
        Self { path: None, backup_dir: None, owner, suffixes: Vec::new(), local_ip, force: false }
    }
}

/// A change of a hosts file. Names of a process that has ended are those of [`HostsOwner::has_ended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostsEdit {
    /// Adds names to those of this owner: all of them or none. A name that a process has which has ended becomes this
    /// owner's.
    Add(Vec<String>),
    /// Makes the names of this owner exactly these: all of them or nothing is changed. Otherwise as `Add`.
    Set(Vec<String>),
    /// Makes the names of this owner exactly these, as far as they can be written; the others are told. Takes out the
    /// names of routers whose process has ended, but for those of a home.
    Sync(Vec<String>),
    /// Removes names of this owner, of no owner, and of processes that have ended.
    Remove(Vec<String>),
    /// Removes all names of this owner; where it is a [`HostsOwnerKind::Program`](super::HostsOwnerKind::Program), those of
    /// such that have ended, too.
    RemoveAll,
    /// Removes the block, with the names of all owners.
    Clean,
    /// Puts the newest backup back. What the file is now becomes a backup, so that doing it twice undoes it.
    Restore,
    /// Puts one of the backups back, named by the path that the change gave which made it.
    RestoreFrom(PathBuf),
}

/// What a change did, or would do.
#[derive(Debug, Default)]
pub struct HostsChange {
    /// Whether the file changed. One that is as it should be is not written.
    pub changed: bool,
    /// The copy of the file as it was before.
    pub backup: Option<PathBuf>,
    /// Names that were left out, each with the reason; of `Sync` only.
    pub refused: Vec<(String, RouterError)>,
    /// The change as a unified diff; of [`HostsManager::preview`](super::HostsManager::preview) only.
    pub diff: String,
}

/// An entry of our block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostsEntry {
    /// The host name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Whose it is; `None` where no owner was written.
    pub owner: Option<HostsOwner>,
}
