//! Directories that the user's file names: other commands than `serve` look there too.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::router::{Desk, Running};

/// A desk whose file names a directory for the authority, and a hosts file.
fn desk() -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    desk.write("hosts", "127.0.0.1\tlocalhost\n");
    // From where the file is.
    let text = "tls.cert_dir = \"../authority\"\nhosts = { path = \"../hosts\", backup_dir = \"../backups\" }\n";
    desk.write("home/config.toml", text);
    desk
}

fn has_authority(dir: &Path) -> bool {
    dir.join("ca.pem").is_file()
}

#[test]
fn the_authority_is_where_the_file_says() {
    let desk = desk();
    let mut router = Running::spawn(&mut desk.command(["serve", "--listen", "127.0.0.1:0", "--tls"]));
    assert_eq!(router.json_line()["event"], "ready");
    assert!(has_authority(&desk.path("authority")) && !desk.path(".mastra/certs").exists());
    let named = fs::canonicalize(desk.path("authority")).unwrap();
    let is_named = |text: &str| {
        let mut paths = text.split([' ', '"', '\'', '=']).filter(|word| word.ends_with("ca.pem"));
        paths.any(|path| fs::canonicalize(path).is_ok_and(|path| path == named.join("ca.pem")))
    };
    let env = desk.run(["env"]).ok();
    assert!(is_named(&env.stdout), "{env:?}");
    let mut ran = desk.command(["run", "x", "--", "sh", "-c", "echo $NODE_EXTRA_CA_CERTS"]);
    let ran = Running::spawn(ran.env_remove("NODE_EXTRA_CA_CERTS")).ended().ok();
    assert!(is_named(ran.stdout.trim()), "{ran:?}");
    let issued = desk.run(["tls", "issue", "db.test", "--json"]).ok();
    assert!(issued.stdout.contains("/authority/"), "{issued:?}");
    assert!(!desk.path(".mastra/certs").exists());
    // A flag and the variable are stronger.
    desk.run(["tls", "issue", "db.test", "--cert-dir", "flag"]).ok();
    let mut issue = desk.command(["tls", "issue", "db.test"]);
    Running::spawn(issue.env("MASTRA_ROUTER_CERT_DIR", "variable")).ended().ok();
    assert!(has_authority(&desk.path("flag")) && has_authority(&desk.path("variable")));
}

#[test]
fn the_hosts_file_is_the_one_the_file_names() {
    let desk = desk();
    let mut router = Running::spawn(&mut desk.command(["serve", "--listen", "127.0.0.1:0"]));
    router.json_line();
    desk.run(["add", "shop", "9"]).ok();
    let mut sync = desk.command(["hosts", "sync"]);
    Running::spawn(sync.env_remove("MASTRA_ROUTER_HOSTS_FILE")).ended().ok();
    assert!(fs::read_to_string(desk.path("hosts")).unwrap().contains("shop.localhost"));
    assert!(desk.path("backups").exists() && !desk.path(".mastra/hosts-backups").exists());
}

#[test]
fn uninstall_finds_what_is_there() {
    let desk = desk();
    desk.run(["tls", "issue", "db.test"]).ok();
    let mut dry = desk.command(["uninstall", "--dry-run", "--json"]);
    let found = Running::spawn(dry.env_remove("MASTRA_ROUTER_HOSTS_FILE")).ended().ok().json();
    let items = found["items"].as_array().unwrap();
    let certificates = items.iter().find(|item| item["kind"] == "certificates");
    assert!(certificates.is_some_and(|item| item["outcome"] == json!("would-remove")), "{found:#}");
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let desk = desk();
    desk.write("home/config.toml", "tls.cert_dri = \"x\"\n");
    for args in [&["env"][..], &["tls", "status"], &["hosts", "list"], &["uninstall", "--dry-run"]] {
        desk.run(args).failed(2, "CONFIG_INVALID", &["config.toml:1:", "did you mean \"cert_dir\"?"]);
    }
}
