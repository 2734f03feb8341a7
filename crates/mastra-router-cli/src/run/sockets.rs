//! The TCP ports that processes listen on.

use std::collections::{BTreeMap, HashSet};
use std::fs;

use mastra_router::RouteLease;

use super::processes::{self, Process};

/// State of a listening socket, in the tables of /proc.
const LISTEN: &str = "0A";

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) port: u16,
    inode: u64,
}

impl Listening {
    /// The port of a server of these processes: `wanted` where one listens there, else the lowest of the others.
    pub(crate) fn of(processes: &[Process], wanted: u16) -> Option<Self> {
        let own: HashSet<u64> = processes.iter().flat_map(|process| sockets(process.pid)).collect();
        if own.is_empty() {
            return None;
        }
        let ports: BTreeMap<u16, u64> =
            listening().into_iter().filter(|socket| own.contains(&socket.inode)).map(|s| (s.port, s.inode)).collect();
        let found = ports.get_key_value(&wanted).or_else(|| ports.first_key_value());
        found.map(|(&port, &inode)| Self { port, inode })
    }

    /// Whether this very socket listens on, which costs less to find out than whose it is.
    pub(crate) fn goes_on(&self) -> bool {
        listening().contains(self)
    }
}

/// Whether others than the processes of a run listen on a port, and none of these does.
pub(crate) fn is_taken_from(lease: &RouteLease, port: u16) -> bool {
    let on_port: Vec<Listening> = listening().into_iter().filter(|socket| socket.port == port).collect();
    if on_port.is_empty() {
        return false;
    }
    let own: HashSet<u64> = processes::of_lease(lease).iter().flat_map(|process| sockets(process.pid)).collect();
    !on_port.iter().any(|socket| own.contains(&socket.inode))
}

/// The sockets a process has open.
fn sockets(pid: u32) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}

fn listening() -> Vec<Listening> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1)).filter_map(row).collect()
}

fn row(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
    Some(Listening { port, inode: fields.get(9)?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_table() {
        let line = |state: &str| {
            format!(
                "   0: 0100007F:1F90 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000  0 4711 1 0 100"
            )
        };
        assert_eq!(row(&line("0A")), Some(Listening { port: 8080, inode: 4711 }));
        assert_eq!(row(&line("01")), None);
        assert_eq!(row("  sl  local_address"), None);
    }
}
