//! How a `run` ends: by which signals, in which order, and with nothing left.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::app::open_events;
use crate::router::{MOST, Ran, Router, Running, wait_for};
use crate::run::{Run, listens, read_pid, runs, server, serving};

fn signals(log: &Path) -> Vec<String> {
    fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Long enough to never be the reason for anything.
const PATIENT: [&str; 3] = ["shop", "--grace", "10m"];

/// Whether these tests were started with the signal ignored, as `nohup` does it: what they run ignores it then, too.
fn is_ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    u64::from_str_radix(ignored.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn a_signal_of_our_own_is_passed_on_once() {
    let all = [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")];
    for (signal, name) in all.into_iter().filter(|(signal, _)| !is_ignored(*signal)) {
        let router = Router::start();
        let (mut run, ready) = serving(&router.desk, &PATIENT, &["log=log"]);
        run.signal(signal);
        assert_eq!(run.wait().code(), Some(0), "the command ended in order");
        assert_eq!(signals(&router.desk.path("log")), [name]);
        assert!(!listens(&ready["port"]));
    }
}

#[test]
fn the_command_is_told_before_what_it_has_started() {
    let router = Router::start();
    // A command that hands nothing on: what it has started is told once it has ended.
    let (mut run, _) = serving(&router.desk, &PATIENT, &["child", "log=log", "pid=pid"]);
    let pid = read_pid(&router.desk.path("pid"));
    run.signal(Signal::TERM);
    assert_eq!(run.wait().code(), Some(143), "{}", run.stderr());
    assert!(!runs(pid));
    assert_eq!(signals(&router.desk.path("log")), ["SIGTERM"]);
}

/// A shell that waits for its command heeds an interrupt only where its command has ended of one. npm runs scripts that way.
#[test]
fn an_interrupt_of_our_own_comes_to_all_as_from_a_terminal() {
    if is_ignored(Signal::INT) {
        return;
    }
    let router = Router::start();
    // Of a command that ends in order, not every shell goes on.
    for (args, codes, heard) in [("pid=pid", &[130][..], &[][..]), ("log=log pid=pid", &[9, 130], &["SIGINT"])] {
        let _ = fs::remove_file(router.desk.path("pid"));
        let script = format!("python3 {} {args}; exit 9", server());
        let words = [&["run"], &PATIENT[..], &["--", "sh", "-c", &script]].concat();
        let mut run = Run::spawn(&mut router.desk.command(words));
        let pid = read_pid(&router.desk.path("pid"));
        run.signal(Signal::INT);
        let code = run.wait().code().unwrap();
        assert!(codes.contains(&code), "{code}: {}", run.stderr());
        assert!(!runs(pid));
        assert_eq!(signals(&router.desk.path("log")), heard);
    }
}

/// As with a script of a package, `"dev": "mastra-router run shop -- …"`: npm is told by the terminal, and tells what it runs.
#[test]
fn ctrl_c_that_is_handed_on_is_no_second_one() {
    let router = Router::start();
    let server = server();
    let npm = "import os, signal, subprocess, sys\n\
         run = subprocess.Popen(sys.argv[1:])\n\
         signal.signal(signal.SIGINT, lambda *_: run.send_signal(signal.SIGINT))\n\
         sys.exit(run.wait())";
    let words =
        ["python3", "-c", npm, router_path(), "run", "shop", "--grace", "10m", "--", "python3", &server, "log=log"];
    let ran = in_terminal_as(&router, "until ● http\ntype \\x03", &words);
    assert_eq!(ran.code, Some(0), "it had its time: {ran:?}");
    assert_eq!(signals(&router.desk.path("log")), ["SIGINT"]);
}

#[test]
fn what_does_not_end_is_killed_after_a_grace() {
    let router = Router::start();
    for args in [&["deaf", "pid=pid"][..], &["deaf", "child", "pid=pid"]] {
        let _ = fs::remove_file(router.desk.path("pid"));
        let (mut run, ready) = serving(&router.desk, &["shop", "--grace", "200ms"], args);
        let pid = read_pid(&router.desk.path("pid"));
        let began = Instant::now();
        run.signal(Signal::TERM);
        assert!([137, 143].contains(&run.wait().code().unwrap()), "{}", run.stderr());
        assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < MOST / 2, "{:?}", began.elapsed());
        assert!(!runs(pid) && !listens(&ready["port"]));
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    }
}

#[test]
fn a_second_signal_kills_at_once() {
    let router = Router::start();
    let (mut run, _) = serving(&router.desk, &PATIENT, &["deaf", "pid=pid"]);
    let pid = read_pid(&router.desk.path("pid"));
    run.signal(Signal::TERM);
    wait_for("the route is out", || router.routes() == Value::Array(Vec::new()));
    assert!(runs(pid), "it has its time");
    run.signal(Signal::TERM);
    assert_eq!(run.wait().code(), Some(137));
    assert!(!runs(pid));
}

#[test]
fn streams_end_before_the_command_is_told() {
    let router = Router::start();
    let (mut run, _) = serving(&router.desk, &PATIENT, &["drain"]);
    let _stream = open_events(router.proxy, "shop.localhost");
    run.signal(Signal::TERM);
    assert_eq!(run.wait().code(), Some(0), "{}", run.stderr());
}

#[test]
fn other_signals_are_the_commands() {
    let router = Router::start();
    let (mut run, _) = serving(&router.desk, &PATIENT, &["log=log"]);
    run.signal(Signal::USR1);
    wait_for("it has come", || signals(&router.desk.path("log")) == ["SIGUSR1"]);
    run.signal(Signal::TERM);
    run.wait();
}

#[test]
fn one_that_fails_takes_what_it_has_started_along() {
    let router = Router::start();
    let script = format!("python3 {} pid=pid & until [ -e pid ]; do sleep 0.01; done; exit 7", server());
    let mut command = router.desk.command(["run", "shop", "--", "sh", "-c", &script]);
    let mut run = Run::spawn(&mut command);
    let pid = read_pid(&router.desk.path("pid"));
    assert_eq!(run.wait().code(), Some(7), "{}", run.stderr());
    assert!(!runs(pid));
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn its_own_child_can_be_killed() {
    let router = Router::start();
    let (mut run, _) = serving(&router.desk, &PATIENT, &["pid=pid"]);
    let pid = read_pid(&router.desk.path("pid"));
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_eq!(run.wait().code(), Some(137));
}

fn router_path() -> &'static str {
    env!("CARGO_BIN_EXE_mastra-router")
}

/// A `run` in a terminal of its own, to its end.
fn in_terminal(router: &Router, script: &str, words: &[&str]) -> Ran {
    in_terminal_as(router, script, &[&[router_path(), "run", "shop", "--grace", "10m", "--"], words].concat())
}

/// Any command in a terminal of its own, to its end.
fn in_terminal_as(router: &Router, script: &str, words: &[&str]) -> Ran {
    let run = router.desk.command::<_, &str>([]);
    let mut command = Command::new("python3");
    command
        .args([&format!("{}/tests/it/terminal.py", env!("CARGO_MANIFEST_DIR")), script])
        .args(words)
        .current_dir(run.get_current_dir().unwrap())
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    Running::spawn(&mut command).ended()
}

#[test]
fn ctrl_c_comes_to_the_command_once() {
    let router = Router::start();
    for args in [&["log=log"][..], &["log=log", "child"]] {
        let _ = fs::remove_file(router.desk.path("log"));
        let server = server();
        let words = [&["python3", &server], args].concat();
        let ran = in_terminal(&router, "until ● http\ntype \\x03", &words);
        assert!(matches!(ran.code, Some(0 | 1 | 130)), "{ran:?}");
        assert_eq!(signals(&router.desk.path("log")), ["SIGINT"], "{ran:?}");
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    }
}

#[test]
fn ctrl_c_twice_kills_at_once() {
    let router = Router::start();
    let server = server();
    let words = ["python3", &server, "deaf", "child", "pid=pid"];
    // One that has not been taken yet would be one with the second.
    let first = format!("until ● http\nfile pid\ntype \\x03\nshell {} list --json | grep -qx '\\[\\]'", router_path());
    let ran = in_terminal(&router, &format!("{first}\ntype \\x03"), &words);
    // The first of its processes may have ended by the first one.
    assert!(ran.code.unwrap() != 0, "{ran:?}");
    assert!(!runs(read_pid(&router.desk.path("pid"))));
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn the_command_reads_and_writes_the_terminal() {
    let router = Router::start();
    let script = "test -t 0 && test -t 1 && test -t 2 && printf 'ready>' && read line && echo \"got $line\"; exit 5";
    let ran = in_terminal(&router, "until ready>\ntype hello\\n", &["sh", "-c", script]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.stdout.contains("got hello"), "{ran:?}");
}
