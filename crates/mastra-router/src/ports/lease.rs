//! A port that belongs to one process, for all processes to see.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::directory::Directory;
use crate::process::start_time;

/// More of a lease file than its writer ever wrote is not read.
const FILE_MAX: u64 = 1024;
/// Longest label of a lease.
const LABEL_MAX: usize = 100;

/// A port held by this process: a file of the port's number, locked. The system gives the lock free when the process
/// dies, however it does, so a file by itself means nothing.
#[derive(Debug)]
pub(super) struct Lease {
    directory: Arc<Directory>,
    name: String,
    file: File,
}

impl Lease {
    /// Takes a port; `None` where another lease holds it.
    ///
    /// # Errors
    /// What the system said of the file.
    pub(super) fn take(directory: &Arc<Directory>, port: u16, label: &str) -> io::Result<Option<Self>> {
        let name = port.to_string();
        // A release removes the file before it unlocks it. Whoever opened the file before that locks one that no longer
        // has a name, and has to look again; each turn needs another release, so there are few.
        let lease = loop {
            let file = directory.open_or_create_file(&name)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if directory.holds(&name, &file)? {
                break Self { directory: directory.clone(), name, file };
            }
        };
        lease.write(label)?;
        Ok(Some(lease))
    }

    fn write(&self, label: &str) -> io::Result<()> {
        let pid = std::process::id();
        let start = start_of(pid);
        self.file.set_len(0)?;
        (&self.file).write_all(format!("{pid}\n{start}\n{}\n", printable(label)).as_bytes())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Under the lock, so nobody else can have put a file of their own there; but the directory may have been moved.
        if self.directory.holds(&self.name, &self.file).unwrap_or(false) {
            let _ = self.directory.remove(&self.name);
        }
        // Closing would not do: a child that is just being spawned has a copy of the descriptor until it runs its program.
        let _ = self.file.unlock();
    }
}

/// Who leased a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tenant {
    label: String,
    pid: Option<u32>,
}

impl Tenant {
    /// As people are told.
    pub(super) fn describe(&self) -> String {
        match (self.label.as_str(), self.pid) {
            ("", None) => "leased to another router".to_owned(),
            ("", Some(pid)) => format!("leased to pid {pid}"),
            (label, None) => format!("leased to {label}"),
            (label, Some(pid)) => format!("leased to {label} (pid {pid})"),
        }
    }

    /// Reads a lease file. A pid counts only where the process that has it now started when the lease says.
    fn read(file: File) -> Self {
        let mut text = String::new();
        // A lease that cannot be read is still one.
        let _ = file.take(FILE_MAX).read_to_string(&mut text);
        let mut lines = text.lines();
        let pid = lines.next().and_then(|pid| pid.parse().ok());
        let start = lines.next().unwrap_or_default();
        let pid = pid.filter(|pid| start_of(*pid) == start);
        Self { label: printable(lines.next().unwrap_or_default()), pid }
    }
}

/// Who holds a port's lease; `None` where nobody does. To know that, the lock is tried, so that for a moment an attempt to
/// take the port fails.
pub(super) fn tenant(directory: &Directory, port: u16) -> Option<Tenant> {
    let file = directory.open_file(&port.to_string()).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => Some(Tenant::read(file)),
    }
}

/// A file of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether a process holds the lease. A file that nobody holds means nothing.
    pub is_held: bool,
    /// That process, where it is told.
    pub pid: Option<u32>,
}

impl LeaseFile {
    /// `None` for a file that is no lease by its name or by what is in it.
    pub(super) fn read(path: PathBuf) -> Option<Self> {
        let port: u16 = path.file_name()?.to_str()?.parse().ok()?;
        path.ends_with(port.to_string()).then_some(())?;
        let file = File::open(&path).ok()?;
        let mut text = String::new();
        (&file).take(FILE_MAX).read_to_string(&mut text).ok()?;
        let mut lines = text.lines();
        let first = lines.next();
        let pid = first.and_then(|pid| pid.parse().ok());
        // A process that was killed between making it and writing it leaves it empty.
        let is_lease = (first.is_none() || pid.is_some()) && lines.count() <= 2;
        is_lease.then(|| Self { is_held: file.try_lock_shared().is_err(), path, pid })
    }
}

/// Labels end up in terminals, and files in what others read.
fn printable(label: &str) -> String {
    label.chars().filter(|c| c.is_alphanumeric() || c.is_ascii_graphic() || *c == ' ').take(LABEL_MAX).collect()
}

/// As it stands in a lease; nothing where the system does not tell.
fn start_of(pid: u32) -> String {
    start_time(pid).map(|start| start.to_string()).unwrap_or_default()
}
