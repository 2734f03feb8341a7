//! `uninstall`: all that the router has written goes, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::app::App;
use crate::router::{Desk, Ran, Router, Running};
use crate::service::{SYSTEMCTL, command, run, with_tool};
use crate::trust::{holds_ours, with_database};

const PLAIN: &str = "127.0.0.1\tlocalhost\n";

/// Everything below a directory; links are not followed.
fn tree(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path);
    }
    found
}

/// `uninstall` of a desk, with a hosts file and a systemd that are its own.
fn uninstall(desk: &Desk, args: &[&str]) -> Ran {
    let mut command = command(desk, &[&["uninstall"], args].concat());
    Running::spawn(command.env("MASTRA_ROUTER_HOSTS_FILE", desk.path("hosts"))).ended()
}

/// The paths that are named with this outcome.
fn paths(report: &Value, outcome: &str) -> BTreeSet<PathBuf> {
    let items = report["items"].as_array().unwrap().iter().filter(|item| item["outcome"] == outcome);
    items.flat_map(|item| item["paths"].as_array().unwrap()).map(|path| path.as_str().unwrap().into()).collect()
}

/// Says nothing is left, and changes nothing.
#[track_caller]
fn nothing_to_remove(desk: &Desk) {
    let before = tree(&desk.path(""));
    let again = uninstall(desk, &[]).ok();
    assert_eq!(again.stderr, "nothing to remove\n", "{again:?}");
    assert_eq!(tree(&desk.path("")), before);
}

#[test]
fn what_is_shown_is_what_goes() {
    let desk = Arc::new(with_tool("systemctl", SYSTEMCTL));
    desk.write("hosts", PLAIN);
    let clean = tree(&desk.path(""));
    nothing_to_remove(&desk);

    let app = App::start("app");
    run(&desk, &["service", "install"]).ok();
    let router = Router::start_at(desk.clone(), &["--tls"]);
    router.run(&["add", "shop", &app.target()]).ok();
    router.run(&["port"]).ok();
    router.run(&["tls", "issue", "db.test"]).ok();
    router.run(&["env"]).ok();
    for name in ["agent", "other"] {
        router.run(&["hosts", "sync", "--hosts-file", desk.path("hosts").to_str().unwrap()]).ok();
        router.run(&["add", name, "9"]).ok();
    }
    let certs = desk.path(".mastra/certs");
    let mut ran = Running::spawn(&mut router.desk.command(["run", "kept", "--", "true"]));
    ran.wait();
    let before = tree(&desk.path(""));
    let hosts = fs::read_to_string(desk.path("hosts")).unwrap();

    let dry = uninstall(&desk, &["--dry-run", "--json"]).ok().json();
    assert_eq!(dry["dryRun"], true);
    assert_eq!(dry["kept"], json!([]), "{dry:#}");
    assert_eq!(tree(&desk.path("")), before, "a dry run changes nothing");
    assert_eq!(fs::read_to_string(desk.path("hosts")).unwrap(), hosts);
    router.run(&["status"]).ok();
    let shown = uninstall(&desk, &["--dry-run"]).ok().stdout;
    for part in [
        "would remove   the service of systemd (user)\n",
        &format!("would stop     the router (pid {})\n", router.process.child.id()),
        &format!("would remove   2 names in {}\n", desk.path("hosts").display()),
        &format!("would remove   {} (", certs.display()),
        &format!("would remove   {} (", desk.home().display()),
    ] {
        assert!(shown.contains(part), "no {part}: {shown}");
    }

    let done = uninstall(&desk, &["--yes", "--json"]).ok().json();
    let after = tree(&desk.path(""));
    let told = [desk.path("told"), desk.path("bin/enabled"), desk.path("bin/active")];
    let gone: BTreeSet<PathBuf> = before.difference(&after).filter(|path| !told.contains(path)).cloned().collect();
    let named = paths(&dry, "would-remove");
    assert!(paths(&done, "removed").is_subset(&named), "{done:#}");
    // The directory above them goes too, where nothing else is in it; what was never there is only named.
    let mut expected: BTreeSet<PathBuf> = named.intersection(&before).cloned().collect();
    expected
        .extend([".mastra", ".mastra/router"].map(|dir| desk.path(dir)).into_iter().filter(|dir| before.contains(dir)));
    assert_eq!(gone, expected);
    assert!(gone.len() > 12, "{gone:#?}");
    let rest: BTreeSet<PathBuf> = after.into_iter().filter(|path| !told.contains(path)).collect();
    let empty = [".config", ".config/systemd", ".config/systemd/user"].map(|dir| desk.path(dir));
    assert_eq!(rest, clean.into_iter().chain(empty).filter(|path| !told.contains(path)).collect());
    assert_eq!(fs::read_to_string(desk.path("hosts")).unwrap(), PLAIN);
    router.run(&["status"]).failed(1, "ROUTER_UNREACHABLE", &[]);
    nothing_to_remove(&desk);
}

