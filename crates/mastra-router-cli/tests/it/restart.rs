//! One router takes another's place.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{App, get, open_events};
use crate::daemon::{Background, has_ended, pid, proxy};
use crate::router::{MOST, Router, Running, wait_for};

/// Routes, as a fact to compare.
fn routes(background: &Background) -> Value {
    let mut routes = background.run(["list", "--json"]).ok().json();
    for route in routes.as_array_mut().unwrap() {
        // What was found by checks is found anew.
        for field in ["status", "lastHealthCheck", "healthCheckFailures", "lastError"] {
            route.as_object_mut().unwrap().remove(field);
        }
    }
    routes
}

#[test]
fn a_restart_keeps_all_there_is() {
    let (background, ready) = Background::started(&["--base-domain", "test"]);
    let app = App::start("app");
    background.run(["add", "shop", &app.target(), "--health", "/live"]).ok();
    background.run(["add", "shop", &app.target(), "--path-prefix", "/api"]).ok();
    let port = background.run(["port"]).ok().stdout;
    let before = routes(&background);
    for turn in 0..3 {
        let old = background.pid();
        let restarted = background.run(["restart"]).ok();
        let status = background.status();
        assert!(restarted.stderr.contains(&format!("restarted (pid {})", status["pid"])), "{restarted:?}");
        assert_ne!(pid(&status), old, "turn {turn}");
        assert_eq!((&status["listen"], &status["baseDomain"]), (&ready["listen"], &json!("test")));
        assert_eq!(status["warnings"], json!(null), "{status}");
        assert_eq!(routes(&background), before);
        assert_eq!(get(proxy(&ready), "shop.test", "/api/x").1, "app/x");
        wait_for("the old one's end", || has_ended(old));
    }
    assert_ne!(background.run(["port"]).ok().stdout, port, "it is leased still");
    let json = background.run(["restart", "--json"]).ok().json();
    assert_eq!((&json["event"], &json["pid"]), (&json!("ready"), &background.status()["pid"]));
    // What is saved now is what the next start finds.
    background.run(["add", "late", &app.target()]).ok();
    let before = routes(&background);
    background.run(["restart"]).ok();
    assert_eq!(routes(&background), before);
    background.run(["stop"]).ok();
    assert!(TcpStream::connect(proxy(&ready)).is_err(), "something listens");
    background.run(["start"]).ok();
    assert_eq!(routes(&background).as_array().unwrap().len(), 3);
}

#[test]
fn where_none_runs_one_is_started() {
    let (background, _) = Background::started(&[]);
    background.run(["stop"]).ok();
    let restarted = background.run(["restart"]).ok();
    assert!(restarted.stderr.contains("none ran; started (pid "), "{restarted:?}");
    assert_eq!(background.status()["startedBy"], "start");
}

/// A server that keeps connections.
fn kept() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let mut stream = stream;
                while lines.next().is_some() {
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// One request on a connection; whether the connection is to be used again. Anything but the answer is a failure.
fn ask(stream: &mut BufReader<TcpStream>, close: bool) -> Result<bool, String> {
    let connection = if close { "connection: close\r\n" } else { "" };
    let request = format!("GET / HTTP/1.1\r\nhost: shop.localhost\r\n{connection}\r\n");
    stream.get_mut().write_all(request.as_bytes()).map_err(|e| format!("sending: {e}"))?;
    let mut line = String::new();
    stream.read_line(&mut line).map_err(|e| format!("status: {e}"))?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("status {line:?}"));
    }
    let mut again = true;
    loop {
        line.clear();
        stream.read_line(&mut line).map_err(|e| format!("head: {e}"))?;
        match line.trim_end() {
            "" => break,
            field => again &= !field.eq_ignore_ascii_case("connection: close"),
        }
    }
    let mut body = [0; 2];
    stream.read_exact(&mut body).map_err(|e| format!("body: {e}"))?;
    if body == *b"ok" { Ok(again) } else { Err(format!("body {body:?}")) }
}

fn connect(proxy: SocketAddr) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect(proxy).map_err(|e| format!("connecting: {e}"))?;
    stream.set_read_timeout(Some(MOST)).unwrap();
    Ok(BufReader::new(stream))
}

