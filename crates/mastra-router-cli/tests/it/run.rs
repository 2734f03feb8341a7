//! `run`: a name for as long as a command runs.

use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::app::{App, get};
use crate::router::{Desk, Ran, Router, Running, wait_for};

/// A server that is run: see `server.py`.
pub(crate) fn server() -> String {
    format!("{}/tests/it/server.py", env!("CARGO_MANIFEST_DIR"))
}

/// A `run`, which takes its command along when it is dropped.
pub(crate) struct Run(Running);

impl Run {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(Running::spawn(command))
    }
}

impl Deref for Run {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.0
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.0.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // The second one does not wait.
            self.0.signal(Signal::TERM);
            wait_for("the end", || {
                self.0.signal(Signal::INT);
                self.0.child.try_wait().is_ok_and(|ended| ended.is_some())
            });
        }
    }
}

/// `run` with `options` and the server with `args`.
pub(crate) fn run_server(desk: &Desk, options: &[&str], args: &[&str]) -> Run {
    let server = server();
    let words = [&["run", "--json"], options, &["--", "python3", &server], args].concat();
    Run::spawn(desk.command(words).env_remove("NODE_EXTRA_CA_CERTS"))
}

/// The same, once it answers, with what was said then.
pub(crate) fn serving(desk: &Desk, options: &[&str], args: &[&str]) -> (Run, Value) {
    let mut run = run_server(desk, options, args);
    let ready = run.json_line();
    assert_eq!(ready["event"], "ready", "{ready} {}", run.stderr());
    (run, ready)
}

pub(crate) fn listens(port: &Value) -> bool {
    TcpStream::connect(("127.0.0.1", u16::try_from(port.as_u64().unwrap()).unwrap())).is_ok()
}

/// The process of a pid, while it runs.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('Z')).unwrap_or(true);
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() && !state
}

pub(crate) fn read_pid(path: &PathBuf) -> i32 {
    wait_for("a pid", || path.exists());
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn run(desk: &Desk, words: &[&str]) -> Ran {
    desk.run([&["run", "shop", "--"], words].concat())
}

#[test]
fn a_name_leads_to_a_command_while_it_runs() {
    let router = Router::start();
    let (mut run, ready) = serving(&router.desk, &["shop"], &["x"]);
    let url = format!("http://shop.localhost:{}", router.proxy.port());
    assert_eq!((&ready["name"], &ready["url"]), (&"shop".into(), &url.clone().into()));
    let told: Value = serde_json::from_str(&get(router.proxy, "shop.localhost", "/env").1).unwrap();
    let port = ready["port"].as_u64().unwrap().to_string();
    for (name, value) in [
        ("PORT", port.as_str()),
        ("HOST", "127.0.0.1"),
        ("MASTRA_HOST", "127.0.0.1"),
        ("MASTRA_AUTO_DETECT_URL", "true"),
        ("MASTRA_ROUTER_URL", &url),
        ("UVICORN_PORT", &port),
        ("__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS", ".shop.localhost"),
    ] {
        assert_eq!(told["env"][name], value, "{name}");
    }
    assert_eq!(told["env"]["NODE_EXTRA_CA_CERTS"], Value::Null, "there is no authority");
    assert_eq!(told["argv"][1], "x");
    let route = router.run(&["get", "shop", "--json"]).ok().json();
    assert_eq!(route["lease"]["pid"], run.child.id());
    assert!(route["lease"]["command"].as_str().unwrap().starts_with("python3 "), "{route}");
    assert_eq!(route["status"], "active");

    run.signal(Signal::TERM);
    assert_eq!(run.wait().code(), Some(143));
    assert_eq!(router.routes(), Value::Array(Vec::new()));
    assert!(!listens(&ready["port"]));
}

#[test]
fn people_are_told_on_stderr() {
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--", "python3", &server(), "any"]);
    let run = Run::spawn(&mut command);
    run.until_said(&format!("● http://shop.localhost:{} → localhost:", router.proxy.port()));
    assert!(run.stderr().contains("it did not take port"), "{}", run.stderr());
    let mut command = router.desk.command(["run", "late", "--", "python3", &server(), "slow=1.5"]);
    let run = Run::spawn(&mut command);
    run.until_said("late: waiting until python3");
    run.until_said("● http://late.localhost");
    let mut command = router.desk.command(["run", "quiet", "--quiet", "--", "python3", &server(), "slow=1.5"]);
    let mut quiet = Run::spawn(&mut command);
    wait_for("it answers", || get(router.proxy, "quiet.localhost", "/").0 == 200);
    quiet.signal(Signal::TERM);
    quiet.wait();
    assert_eq!(quiet.stderr(), "");
}

#[test]
fn the_authority_is_told_where_there_is_one() {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path(".mastra/certs")).unwrap();
    desk.write(".mastra/certs/ca.pem", "");
    let router = Router::start_at(Arc::new(desk), &[]);
    let env = |extra: Option<&str>| {
        let mut command = router.desk.command(["run", "shop", "--json", "--", "python3", &server()]);
        command.env_remove("NODE_EXTRA_CA_CERTS").envs(extra.map(|value| ("NODE_EXTRA_CA_CERTS", value)));
        let mut run = Run::spawn(&mut command);
        run.json_line();
        let told: Value = serde_json::from_str(&get(router.proxy, "shop.localhost", "/env").1).unwrap();
        run.signal(Signal::TERM);
        run.wait();
        told["env"]["NODE_EXTRA_CA_CERTS"].as_str().unwrap().to_owned()
    };
    assert_eq!(env(None), router.desk.path(".mastra/certs/ca.pem").to_str().unwrap());
    assert_eq!(env(Some("/own.pem")), "/own.pem");
}

