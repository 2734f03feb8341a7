//! What routes cost, by their number: adding one more, finding one, and memory.
//!
//! `cargo bench -p mastra-router --bench routes` prints the table that stands in the README.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and may end")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use mastra_router::{BaseDomain, Found, RouteConfig, RouteRegistry, RouteSpec};

const SIZES: [usize; 4] = [1, 1_000, 10_000, 100_000];
/// Timed additions at each size; the median is printed.
const ADDITIONS: usize = 201;
const LOOKUPS: usize = 400_000;
/// Hosts that are asked for in turn: more than a processor's nearest caches hold the routes of.
const HOSTS: usize = 4096;

fn main() {
    let mut args = std::env::args().skip_while(|arg| arg != "--size").skip(1);
    if let Some(size) = args.next() {
        return measure(size.parse().unwrap());
    }
    println!("| routes | adding one more | finding one of 4,096 in turn | finding the same one | memory a route |");
    println!("|---|---|---|---|---|");
    for size in SIZES {
        // A process for each: memory that was given back would be taken again, and not be counted.
        let own = std::env::current_exe().unwrap();
        assert!(Command::new(own).args(["--size", &size.to_string()]).status().unwrap().success());
    }
}

fn measure(size: usize) {
    let before = resident();
    let registry = filled(size);
    let memory = match (before, resident()) {
        // Below that, a page of the allocator is more than the routes.
        (Some(before), Some(after)) if size >= 1_000 => {
            format!("{:.1} KiB", after.saturating_sub(before) as f64 / size as f64 / 1024.0)
        }
        _ => "–".to_owned(),
    };
    let added = shown(adding(&registry, size));
    let (many, same) = (shown(finding(&registry, HOSTS)), shown(finding(&registry, 1)));
    println!("| {} | {added} | {many} | {same} | {memory} |", grouped(size));
}

fn filled(size: usize) -> RouteRegistry {
    let registry = RouteRegistry::new(true);
    for i in 0..size {
        registry.add(spec(i)).unwrap();
    }
    registry
}

fn spec(i: usize) -> RouteSpec {
    let port = u16::try_from(1024 + i % 60_000).unwrap();
    RouteSpec::parse(&RouteConfig::new(format!("deploy-{i}"), "bench", format!("app-{i}"), "localhost", port)).unwrap()
}

/// Median time of adding a route that is taken away again, so that the size stays.
fn adding(registry: &RouteRegistry, size: usize) -> Duration {
    // As with the proxy, someone reads the table while the next is made.
    let reader = registry.reader();
    let mut times: Vec<Duration> = (0..ADDITIONS)
        .map(|i| {
            let spec = spec(size + i);
            let table = reader.borrow().clone();
            let start = Instant::now();
            let route = registry.add(spec).unwrap();
            let took = start.elapsed();
            drop(table);
            registry.remove(route.id.as_str());
            took
        })
        .collect();
    times.sort_unstable();
    times[ADDITIONS / 2]
}

/// Mean time of a lookup by host, over so many routes in an order without pattern.
fn finding(registry: &RouteRegistry, hosts: usize) -> Duration {
    let table = registry.table();
    let base = BaseDomain::parse("localhost").unwrap();
    let hosts: Vec<String> =
        (1..=hosts).map(|i| format!("app-{}.localhost", i.wrapping_mul(2_654_435_761) % table.len())).collect();
    let start = Instant::now();
    for i in 0..LOOKUPS {
        let found = table.find(&base, black_box(&hosts[i % hosts.len()]), "/");
        assert!(matches!(black_box(found), Found::Route { .. }));
    }
    start.elapsed() / u32::try_from(LOOKUPS).unwrap()
}

/// Bytes of memory of this process that are resident, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}

fn shown(time: Duration) -> String {
    match time.as_nanos() {
        nanos @ 0..=999 => format!("{nanos} ns"),
        nanos => format!("{:.1} µs", nanos as f64 / 1e3),
    }
}

fn grouped(n: usize) -> String {
    if n < 1_000 { n.to_string() } else { format!("{},{:03}", n / 1_000, n % 1_000) }
}
