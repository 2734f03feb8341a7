//! `up`: all servers of a project.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::app::get;
use crate::router::{Desk, Router, Running, wait_for};
use crate::run::{listens, server};

/// Three servers, of which one waits for another, and that for a third.
pub(crate) fn shop(api: &str) -> String {
    let server = server();
    format!(
        "[apps.web]\ncommand = [\"python3\", \"{server}\", \"pid=web.pid\"]\ndepends_on = [\"api-v2\"]\n\
         [apps.api-v2]\ncommand = \"python3 {server} pid=api.pid {api}\"\ndepends_on = [\"db\"]\nhealth = \"/health\"\n\
         env = {{ OWN = \"p{{port}}\", COUNT = 3 }}\n\
         [apps.db]\ncommand = \"python3 {server} pid=db.pid slow=0.3\"\n"
    )
}

/// An `up` that takes its apps along when it is dropped.
pub(crate) struct Up(Running);

impl Deref for Up {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl DerefMut for Up {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.0
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.0.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            wait_for("the end", || {
                self.0.signal(Signal::TERM);
                self.0.child.try_wait().is_ok_and(|ended| ended.is_some())
            });
        }
    }
}

impl Up {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(Running::spawn(command))
    }

    /// With `--json`.
    pub(crate) fn start(desk: &Desk, options: &[&str]) -> Self {
        Self::spawn(&mut desk.command([&["up", "--json"], options].concat()))
    }

    /// What it says until `fact` holds of a line; all lines with that one.
    #[track_caller]
    pub(crate) fn until(&mut self, fact: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut said = Vec::new();
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "it ended: {said:#?} {}", self.stderr());
            said.push(serde_json::from_str(&line).unwrap());
            if said.last().is_some_and(&fact) {
                return said;
            }
        }
    }

    #[track_caller]
    pub(crate) fn until_ready(&mut self) -> Vec<Value> {
        self.until(|line| line["event"] == "ready")
    }

    #[track_caller]
    pub(crate) fn until_state(&mut self, app: &str, state: &str) -> Vec<Value> {
        self.until(|line| line["app"] == app && line["state"] == state)
    }

    /// All that it says to its end, and its exit code.
    pub(crate) fn rest(&mut self) -> (Vec<Value>, Option<i32>) {
        let lines = std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty()));
        let lines = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
        (lines, self.wait().code())
    }
}

/// The apps in the order in which they came to `state`.
pub(crate) fn order<'v>(said: &'v [Value], state: &str) -> Vec<&'v str> {
    said.iter().filter(|line| line["state"] == state).map(|line| line["app"].as_str().unwrap()).collect()
}

fn env(router: &Router, host: &str) -> Value {
    let told: Value = serde_json::from_str(&get(router.proxy, host, "/env").1).unwrap();
    told["env"].clone()
}

#[test]
fn apps_start_after_what_they_depend_on_and_end_before_it() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop(""));
    let mut up = Up::start(&router.desk, &[]);
    let said = up.until_ready();
    assert_eq!(order(&said, "starting"), ["db", "api-v2", "web"], "{said:#?}");
    assert_eq!(order(&said, "healthy"), ["db", "api-v2", "web"], "{said:#?}");
    let at =
        |app: &str, state: &str| said.iter().position(|line| line["app"] == app && line["state"] == state).unwrap();
    assert!(at("db", "healthy") < at("api-v2", "starting") && at("api-v2", "healthy") < at("web", "starting"));
    let ports: Vec<Value> =
        said.iter().filter(|line| line["state"] == "healthy").map(|line| line["port"].clone()).collect();

    let web = env(&router, "web.localhost");
    let url = |name: &str| format!("http://{name}.localhost:{}", router.proxy.port());
    for (name, value) in [
        ("DB_URL", url("db")),
        ("API_V2_URL", url("api-v2")),
        ("WEB_URL", url("web")),
        ("MASTRA_ROUTER_URL", url("web")),
        ("HOST", "127.0.0.1".to_owned()),
    ] {
        assert_eq!(web[name], value, "{name}");
    }
    assert_eq!(web["FORCE_COLOR"], Value::Null, "there is no terminal");
    let api = env(&router, "api-v2.localhost");
    assert_eq!(api["OWN"], format!("p{}", api["PORT"].as_str().unwrap()));
    assert_eq!(api["COUNT"], "3");

    up.signal(Signal::INT);
    let (said, code) = up.rest();
    assert_eq!(order(&said, "stopped"), ["web", "api-v2", "db"], "{said:#?}");
    assert_eq!(code, Some(130));
    assert_eq!(router.routes(), Value::Array(Vec::new()));
    assert!(!ports.iter().any(listens), "{ports:?}");
}