#[test]
fn what_is_of_others_stays() {
    let desk = Desk::new();
    desk.write("hosts", PLAIN);
    let router = Router::start_at(Arc::new(desk), &["--tls"]);
    router.run(&["tls", "issue", "db.test"]).ok();
    let (home, certs) = (router.desk.home(), router.desk.path(".mastra/certs"));
    let mut theirs =
        vec![home.join("notes.txt"), home.join("run/notes"), certs.join("mine.crt"), certs.join("mine.key")];
    theirs.extend([certs.join("leaves/mine.pem"), certs.join("bundle.pem"), certs.join("trusted.txt")]);
    fs::create_dir(home.join("run")).unwrap();
    theirs.iter().for_each(|path| fs::write(path, "mine").unwrap());
    symlink(router.desk.path("hosts"), certs.join("ca.pem.replaced-1")).unwrap();
    theirs.push(certs.join("ca.pem.replaced-1"));
    let desk = router.desk.clone();
    let done = uninstall(&desk, &["--json"]).ok().json();
    for path in &theirs {
        assert!(fs::symlink_metadata(path).is_ok(), "{}", path.display());
        let told = done["kept"].as_array().unwrap().iter().any(|kept| kept["path"] == path.to_str().unwrap());
        assert!(told, "{}: {done:#}", path.display());
    }
    let mut rest = tree(&home);
    rest.extend(tree(&certs));
    let dirs = [home.clone(), home.join("run"), certs.clone(), certs.join("leaves")];
    assert_eq!(rest, theirs.iter().chain(&dirs).cloned().collect());
    assert_eq!(fs::read_to_string(desk.path("hosts")).unwrap(), PLAIN);
    let again = uninstall(&desk, &[]).ok();
    assert!(again.stderr == "nothing to remove\n", "{again:?}");
    assert_eq!(fs::read_to_string(home.join("notes.txt")).unwrap(), "mine");
}

#[test]
fn a_directory_that_is_no_home_is_left_alone() {
    let desk = Desk::new();
    desk.write("hosts", PLAIN);
    for name in ["settings.json", "router.log", "routes.journal", "ca.pem", "authority.pem", "trusted", "5173"] {
        desk.write(name, "{}");
    }
    fs::create_dir(desk.path("run")).unwrap();
    fs::create_dir(desk.path("leaves")).unwrap();
    let before = tree(&desk.path(""));
    let own = desk.path("");
    for home in [own.to_str().unwrap(), "/", "/nonexistent", "/dev/null"] {
        let ran = uninstall(&desk, &["--home", home, "--cert-dir", home, "--backup-dir", home, "--yes"]).ok();
        assert_eq!(ran.stderr, "nothing to remove\n", "{home}: {ran:?}");
        assert_eq!(tree(&desk.path("")), before);
    }
    // Nor is a lock that is none.
    desk.write("router.lock", "somebody's");
    uninstall(&desk, &["--home", own.to_str().unwrap()]).ok();
    assert!(desk.path("router.lock").exists() && desk.path("settings.json").exists());
}

