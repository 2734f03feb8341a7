//! Apps of `up` that are started by the first request to them, and stopped when nothing is asked of them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::app::{ask, get, open_events};
use crate::router::{Desk, Router, wait_for};
use crate::run::{listens, read_pid, runs, server};
use crate::up::{Up, order};

/// An app that wakes. `idle` is long where a test is not about it.
fn waking(name: &str, server_args: &str, rest: &str) -> String {
    let server = server();
    format!(
        "[apps.{name}]\ncommand = \"python3 {server} pid={name}.pid starts={name}.starts {server_args}\"\nwake = true\n{rest}\n"
    )
}

fn starts(desk: &Desk, name: &str) -> usize {
    fs::read_to_string(desk.path(&format!("{name}.starts"))).unwrap_or_default().lines().count()
}

fn pid(desk: &Desk, name: &str) -> i32 {
    read_pid(&desk.path(&format!("{name}.pid")))
}

fn route(router: &Router, name: &str) -> Value {
    router.run(&["get", name, "--json"]).ok().json()
}

/// The head and the body of what a browser that loads a page is answered.
fn browse(proxy: SocketAddr, host: &str) -> (String, String) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\naccept: text/html\r\nsec-fetch-mode: navigate\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_owned(), body.to_owned())
}

#[test]
fn the_first_request_starts_it() {
    let router = Router::start();
    let desk = &router.desk;
    desk.write("mastra-router.toml", &(waking("web", "", "") + "[apps.task]\ncommand = \"true\"\n"));
    let mut up = Up::start(desk, &[]);
    let said = up.until_ready();
    assert_eq!((order(&said, "asleep"), order(&said, "starting")), (vec!["web"], vec!["task"]), "{said:#?}");
    assert_eq!(starts(desk, "web"), 0);
    let asleep = route(&router, "web");
    assert_eq!(
        (&asleep["wake"], &asleep["sleeping"], &asleep["status"]),
        (&true.into(), &true.into(), &"pending".into())
    );
    assert_eq!(get(router.proxy, "web.localhost", "/x"), (200, "app /x".to_owned()));
    let said = up.until_state("web", "healthy");
    assert_eq!(order(&said, "starting"), ["web"]);
    assert_eq!(said.last().unwrap()["restarts"], 0);
    assert_eq!(route(&router, "web")["sleeping"], Value::Null);
    assert_eq!(starts(desk, "web"), 1);
}

#[test]
fn requests_at_one_time_start_it_once_and_all_are_answered() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &waking("web", "slow=0.5", ""));
    let mut up = Up::start(&router.desk, &[]);
    up.until_ready();
    let proxy = router.proxy;
    let requests: Vec<_> = (0..12)
        .map(|at| {
            thread::spawn(move || match at % 2 {
                0 => (get(proxy, "web.localhost", &format!("/{at}")), format!("app /{at}")),
                _ => (ask(proxy, "web.localhost", "POST /", &format!("body {at}")), format!("got body {at}")),
            })
        })
        .collect();
    for request in requests {
        let (answer, expected) = request.join().unwrap();
        assert_eq!(answer, (200, expected));
    }
    assert_eq!(starts(&router.desk, "web"), 1);
}

#[test]
fn a_browser_sees_a_page_with_its_lines_and_then_the_app() {
    let router = Router::start();
    let desk = &router.desk;
    // It goes on only when it is told to.
    let server = server();
    let command = format!("echo 'installing <b>'; read line < go; exec python3 {server}");
    desk.write("mastra-router.toml", &format!("[apps.web]\ncommand = {}\nwake = true\n", Value::from(command)));
    assert!(std::process::Command::new("mkfifo").arg(desk.path("go")).status().unwrap().success());
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    wait_for("its line on the page", || {
        let (head, page) = browse(router.proxy, "web.localhost");
        assert!(head.contains("X-Mastra-Router-Error: TARGET_STARTING"), "{head}");
        page.contains("installing &lt;b&gt;")
    });
    let requested = thread::spawn({
        let proxy = router.proxy;
        move || get(proxy, "web.localhost", "/waits")
    });
    fs::write(desk.path("go"), "\n").unwrap();
    assert_eq!(requested.join().unwrap().1, "app /waits");
    assert_eq!(browse(router.proxy, "web.localhost").1, "app /");
}

