//! Port leases between processes: this binary runs itself.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mastra_router::{PortManager, PortRange};
use tempfile::TempDir;

use crate::span::free_span;

const TASK: &str = "MASTRA_ROUTER_TEST_LEASES";
const EACH: usize = 5;

/// Not a test by itself: what the other processes do. Takes its ports, says so, and holds them until its input ends.
#[test]
fn tenant_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [start, end, label, dir] = task.splitn(4, ' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let range = PortRange { start: start.parse().unwrap(), end: end.parse().unwrap() };
    let ports = PortManager::new(range, dir.into()).with_label(label);
    let taken: Vec<String> = (0..EACH).map(|_| ports.allocate().unwrap().to_string()).collect();
    println!("\nports {}", taken.join(" "));
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Tenant {
    process: Child,
    ports: Vec<u16>,
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(range: PortRange, label: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ports_processes::tenant_process", "--nocapture"])
        .env(TASK, format!("{} {} {label} {}", range.start, range.end, dir.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn await_ports(mut process: Child) -> Tenant {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|l| l.starts_with("ports ")).unwrap();
    Tenant { process, ports: line.split(' ').skip(1).map(|p| p.parse().unwrap()).collect() }
}

#[test]
fn processes_never_get_the_same_port_and_the_dead_leave_theirs() {
    const PROCESSES: usize = 6;
    let (range, dir) = (free_span((PROCESSES * EACH) as u16), TempDir::new().unwrap());
    let path = dir.path().join("ports");
    let started: Vec<Child> = (0..PROCESSES).map(|i| spawn(range, &format!("app{i}"), &path)).collect();
    let mut tenants: Vec<Tenant> = started.into_iter().map(await_ports).collect();
    let all: BTreeSet<u16> = tenants.iter().flat_map(|t| t.ports.iter().copied()).collect();
    assert_eq!(all, (range.start..=range.end).collect(), "each port once, and none left out");

    let ours = PortManager::new(range, path);
    let error = ours.allocate().unwrap_err().to_string();
    let first = tenants.iter().position(|t| t.ports.contains(&range.start)).unwrap();
    let holder = format!(": {} leased to app{first} (pid {})", range.start, tenants[first].process.id());
    assert!(error.contains(&holder), "{error}");

    let killed = tenants.remove(first);
    let freed: BTreeSet<u16> = killed.ports.iter().copied().collect();
    drop(killed);
    let again: BTreeSet<u16> = (0..EACH).map(|_| ours.allocate().unwrap()).collect();
    assert_eq!(again, freed);
    assert!(ours.allocate().is_err());
}
