//! A process, known for good: a pid is given out again, a pid with the time its process started is not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::lease::RouteLease;

/// A process of this machine. What the system does not tell is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Inode of the pid namespace that the pid is one of.
    pub(crate) namespace: u64,
    pub(crate) pid: u32,
    /// When it started, as [`start_time`] has it.
    pub(crate) start: u64,
}

impl Process {
    /// This one.
    pub(crate) fn own() -> Self {
        let start = Stat::read("self").map(|stat| stat.start);
        Self { namespace: namespace().unwrap_or(0), pid: std::process::id(), start: start.unwrap_or(0) }
    }

    /// Whether it is gone for certain. False where it runs, and where that cannot be told from here: in another pid
    /// namespace, and on other systems than Linux.
    pub(crate) fn has_ended(&self) -> bool {
        if self.namespace == 0 || self.start == 0 || namespace() != Some(self.namespace) {
            return false;
        }
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        match test_kill_process(pid) {
            Err(Errno::SRCH) => true,
            // There is a process of this pid, of this user or of another. /proc may hide it, or be that of another
            // namespace.
            _ => {
                let stat = if shows_own_pids() { Stat::read(&self.pid.to_string()) } else { None };
                stat.is_some_and(|stat| stat.start != self.start || stat.is_dead)
            }
        }
    }
}

impl RouteLease {
    /// A lease of this process.
    pub fn of_this_process() -> Self {
        let Process { namespace, pid, start } = Process::own();
        Self { namespace, pid, start, command: None, folder: None }
    }

    /// A lease of another process that this one sees; `None` where it has ended.
    pub fn of_process(pid: u32) -> Option<Self> {
        let stat = Stat::read(&pid.to_string()).filter(|stat| !stat.is_dead)?;
        Some(Self { namespace: namespace().unwrap_or(0), pid, start: stat.start, command: None, folder: None })
    }

    /// Whether the process is gone for certain. False where that cannot be told from here, as of another pid namespace.
    pub fn has_ended(&self) -> bool {
        Process { namespace: self.namespace, pid: self.pid, start: self.start }.has_ended()
    }
}

/// When a process started, in a form that is only compared. Unknown on other systems than Linux.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    Some(Stat::read(&pid.to_string())?.start)
}

/// What /proc says of a process.
struct Stat {
    /// Ticks of the clock since the machine started.
    start: u64,
    /// All that is left of it is what its parent has not asked for yet.
    is_dead: bool,
}

impl Stat {
    fn read(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field, the program's name in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first of these is the third field; the 20th has the number of threads, the 22nd the start.
        let (state, threads, start) = (fields.first()?, fields.get(17)?, fields.get(19)?);
        // A first thread that has ended is shown like a dead process, while others go on.
        let is_dead = matches!(*state, "Z" | "X" | "x") && threads.parse::<u32>().is_ok_and(|threads| threads <= 1);
        Some(Self { start: start.parse().ok()?, is_dead })
    }
}

fn namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// Whether the pids of /proc are those that this process knows.
fn shows_own_pids() -> bool {
    fs::read_link("/proc/self").is_ok_and(|own| own == Path::new(&std::process::id().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_of_a_process() {
        let line = |name: &str, state: &str, threads: u32| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 {threads} 0 4711 8 9\n")
        };
        for (name, state, threads, is_dead) in [
            ("node", "S", 11, false),
            (") R 1 (", "R", 1, false),
            ("a b", "Z", 1, true),
            ("node", "X", 0, true),
            ("the first thread has ended", "Z", 2, false),
        ] {
            let stat = Stat::parse(&line(name, state, threads)).unwrap();
            assert_eq!((stat.start, stat.is_dead), (4711, is_dead), "{name} {state}");
        }
        for bad in ["", "7 (node", "7 (node) S 1", "7 (node) S 1 7 7 0 -1 4194560 9 0 0 0 1 2 0 0 20 0 1 0 soon"] {
            assert!(Stat::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_what_is_certain_is_an_end() {
        let own = Process::own();
        assert_eq!(own, Process::own());
        assert_eq!(start_time(own.pid), Some(own.start));
        assert!(own.namespace != 0 && !own.has_ended());
        // Its pid was given to another process since.
        assert!(Process { start: own.start - 1, ..own }.has_ended());
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let of_child = Process { pid: child.id(), start: start_time(child.id()).unwrap(), ..own };
        assert!(!of_child.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(of_child.has_ended());
        // From here nothing is known of it.
        for unknown in [
            Process { namespace: own.namespace + 1, ..of_child },
            Process { namespace: 0, ..of_child },
            Process { start: 0, ..of_child },
            Process { pid: 0, ..of_child },
            Process { pid: u32::MAX, ..of_child },
        ] {
            assert!(!unknown.has_ended(), "{unknown:?}");
        }
    }
}
