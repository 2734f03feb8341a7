//! `hosts`: the names of a running router in a hosts file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use crate::router::{Desk, Router, Running, wait_for};

const PLAIN: &str = "127.0.0.1\tlocalhost\n10.0.0.7 printer.lan\n";

/// A running router with two routes, and a hosts file.
fn routed() -> (Router, PathBuf) {
    let router = Router::start();
    for (name, target) in [("shop", "9"), ("agent.shop", "10")] {
        router.run(&["add", name, target]).ok();
    }
    router.run(&["add", "shop", "11", "--path-prefix", "/api"]).ok();
    let file = router.desk.write("hosts", PLAIN);
    (router, file)
}

fn hosts(router: &Router, args: &[&str]) -> crate::router::Ran {
    let file = router.desk.path("hosts");
    router.run(&[&["hosts"], args, &["--hosts-file", file.to_str().unwrap()]].concat())
}

#[test]
fn the_names_of_the_router_come_and_go() {
    let (router, file) = routed();
    let read = || fs::read_to_string(&file).unwrap();
    let shown = hosts(&router, &["sync", "--dry-run"]).ok().stdout;
    assert!(shown.starts_with(&format!("--- {0}\n+++ {0}\n@@ ", file.display())), "{shown}");
    assert!(shown.contains("\n+127.0.0.1\tshop.localhost\t# router-"), "{shown}");
    assert_eq!(read(), PLAIN, "nothing was written");

    let synced = hosts(&router, &["sync"]).ok();
    assert_eq!((synced.stdout.as_str(), synced.stderr), ("", format!("2 names in {}\n", file.display())));
    assert!(read().starts_with(PLAIN));
    let listed = hosts(&router, &["list"]).ok().stdout;
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ADDRESS", "OWNER"]);
    assert_eq!(
        rows[1..].iter().map(|row| row[..2].join(" ")).collect::<Vec<_>>(),
        [
            "agent.shop.localhost 127.0.0.1",
            "agent.shop.localhost ::1",
            "shop.localhost 127.0.0.1",
            "shop.localhost ::1"
        ]
    );
    let again = hosts(&router, &["sync", "--json"]).ok().json();
    assert_eq!((&again["changed"], &again["backup"]), (&json!(false), &json!(null)));

    router.run(&["rm", "agent.shop"]).ok();
    let changed = hosts(&router, &["sync", "--json"]).ok().json();
    assert_eq!(changed["changed"], true);
    assert!(
        changed["backup"].as_str().unwrap().starts_with(router.desk.path(".mastra/hosts-backups").to_str().unwrap())
    );
    assert!(!read().contains("agent"));
    hosts(&router, &["restore"]).ok();
    assert!(read().contains("agent"));
    let entries = hosts(&router, &["list", "--json"]).ok().json();
    assert_eq!((entries.as_array().unwrap().len(), &entries[0]["name"]), (4, &json!("agent.shop.localhost")));

    let diff = hosts(&router, &["clean", "--dry-run", "--json"]).ok().json();
    assert!(diff["diff"].as_str().unwrap().contains("-# BEGIN MASTRA LOCAL ROUTING\n"));
    hosts(&router, &["clean"]).ok();
    assert_eq!(read(), PLAIN);
    let none = hosts(&router, &["list"]).ok();
    assert_eq!((none.stdout.as_str(), none.stderr), ("", format!("No names of ours in {}\n", file.display())));
}

#[test]
fn what_cannot_be_done_is_told() {
    let desk = Desk::new();
    let file = desk.write("hosts", PLAIN);
    let path = file.to_str().unwrap();
    desk.run(["hosts", "sync", "--hosts-file", path]).failed(1, "ROUTER_UNREACHABLE", &["mastra-router start"]);
    desk.run(["hosts", "restore", "--hosts-file", path]).failed(1, "HOSTS_FILE", &["there is no backup"]);
    assert_eq!(desk.run(["hosts"]).code, Some(2));
    let broken = "10.0.0.1 a\n# BEGIN MASTRA LOCAL ROUTING\n10.0.0.2 b\n";
    fs::write(&file, broken).unwrap();
    for command in ["list", "clean"] {
        desk.run(["hosts", command, "--hosts-file", path]).failed(1, "HOSTS_FILE", &["line 2", "does not end"]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), broken);
}