#[test]
fn the_exit_code_is_the_commands() {
    let router = Router::start();
    let desk = &router.desk;
    for (script, code) in [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
    {
        let ran = run(desk, &["sh", "-c", script]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.stderr.contains("before it listened on a port"), "{ran:?}");
    }
    run(desk, &["no-such-command"]).failed(127, "COMMAND_NOT_FOUND", &["no-such-command", "hint: "]);
    run(desk, &["npm run dev"]).failed(127, "COMMAND_NOT_FOUND", &["hint: without the quotes: -- npm run dev"]);
    desk.write("plain", "");
    run(desk, &["./plain"]).failed(126, "COMMAND_NOT_EXECUTABLE", &["hint: chmod +x ./plain"]);
    run(desk, &["/"]).failed(126, "COMMAND_NOT_EXECUTABLE", &[]);
    let script = desk.write("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    run(desk, &["./script"]).failed(126, "COMMAND_NOT_EXECUTABLE", &["interpreter"]);
    assert_eq!(router.routes(), Value::Array(Vec::new()), "none of them left its route");
    assert_eq!(desk.run(["run", "shop"]).code, Some(2), "there is no command");
}

#[test]
fn the_command_has_our_files() {
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--", "sh", "-c", "cat; echo no >&2"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"in and out").unwrap();
    let ran = Running::of(child).ended();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "in and out"));
    assert!(ran.stderr.contains("no\n"));
}

#[test]
fn the_port_it_listens_on_is_found() {
    let router = Router::start();
    for args in [&["any"][..], &["any", "child"], &["child"]] {
        let (mut run, ready) = serving(&router.desk, &["shop"], args);
        let told: Value = serde_json::from_str(&get(router.proxy, "shop.localhost", "/env").1).unwrap();
        let given: Value = told["env"]["PORT"].as_str().unwrap().parse().unwrap();
        assert_eq!(given != ready["port"], args.contains(&"any"), "{ready}");
        // It begins to listen elsewhere.
        let moved: u64 = get(router.proxy, "shop.localhost", "/move").1.parse().unwrap();
        wait_for("the route has moved", || router.routes()[0]["targetPort"] == moved);
        assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app /x");
        run.signal(Signal::TERM);
        run.wait();
        assert!(!listens(&moved.into()));
    }
}

#[test]
fn placeholders_and_habits_reach_the_command() {
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--json", "--", "python3", &server(), "port={port}"]);
    let mut run = Run::spawn(&mut command);
    let ready = run.json_line();
    let told: Value = serde_json::from_str(&get(router.proxy, "shop.localhost", "/env").1).unwrap();
    assert_eq!(told["argv"][1], format!("port={}", ready["port"]));
    drop(run);
    router.desk.write("hello.txt", "hello");
    let mut command = router.desk.command(["run", "files", "--json", "--", "python3", "-m", "http.server"]);
    let mut run = Run::spawn(&mut command);
    // What it says of itself comes first.
    while !run.line().contains("\"event\":\"ready\"") {}
    assert_eq!(get(router.proxy, "files.localhost", "/hello.txt").1, "hello");
    let route = router.run(&["get", "files", "--json"]).ok().json();
    assert_eq!((&route["healthPath"], &route["status"]), (&"/".into(), &"active".into()), "it knows no /health");
}

