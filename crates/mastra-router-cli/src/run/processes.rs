//! The processes of a run: what its command has started, and what that has, wherever they have gone.
//!
//! Those that run are found by their parents, since a process whose parent has ended becomes a child of `run`. Those of a
//! `run` that was killed are found by a variable in their environment. Both are of Linux.

use std::collections::HashMap;
use std::fmt;
use std::fs;

use mastra_router::{Home, RouteLease};
use rustix::process::{Pid, Signal, kill_process};

use super::stable_hash::stable_hash;

/// Names the run a process belongs to.
pub(crate) const VARIABLE: &str = "MASTRA_ROUTER_RUN";

/// A run, as its processes carry it: the process of `run`, and the home of its router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RunId {
    pid: u32,
    start: u64,
    namespace: u64,
    home: u64,
}

impl RunId {
    pub(crate) fn new(lease: &RouteLease, home: &Home) -> Self {
        let home = stable_hash(home.path().as_os_str().as_encoded_bytes());
        Self { pid: lease.pid, start: lease.start, namespace: lease.namespace, home }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(str::parse);
        let mut next = || parts.next()?.ok();
        let (pid, start, namespace, home) = (next()?, next()?, next()?, next()?);
        Some(Self { pid: u32::try_from(pid).ok()?, start, namespace, home }).filter(|_| parts.next().is_none())
    }

    pub(crate) fn is_of(&self, home: &Home) -> bool {
        self.home == stable_hash(home.path().as_os_str().as_encoded_bytes())
    }

    /// The process of `run`.
    pub(crate) fn lease(&self) -> RouteLease {
        RouteLease { namespace: self.namespace, pid: self.pid, start: self.start, command: None, folder: None }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.pid, self.start, self.namespace, self.home)
    }
}

/// A process that runs, or that nobody has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    parent: u32,
    /// Its process group: who stands in the foreground of a terminal is told of Ctrl-C by groups.
    group: u32,
    start: u64,
    is_dead: bool,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field, the program's name in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let is_dead = matches!(*fields.first()?, "Z" | "X" | "x") && number(17)? <= 1;
        let id = |at: usize| u32::try_from(number(at)?).ok();
        Some(Self { pid, parent: id(1)?, group: id(2)?, start: number(19)?, is_dead })
    }

    /// What it was started with, for people.
    pub(crate) fn command(&self) -> String {
        let words = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = words.split(|b| *b == 0).filter(|word| !word.is_empty());
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ")
    }

    /// The run it was started by.
    fn run(&self) -> Option<RunId> {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        let marker = format!("{VARIABLE}=");
        let value = environment.split(|b| *b == 0).find_map(|entry| entry.strip_prefix(marker.as_bytes()))?;
        RunId::parse(std::str::from_utf8(value).ok()?)
    }

    /// Sends it a signal, and none to a process that was given its pid since. False where it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return false };
        send(pid, signal, || Self::read(self.pid).is_some_and(|now| now.start == self.start))
    }

    pub(crate) fn runs(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.is_same(self) && !now.is_dead)
    }

    /// Whether both are one, whoever its parent is by now.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.pid, self.start) == (other.pid, other.start)
    }
}

/// Sends a signal to the process that has this pid, if `is_it` says that it is the right one.
#[cfg(target_os = "linux")]
fn send(pid: Pid, signal: Signal, is_it: impl Fn() -> bool) -> bool {
    use rustix::io::Errno;
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    match pidfd_open(pid, PidfdFlags::empty()) {
        // Whatever was given the pid since then, the descriptor is of this process or of none.
        Ok(process) => is_it() && pidfd_send_signal(process, signal).is_ok(),
        // Kernels before 5.3.
        Err(Errno::NOSYS) => is_it() && kill_process(pid, signal).is_ok(),
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
fn send(pid: Pid, signal: Signal, is_it: impl Fn() -> bool) -> bool {
    is_it() && kill_process(pid, signal).is_ok()
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).collect()
}

/// What runs below a process, at a cost that does not grow with what else runs. What is just being started may be missing.
pub(crate) fn below_pid(top: u32) -> Vec<Process> {
    let own = std::process::id();
    if fs::metadata(format!("/proc/{own}/task/{own}/children")).is_err() {
        // Not every kernel has such lists.
        return below(top, &all());
    }
    let mut found: Vec<Process> = Vec::new();
    let mut left = children(top);
    while let Some(process) = left.pop() {
        if found.iter().all(|other| other.pid != process.pid) {
            left.extend(children(process.pid));
            found.push(process);
        }
    }
    found.retain(|process| !process.is_dead);
    found
}

/// What runs below this process and in its group, as what a person has started in a terminal is.
pub(crate) fn of_this_group() -> Vec<Process> {
    let own = Process::read(std::process::id()).map(|process| process.group);
    below_pid(std::process::id()).into_iter().filter(|process| Some(process.group) == own).collect()
}

/// The children of a process: each of its threads has a list.
fn children(pid: u32) -> Vec<Process> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_ascii_whitespace().filter_map(|pid| Process::read(pid.parse().ok()?)).collect::<Vec<_>>()
        })
        .collect()
}

