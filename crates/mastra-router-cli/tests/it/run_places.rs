//! `run` where it is not at home: without a terminal, without files of its own, without rights, and with commands that do not
//! do what servers do.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::app::get;
use crate::router::{Desk, Router, Running, wait_for};
use crate::run::{Run, listens, read_pid, server};

/// `run` through a shell, which closes or redirects its files as a script does it.
fn in_shell(desk: &Desk, script: &str, words: &[&str]) -> Command {
    let run = desk.command(words);
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(run.get_program())
        .args(run.get_args())
        .current_dir(run.get_current_dir().unwrap())
        .env_remove("SUDO_UID")
        .envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_script_of_ci_sees_what_the_command_says() {
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    let ran = Running::spawn(command.env("CI", "true")).ended();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "out\n"));
    assert!(ran.stderr.contains("err\n") && !ran.stderr.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn files_that_are_closed_or_full_end_nothing() {
    let router = Router::start();
    let ran = Running::spawn(&mut in_shell(&router.desk, "exec \"$@\" <&-", &["run", "shop", "--", "cat"])).ended();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran:?}");
    let words = ["run", "shop", "--", "sh", "-c", "exit 4"];
    let ran = Running::spawn(&mut in_shell(&router.desk, "exec \"$@\" >&- 2>&-", &words)).ended();
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let server = server();
    for (redirected, json) in [(">/dev/full", true), ("2>/dev/full", false), (">/dev/full 2>/dev/full", true)] {
        let options: &[&str] = if json { &["--json"] } else { &[] };
        let words = [&["run", "shop"], options, &["--", "python3", &server]].concat();
        let mut run = Run::spawn(&mut in_shell(&router.desk, &format!("exec \"$@\" {redirected}"), &words));
        wait_for("it answers", || get(router.proxy, "shop.localhost", "/x") == (200, "app /x".to_owned()));
        run.signal(Signal::TERM);
        assert_eq!(run.wait().code(), Some(143), "{redirected}");
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    }
}

/// `run --json … | head -1`: what is heard is enough, and the server runs on.
#[test]
fn one_whose_stdout_is_closed_goes_on() {
    let router = Router::start();
    let server = server();
    let words = ["run", "shop", "--json", "--", "python3", &server];
    let mut command = in_shell(&router.desk, "{ \"$@\"; echo $? >code; } | head -1", &words);
    let mut shell = Running::spawn(&mut command);
    let ready = shell.json_line();
    let asked = || get(router.proxy, "shop.localhost", "/x");
    assert_eq!((&ready["event"], asked()), (&"ready".into(), (200, "app /x".to_owned())));
    let pid = i32::try_from(ready["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    shell.wait();
    assert_eq!(fs::read_to_string(router.desk.path("code")).unwrap(), "143\n", "{}", shell.stderr());
}

#[test]
fn a_command_that_talks_to_nobody_ends_as_in_a_shell() {
    let router = Router::start();
    let words = ["run", "shop", "--", "sh", "-c", "while echo line; do :; done"];
    let ran = Running::spawn(&mut in_shell(&router.desk, "{ \"$@\"; echo $? >code; } | head -1", &words)).ended();
    assert_eq!(ran.stdout, "line\n");
    // 128 and SIGPIPE, as if `run` were not there.
    assert_eq!(fs::read_to_string(router.desk.path("code")).unwrap(), "141\n", "{ran:?}");
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn one_that_listens_on_no_port_is_told_of_and_can_be_ended() {
    let router = Router::start();
    let unix = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); time.sleep(600)";
    for words in [&["sleep", "600"][..], &["python3", "-c", unix]] {
        let mut run = Run::spawn(&mut router.desk.command([&["run", "shop", "--"], words].concat()));
        run.until_said(&format!("shop: waiting until {} ", words[0]));
        assert_eq!(router.routes()[0]["status"], "pending");
        run.signal(Signal::TERM);
        assert_eq!(run.wait().code(), Some(143), "{}", run.stderr());
        assert_eq!(router.routes(), Value::Array(Vec::new()));
    }
}

/// A server on ::1 alone, that answers with its path.
const SIX: &str = "\
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(('::1', int(os.environ['PORT'])), Handler).serve_forever()
";

#[test]
fn one_that_listens_on_the_other_loopback_address() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no ::1");
        return;
    }
    let router = Router::start();
    let mut run = Run::spawn(&mut router.desk.command(["run", "shop", "--json", "--", "python3", "-c", SIX]));
    assert_eq!(run.json_line()["event"], "ready");
    assert_eq!(get(router.proxy, "shop.localhost", "/x"), (200, "/x".to_owned()));
}

