//! How an `up` ends, with nothing left.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::app::open_events;
use crate::router::{Desk, Router, wait_for};
use crate::run::{listens, read_pid, runs, server};
use crate::up::{Up, shop};

fn pids(desk: &Desk) -> Vec<i32> {
    ["web.pid", "api.pid", "db.pid"].map(|name| read_pid(&desk.path(name))).to_vec()
}

fn ports(said: &[Value]) -> Vec<Value> {
    said.iter().filter(|line| line["state"] == "healthy").map(|line| line["port"].clone()).collect()
}

#[test]
fn the_second_signal_ends_all_at_once() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop("deaf child"));
    let mut up = Up::start(&router.desk, &["--grace", "10m"]);
    let ports = ports(&up.until_ready());
    let pids = pids(&router.desk);
    up.signal(Signal::INT);
    up.until_state("web", "stopped");
    assert!(runs(pids[1]) && runs(pids[2]), "one is deaf, and the other waits for it");
    up.signal(Signal::INT);
    assert_eq!(up.rest().1, Some(130));
    assert!(!pids.iter().any(|pid| runs(*pid)) && !ports.iter().any(listens));
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn streams_and_children_do_not_keep_it() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop("drain daemon"));
    let mut up = Up::start(&router.desk, &["--grace", "10m"]);
    up.until_ready();
    let pids = pids(&router.desk);
    let _stream = open_events(router.proxy, "api-v2.localhost");
    up.signal(Signal::TERM);
    assert_eq!(up.rest().1, Some(143));
    assert!(!pids.iter().any(|pid| runs(*pid)), "also what is in the background, without a mark");
}

#[test]
fn after_a_kill_of_up_prune_leaves_nothing() {
    for apps in ["", "deaf", "deaf child"] {
        let router = Router::start();
        router.desk.write("mastra-router.toml", &shop(apps));
        let mut up = Up::start(&router.desk, &["--grace", "10m"]);
        let ports = ports(&up.until_ready());
        let pids = pids(&router.desk);
        up.signal(Signal::KILL);
        up.wait();
        router.run(&["prune"]).ok();
        assert!(!pids.iter().any(|pid| runs(*pid)), "{apps}");
        assert!(!ports.iter().any(listens), "{apps}");
        wait_for("the routes are gone", || router.routes() == Value::Array(Vec::new()));
        assert!(router.run(&["prune"]).ok().stderr.contains("nothing is left behind"));
    }
}

#[test]
fn after_a_kill_of_up_its_apps_end_by_themselves() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop("child"));
    let mut up = Up::start(&router.desk, &[]);
    up.until_ready();
    let pids = pids(&router.desk);
    up.signal(Signal::KILL);
    up.wait();
    wait_for("the end of all", || !pids.iter().any(|pid| runs(*pid)));
}

#[test]
fn what_holds_an_app_is_killed() {
    let router = Router::start();
    router
        .desk
        .write("mastra-router.toml", &format!("[apps.a]\ncommand = [\"python3\", \"{}\", \"pid=pid\"]\n", server()));
    let mut up = Up::start(&router.desk, &[]);
    up.until_ready();
    let pid = read_pid(&router.desk.path("pid"));
    fs::remove_file(router.desk.path("pid")).unwrap();
    kill_process(parent(pid), Signal::KILL).unwrap();
    up.until_state("a", "restarting");
    wait_for("the end of what it held", || !runs(pid));
    up.until_state("a", "healthy");
    assert_ne!(read_pid(&router.desk.path("pid")), pid);
}

fn parent(pid: i32) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    Pid::from_raw(stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()).unwrap()
}

#[test]
fn what_was_stopped_by_somebody_ends_too() {
    let router = Router::start();
    let command = format!("[apps.a]\ncommand = [\"python3\", \"{}\", \"pid=pid\"]\n", server());
    router.desk.write("mastra-router.toml", &command);
    let mut up = Up::start(&router.desk, &["--grace", "10m"]);
    up.until_ready();
    let pid = read_pid(&router.desk.path("pid"));
    for pid in [parent(pid), Pid::from_raw(pid).unwrap()] {
        kill_process(pid, Signal::STOP).unwrap();
    }
    up.signal(Signal::INT);
    up.until_state("a", "stopping");
    // One that comes within a millisecond is the same.
    wait_for("the end", || {
        up.signal(Signal::INT);
        up.child.try_wait().unwrap().is_some()
    });
    assert_eq!(up.wait().code(), Some(130));
    assert!(!runs(pid));
}