#[test]
fn it_is_stopped_when_idle_and_started_again() {
    let router = Router::start();
    let desk = &router.desk;
    desk.write("mastra-router.toml", &waking("web", "log=signals", "idle = \"300ms\""));
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    for turn in 1..=3 {
        assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
        let first = pid(desk, "web");
        let said = up.until_state("web", "asleep");
        assert_eq!((order(&said, "stopping").len(), order(&said, "restarting").len()), (1, 0), "{said:#?}");
        assert!(!runs(first));
        assert_eq!(starts(desk, "web"), turn);
        let asleep = route(&router, "web");
        assert_eq!((&asleep["sleeping"], &asleep["status"]), (&true.into(), &"pending".into()), "{asleep}");
        fs::remove_file(desk.path("web.pid")).unwrap();
    }
    assert_eq!(fs::read_to_string(desk.path("signals")).unwrap(), "SIGTERM\n".repeat(3), "it is asked to end");
}

#[test]
fn no_request_meets_its_end() {
    let router = Router::start();
    let desk = &router.desk;
    // It takes a while to end and takes connections meanwhile, and ends before it has answered them.
    desk.write("mastra-router.toml", &waking("web", "log=signals", "idle = \"1ms\""));
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
    for turn in 1..=3 {
        up.until_state("web", "stopping");
        assert_eq!(ask(router.proxy, "web.localhost", "GET /slow", ""), (200, "app /slow".to_owned()), "{turn}");
        assert_eq!(starts(desk, "web"), turn + 1);
    }
}

#[test]
fn streams_keep_it_awake() {
    let router = Router::start();
    let desk = &router.desk;
    desk.write("mastra-router.toml", &(waking("web", "", "idle = \"1ms\"") + &waking("other", "", "idle = \"1ms\"")));
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    for what in ["events", "socket"] {
        let stream: Box<dyn Read> = if what == "events" {
            Box::new(open_events(router.proxy, "web.localhost"))
        } else {
            Box::new(web_socket(router.proxy, "web.localhost"))
        };
        let first = pid(desk, "web");
        // As long as the other takes to be found idle and stopped, twice.
        for _ in 0..2 {
            get(router.proxy, "other.localhost", "/");
            let said = up.until_state("other", "asleep");
            assert!(!said.iter().any(|line| line["app"] == "web" && line["state"] == "stopping"), "{what}");
        }
        assert!(runs(first), "{what}");
        drop(stream);
        up.until_state("web", "asleep");
        assert!(!runs(first), "{what}");
        fs::remove_file(desk.path("web.pid")).unwrap();
    }
}

fn web_socket(proxy: SocketAddr, host: &str) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream
}

#[test]
fn one_that_dies_says_so_and_is_tried_again() {
    let router = Router::start();
    let desk = &router.desk;
    desk.write("mastra-router.toml", &waking("web", "dies=3", ""));
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    let (status, text) = get(router.proxy, "web.localhost", "/");
    assert_eq!(status, 502);
    assert!(text.contains("TARGET_ENDED") && text.contains("exited with 3 (it is started again after"), "{text}");
    up.until_state("web", "restarting");
    let (head, page) = browse(router.proxy, "web.localhost");
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    for part in ["exited with 3", "is started again after", "cannot find its database"] {
        assert!(page.contains(part), "no {part}: {page}");
    }
    let said = up.until_state("web", "restarting");
    assert_eq!(said.last().unwrap()["detail"], "it ended with exit code 3; again in 2 s");
    // What is mended is there for who asks then, and the page becomes it.
    desk.write("mended", "");
    wait_for("the app", || browse(router.proxy, "web.localhost").1 == "app /");
    assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
}

#[test]
fn a_command_that_is_not_there_is_said_to_who_asks() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", "[apps.web]\ncommand = [\"no-such-command\"]\nwake = true\n");
    let mut up = Up::start(&router.desk, &[]);
    up.until_ready();
    let (status, text) = get(router.proxy, "web.localhost", "/");
    assert!(status == 502 && text.contains("exited with 127"), "{text}");
    let (_, page) = browse(router.proxy, "web.localhost");
    assert!(page.contains("no-such-command was not found"), "{page}");
}

