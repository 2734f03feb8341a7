//! The router in the background: started, found, started by a command, logging, ending by itself.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::app::{App, get, open_events};
use crate::router::{Desk, Ran, Router, Running, wait_for};

/// A desk at which routers may be left running; none is when the test ends.
pub(crate) struct Background {
    pub(crate) desk: Arc<Desk>,
}

impl Background {
    pub(crate) fn new() -> Self {
        Self { desk: Arc::new(Desk::new()) }
    }

    /// One that runs, on a free port, and what `start` said.
    pub(crate) fn started(more: &[&str]) -> (Self, Value) {
        let background = Self::new();
        let ran = background.run(["--json", "start", "--listen", "127.0.0.1:0"].iter().chain(more)).ok();
        let ready = ran.json();
        assert_eq!(ready["event"], "ready", "{ready}");
        (background, ready)
    }

    /// A command that may start a router.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.desk.command(args);
        command.env_remove("MASTRA_ROUTER_NO_START");
        command
    }

    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Running::spawn(&mut self.command(args)).ended()
    }

    pub(crate) fn status(&self) -> Value {
        self.run(["status", "--json"]).ok().json()
    }

    pub(crate) fn pid(&self) -> u32 {
        pid(&self.status())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.desk.home().join("router.log")
    }

    /// The next start listens on a free port.
    fn saved_port(&self) -> &Self {
        self.run(["start", "--listen", "127.0.0.1:0"]).ok();
        self.run(["stop"]).ok();
        self
    }

    /// Processes with this home.
    fn processes(&self) -> Vec<u32> {
        let home = format!("MASTRA_ROUTER_HOME={}", self.desk.home().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let has_home = |pid: &u32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes())
        };
        pids.filter(has_home).collect()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for pid in self.processes() {
            let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), Signal::KILL);
        }
    }
}

pub(crate) fn pid(value: &Value) -> u32 {
    value["pid"].as_u64().unwrap().try_into().unwrap()
}

pub(crate) fn proxy(value: &Value) -> SocketAddr {
    value["listen"][0].as_str().unwrap().parse().unwrap()
}

/// What is left of a process is what its parent has not asked for yet.
pub(crate) fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

#[test]
fn start_leaves_a_router_of_its_own_in_the_background() {
    let background = Background::new();
    let started = background.run(["start", "--listen", "127.0.0.1:0"]).ok();
    let status = background.status();
    assert_eq!(started.stdout, format!("http://localhost:{}\n", proxy(&status).port()));
    assert!(started.stderr.contains(&format!("started (pid {})", status["pid"])), "{started:?}");
    assert_eq!(status["startedBy"], "start");
    assert_eq!(status["logFile"], background.log().to_str().unwrap());

    let pid = pid(&status);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "a session of its own");
    let leads = |what: &str| fs::read_link(format!("/proc/{pid}/{what}")).unwrap();
    assert_eq!((leads("fd/0"), leads("fd/1")), ("/dev/null".into(), "/dev/null".into()));
    assert_eq!((leads("fd/2"), leads("cwd")), (background.log(), background.desk.home()));
    assert_eq!(fs::metadata(background.log()).unwrap().permissions().mode() & 0o777, 0o600);

    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    assert_eq!(get(proxy(&status), "shop.localhost", "/").1, "app/");
    assert_eq!(background.run(["stop", "--json"]).ok().json(), json!({ "event": "stopped", "pid": pid }));
    wait_for("its end", || has_ended(pid));
    for socket in ["control.sock", "daemon.sock", "daemon.new"] {
        assert!(!background.desk.home().join(socket).exists(), "{socket} is left");
    }
}

#[test]
fn a_second_start_finds_the_first() {
    let (background, ready) = Background::started(&[]);
    let again = background.run(["start", "--listen", "127.0.0.1:0"]).ok();
    assert_eq!(again.stdout, format!("{}\n", ready["url"].as_str().unwrap()));
    assert!(again.stderr.contains(&format!("runs already (pid {})", ready["pid"])), "{again:?}");
    let again = background.run(["start", "--json"]).ok().json();
    assert_eq!((&again["event"], &again["pid"], &again["url"]), (&json!("running"), &ready["pid"], &ready["url"]));
    // One in the foreground is found too.
    let router = Router::start();
    let found = router.run(&["start", "--json"]).ok().json();
    assert_eq!(found["pid"], router.process.child.id());
}