#[test]
fn some_with_what_they_depend_on() {
    let router = Router::start();
    let file = router.desk.write("mastra-router.toml", &shop(""));
    for options in [&["api-v2"][..], &["./mastra-router.toml", "api-v2"], &["-f", file.to_str().unwrap(), "api-v2"]] {
        let mut up = Up::start(&router.desk, options);
        let said = up.until_ready();
        assert_eq!(order(&said, "healthy"), ["db", "api-v2"]);
        up.signal(Signal::TERM);
        assert_eq!(up.rest().1, Some(143));
    }
    fs::create_dir_all(router.desk.path("deep/down")).unwrap();
    let mut command = router.desk.command(["up", "--json", "db"]);
    let mut up = Up::spawn(command.current_dir(router.desk.path("deep/down")));
    up.until_ready();
    // What runs elsewhere is told too.
    let mut other =
        Up::start(&router.desk, &["-f", router.desk.write("web.toml", &web_alone()).to_str().unwrap(), "web"]);
    other.until_ready();
    assert_eq!(env(&router, "web.localhost")["DB_URL"], env(&router, "db.localhost")["MASTRA_ROUTER_URL"]);
}

fn web_alone() -> String {
    shop("").replace("depends_on = [\"api-v2\"]\n", "")
}

#[test]
fn people_are_told_each_change_once() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop(""));
    let up = Up::spawn(&mut router.desk.command(["up"]));
    up.until_said("all apps are there");
    let said = up.stderr();
    for (line, count) in [
        ("web     ○ waiting for api-v2\n", 1),
        ("db      ○ starting\n", 1),
        ("db      ● healthy  http://db.localhost:", 1),
        ("web     ● healthy  http://web.localhost:", 1),
        ("✗", 0),
        ("\u{1b}", 0),
    ] {
        assert_eq!(said.matches(line).count(), count, "{line}: {said}");
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_is_started() {
    let router = Router::start();
    let desk = &router.desk;
    let check = |text: &str, args: &[&str], exit, code: &str, parts: &[&str]| {
        desk.write("mastra-router.toml", text);
        desk.run([&["up"], args].concat()).failed(exit, code, parts);
        assert!(!desk.path("begun").exists(), "{text}");
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    };
    let app = |name: &str, rest: &str| format!("[apps.{name}]\ncommand = \"touch begun\"\n{rest}\n");
    let circle =
        [app("a", "depends_on = [\"b\"]"), app("b", "depends_on = [\"c\"]"), app("c", "depends_on = [\"a\"]")].concat();
    check(&(app("x", "") + &circle), &[], 2, "DEPENDENCY_CYCLE", &["toml:12:15: these apps wait", "a → b → c → a"]);
    check(&(app("x", "") + &circle), &["x"], 2, "DEPENDENCY_CYCLE", &["a → b → c → a"]);
    let typo = app("web", "depends_on = [\"appi\"]") + &app("api", "");
    check(&typo, &[], 2, "UNKNOWN_APP", &["toml:3:15: apps.web", "\"appi\"", "did you mean \"api\"?"]);
    check(&app("api", ""), &["appi"], 3, "UNKNOWN_APP", &["did you mean \"api\"?"]);
    check("[apps.x]\ncomand = \"touch begun\"\n", &[], 2, "CONFIG_INVALID", &["toml:2:1", "did you mean \"command\"?"]);
    check("[aps.x]\ncommand = \"touch begun\"\n", &[], 2, "CONFIG_INVALID", &["toml:1:2", "did you mean \"apps\"?"]);
    check(&app("a", "dir = \"no\""), &[], 2, "CONFIG_INVALID", &["toml:3:7", "is no directory"]);
    check("", &[], 3, "NO_APPS", &["hint: mastra-router init"]);
    desk.run(["up", "absent.toml"]).failed(2, "CONFIG_UNREADABLE", &["absent.toml"]);

    // A name that another has, after one that is free.
    router.run(&["add", "taken", "9"]).ok();
    desk.write("mastra-router.toml", &(app("free", "") + &app("taken", "")));
    desk.run(["up"]).failed(4, "ROUTE_CONFLICT", &["taken is taken", "hint: mastra-router up --force"]);
    assert!(!desk.path("begun").exists());
    assert_eq!(router.routes().as_array().unwrap().len(), 1, "the free name is free again");
}

#[test]
fn the_second_up_is_refused_or_takes_over() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop(""));
    let mut first = Up::start(&router.desk, &[]);
    first.until_ready();
    let refused = router.desk.run(["up"]);
    let pid = format!("pid {}", first.child.id());
    refused.failed(4, "ROUTE_CONFLICT", &["db is taken by", &pid, "hint: mastra-router up --force takes it over"]);
    let mut second = Up::start(&router.desk, &["--force"]);
    second.until_ready();
    let pid_of = |up: &Up| up.child.id();
    let lease = router.run(&["get", "web", "--json"]).ok().json()["lease"]["pid"].clone();
    assert_eq!(lease, pid_of(&second));
    first.signal(Signal::INT);
    first.wait();
    assert_eq!(get(router.proxy, "web.localhost", "/x").1, "app /x", "its end changes nothing for the second");
}