#[test]
fn a_server_in_the_background_keeps_its_name() {
    let router = Router::start();
    let script = format!("python3 {} pid=pid & exit 0", server());
    for command in [&["python3", &server(), "daemon", "pid=pid"][..], &["sh", "-c", &script]] {
        let _ = std::fs::remove_file(router.desk.path("pid"));
        let words = [&["run", "shop", "--json", "--"], command].concat();
        let mut run = Run::spawn(&mut router.desk.command(&words));
        let ready = run.json_line();
        assert_eq!(ready["event"], "ready");
        let pid = read_pid(&router.desk.path("pid"));
        assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app /x");
        assert!(run.child.try_wait().unwrap().is_none(), "it goes on");
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        assert_eq!(run.wait().code(), Some(0), "{}", run.stderr());
        assert_eq!(router.routes(), Value::Array(Vec::new()));
        // And ends with its run.
        let _ = std::fs::remove_file(router.desk.path("pid"));
        let mut run = Run::spawn(&mut router.desk.command(&words));
        run.json_line();
        let pid = read_pid(&router.desk.path("pid"));
        run.signal(Signal::TERM);
        run.wait();
        assert!(!runs(pid));
    }
}

#[test]
fn a_name_in_use_is_not_taken_unless_by_force() {
    let router = Router::start();
    let (mut first, one) = serving(&router.desk, &["shop"], &["x"]);
    let refused = run(&router.desk, &["python3", &server()]);
    let pid = format!("pid {}", first.child.id());
    refused.failed(4, "ROUTE_CONFLICT", &["shop is taken by ", &pid, "server.py", "run shop --force"]);
    assert_eq!(get(router.proxy, "shop.localhost", "/x").0, 200);

    let (mut second, two) = serving(&router.desk, &["shop", "--force"], &["x"]);
    assert_ne!(one["port"], two["port"]);
    assert_eq!(router.routes()[0]["targetPort"], two["port"]);
    // The end of the one who lost it changes nothing.
    first.signal(Signal::TERM);
    first.wait();
    assert_eq!(router.routes()[0]["targetPort"], two["port"]);
    assert_eq!(get(router.proxy, "shop.localhost", "/x").0, 200);
    second.signal(Signal::TERM);
    second.wait();
    assert_eq!(router.routes(), Value::Array(Vec::new()));

    let app = App::start("app");
    router.run(&["add", "shop", &app.target()]).ok();
    let leads = format!("it leads to {}", app.target());
    run(&router.desk, &["true"]).failed(4, "ROUTE_CONFLICT", &[&leads]);
    serving(&router.desk, &["shop", "--force"], &["x"]);
}