#[test]
fn no_request_fails_while_routers_come_and_go() {
    let (background, ready) = Background::started(&[]);
    background.run(["add", "shop", &kept().to_string(), "--health", "/"]).ok();
    let proxy = proxy(&ready);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (stop, answered) = (stop.clone(), answered.clone());
            thread::spawn(move || -> Result<(), String> {
                let mut kept: Option<BufReader<TcpStream>> = None;
                while !stop.load(Ordering::Relaxed) {
                    let mut stream = match kept.take() {
                        Some(stream) => stream,
                        None => connect(proxy)?,
                    };
                    // Half of them come anew for each request.
                    if ask(&mut stream, client % 2 == 0)? {
                        kept = Some(stream);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        wait_for("some requests", || {
            answered.load(Ordering::Relaxed) > before + 200 || clients.iter().any(|c| c.is_finished())
        });
        background.run(["restart"]).ok();
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.join().unwrap(), Ok(()));
    }
    eprintln!("{} requests over 5 restarts", answered.load(Ordering::Relaxed));
}

#[test]
fn a_connection_that_was_idle_is_answered_once_more() {
    let (background, ready) = Background::started(&[]);
    background.run(["add", "shop", &kept().to_string(), "--health", "/"]).ok();
    let mut stream = connect(proxy(&ready)).unwrap();
    assert_eq!(ask(&mut stream, false), Ok(true));
    background.run(["restart"]).ok();
    assert_eq!(ask(&mut stream, false), Ok(false), "with the news that it ends");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A server whose answers go on as long as the client sends: a WebSocket, or a body that is made of what comes.
fn echoing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut stream, mut head, mut line) = (stream, String::new(), String::new());
                while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                    head += &std::mem::take(&mut line);
                }
                let answer = if head.contains("pgrade") {
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                     sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                } else {
                    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                };
                let _ = stream.write_all(answer.as_bytes());
                if head.contains("pgrade") {
                    let _ = std::io::copy(&mut reader, &mut stream);
                }
            });
        }
    });
    port
}

fn web_socket(proxy: SocketAddr) -> BufReader<TcpStream> {
    let mut stream = connect(proxy).unwrap();
    let request = "GET / HTTP/1.1\r\nhost: socket.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 101"), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).unwrap();
    }
    stream
}

fn echo(stream: &mut BufReader<TcpStream>, text: &str) {
    stream.get_mut().write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, text.as_bytes());
}