#[test]
fn a_crash_is_followed_by_a_restart_with_back_off() {
    let router = Router::start();
    let server = server();
    router.desk.write(
        "mastra-router.toml",
        &format!(
            "[apps.bad]\ncommand = \"echo again >> begun; exit 7\"\n\
             [apps.once]\ncommand = \"if [ -e was ]; then exec python3 {server}; fi; touch was; kill -9 $$\"\n\
             [apps.task]\ncommand = \"true\"\n\
             [apps.after]\ncommand = [\"python3\", \"{server}\"]\ndepends_on = [\"task\", \"once\"]\n"
        ),
    );
    let began = Instant::now();
    let mut up = Up::start(&router.desk, &[]);
    let mut said = up.until_state("bad", "restarting");
    for _ in 0..2 {
        said.extend(up.until_state("bad", "restarting"));
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "one second and two: {:?}", began.elapsed());
    let details: Vec<&str> = said
        .iter()
        .filter(|line| line["app"] == "bad" && line["state"] == "restarting")
        .map(|line| line["detail"].as_str().unwrap())
        .collect();
    assert_eq!(details, [1, 2, 4].map(|s| format!("it ended with exit code 7; again in {s} s")));
    assert_eq!(fs::read_to_string(router.desk.path("begun")).unwrap().lines().count(), 3);
    let once = said.iter().find(|line| line["app"] == "once" && line["state"] == "restarting").unwrap();
    assert!(once["detail"].as_str().unwrap().starts_with("it was ended by signal 9"), "{once}");
    if !said.iter().any(|line| line["app"] == "after" && line["state"] == "healthy") {
        said.extend(up.until_state("after", "healthy"));
    }
    let healthy = said.iter().find(|line| line["app"] == "once" && line["state"] == "healthy").unwrap();
    assert_eq!(healthy["restarts"], 1);
    assert_eq!(order(&said, "exited"), ["task"], "once: what ends with 0 is not started again");
}