#[test]
fn what_crashes_while_nobody_asks_sleeps() {
    let router = Router::start();
    let desk = &router.desk;
    desk.write("mastra-router.toml", &waking("web", "", "idle = \"1ms\""));
    let mut up = Up::start(desk, &[]);
    up.until_ready();
    let stream = open_events(router.proxy, "web.localhost");
    up.until_state("web", "healthy");
    let first = pid(desk, "web");
    fs::remove_file(desk.path("web.pid")).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    drop(stream);
    let said = up.until_state("web", "asleep");
    assert_eq!((order(&said, "restarting").len(), order(&said, "starting").len()), (1, 0), "{said:#?}");
    // Whoever asks next waits for a start and is told of no end.
    assert_eq!(get(router.proxy, "web.localhost", "/x"), (200, "app /x".to_owned()));
}

#[test]
fn one_wakes_what_it_depends_on() {
    let router = Router::start();
    let desk = &router.desk;
    let file = waking("web", "", "idle = \"1s\"\ndepends_on = [\"api\"]") + &waking("api", "", "idle = \"1ms\"");
    desk.write("mastra-router.toml", &file);
    let mut up = Up::start(desk, &[]);
    assert_eq!(order(&up.until_ready(), "starting"), Vec::<&str>::new());
    assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
    let said = up.until_state("api", "asleep");
    assert_eq!(order(&said, "starting"), ["api", "web"], "{said:#?}");
    assert_eq!(order(&said, "asleep"), ["web", "api"], "it is needed as long as what needs it: {said:#?}");
    assert_eq!(starts(desk, "api"), 1);
    // By itself, it wakes nobody.
    assert_eq!(get(router.proxy, "api.localhost", "/x").1, "app /x");
    let said = up.until_state("api", "asleep");
    assert_eq!(order(&said, "starting"), ["api"], "{said:#?}");
}

#[test]
fn what_runs_from_the_start_has_what_it_depends_on() {
    let router = Router::start();
    let desk = &router.desk;
    let server = server();
    let file = format!("[apps.web]\ncommand = [\"python3\", \"{server}\"]\ndepends_on = [\"db\"]\n")
        + &waking("db", "", "idle = \"1ms\"")
        + &waking("other", "", "idle = \"1ms\"");
    desk.write("mastra-router.toml", &file);
    let mut up = Up::start(desk, &[]);
    let said = up.until_ready();
    assert_eq!(order(&said, "healthy"), ["db", "web"], "{said:#?}");
    get(router.proxy, "other.localhost", "/");
    let said = up.until_state("other", "asleep");
    assert_eq!(order(&said, "stopping"), ["other"], "what is needed does not sleep: {said:#?}");
    assert_eq!(starts(desk, "db"), 1);
}

#[test]
fn ctrl_c_leaves_nothing_of_any_state() {
    for state in ["asleep", "starting", "healthy"] {
        let router = Router::start();
        let desk = &router.desk;
        let slow = if state == "starting" { "slow=600" } else { "" };
        desk.write("mastra-router.toml", &waking("web", slow, ""));
        let mut up = Up::start(desk, &[]);
        up.until_ready();
        let proxy = router.proxy;
        let mut asking = (state != "asleep").then(|| thread::spawn(move || get(proxy, "web.localhost", "/")));
        let mut port = Value::Null;
        if state != "asleep" {
            port = up.until_state("web", state).last().unwrap()["port"].clone();
            wait_for("its begin", || starts(desk, "web") == 1);
        }
        if state == "healthy" {
            // `up` says so a moment before the request that waits has come to the app.
            assert_eq!(asking.take().unwrap().join().unwrap().0, 200);
        }
        up.signal(Signal::INT);
        let (said, code) = up.rest();
        assert_eq!((order(&said, "stopped"), code), (vec!["web"], Some(130)), "{state}: {said:#?}");
        assert_eq!(router.routes(), Value::Array(Vec::new()), "{state}");
        assert!(port.is_null() || !listens(&port), "{state}");
        assert!(router.run(&["prune"]).ok().stderr.contains("nothing is left behind"), "{state}");
        if let Some(asking) = asking {
            assert_eq!(asking.join().unwrap().0, 502, "{state}");
        }
    }
}