/// A server that sends what the test says, when it says it, and then ends its answer.
fn told() -> (u16, std::sync::mpsc::Sender<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (say, said) = std::sync::mpsc::channel::<&str>();
    thread::spawn(move || {
        let mut stream = loop {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let is_check = lines.next().is_none_or(|line| line.contains("/health"));
            while !is_check && lines.next().is_some_and(|line| !line.is_empty()) {}
            if !is_check {
                break stream;
            }
        };
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        for text in said {
            stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    (port, say)
}

#[test]
fn what_is_open_goes_on_to_its_end() {
    let (background, ready) = Background::started(&[]);
    let proxy = proxy(&ready);
    let (port, say) = told();
    background.run(["add", "socket", &echoing().to_string(), "--health", "/"]).ok();
    let mut socket = web_socket(proxy);
    echo(&mut socket, "before");
    background.run(["add", "stream", &port.to_string()]).ok();
    let mut stream = connect(proxy).unwrap();
    stream.get_mut().write_all(b"GET / HTTP/1.1\r\nhost: stream.localhost\r\n\r\n").unwrap();
    let mut line = String::new();
    let mut until = |stream: &mut BufReader<TcpStream>, wanted: &str| {
        while line.trim_end() != wanted {
            line.clear();
            assert_ne!(stream.read_line(&mut line).unwrap(), 0, "it ended before {wanted:?}");
        }
    };
    say.send("first").unwrap();
    until(&mut stream, "first");

    for turn in 0..2 {
        background.run(["restart"]).ok();
        assert!(!has_ended(pid(&ready)), "it has a stream (turn {turn})");
        say.send("second").unwrap();
        until(&mut stream, "second");
        echo(&mut socket, "after");
    }
    drop(say);
    until(&mut stream, "0");
    assert!(!has_ended(pid(&ready)), "it has a WebSocket");
    drop(socket);
    wait_for("its end", || has_ended(pid(&ready)));
    assert_ne!(background.pid(), pid(&ready));
}

#[test]
fn the_old_one_does_not_outlive_its_time_or_the_new_one() {
    let (background, ready) = Background::started(&[]);
    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    let mut stream = open_events(proxy(&ready), "shop.localhost");
    background.run(["restart", "--drain", "300ms"]).ok();
    wait_for("its end", || has_ended(pid(&ready)));
    let _ = stream.read_to_end(&mut Vec::new());

    background.run(["stop"]).ok();
    background.desk.write("quick.toml", "listen = \"127.0.0.1:0\"\n[proxy]\ndrain_timeout = \"100ms\"\n");
    let ready = background.run(["start", "--json", "--config", "quick.toml"]).ok().json();
    let _stream = open_events(proxy(&ready), "shop.localhost");
    background.run(["restart", "--drain", "10m"]).ok();
    let new = background.pid();
    background.run(["stop"]).ok();
    wait_for("both ends", || has_ended(pid(&ready)) && has_ended(new));
    assert!(TcpStream::connect(proxy(&ready)).is_err(), "something listens");
}

#[test]
fn a_new_one_that_fails_leaves_the_old_one_serving() {
    let background = Background::new();
    let config = background.desk.write("router.toml", "listen = \"127.0.0.1:0\"\n");
    let ready = background.run(["start", "--json", "--config", "router.toml"]).ok().json();
    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    // Before anything was handed over.
    fs::write(&config, "listen = 3\n").unwrap();
    let goes_on = format!("the old one (pid {}) goes on", ready["pid"]);
    background.run(["restart"]).failed(2, "CONFIG_INVALID", &[&goes_on, "router.toml"]);
    assert_eq!(background.pid(), pid(&ready));
    fs::write(&config, "listen = \"127.0.0.1:0\"\n").unwrap();
    // When everything was: nothing can be logged to a directory.
    fs::remove_file(background.log()).unwrap();
    fs::create_dir(background.log()).unwrap();
    background.run(["restart"]).failed(1, "FILE_ERROR", &[&goes_on, "router.log"]);
    wait_for("the old one's answer", || background.run(["--no-start", "list"]).code == Some(0));
    assert_eq!(background.pid(), pid(&ready));
    assert_eq!(get(proxy(&ready), "shop.localhost", "/").1, "app/");
    background.run(["add", "store", &app.target()]).ok();
    assert_eq!(get(proxy(&ready), "store.localhost", "/").1, "app/");
    // It can be replaced as before.
    fs::remove_dir(background.log()).unwrap();
    background.run(["restart"]).ok();
    assert_ne!(background.pid(), pid(&ready));
    assert_eq!(get(proxy(&ready), "store.localhost", "/").1, "app/");
    wait_for("its end", || has_ended(pid(&ready)));
}

#[test]
fn one_in_the_foreground_makes_room_for_one_in_the_background() {
    let mut router = Router::start();
    let background = Background { desk: router.desk.clone() };
    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    let restarted = background.run(["restart"]).ok();
    assert!(restarted.stderr.contains("the new one runs in the background"), "{restarted:?}");
    assert_eq!(router.process.wait().code(), Some(0));
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "app/");
    assert_eq!(background.status()["startedBy"], "start");
}

#[test]
fn restarts_at_one_moment_leave_one_router() {
    let (background, ready) = Background::started(&[]);
    let restarts: Vec<_> = (0..3).map(|_| Running::spawn(&mut background.command(["restart"]))).collect();
    let codes: Vec<_> = restarts.into_iter().map(|restart| restart.ended().code).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let pid = background.pid();
    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    assert_eq!(get(proxy(&ready), "shop.localhost", "/").1, "app/");
    thread::sleep(Duration::from_millis(10));
    assert_eq!(background.pid(), pid);
}

#[test]
fn commands_and_watchers_find_the_new_one() {
    let (background, _) = Background::started(&[]);
    let mut watch = background.command(["watch", "--json"]);
    let mut watch = Running::spawn(&mut watch);
    watch.until_said("Watching.");
    let stop = Arc::new(AtomicBool::new(false));
    let commands: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let (stop, desk) = (stop.clone(), background.desk.clone());
            thread::spawn(move || {
                let mut ran = 0;
                while !stop.load(Ordering::Relaxed) {
                    // The desk's commands start nothing.
                    desk.run(["add", name, "9"]).ok();
                    desk.run(["rm", name]).ok();
                    ran += 1;
                }
                ran
            })
        })
        .collect();
    for turn in 1..=5 {
        background.run(["restart"]).ok();
        wait_for("the news", || watch.stderr().matches("The router was restarted.").count() == turn);
    }
    stop.store(true, Ordering::Relaxed);
    let ran: Vec<u32> = commands.into_iter().map(|command| command.join().unwrap()).collect();
    assert!(ran.iter().all(|ran| *ran > 0), "{ran:?}");
    assert_eq!(routes(&background), json!([]));
    background.run(["add", "last", "9"]).ok();
    wait_for("the last event", || watch.json_line()["route"]["subdomain"] == "last");
    background.run(["stop"]).ok();
    watch.until_said("The router has stopped.");
    assert_eq!(watch.wait().code(), Some(0));
}

#[test]
fn names_stay_in_the_hosts_file() {
    let background = Background::new();
    let hosts = background.desk.write("hosts", "127.0.0.1 localhost\n");
    let backups = background.desk.path("backups");
    background.desk.write(
        "hosts.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\n[hosts]\nmode = \"required\"\npath = {hosts:?}\nbackup_dir = {backups:?}\n"
        ),
    );
    background.run(["start", "--config", "hosts.toml"]).ok();
    background.run(["add", "shop", "9"]).ok();
    let has_name = || fs::read_to_string(&hosts).unwrap().contains("shop.localhost");
    assert!(has_name());
    let restart = Running::spawn(&mut background.command(["restart"]));
    let (desk, mut looks) = (background.desk.clone(), 0);
    let watcher = thread::spawn(move || restart.ended().ok());
    while !watcher.is_finished() {
        assert!(fs::read_to_string(desk.path("hosts")).unwrap().contains("shop.localhost"), "look {looks}");
        looks += 1;
    }
    watcher.join().unwrap();
    background.run(["add", "store", "9"]).ok();
    assert!(has_name() && fs::read_to_string(&hosts).unwrap().contains("store.localhost"));
    background.run(["stop"]).ok();
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "127.0.0.1 localhost\n");
}