/// Whatever restarts a server, as `node --watch` does: the route stays, and so does the port.
#[test]
fn one_that_closes_its_port_and_opens_it_again() {
    let router = Router::start();
    let server = server();
    let watch = "until [ -e over ]; do python3 \"$1\" pid=pid; done";
    let words = ["run", "shop", "--json", "--", "sh", "-c", watch, "sh", &server];
    let mut run = Run::spawn(&mut router.desk.command(words));
    let ready = run.json_line();
    let mut pids = vec![read_pid(&router.desk.path("pid"))];
    for _ in 0..3 {
        let old = *pids.last().unwrap();
        kill_process(Pid::from_raw(old).unwrap(), Signal::KILL).unwrap();
        // A request that the old one had taken from the system, and not answered, is lost with it.
        wait_for("another one answers", || {
            let (status, text) = get(router.proxy, "shop.localhost", "/env");
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            let pid = told["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            if let Some(pid) = pid.filter(|pid| status == 200 && !pids.contains(pid)) {
                pids.push(pid);
            }
            *pids.last().unwrap() != old
        });
        assert!(run.child.try_wait().unwrap().is_none());
    }
    assert_eq!(router.routes()[0]["targetPort"], ready["port"]);
    router.desk.write("over", "");
    run.signal(Signal::TERM);
    run.wait();
    assert!(!listens(&ready["port"]));
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// Somebody without rights, who is on every Linux.
const NOBODY: u32 = 65_534;

/// `command`, as a user who may not write everywhere: root asks nobody.
fn unprivileged(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// A desk whose directories others can look into, and the command where others can run it.
fn open_desk() -> (Desk, PathBuf) {
    let desk = Desk::new();
    fs::set_permissions(desk.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let binary = desk.path("mastra-router");
    fs::copy(env!("CARGO_BIN_EXE_mastra-router"), &binary).unwrap();
    fs::create_dir(desk.path("locked")).unwrap();
    fs::set_permissions(desk.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    (desk, binary)
}

/// A `run` by somebody without rights, with these directories for a home and for the router's.
fn run_of_nobody(desk: &Desk, binary: &Path, user: &Path, home: &Path, words: &[&str]) -> Command {
    let usual = desk.command::<_, &str>([]);
    let mut run = Command::new(binary);
    run.args(words)
        .envs(usual.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env_remove("SUDO_UID")
        .env_remove("MASTRA_ROUTER_NO_START")
        .env("MASTRA_ROUTER_IDLE_EXIT", "1s")
        .env("HOME", user)
        .env("MASTRA_ROUTER_HOME", home)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    unprivileged(&mut run);
    run
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let (desk, binary) = open_desk();
    let locked = desk.path("locked");
    let home = locked.join("router");
    let words = ["run", "shop", "--", "touch", "started"];
    let ran = Running::spawn(&mut run_of_nobody(&desk, &binary, &locked, &home, &words)).ended();
    let named = home.to_str().unwrap().to_owned();
    ran.failed(5, "FILE_ERROR", &["cannot create", &named, "hint: choose another directory: MASTRA_ROUTER_HOME=DIR"]);
    let file = desk.write("file", "");
    let ran = Running::spawn(desk.command(words).env("MASTRA_ROUTER_HOME", &file).env_remove("MASTRA_ROUTER_NO_START"));
    ran.ended().failed(1, "FILE_ERROR", &[file.to_str().unwrap()]);
    assert!(!desk.path("started").exists());
}

/// As in a container that gives nobody a home to write to.
#[test]
fn a_home_of_the_router_is_enough() {
    let (desk, binary) = open_desk();
    let locked = desk.path("locked");
    let home = desk.path("own");
    fs::create_dir(&home).unwrap();
    if is_root() {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let start = ["start", "--listen", "127.0.0.1:0", "--idle-exit", "1s"];
    Running::spawn(&mut run_of_nobody(&desk, &binary, &locked, &home, &start)).ended().ok();
    let words = ["run", "shop", "--", "sh", "-c", "echo port $PORT"];
    let ran = Running::spawn(&mut run_of_nobody(&desk, &binary, &locked, &home, &words)).ended().ok();
    assert!(ran.stdout.starts_with("port 2"), "{ran:?}");
    Running::spawn(&mut run_of_nobody(&desk, &binary, &locked, &home, &["stop"])).ended().ok();
}

/// What sudo made in the home of the user who called it would be root's.
#[test]
fn under_sudo_the_users_home_is_left_alone() {
    if !is_root() {
        eprintln!("skipped: only root can be whom sudo has called");
        return;
    }
    let desk = Desk::new();
    let mut command = desk.command(["run", "shop", "--", "touch", "started"]);
    command.env("SUDO_UID", NOBODY.to_string()).env("SUDO_GID", NOBODY.to_string()).env("SUDO_USER", "nobody");
    let ran = Running::spawn(command.env_remove("MASTRA_ROUTER_HOME")).ended();
    ran.failed(1, "FILE_ERROR", &["the user who called sudo", "hint: mastra-router run … -- sudo <command>"]);
    assert!(!desk.path("started").exists());
    // One that is not the user's is anybody's choice.
    let router = Router::start();
    let mut command = router.desk.command(["run", "shop", "--", "sh", "-c", "exit 3"]);
    command.env("SUDO_UID", NOBODY.to_string()).env("SUDO_GID", NOBODY.to_string()).env("SUDO_USER", "nobody");
    assert_eq!(Running::spawn(&mut command).ended().code, Some(3));
}