#[test]
fn a_name_that_is_taken_is_told_and_the_others_are_written() {
    let (router, file) = routed();
    fs::write(&file, "10.0.0.1 agent.shop.localhost\n").unwrap();
    let parts = ["is 10.0.0.1 already, by line 1", "1 name in", "remove that line"];
    hosts(&router, &["sync"]).failed(4, "HOSTS_TAKEN", &parts);
    assert_eq!(hosts(&router, &["list", "--json"]).ok().json().as_array().unwrap().len(), 2);
    let shown = hosts(&router, &["sync", "--dry-run"]).ok();
    assert!(shown.stderr.contains("left out: \"agent.shop.localhost\""), "{shown:?}");
    hosts(&router, &["sync", "--force"]).ok();
    assert_eq!(hosts(&router, &["list", "--json"]).ok().json().as_array().unwrap().len(), 4);
}

#[test]
fn a_domain_of_the_network_takes_a_word_at_the_terminal() {
    let router = Router::start_at(Arc::new(Desk::new()), &["--base-domain", "npmjs.org"]);
    router.run(&["add", "registry", "9"]).ok();
    let file = router.desk.write("hosts", PLAIN);
    let parts = ["registry.npmjs.org", "hint: mastra-router hosts sync --allow npmjs.org"];
    hosts(&router, &["sync"]).failed(2, "HOSTS_NAME", &parts);
    assert_eq!(fs::read_to_string(&file).unwrap(), PLAIN);
    hosts(&router, &["sync", "--allow", "npmjs.org"]).ok();
    assert!(fs::read_to_string(&file).unwrap().contains("registry.npmjs.org"));
}

#[test]
fn the_environment_names_another_file() {
    let (router, file) = routed();
    let mut command = router.desk.command(["hosts", "sync"]);
    Running::spawn(command.env("MASTRA_ROUTER_HOSTS_FILE", &file)).ended().ok();
    assert!(fs::read_to_string(&file).unwrap().contains("shop.localhost"));
}

#[test]
fn without_privilege_the_command_to_run_is_told() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
        eprintln!("skipped: it takes root and setpriv to be somebody else");
        return;
    }
    // What everybody can get at: a copy of the command, and a hosts file that is root's.
    let public = tempfile::tempdir().unwrap();
    let (program, file) = (public.path().join("mastra-router"), public.path().join("hosts"));
    // By another process: a descriptor of ours, copied into a child that is just being spawned, would keep it busy.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_mastra-router")).arg(&program).status().unwrap();
    assert!(copied.success());
    fs::write(&file, PLAIN).unwrap();
    for (path, mode) in [(public.path().to_owned(), 0o755), (program.clone(), 0o755), (file.clone(), 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let home = public.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program).args(args);
        command.env("HOME", &home).env_remove("MASTRA_ROUTER_HOME").env_remove("SUDO_UID").current_dir("/");
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command
    };
    let run = |args: &[&str]| Running::spawn(&mut as_nobody(args)).ended();
    let (h, f) = (home.join("router"), file.to_str().unwrap());
    let h = h.to_str().unwrap();
    let mut serve = Running::spawn(&mut as_nobody(&["serve", "--home", h, "--listen", "127.0.0.1:0"]));
    assert_eq!(serve.json_line()["event"], "ready");
    run(&["add", "shop", "9", "--home", h]).ok();

    let hint = format!("hint: sudo mastra-router hosts sync --home {h} --hosts-file {f}");
    run(&["hosts", "sync", "--home", h, "--hosts-file", f]).failed(5, "HOSTS_DENIED", &[&hint]);
    assert_eq!(fs::read_to_string(&file).unwrap(), PLAIN);
    assert!(!home.join(".mastra/hosts-backups").exists(), "nothing is left of it");
    let diff = run(&["hosts", "sync", "--dry-run", "--home", h, "--hosts-file", f]).ok().stdout;
    assert!(diff.contains("+::1\tshop.localhost"), "looking takes no privilege: {diff}");
    run(&["hosts", "clean", "--hosts-file", f]).ok();

    // What it told to do, done by root: then there is nothing left to do for anybody.
    let mut told = Command::new(&program);
    told.args(["hosts", "sync", "--home", h, "--hosts-file", f]).env("HOME", public.path());
    assert!(told.output().unwrap().status.success());
    run(&["hosts", "sync", "--home", h, "--hosts-file", f]).ok();
    let hint = format!("hint: sudo mastra-router hosts clean --hosts-file {f}");
    run(&["hosts", "clean", "--hosts-file", f]).failed(5, "HOSTS_DENIED", &[&hint]);
}