#[test]
fn links_are_not_followed() {
    let desk = Desk::new();
    desk.write("hosts", PLAIN);
    let router = Router::start_at(Arc::new(desk), &[]);
    router.run(&["stop"]).ok();
    let desk = router.desk();
    let before = tree(&desk.home());
    symlink(desk.home(), desk.path("link")).unwrap();
    fs::create_dir_all(desk.path(".mastra")).unwrap();
    fs::create_dir(desk.path("elsewhere")).unwrap();
    fs::write(desk.path("elsewhere/hosts-0a1b2c3d-000001"), "").unwrap();
    symlink(desk.path("elsewhere"), desk.path(".mastra/hosts-backups")).unwrap();
    let ran = uninstall(&desk, &["--home", desk.path("link").to_str().unwrap()]).ok();
    assert!(ran.stdout.contains("it is a symbolic link"), "{ran:?}");
    assert_eq!(tree(&desk.home()), before);
    assert!(desk.path("elsewhere/hosts-0a1b2c3d-000001").exists());
    // What stands in the place of a file of ours.
    let journal = desk.home().join("routes.journal");
    fs::rename(&journal, desk.path("elsewhere/journal")).unwrap();
    symlink(desk.path("elsewhere/journal"), &journal).unwrap();
    let ran = uninstall(&desk, &[]).ok();
    assert!(ran.stdout.contains(&format!("stays          {}", journal.display())), "{ran:?}");
    assert!(desk.path("elsewhere/journal").exists());
}

#[test]
fn what_could_not_be_done_is_told() {
    let desk = Desk::new();
    let broken = "# BEGIN MASTRA LOCAL ROUTING\n127.0.0.1 a.test\n";
    desk.write("hosts", broken);
    let router = Router::start_at(Arc::new(desk), &[]);
    fs::create_dir_all(router.desk.path(".mastra/hosts-backups")).unwrap();
    let backup = router.desk.path(".mastra/hosts-backups/hosts-0a1b2c3d-000001");
    fs::write(&backup, "").unwrap();
    let desk = router.desk.clone();
    let ran = uninstall(&desk, &["--yes"]).failed(1, "UNINSTALL_INCOMPLETE", &[]);
    assert!(ran.stdout.contains("not removed    our names in") && ran.stdout.contains("line 1"), "{ran:?}");
    assert_eq!(fs::read_to_string(desk.path("hosts")).unwrap(), broken);
    assert!(backup.exists(), "it may be what mends the file");
    assert!(!desk.home().exists(), "the others went");
}

#[test]
fn an_authority_is_trusted_nowhere_before_it_goes() {
    let Some((desk, database)) = with_database() else { return };
    desk.write("hosts", PLAIN);
    desk.run(["tls", "trust", "--only", "nss"]).ok();
    assert!(holds_ours(&database));
    let certs = desk.path(".mastra/certs");
    // Its store cannot be changed.
    fs::create_dir(desk.path("bin")).unwrap();
    let real = "/usr/bin/certutil";
    let tool =
        desk.write("bin/certutil", &format!("#!/bin/sh\ncase \"$*\" in *-D*) exit 1;; esac\nexec {real} \"$@\"\n"));
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = uninstall(&desk, &["--yes"]).failed(1, "UNINSTALL_INCOMPLETE", &["1 of 1 could not be removed"]);
    assert!(ran.stdout.contains("not removed    the authority in Chrome ~/.pki/nssdb"), "{ran:?}");
    assert!(
        ran.stdout.contains("stays ") && certs.join("trusted").exists() && certs.join("ca.pem").exists(),
        "{ran:?}"
    );
    fs::remove_file(desk.path("bin/certutil")).unwrap();

    let dry = uninstall(&desk, &["--dry-run"]).ok().stdout;
    assert!(dry.starts_with("would remove   the authority in Chrome ~/.pki/nssdb\n"), "{dry}");
    assert!(holds_ours(&database));
    // The record is enough.
    fs::remove_file(certs.join("ca.pem")).unwrap();
    let done = uninstall(&desk, &[]).ok();
    assert!(done.stdout.contains("removed        the authority in Chrome ~/.pki/nssdb"), "{done:?}");
    assert!(!holds_ours(&database) && !certs.exists());
    assert_eq!(uninstall(&desk, &[]).ok().stderr, "nothing to remove\n");
}