#[test]
fn of_many_starts_at_one_moment_one_starts() {
    let background = Background::new();
    let starts: Vec<Running> = (0..8)
        .map(|_| Running::spawn(&mut background.command(["start", "--json", "--listen", "127.0.0.1:0"])))
        .collect();
    let said: Vec<Value> = starts.into_iter().map(|start| start.ended().ok().json()).collect();
    let pid = background.pid();
    assert!(said.iter().all(|said| said["pid"] == pid), "{said:?}");
    assert_eq!(said.iter().filter(|said| said["event"] == "ready").count(), 1, "{said:?}");
    wait_for("the others to be gone", || background.processes().into_iter().filter(|p| !has_ended(*p)).eq([pid]));
}

#[test]
fn a_start_that_fails_says_what_serve_would() {
    let background = Background::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    background.desk.write("bad.toml", "listen = 3\n");
    for args in [
        &["--listen", &taken][..],
        &["--listen", "0.0.0.0:0"],
        &["--listen", "127.0.0.1:0", "--threads", "0"],
        &["--config", "missing.toml"],
        &["--config", "bad.toml"],
    ] {
        let start = background.run(["start"].iter().chain(args));
        let serve = background.run(["serve"].iter().chain(args));
        let code = serve.json()["code"].as_str().unwrap().to_owned();
        assert_eq!((start.code, &start.stderr), (serve.code, &serve.stderr), "{args:?}");
        assert_eq!(start.stdout, "");
        let json = background.run(["start", "--json"].iter().chain(args));
        let error: Value = serde_json::from_str(&json.stderr).unwrap();
        assert_eq!((json.code, &error["error"]["code"]), (serve.code, &json!(code)), "{args:?}");
    }
    fs::remove_dir_all(background.desk.home()).unwrap();
    background.desk.write("home", "a file");
    background.run(["start"]).failed(1, "FILE_ERROR", &["hint: choose another directory"]);
    background.run(["list"]).failed(1, "FILE_ERROR", &["hint: choose another directory"]);
    assert!(background.processes().into_iter().all(has_ended), "nothing is left");
}

#[test]
fn a_command_that_needs_a_router_starts_one() {
    let background = Background::new();
    let port = background.saved_port();
    let app = App::start("app");
    let added = port.run(["add", "shop", &app.target()]).ok();
    let status = background.status();
    let first = added.stderr.lines().next().unwrap();
    let url = status["url"].as_str().unwrap();
    assert_eq!(first, format!("started the router (pid {}), {url}", status["pid"]), "{added:?}");
    assert_eq!(added.stdout.lines().count(), 1, "{added:?}");
    assert_eq!((&status["startedBy"], &status["routes"]), (&json!("command"), &json!(1)));
    assert_eq!(get(proxy(&status), "shop.localhost", "/").1, "app/");
    // It is there for the next one.
    assert_eq!(background.run(["rm", "shop"]).ok().stderr, "removed shop\n");
    background.run(["stop"]).ok();
    for args in [&["list"][..], &["port"], &["--json", "list"], &["-q", "list"]] {
        let ran = background.run(args).ok();
        assert_eq!(ran.stderr.contains("started the router"), args[0] != "-q", "{ran:?}");
        background.run(["stop"]).ok();
    }
    background.run(["url", "shop"]).failed(3, "ROUTE_NOT_FOUND", &[]);
    background.run(["stop"]).ok();
}

#[test]
fn what_is_typed_wrong_starts_nothing() {
    let background = Background::new();
    background.run(["add", "a b", "4111"]).failed(2, "INVALID_NAME", &[]);
    background.run(["add", "shop", "ftp://x"]).failed(2, "INVALID_TARGET", &[]);
    background.run(["update", "shop", "--target", "0"]).failed(2, "INVALID_TARGET", &[]);
    for args in [&["status"][..], &["stop"], &["hosts", "sync", "--hosts-file", "none"]] {
        background.run(args).failed(1, "ROUTER_UNREACHABLE", &[]);
    }
    for args in [&["--no-start", "list"][..], &["list", "--no-start"]] {
        background.run(args).failed(1, "ROUTER_UNREACHABLE", &["none runs there"]);
    }
    let mut command = background.command(["add", "shop", "4111"]);
    let ran = Running::spawn(command.env("MASTRA_ROUTER_NO_START", "1")).ended();
    ran.failed(1, "ROUTER_UNREACHABLE", &["none runs there"]);
    let mut command = background.command(["list"]);
    let ran = Running::spawn(command.env("MASTRA_ROUTER_IDLE_EXIT", "soon")).ended();
    ran.failed(2, "USAGE", &["MASTRA_ROUTER_IDLE_EXIT=soon", "hint: set it to 10m, or never"]);
    assert!(!background.desk.home().exists(), "nothing was made");
}

