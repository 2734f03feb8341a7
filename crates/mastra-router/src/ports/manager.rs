//! Gives out ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocked::is_blocked;
use super::lease::{self, Lease, LeaseFile};
use super::probe;
use crate::config::PortRange;
use crate::directory::Directory;
use crate::error::{HeldPort, Result, RouterError};
use crate::holder::port_holders;

/// Leases free ports of a range. No two managers of one lease directory, in whatever thread or process, hold the same port;
/// a manager's leases end when they are released, when it is dropped, or when its process dies.
///
/// All methods look at files and sockets and block for that long: below a millisecond a port, more when a range is
/// exhausted. Async callers go through `spawn_blocking`.
#[derive(Debug)]
pub struct PortManager {
    range: PortRange,
    lease_dir: PathBuf,
    label: String,
    /// Held while ports are tried, so that threads do not get in each other's way.
    leases: Mutex<BTreeMap<u16, Lease>>,
}

impl PortManager {
    /// A manager of the ports of `range`, with its leases in `lease_dir`. Nothing is touched before the first lease.
    pub fn new(range: PortRange, lease_dir: PathBuf) -> Self {
        Self { range, lease_dir, label: "mastra-router".to_owned(), leases: Mutex::default() }
    }

    /// The name under which this manager's leases are shown to people, unless they have one of their own.
    #[must_use]
    pub fn with_label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The leases in a directory, of whatever process, by path. Files that are none, and links, are left out. Blocks.
    pub fn lease_files(lease_dir: &Path) -> Vec<LeaseFile> {
        let entries = std::fs::read_dir(lease_dir).into_iter().flatten().flatten();
        let regular = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let mut files: Vec<LeaseFile> = regular.filter_map(|entry| LeaseFile::read(entry.path())).collect();
        files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        files
    }

    /// Leases the lowest free port of the range.
    ///
    /// # Errors
    /// [`RouterError::NoPortAvailable`] with every port of the range and who holds it, or [`RouterError::File`] where the
    /// lease directory cannot be used.
    pub fn allocate(&self) -> Result<u16> {
        self.allocate_for(&self.label)
    }

    /// As [`allocate`](Self::allocate), with a name that people are told when they ask who holds the port.
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub fn allocate_for(&self, label: &str) -> Result<u16> {
        let directory = Arc::new(Directory::open_or_create(&self.lease_dir)?);
        let mut leases = self.leases();
        for port in self.range.start..=self.range.end {
            if let Some(lease) = self.take(&leases, &directory, port, label)? {
                leases.insert(port, lease);
                return Ok(port);
            }
        }
        drop(leases);
        let held = self.held(&directory);
        Err(RouterError::NoPortAvailable { start: self.range.start, end: self.range.end, held })
    }

    /// Leases this port, be it of the range or not. False where it is leased, listened on, or refused by browsers.
    ///
    /// # Errors
    /// [`RouterError::File`] where the lease directory cannot be used.
    pub fn reserve(&self, port: u16) -> Result<bool> {
        let directory = Arc::new(Directory::open_or_create(&self.lease_dir)?);
        let mut leases = self.leases();
        let lease = self.take(&leases, &directory, port, &self.label)?;
        Ok(lease.is_some_and(|lease| leases.insert(port, lease).is_none()))
    }

    /// Leases a port that was leased before this process was: by somebody who may listen on it now, so that is not looked
    /// at. False where another lease holds it.
    pub(crate) fn take_again(&self, port: u16) -> Result<bool> {
        let directory = Arc::new(Directory::open_or_create(&self.lease_dir)?);
        let mut leases = self.leases();
        let lease = if leases.contains_key(&port) {
            None
        } else {
            Lease::take(&directory, port, &self.label).map_err(|source| failed(&directory, port, source))?
        };
        Ok(lease.is_some_and(|lease| leases.insert(port, lease).is_none()))
    }

    /// Whether this port is one of those that are handed out.
    pub(crate) fn is_of_range(&self, port: u16) -> bool {
        (self.range.start..=self.range.end).contains(&port)
    }

    /// Whether nobody listens on this port.
    pub(crate) fn is_idle(&self, port: u16) -> bool {
        probe::is_free(port)
    }

    /// Gives a port back; false where it was not leased by this manager.
    pub fn release(&self, port: u16) -> bool {
        self.leases().remove(&port).is_some()
    }

    /// Whether this port could be leased now. By the time one does, that may have changed.
    pub fn is_port_available(&self, port: u16) -> bool {
        if is_blocked(port) || self.leases().contains_key(&port) {
            return false;
        }
        let leased = Directory::open(&self.lease_dir).is_ok_and(|directory| lease::tenant(&directory, port).is_some());
        !leased && probe::is_free(port)
    }

    /// The ports this manager holds, lowest first.
    pub fn allocated(&self) -> Vec<u16> {
        self.leases().keys().copied().collect()
    }

    /// The lease comes first: the port of a lease that has just ended may be listened on, and only whoever holds the lease
    /// can tell.
    fn take(
        &self,
        leases: &BTreeMap<u16, Lease>,
        directory: &Arc<Directory>,
        port: u16,
        label: &str,
    ) -> Result<Option<Lease>> {
        if is_blocked(port) || leases.contains_key(&port) {
            return Ok(None);
        }
        let lease = Lease::take(directory, port, label).map_err(|source| failed(directory, port, source))?;
        Ok(lease.filter(|_| probe::is_free(port)))
    }

    fn held(&self, directory: &Directory) -> Vec<HeldPort> {
        let mut listening = port_holders();
        let mut holder = |port| {
            if is_blocked(port) {
                return Some("blocked by browsers".to_owned());
            }
            lease::tenant(directory, port).map(|tenant| tenant.describe()).or_else(|| listening.remove(&port))
        };
        let ports = self.range.start..=self.range.end;
        ports.map(|port| HeldPort { port, holder: holder(port) }).collect()
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<u16, Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(directory: &Directory, port: u16, source: std::io::Error) -> RouterError {
    RouterError::File { action: "lock", path: directory.path_of(&port.to_string()), source }
}