#[test]
fn the_exit_code_says_whether_all_could_be_started() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", "[apps.a]\ncommand = \"true\"\n[apps.b]\ncommand = \"true\"\n");
    assert_eq!(router.desk.run(["up"]).code, Some(0));
    router.desk.write(
        "mastra-router.toml",
        "[apps.a]\ncommand = [\"no-such-command\"]\n[apps.b]\ncommand = \"touch begun\"\ndepends_on = [\"a\"]\n\
         [apps.c]\ncommand = \"true\"\n",
    );
    let ran = router.desk.run(["up"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("a | error[COMMAND_NOT_FOUND]: no-such-command was not found"), "{ran:?}");
    assert!(ran.stderr.contains("b  ✗ failed: a has failed"), "{ran:?}");
    assert!(!router.desk.path("begun").exists());
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn a_server_is_healthy_only_as_it_is() {
    let router = Router::start();
    // It answers 404 to everything, and so its health check fails.
    let script = "import http.server,os;http.server.HTTPServer(('127.0.0.1',int(os.environ['PORT'])),http.server.BaseHTTPRequestHandler).serve_forever()";
    router.desk.write(
        "mastra-router.toml",
        &format!(
            "[apps.sick]\ncommand = [\"python3\", \"-c\", \"{script}\"]\n\
             [apps.other]\ncommand = [\"python3\", \"{}\"]\ndepends_on = [\"sick\"]\n",
            server()
        ),
    );
    let mut up = Up::start(&router.desk, &[]);
    let said = up.until_state("other", "healthy");
    let sick = said.iter().find(|line| line["app"] == "sick" && line["state"] == "unhealthy").unwrap();
    assert!(sick["detail"].as_str().unwrap().contains("501"), "{sick}");
    assert_eq!(order(&said, "healthy"), ["other"]);
}

#[test]
fn what_speaks_no_http_is_there_when_it_listens() {
    let router = Router::start();
    let script = "import os,socket\ns=socket.create_server(('127.0.0.1',int(os.environ['PORT'])))\nwhile True:\n c,_=s.accept()\n c.sendall(b'-ERR\\\\r\\\\n')\n c.close()";
    router.desk.write(
        "mastra-router.toml",
        &format!(
            "[apps.db]\ncommand = [\"python3\", \"-c\", \"{}\"]\n[apps.web]\ncommand = [\"python3\", \"{}\"]\ndepends_on = [\"db\"]\n",
            script.replace('\n', "\\n"),
            server()
        ),
    );
    let mut up = Up::start(&router.desk, &[]);
    let said = up.until_ready();
    assert_eq!(order(&said, "listening"), ["db"], "{said:#?}");
    assert_eq!(order(&said, "healthy"), ["web"]);
}

#[test]
fn apps_share_a_host_and_move_with_the_branch() {
    let desk = Arc::new(Desk::new());
    let router = Router::start_at(desk.clone(), &[]);
    let server = server();
    let text = format!(
        "[run]\nbranch = \"{{name}}-{{branch}}\"\n[apps.web]\ncommand = [\"python3\", \"{server}\"]\nname = \"shop\"\n\
         [apps.api]\ncommand = [\"python3\", \"{server}\"]\nname = \"shop\"\npath_prefix = \"/api\"\n"
    );
    desk.write("mastra-router.toml", &text);
    let mut up = Up::start(&desk, &[]);
    up.until_ready();
    assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app /x");
    assert_eq!(get(router.proxy, "shop.localhost", "/api/x").1, "app /x");
    assert!(env(&router, "shop.localhost")["API_URL"].as_str().unwrap().ends_with("/api"));
    drop(up);
    // A linked work tree of a repository elsewhere.
    fs::create_dir_all(desk.path("repo/.git/worktrees/fix")).unwrap();
    fs::write(desk.path("repo/.git/worktrees/fix/HEAD"), "ref: refs/heads/fix/ui\n").unwrap();
    desk.write(".git", &format!("gitdir: {}\n", desk.path("repo/.git/worktrees/fix").display()));
    let mut up = Up::start(&desk, &[]);
    up.until_ready();
    assert_eq!(get(router.proxy, "shop-fix-ui.localhost", "/api/x").1, "app /x");
    assert!(env(&router, "shop-fix-ui.localhost")["WEB_URL"].as_str().unwrap().contains("shop-fix-ui."));
}

#[test]
fn a_router_is_started_where_none_runs() {
    let desk = Desk::new();
    desk.write("mastra-router.toml", &web_alone());
    desk.write("router.toml", "");
    let started = desk.run(["start", "--listen", "127.0.0.1:0"]).ok();
    desk.run(["stop"]).ok();
    let mut command = desk.command(["up", "web", "--json"]);
    let mut up = Up::spawn(command.env("MASTRA_ROUTER_NO_START", "0"));
    up.until_ready();
    up.signal(Signal::INT);
    assert_eq!(up.rest().1, Some(130));
    // The router stays: it is not one of the apps.
    desk.run(["status"]).ok();
    desk.run(["stop"]).ok();
    assert!(started.stdout.starts_with("http://"));
}