fn below(top: u32, all: &[Process]) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut left = vec![top];
    while let Some(parent) = left.pop() {
        for process in children.remove(&parent).into_iter().flatten() {
            left.push(process.pid);
            if !process.is_dead {
                found.push(*process);
            }
        }
    }
    found
}

/// What a `hold` that was killed has left.
pub(crate) fn left_by(pid: u32, home: &Home) -> Vec<Process> {
    left_behind(home).into_iter().filter(|(_, run)| run.pid == pid).map(|(process, _)| process).collect()
}

/// These, but for one and what runs below it.
pub(crate) fn without(processes: Vec<Process>, left_out: u32) -> Vec<Process> {
    let mut out = below(left_out, &processes);
    out.extend(processes.iter().find(|process| process.pid == left_out).copied());
    processes.into_iter().filter(|process| !out.contains(process)).collect()
}

/// What runs of `run`: below this process, and what carries its mark.
pub(crate) fn of_run(run: RunId) -> Vec<Process> {
    let all = all();
    let mut found = below(std::process::id(), &all);
    let own = std::process::id();
    let marked = all.iter().filter(|process| !process.is_dead && process.pid != own && process.run() == Some(run));
    for process in marked {
        if !found.iter().any(|other| other.is_same(process)) {
            found.push(*process);
        }
    }
    found
}

/// What runs of the run of a lease, seen from another process.
pub(crate) fn of_lease(lease: &RouteLease) -> Vec<Process> {
    let all = all();
    let mut found = below(lease.pid, &all);
    let is_of = |process: &Process| process.run().is_some_and(|run| run.lease().is_of_same_process(lease));
    found.extend(all.into_iter().filter(|process| !process.is_dead && is_of(process)));
    found
}

/// What runs of runs that have ended, with the run of each.
pub(crate) fn left_behind(home: &Home) -> Vec<(Process, RunId)> {
    let own = std::process::id();
    let marked = all().into_iter().filter(|process| !process.is_dead && process.pid != own);
    let marked = marked.filter_map(|process| Some((process, process.run()?)));
    marked.filter(|(_, run)| run.is_of(home) && run.lease().has_ended()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_as_it_is_written() {
        let home = Home::resolve(Some("/x".into()));
        let run = RunId::new(&RouteLease::of_this_process(), &home);
        assert_eq!(RunId::parse(&run.to_string()), Some(run));
        assert!(run.is_of(&home) && !run.is_of(&Home::resolve(Some("/y".into()))));
        for bad in ["", "1", "1.2.3", "1.2.3.4.5", "1.2.3.x", "-1.2.3.4", "99999999999.2.3.4"] {
            assert_eq!(RunId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn descendants_and_nothing_else() {
        let process = |pid, parent, is_dead| Process { pid, parent, group: 0, start: 0, is_dead };
        let all = [
            process(1, 0, false),
            process(10, 1, false),
            process(11, 10, true),
            process(12, 11, false),
            process(13, 12, false),
            process(20, 1, false),
        ];
        let pids = |top| {
            let mut pids: Vec<u32> = below(top, &all).iter().map(|process| process.pid).collect();
            pids.sort_unstable();
            pids
        };
        assert_eq!(pids(10), [12, 13], "below one that nobody has waited for, too");
        assert_eq!(pids(20), [0_u32; 0]);
    }
}