#[test]
fn commands_at_one_moment_share_the_router_they_start() {
    let background = Background::new();
    background.saved_port();
    let app = App::start("app");
    let target = app.target();
    let names = ["a", "b", "c", "d", "e", "f"];
    let adds: Vec<Running> =
        names.iter().map(|name| Running::spawn(&mut background.command(["add", name, &target]))).collect();
    adds.into_iter().for_each(|add| _ = add.ended().ok());
    let status = background.status();
    assert_eq!(status["routes"], names.len());
    for name in names {
        assert_eq!(get(proxy(&status), &format!("{name}.localhost"), "/").1, "app/");
    }
}

#[test]
fn one_that_a_command_started_ends_when_it_is_of_no_use() {
    let background = Background::new();
    background.saved_port();
    let run =
        |args: &[&str]| Running::spawn(background.command(args).env("MASTRA_ROUTER_IDLE_EXIT", "300ms")).ended().ok();
    run(&["add", "shop", "9"]);
    let pid = background.pid();
    let stays = |pid| {
        // One that is idle from now on for twice as long has ended: what is still there has a reason.
        let (_idle, ready) = Background::started(&["--idle-exit", "600ms"]);
        wait_for("the end of an idle one", || has_ended(self::pid(&ready)));
        !has_ended(pid)
    };
    assert!(stays(pid), "it has a route");
    // Nor while somebody watches.
    let mut watch = background.command(["watch"]);
    let watch = Running::spawn(&mut watch);
    watch.until_said("Watching");
    run(&["rm", "shop"]);
    assert!(stays(pid), "it has a client");
    drop(watch);
    wait_for("its end", || has_ended(pid));
    assert!(fs::read_to_string(background.log()).unwrap().contains("neither a route nor a client"));
    assert!(!background.desk.home().join("control.sock").exists());

    // Whoever starts it by name wants it to stay.
    run(&["list"]);
    let pid = background.pid();
    background.run(["start"]).ok();
    assert_eq!((background.pid(), &background.status()["startedBy"]), (pid, &json!("start")));
    assert!(stays(pid), "it was started");
}

#[test]
fn start_can_be_told_to_end_when_idle() {
    let (background, ready) = Background::started(&["--idle-exit", "200ms"]);
    wait_for("its end", || has_ended(pid(&ready)));
    let (background_2, ready) = Background::started(&["--idle-exit", "never"]);
    assert_eq!(background_2.pid(), pid(&ready));
    let bad = background.run(["start", "--idle-exit", "soon"]);
    assert_eq!(bad.code, Some(2), "{bad:?}");
}

#[test]
fn stop_says_what_it_waits_for() {
    let background = Background::new();
    background.desk.write("slow.toml", "listen = \"127.0.0.1:0\"\n[proxy]\ndrain_timeout = \"10m\"\n");
    let ready = background.run(["start", "--json", "--config", "slow.toml"]).ok().json();
    let app = App::start("app");
    background.run(["add", "shop", &app.target()]).ok();
    let stream = open_events(proxy(&ready), "shop.localhost");
    let named = format!("(pid {})", ready["pid"]);
    let began = Instant::now();
    let parts = [&*named, "within 200ms", "1 connection to end", &format!("kill {}", ready["pid"])];
    background.run(["stop", "--timeout", "200ms"]).failed(1, "STOP_TIMEOUT", &parts);
    assert!(began.elapsed() < Duration::from_secs(20));
    let stop = Running::spawn(&mut background.command(["stop"]));
    stop.until_said("Waiting for 1 connection to end");
    drop(stream);
    let stopped = stop.ended().ok();
    assert!(stopped.stderr.ends_with("stopped\n"), "{stopped:?}");
    wait_for("its end", || has_ended(pid(&ready)));
}