#[test]
fn a_router_that_was_killed_is_told_again() {
    for saves in [&[][..], &["--no-save"]] {
        let desk = Arc::new(Desk::new());
        desk.write("mastra-router.toml", &waking("web", "", "idle = \"1ms\""));
        let mut router = Router::start_at(desk.clone(), saves);
        let mut up = Up::start(&desk, &[]);
        up.until_ready();
        assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
        up.until_state("web", "asleep");
        // While it sleeps, and while it is awake and used.
        for turn in ["asleep", "awake"] {
            let stream = (turn == "awake").then(|| open_events(router.proxy, "web.localhost"));
            if turn == "awake" {
                up.until_state("web", "healthy");
            }
            let pid = (turn == "awake").then(|| pid(&desk, "web"));
            router.process.signal(Signal::KILL);
            router.process.wait();
            drop(stream);
            drop(router);
            router = Router::start_at(desk.clone(), saves);
            wait_for("its route", || router.routes().as_array().is_some_and(|routes| routes.len() == 1));
            if let Some(pid) = pid {
                // Nothing is open in the router of now.
                up.until_state("web", "asleep");
                assert!(!runs(pid), "{saves:?}");
            }
            assert_eq!(get(router.proxy, "web.localhost", "/x"), (200, "app /x".to_owned()), "{saves:?} {turn}");
            up.until_state("web", "asleep");
            fs::remove_file(desk.path("web.pid")).unwrap();
        }
        up.signal(Signal::INT);
        assert_eq!(up.rest().1, Some(130));
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    }
}

#[test]
fn after_a_kill_of_up_prune_leaves_nothing() {
    for state in ["asleep", "awake"] {
        let router = Router::start();
        router.desk.write("mastra-router.toml", &waking("web", "deaf", ""));
        let mut up = Up::start(&router.desk, &["--grace", "10m"]);
        up.until_ready();
        let awake = (state == "awake").then(|| {
            assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x");
            pid(&router.desk, "web")
        });
        up.signal(Signal::KILL);
        up.wait();
        router.run(&["prune"]).ok();
        assert!(!awake.is_some_and(runs), "{state}");
        wait_for("the route is gone", || router.routes() == Value::Array(Vec::new()));
    }
}

#[test]
fn people_read_that_it_is_asleep() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &waking("web", "", ""));
    let up = Up::spawn(&mut router.desk.command(["up"]));
    up.until_said("web  ○ asleep: the first request starts it  http://web.localhost:");
}

#[test]
fn a_crash_of_any_app_is_shown_to_who_asks() {
    let router = Router::start();
    let desk = &router.desk;
    let server = server();
    desk.write(
        "mastra-router.toml",
        &format!("[apps.web]\ncommand = [\"python3\", \"{server}\", \"dies=1\", \"says=its version\"]\n"),
    );
    let mut up = Up::start(desk, &[]);
    up.until_state("web", "restarting");
    let (head, page) = browse(router.proxy, "web.localhost");
    assert!(head.contains("X-Mastra-Router-Error: TARGET_ENDED"), "{head}");
    for part in ["exited with 1 (it is started again after", "its version", "cannot find its database"] {
        assert!(page.contains(part), "no {part}: {page}");
    }
    desk.write("mended", "");
    wait_for("the app", || browse(router.proxy, "web.localhost").1 == "app /");
}

#[test]
fn a_router_that_was_killed_is_told_of_a_crash_again() {
    let desk = Arc::new(Desk::new());
    let server = server();
    desk.write("mastra-router.toml", &format!("[apps.web]\ncommand = [\"python3\", \"{server}\", \"dies=1\"]\n"));
    let mut router = Router::start_at(desk.clone(), &[]);
    let mut up = Up::start(&desk, &[]);
    // The pauses are long enough by then.
    for _ in 0..4 {
        up.until_state("web", "restarting");
    }
    router.process.signal(Signal::KILL);
    router.process.wait();
    drop(router);
    let router = Router::start_at(desk.clone(), &[]);
    wait_for("the page", || browse(router.proxy, "web.localhost").1.contains("cannot find its database"));
}