/// A router that keeps the hosts file `hosts` in this mode.
fn keeping(desk: Arc<Desk>, mode: &str) -> Router {
    let file = desk.path("hosts");
    let text = format!("[hosts]\nmode = \"{mode}\"\npath = {file:?}\nbackup_dir = {:?}\n", desk.path("backups"));
    let config = desk.write("mastra-router.toml", &text);
    Router::start_at(desk, &["--config", config.to_str().unwrap()])
}

#[test]
fn a_router_keeps_the_file_in_step_and_leaves_it_as_it_was() {
    let desk = Arc::new(Desk::new());
    let file = desk.write("hosts", PLAIN);
    let read = || fs::read_to_string(&file).unwrap();
    let router = keeping(desk.clone(), "required");
    router.run(&["add", "shop", "9"]).ok();
    // What is registered is in the file: nothing has to be waited for.
    assert!(read().starts_with(PLAIN) && read().contains("127.0.0.1\tshop.localhost\t"), "{}", read());
    router.run(&["update", "shop", "--name", "store"]).ok();
    assert!(read().contains("\tstore.localhost\t") && !read().contains("shop.localhost"), "{}", read());
    router.run(&["rm", "store"]).ok();
    router.run(&["add", "last", "9"]).ok();
    assert!(!read().contains("store.localhost") && read().contains("last.localhost"), "{}", read());
    router.run(&["stop"]).ok();
    assert_eq!(read(), PLAIN);
}

#[test]
fn a_killed_router_leaves_its_names_to_the_next() {
    let desk = Arc::new(Desk::new());
    let file = desk.write("hosts", PLAIN);
    let read = || fs::read_to_string(&file).unwrap();
    let router = keeping(desk.clone(), "best-effort");
    router.run(&["add", "shop", "9"]).ok();
    wait_for("the name", || read().contains("shop.localhost"));
    drop(router);
    let next = keeping(desk, "required");
    next.run(&["rm", "shop"]).ok();
    next.run(&["add", "other", "9"]).ok();
    assert!(!read().contains("shop.localhost") && read().contains("other.localhost"), "{}", read());
    next.run(&["stop"]).ok();
    assert_eq!(read(), PLAIN);
}

#[test]
fn a_name_that_has_to_be_in_the_file_and_cannot_be_is_refused() {
    let desk = Arc::new(Desk::new());
    let file = desk.write("hosts", &format!("{PLAIN}10.0.0.8 shop.localhost\n"));
    let router = keeping(desk, "required");
    router.run(&["add", "shop", "9"]).failed(4, "HOSTS_TAKEN", &["shop.localhost"]);
    router.run(&["add", "agent", "9"]).ok();
    router.run(&["update", "agent", "--name", "shop"]).failed(4, "HOSTS_TAKEN", &["shop.localhost"]);
    let routes = router.routes();
    assert_eq!(
        routes.as_array().unwrap().iter().map(|r| r["subdomain"].as_str().unwrap()).collect::<Vec<_>>(),
        ["agent"]
    );
    fs::write(&file, "# BEGIN MASTRA LOCAL ROUTING\n").unwrap();
    router.run(&["add", "third", "9"]).failed(1, "HOSTS_FILE", &["line 1"]);
    assert_eq!(router.routes().as_array().unwrap().len(), 1);
}
