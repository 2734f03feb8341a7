//! What saving costs, by the number of saved routes: a change that is acknowledged once it is on disk.
//!
//! `cargo bench -p mastra-router --bench saving -- [DIR]` prints the table that stands in the README, for a disk that DIR is
//! on (the current directory's, where it is not given) and for memory (/dev/shm, where syncing costs nothing).
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and may end")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouteInfo, RouteUpdate};

const SIZES: [usize; 4] = [1, 100, 10_000, 100_000];
/// Timed changes at each size; the median is printed.
const CHANGES: usize = 201;
/// Changes that are made at once where only their number counts: they are written together.
const TOGETHER: usize = 1_000;

fn main() {
    let disk =
        std::env::args().skip(1).find(|arg| !arg.starts_with('-')).map_or_else(|| PathBuf::from("."), Into::into);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        println!(
            "| saved routes | a change, saved in memory | on a disk | a bare write there, in turn | file | load |"
        );
        println!("|---|---|---|---|---|---|");
        for size in SIZES {
            measure(size, &disk).await;
        }
        pause(*SIZES.last().unwrap(), &disk).await;
    });
}

async fn measure(size: usize, disk: &Path) {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let router = filled(memory.path(), size).await;
    let [in_memory, _] = changing(&router, memory.path(), "memory").await;
    let bytes = fs::metadata(memory.path().join("routes.journal")).unwrap().len();
    router.close().await;
    let disk = tempfile::tempdir_in(disk).unwrap();
    fs::copy(memory.path().join("routes.journal"), disk.path().join("routes.journal")).unwrap();
    let start = Instant::now();
    let router = open(disk.path());
    let load = start.elapsed();
    assert_eq!(router.get_all_routes().len(), size);
    let [on_disk, bare] = changing(&router, disk.path(), "disk").await;
    router.close().await;
    let file = format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let [in_memory, on_disk, bare, load] = [in_memory, on_disk, bare, load].map(shown);
    println!("| {size} | {in_memory} | {on_disk} | {bare} | {file} | {load} |");
}

/// The longest that a change takes while the file is written anew.
async fn pause(size: usize, disk: &Path) {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let router = filled(memory.path(), size).await;
    let routes = router.get_all_routes();
    // As many void records as there are that count, so that it is about to be.
    for (turn, some) in routes.chunks(TOGETHER).enumerate() {
        join_all(some.iter().map(|route| change(&router, route, format!("round-{turn}")))).await;
    }
    router.close().await;
    let dir = tempfile::tempdir_in(disk).unwrap();
    let journal = dir.path().join("routes.journal");
    fs::copy(memory.path().join("routes.journal"), &journal).unwrap();
    let router = open(dir.path());
    let inode = || fs::metadata(&journal).unwrap().ino();
    let (before, new) = (inode(), dir.path().join("routes.journal.new"));
    let (mut started, mut usual, mut meanwhile) = (None, Vec::new(), Vec::new());
    for turn in 0.. {
        let start = Instant::now();
        change(&router, &routes[turn % size], format!("turn-{turn}")).await;
        let took = start.elapsed();
        if started.is_none() && new.exists() {
            started = Some(Instant::now());
        }
        if started.is_some() {
            meanwhile.push(took)
        } else {
            usual.push(took)
        }
        if inode() != before {
            break;
        }
    }
    // One more waits for the last step.
    let start = Instant::now();
    change(&router, &routes[0], "last".to_owned()).await;
    meanwhile.push(start.elapsed());
    let lasted = started.unwrap().elapsed();
    usual.sort_unstable();
    meanwhile.sort_unstable();
    println!(
        "writing {size} routes anew took {} beside {} changes: median {}, longest {} (before: median {}, longest {})",
        shown(lasted),
        meanwhile.len(),
        shown(meanwhile[meanwhile.len() / 2]),
        shown(*meanwhile.last().unwrap()),
        shown(usual[usual.len() / 2]),
        shown(*usual.last().unwrap()),
    );
    router.close().await;
}

fn open(dir: &Path) -> LocalEdgeRouter {
    LocalEdgeRouter::new(LocalEdgeRouterConfig {
        state_dir: Some(dir.to_owned()),
        lease_dir: Some(dir.join("ports")),
        log_routes: false,
        ..LocalEdgeRouterConfig::default()
    })
    .unwrap()
}

async fn filled(dir: &Path, size: usize) -> LocalEdgeRouter {
    let router = open(dir);
    for start in (0..size).step_by(TOGETHER) {
        let some = (start..(start + TOGETHER).min(size)).map(|i| {
            // Nothing listens there, so the first check is over at once.
            let config = RouteConfig::new(format!("deploy-{i}"), "bench", format!("app-{i}"), "127.0.0.1", 9);
            router.register_route(config)
        });
        join_all(some).await.into_iter().for_each(|done| drop(done.unwrap()));
    }
    router
}

/// A change that is saved as a new route is, and leads to no health check. One that changes nothing would not be saved.
async fn change(router: &LocalEdgeRouter, route: &RouteInfo, project: String) {
    let update = RouteUpdate { project_id: Some(project), ..RouteUpdate::default() };
    router.update_route(route.route_id.as_str(), update).await.unwrap();
}

/// Median time of a change, and of a bare write and sync of as many bytes in the same directory, in turn with it: a disk that
/// others use is not the same from one second to the next.
async fn changing(router: &LocalEdgeRouter, dir: &Path, what: &str) -> [Duration; 2] {
    let routes = router.get_all_routes();
    let mut file = File::create(dir.join("bare")).unwrap();
    let mut times = [const { Vec::new() }; 2];
    for turn in 0..CHANGES {
        // From all over the table.
        let route = &routes[turn.wrapping_mul(2_654_435_761) % routes.len()];
        let start = Instant::now();
        change(router, route, format!("{what}-{turn}")).await;
        times[0].push(start.elapsed());
        let start = Instant::now();
        file.write_all(&[b'x'; 250]).unwrap();
        file.sync_data().unwrap();
        times[1].push(start.elapsed());
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[CHANGES / 2]
    })
}

fn shown(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..=999 => format!("{micros} µs"),
        micros => format!("{:.1} ms", micros as f64 / 1e3),
    }
}
