//! Who an entry of a hosts file belongs to.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use sha1::{Digest, Sha1};

use crate::error::{Result, RouterError};
use crate::process::Process;

/// Longest token. The longest of a process has 62.
const LENGTH_MAX: usize = 64;

/// What a process is to its entries in a hosts file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostsOwnerKind {
    /// A router of the process, which keeps its own names. A process may have several.
    Router,
    /// The process itself, which adds and removes names as it likes.
    Program,
}

/// Owner of entries in a hosts file: a token of letters, digits, `-`, `_` and `.` that stands in the comment of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostsOwner(Box<str>);

impl HostsOwner {
    /// Reads a token.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`] where it is empty, longer than 64 characters or has others than those.
    pub fn parse(token: &str) -> Result<Self> {
        let refuse = |reason| Err(RouterError::InvalidField { field: "owner", value: token.to_owned(), reason });
        if token.is_empty() || token.len() > LENGTH_MAX {
            return refuse("it has to have 1 to 64 characters");
        }
        if !token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return refuse("only letters, digits, '-', '_' and '.' can stand in it");
        }
        Ok(Self(token.into()))
    }

    /// The owner that the router of this home is, in this process and in the next: what a router that was killed left
    /// behind is its successor's.
    pub fn of_home(home: &Path) -> Self {
        let digest = Sha1::digest(home.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("router-{hex}").into())
    }

    /// An owner that this process is, for good: no later process is taken for it, whatever its pid. Each call for a
    /// [`HostsOwnerKind::Router`] gives another owner, each for a [`HostsOwnerKind::Program`] the same.
    pub fn of_process(kind: HostsOwnerKind) -> Self {
        static ROUTERS: AtomicU32 = AtomicU32::new(0);
        let number = match kind {
            HostsOwnerKind::Router => ROUTERS.fetch_add(1, Ordering::Relaxed),
            HostsOwnerKind::Program => 0,
        };
        Self::of(kind, Process::own(), number)
    }

    /// What the owner is to its entries, where it is a process; `None` for homes and names.
    pub fn process_kind(&self) -> Option<HostsOwnerKind> {
        self.process().map(|(kind, _)| kind)
    }

    /// Whether the owner is a process that is gone for certain. False for homes and names, for a process that runs, and
    /// where it cannot be told: for one in another pid namespace, and on other systems than Linux.
    pub fn has_ended(&self) -> bool {
        self.process().is_some_and(|(_, process)| process.has_ended())
    }

    /// The pid stands there as people know it; long numbers are hexadecimal, so that all of them fit.
    fn of(kind: HostsOwnerKind, Process { namespace, pid, start }: Process, number: u32) -> Self {
        let token = match kind {
            HostsOwnerKind::Router => format!("router-{namespace:x}.{pid}.{start:x}.{number}"),
            HostsOwnerKind::Program => format!("program-{namespace:x}.{pid}.{start:x}"),
        };
        Self(token.into())
    }

    fn process(&self) -> Option<(HostsOwnerKind, Process)> {
        let (kind, rest) = self.0.split_once('-')?;
        let fields: Vec<&str> = rest.split('.').collect();
        let (kind, namespace, pid, start, number) = match (kind, &fields[..]) {
            ("router", [namespace, pid, start, number]) => (HostsOwnerKind::Router, namespace, pid, start, *number),
            ("program", [namespace, pid, start]) => (HostsOwnerKind::Program, namespace, pid, start, "0"),
            _ => return None,
        };
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let process = Process { namespace: hex(namespace)?, pid: pid.parse().ok()?, start: hex(start)? };
        // Only what would be written like this is read as such.
        (Self::of(kind, process, number.parse().ok()?) == *self).then_some((kind, process))
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostsOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        assert!(HostsOwner::parse("router-1.a_B").is_ok());
        for bad in ["", "a b", "a\n", "a#b", "ü", "a\t", &"x".repeat(65)] {
            assert!(HostsOwner::parse(bad).is_err(), "{bad:?}");
        }
        let of = |path: &str| HostsOwner::of_home(Path::new(path));
        assert_eq!(of("/home/ann/.mastra/router"), of("/home/ann/.mastra/router"));
        assert_ne!(of("/home/ann/.mastra/router"), of("/home/ben/.mastra/router"));
        assert_eq!(HostsOwner::parse(of("/x").as_str()).unwrap(), of("/x"));
    }

    #[test]
    fn processes() {
        use HostsOwnerKind::{Program, Router};
        let own = [Router, Router, Program, Program].map(HostsOwner::of_process);
        assert!(own[0] != own[1] && own[2] == own[3]);
        for (owner, kind) in own.iter().zip([Router, Router, Program, Program]) {
            assert_eq!(HostsOwner::parse(owner.as_str()).unwrap(), *owner);
            assert_eq!(owner.process(), Some((kind, Process::own())));
            assert!(!owner.has_ended());
        }
        let most = Process { namespace: u64::MAX, pid: u32::MAX, start: u64::MAX };
        for owner in [HostsOwner::of(Router, most, u32::MAX), HostsOwner::of(Program, most, 0)] {
            assert_eq!(HostsOwner::parse(owner.as_str()).unwrap(), owner);
            assert_eq!(owner.process().unwrap().1, most);
        }
        // Neither a home nor what a person may have chosen is a process, nor is anything of another form.
        for other in [
            "router-3f2a9c81d4e0",
            "router-1.2.3",
            "router-1.2.3.4.5",
            "router-1.2.3.04",
            "router-F.2.3.4",
            "router-1.02.3.4",
            "router-1.2.3.",
            "program-1.2.3.4",
            "program-1.2.11111111111111111",
            "program-1.2",
            "Program-1.2.3",
            "programs-1.2.3",
            "pid-1-0",
            "one",
        ] {
            let owner = HostsOwner::parse(other).unwrap();
            assert_eq!((owner.process(), owner.has_ended()), (None, false), "{other}");
        }
    }
}