#[test]
fn one_that_lost_its_name_is_told_and_goes_on() {
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--", "python3", &server()]);
    let run = Run::spawn(&mut command);
    run.until_said("● http");
    router.run(&["rm", "shop"]).ok();
    let began = Instant::now();
    run.until_said("shop: the route is lost: it was removed.");
    assert!(began.elapsed() < Duration::from_secs(4), "it was told, and did not only look: {:?}", began.elapsed());
    assert_eq!(router.routes(), Value::Array(Vec::new()));
    let mut command = router.desk.command(["run", "shop", "--", "python3", &server()]);
    let run = Run::spawn(&mut command);
    run.until_said("● http");
    let (second, _) = serving(&router.desk, &["shop", "--force"], &[]);
    let began = Instant::now();
    run.until_said(&format!("shop: the route is lost: it is that of pid {}, which runs python3 ", second.child.id()));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn the_port_is_the_same_the_next_time() {
    let router = Router::start();
    let again = |name: &str| {
        let (mut run, ready) = serving(&router.desk, &[name], &[]);
        run.signal(Signal::TERM);
        run.wait();
        ready["port"].clone()
    };
    let (shop, store) = (again("shop"), again("store"));
    assert_ne!(shop, store);
    assert_eq!((again("shop"), again("store")), (shop.clone(), store));
    // One that is refused its name is not remembered.
    let (running, _) = serving(&router.desk, &["shop"], &[]);
    run(&router.desk, &["true"]).failed(4, "ROUTE_CONFLICT", &[]);
    drop(running);
    assert_eq!(again("shop"), shop);
    let taken = std::net::TcpListener::bind(("127.0.0.1", shop.as_u64().unwrap().try_into().unwrap())).unwrap();
    let other = again("shop");
    assert_ne!(other, shop);
    let port = shop.to_string();
    let refused = router.run(&["run", "shop", "--port", &port, "--", "true"]);
    refused.failed(4, "PORT_IN_USE", &[&port, "hint: leave --port out"]);
    drop(taken);
    let (_run, ready) = serving(&router.desk, &["shop", "--port", &port], &[]);
    assert_eq!(ready["port"], shop);
    let refused = router.run(&["run", "other", "--port", &port, "--", "true"]);
    refused.failed(4, "PORT_IN_USE", &[&port]);
}

#[test]
fn a_router_that_comes_back_has_the_name_again() {
    for args in [&["--no-save"][..], &[]] {
        let router = Router::start_at(Arc::new(Desk::new()), args);
        let (_run, ready) = serving(&router.desk, &["shop"], &[]);
        let desk = router.desk.clone();
        // Killed, so that it says nothing to anybody.
        drop(router);
        let router = Router::start_at(desk, args);
        wait_for("the route is there", || router.routes()[0]["targetPort"] == ready["port"]);
        assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app /x");
    }
}

#[test]
fn a_run_that_was_killed_leaves_what_prune_ends() {
    let router = Router::start();
    for args in [&["pid=pid"][..], &["child", "pid=pid"], &["deaf", "pid=pid"]] {
        let _ = std::fs::remove_file(router.desk.path("pid"));
        let (mut run, ready) = serving(&router.desk, &["shop"], args);
        let pid = read_pid(&router.desk.path("pid"));
        router.run(&["prune", "--json"]).ok();
        assert!(runs(pid), "while its run does");
        run.child.kill().unwrap();
        run.wait();
        wait_for("the route has gone", || router.routes() == Value::Array(Vec::new()));
        assert!(runs(pid) && listens(&ready["port"]));
        let dry = router.run(&["prune", "--dry-run", "--json"]).ok().json();
        assert!(dry["processes"].as_array().unwrap().iter().any(|process| process["pid"] == pid), "{dry}");
        assert!(runs(pid));
        let pruned = router.run(&["prune"]).ok();
        assert!(pruned.stdout.contains(&format!("ended pid {pid}: ")), "{pruned:?}");
        assert!(!runs(pid) && !listens(&ready["port"]));
        let again = router.run(&["prune"]).ok();
        assert_eq!((again.stdout.as_str(), again.stderr.as_str()), ("", "nothing is left behind\n"));
        let (_run, again) = serving(&router.desk, &["shop"], &[]);
        assert_eq!(again["port"], ready["port"]);
    }
}

#[test]
fn both_are_killed() {
    let router = Router::start();
    let (mut run, _) = serving(&router.desk, &["shop"], &["pid=pid"]);
    router.run(&["add", "stays", "9"]).ok();
    let pid = read_pid(&router.desk.path("pid"));
    let desk = router.desk.clone();
    drop(router);
    run.child.kill().unwrap();
    run.wait();
    desk.run(["prune"]).ok();
    assert!(!runs(pid));
    let router = Router::start_at(desk, &[]);
    let routes = router.routes();
    assert_eq!((routes.as_array().unwrap().len(), &routes[0]["subdomain"]), (1, &"stays".into()));
}

/// `MASTRA_ROUTER_TEST_RUNS=100` for the number that the mission names.
#[test]
fn many_at_once_have_each_their_own() {
    let count = std::env::var("MASTRA_ROUTER_TEST_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let router = Router::start();
    let mut all: Vec<Run> =
        (0..count).map(|i| run_server(&router.desk, &[&format!("app-{i}")], &[&format!("n={i}")])).collect();
    let mut ports = HashSet::new();
    for run in &mut all {
        let ready = run.json_line();
        assert_eq!(ready["event"], "ready", "{ready} {}", run.stderr());
        assert!(ports.insert(ready["port"].as_u64().unwrap()));
    }
    for i in 0..count {
        let told: Value = serde_json::from_str(&get(router.proxy, &format!("app-{i}.localhost"), "/env").1).unwrap();
        assert_eq!(told["argv"][1], format!("n={i}"));
    }
    all.iter().for_each(|run| run.signal(Signal::TERM));
    for run in &mut all {
        assert_eq!(run.wait().code(), Some(143), "{}", run.stderr());
    }
    assert_eq!(router.routes(), Value::Array(Vec::new()));
    assert!(ports.iter().all(|port| !listens(&(*port).into())));
}
