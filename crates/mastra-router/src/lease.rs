//! A route that is there for as long as a process is.

use crate::error::{Result, RouterError};

/// Longest text that is kept of an owner's command or folder, in bytes.
const TEXT_MAX: usize = 1024;

/// The process a route is leased to: the route goes when that process has ended. A pid is given out again, so the time of
/// its start belongs to it. What the system does not tell is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLease {
    /// Inode of the pid namespace that the pid is one of.
    pub namespace: u64,
    /// The process.
    pub pid: u32,
    /// When it started, in a form that is only compared.
    pub start: u64,
    /// What it runs, for people.
    pub command: Option<String>,
    /// Where it runs that, for people.
    pub folder: Option<String>,
}

impl RouteLease {
    /// Whether both are leases of one process.
    pub fn is_of_same_process(&self, other: &Self) -> bool {
        (self.namespace, self.pid, self.start) == (other.namespace, other.pid, other.start)
    }

    /// Checks a lease that a caller gave.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`].
    pub(crate) fn checked(&self) -> Result<()> {
        let refuse = |value: String, reason| Err(RouterError::InvalidField { field: "lease", value, reason });
        if !(1..=i32::MAX.unsigned_abs()).contains(&self.pid) {
            return refuse(self.pid.to_string(), "it names no process");
        }
        for text in [&self.command, &self.folder].into_iter().flatten() {
            if text.len() > TEXT_MAX {
                return refuse(format!("{} bytes", text.len()), "a text is longer than 1024 bytes");
            }
            if text.chars().any(char::is_control) {
                return refuse(text.clone(), "it has a control character");
            }
        }
        Ok(())
    }
}

/// What an update does to a route's lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseUpdate {
    /// The route is there for good.
    End,
    /// The route is leased to this process.
    To(RouteLease),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lease_may_hold() {
        let good = RouteLease { namespace: 1, pid: 2, start: 3, command: None, folder: Some("/a b".into()) };
        assert!(good.checked().is_ok());
        for bad in [
            RouteLease { pid: 0, ..good.clone() },
            RouteLease { pid: u32::MAX, ..good.clone() },
            RouteLease { command: Some("x".repeat(1025)), ..good.clone() },
            RouteLease { folder: Some("a\u{1b}[2J".into()), ..good.clone() },
        ] {
            assert!(bad.checked().is_err(), "{bad:?}");
        }
    }
}