#[test]
fn what_takes_root_is_left_with_its_command() {
    let desk = Desk::new();
    let hosts = "# BEGIN MASTRA LOCAL ROUTING\n127.0.0.1 a.test\n# END MASTRA LOCAL ROUTING\n";
    let file = desk.write("hosts", hosts);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let mut ask = command(&desk, &["uninstall", "--yes"]);
    ask.env("MASTRA_ROUTER_HOSTS_FILE", &file);
    let mut dry = command(&desk, &["uninstall", "--dry-run"]);
    dry.env("MASTRA_ROUTER_HOSTS_FILE", &file);
    if rustix::process::geteuid().is_root() {
        // Root may do all of it.
        chown(desk.path(""), Some(12_345), Some(12_345)).unwrap();
        ask.uid(12_345).gid(12_345);
        dry.uid(12_345).gid(12_345);
    }
    let dry = Running::spawn(&mut dry).ended().ok();
    assert!(dry.stdout.contains("needs root     1 name in"), "{dry:?}");
    let hint = format!("uninstall --yes --home {} --hosts-file {}", desk.home().display(), file.display());
    let ran = Running::spawn(&mut ask).ended().failed(5, "NEEDS_PRIVILEGE", &["hint: sudo ", &hint]);
    assert!(ran.stdout.contains("needs root     1 name in"), "{ran:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), hosts);
}

#[test]
fn a_router_that_does_not_answer_is_in_the_way() {
    let mut router = Router::start();
    router.desk.write("hosts", PLAIN);
    router.process.signal(Signal::STOP);
    let before = tree(&router.desk.path(""));
    // Its socket takes a connection and nothing comes back, so it is waited for as long as for any answer.
    let mut command = command(&router.desk, &["uninstall", "--yes"]);
    let ran = Running::spawn(command.env("MASTRA_ROUTER_HOSTS_FILE", router.desk.path("hosts"))).ended();
    ran.failed(4, "HOME_IN_USE", &["kill"]);
    assert_eq!(tree(&router.desk.path("")), before);
    router.process.child.kill().unwrap();
    router.process.wait();
    uninstall(&router.desk, &[]).ok();
    assert!(!router.desk.home().exists(), "what a killed one has left goes too");
}

#[test]
fn on_a_terminal_it_asks() {
    if !Path::new("/usr/bin/script").is_file() {
        eprintln!("skipped: script is needed for a terminal");
        return;
    }
    let router = Router::start();
    router.run(&["stop"]).ok();
    let desk = router.desk();
    desk.write("hosts", PLAIN);
    let ask = |answer: &str| {
        let line = format!("'{}' uninstall", env!("CARGO_BIN_EXE_mastra-router"));
        let mut script = std::process::Command::new("/usr/bin/script");
        script.args(["-qec", &line, "/dev/null"]).env("HOME", desk.path("")).env("SHELL", "/bin/sh");
        script.env("MASTRA_ROUTER_HOME", desk.home()).env("MASTRA_ROUTER_HOSTS_FILE", desk.path("hosts"));
        script.env_remove("MASTRA_ROUTER_CERT_DIR").env_remove("SUDO_UID").env_remove("XDG_CONFIG_HOME");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        let ran = Running::of(child).ended();
        drop(stdin);
        ran
    };
    let before = tree(&desk.home());
    let no = ask("n\n");
    assert!(
        no.code == Some(1) && no.stdout.contains("would remove") && no.stdout.contains("error[DECLINED]"),
        "{no:?}"
    );
    assert_eq!(tree(&desk.home()), before);
    let yes = ask("y\n");
    assert!(yes.code == Some(0) && yes.stdout.contains("removed "), "{yes:?}");
    assert!(!desk.home().exists());
}
