//! Every way in which `serve` ends.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::app::{App, get, open_events};
use crate::router::{MOST, Router, wait_for};

/// With a stream open, and `drain` for it to end by itself.
fn streaming(drain: &str) -> (Router, impl Read) {
    let app = App::start("app");
    let router = Router::configured(&format!(
        "[proxy]\ndrain_timeout = {drain:?}\n[[routes]]\nname = \"shop\"\ntarget = {:?}\n",
        app.target()
    ));
    let stream = open_events(router.proxy, "shop.localhost");
    (router, stream)
}

#[track_caller]
fn left_nothing(router: &Router) {
    assert!(!router.socket().exists(), "the socket is there");
    assert!(TcpStream::connect(router.proxy).is_err(), "something listens");
}

#[test]
fn ctrl_c_ends_open_streams_at_the_drain_deadline() {
    let (mut router, mut stream) = streaming("300ms");
    let began = Instant::now();
    router.process.signal(Signal::INT);
    assert_eq!(router.process.wait().code(), Some(0), "{}", router.process.stderr());
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300), "the stream had {took:?}");
    assert!(took < MOST / 2, "{took:?}");
    let mut rest = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut rest);
    left_nothing(&router);
}

#[test]
fn every_signal_is_an_orderly_end() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut router = Router::start();
        router.process.signal(signal);
        assert_eq!(router.process.wait().code(), Some(0), "{signal:?}");
        left_nothing(&router);
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut router, _stream) = streaming("10m");
        router.process.signal(signal);
        wait_for("it takes no more connections", || TcpStream::connect(router.proxy).is_err());
        assert!(router.process.child.try_wait().unwrap().is_none(), "it waits for the stream");
        router.process.signal(signal);
        assert_eq!(router.process.wait().code(), Some(code));
        assert!(router.process.stderr().contains("Ended with connections open."));
        left_nothing(&router);
    }
}

#[test]
fn stop_returns_when_the_router_is_gone() {
    let (mut router, _stream) = streaming("300ms");
    let stopped = router.run(&["stop"]).ok();
    assert_eq!((stopped.stdout.as_str(), stopped.stderr.as_str()), ("", "stopped\n"));
    left_nothing(&router);
    assert_eq!(router.process.wait().code(), Some(0));
    // Its home is free at once.
    let router = Router::start_at(router.desk(), &[]);
    router.run(&["stop", "--json"]).ok();
    router.run(&["stop"]).failed(1, "ROUTER_UNREACHABLE", &[]);
}

#[test]
fn a_log_that_nobody_reads_is_no_end() {
    let desk = std::sync::Arc::new(crate::router::Desk::new());
    let mut command = desk.command(["serve", "--listen", "127.0.0.1:0"]);
    let mut process = crate::router::Running::spawn_unheard(&mut command);
    let ready = process.json_line();
    let proxy = ready["listen"][0].as_str().unwrap().parse().unwrap();
    let router = Router { process, ready, proxy, desk };
    let app = App::start("app");
    router.run(&["add", "shop", &app.target()]).ok();
    router.run(&["update", "shop", "--name", "store"]).ok();
    assert_eq!(get(router.proxy, "store.localhost", "/").1, "app/");
}

#[cfg(target_os = "linux")]
#[test]
fn serve_takes_all_the_descriptors_it_may_have() {
    let desk = std::sync::Arc::new(crate::router::Desk::new());
    let mut command = std::process::Command::new("sh");
    let serve = desk.command(["serve", "--listen", "127.0.0.1:0"]);
    command.args(["-c", "ulimit -S -n 64 && exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.envs(serve.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut process = crate::router::Running::spawn(&mut command);
    assert_eq!(process.json_line()["event"], "ready");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}