#[test]
fn logs_outlive_their_router() {
    let background = Background::new();
    background.run(["logs"]).failed(1, "NO_LOG", &["mastra-router start"]);
    assert!(!background.desk.home().exists(), "nothing was made");
    background.run(["start", "--listen", "127.0.0.1:0"]).ok();
    let mut follow = Running::spawn(&mut background.command(["logs", "-f"]));
    background.run(["add", "shop", "9"]).ok();
    assert!(follow.line().contains("shop"));
    background.run(["add", "store", "9"]).ok();
    assert!(follow.line().contains("store"));
    // A new file in the place of the old one is followed.
    fs::rename(background.log(), background.desk.home().join("router.log.1")).unwrap();
    fs::write(background.log(), "a new file\n").unwrap();
    assert_eq!(follow.line(), "a new file\n");
    follow.signal(Signal::INT);
    assert_eq!(follow.wait().code(), Some(0));
    background.run(["stop"]).ok();
    let all = background.run(["logs"]).ok().stdout;
    assert!(all.lines().count() >= 3 && all.ends_with("a new file\n"), "{all}");
    assert_eq!(background.run(["logs", "-n", "1"]).ok().stdout, "a new file\n");
    assert_eq!(background.run(["logs", "-n", "1", "--json"]).ok().json(), json!({ "line": "a new file" }));
}

#[test]
fn the_log_does_not_grow_without_end() {
    let background = Background::new();
    background.saved_port();
    let full = "x".repeat(1024 * 1024);
    fs::write(background.log(), &full).unwrap();
    let older: Vec<PathBuf> = (1..=3).map(|n| background.desk.home().join(format!("router.log.{n}"))).collect();
    older.iter().for_each(|path| fs::write(path, path.to_str().unwrap()).unwrap());
    background.run(["start"]).ok();
    background.run(["add", "shop", "9"]).ok();
    assert!(fs::read_to_string(background.log()).unwrap().contains("shop"));
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    assert!(text(&older[0]).starts_with(&full));
    assert_eq!((text(&older[1]), text(&older[2])), (older[0].display().to_string(), older[1].display().to_string()));
    assert_eq!(fs::read_link(format!("/proc/{}/fd/2", background.pid())).unwrap(), background.log());
}

/// `serve` with this as its descriptor 3, as a service manager runs it.
fn activated(desk: &Desk, socket: impl Into<std::os::fd::OwnedFd>, args: &[&str]) -> Running {
    let serve = desk.command(["serve"].iter().chain(args));
    let mut shell = Command::new("sh");
    let run = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    shell.args(["-c", run, "sh"]).arg(serve.get_program()).args(serve.get_args());
    shell.envs(serve.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell.stdin(std::process::Stdio::from(socket.into()));
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    Running::spawn(&mut shell)
}

#[test]
fn sockets_of_a_service_manager_are_served() {
    let desk = Desk::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // It waits in the queue since before there was a router.
    let waiting = std::net::TcpStream::connect(address).unwrap();
    let mut router = activated(&desk, listener, &["--listen", "127.0.0.1:1", "--threads", "3"]);
    let ready = router.json_line();
    assert_eq!(ready["listen"], json!([address.to_string()]), "{ready}");
    let app = App::start("app");
    desk.run(["add", "shop", &app.target()]).ok();
    assert_eq!(get(address, "shop.localhost", "/").1, "app/");
    let mut waiting = waiting;
    std::io::Write::write_all(&mut waiting, b"GET / HTTP/1.1\r\nhost: shop.localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    assert!(std::io::read_to_string(waiting).unwrap().ends_with("app/"));

    let refused = |socket: std::os::fd::OwnedFd, exit, code: &str| {
        let desk = Desk::new();
        activated(&desk, socket, &[]).ended().failed(exit, code, &[]);
        assert!(!desk.home().exists(), "nothing was made");
    };
    refused(TcpListener::bind("0.0.0.0:0").unwrap().into(), 2, "LAN_NOT_ALLOWED");
    refused(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(), 1, "LISTEN_FAILED");
    refused(fs::File::open("/dev/null").unwrap().into(), 1, "LISTEN_FAILED");
    refused(std::net::TcpStream::connect(address).unwrap().into(), 1, "LISTEN_FAILED");
}
