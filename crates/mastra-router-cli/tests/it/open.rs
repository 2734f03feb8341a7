//! `open`, with a stand-in for the browser: a script on PATH that writes down what it is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::json;

use crate::app::App;
use crate::router::{Desk, Ran, Router, Running, wait_for};

/// A desk whose PATH holds nothing but `xdg-open`, which does this.
fn desk(script: &str) -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.path("bin")).unwrap();
    let opener = desk
        .write("bin/xdg-open", &format!("#!/bin/sh\necho \"$*\" >> '{}'\n{script}\n", desk.path("asked").display()));
    fs::set_permissions(opener, fs::Permissions::from_mode(0o755)).unwrap();
    desk
}

fn open(desk: &Desk, dir: &str, args: &[&str]) -> Ran {
    let mut command = desk.command([&["open"], args].concat());
    Running::spawn(command.env("PATH", desk.path("bin")).current_dir(desk.path(dir))).ended()
}

/// What the browser was asked for since the last time.
fn asked(desk: &Desk) -> String {
    let file = desk.path("asked");
    wait_for("the browser is asked", || fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    text
}

#[test]
fn the_url_of_a_route() {
    for tls in [&[][..], &["--tls"]] {
        let router = Router::start_at(Arc::new(desk("")), tls);
        let (desk, app) = (&router.desk, App::start("app"));
        router.run(&["add", "shop", &app.target(), "--deployment", "d1"]).ok();
        router.run(&["add", "shop", &app.target(), "--path-prefix", "/api"]).ok();
        let scheme = if tls.is_empty() { "http" } else { "https" };
        let shop = format!("{scheme}://shop.localhost:{}\n", router.proxy.port());
        for key in ["shop", "d1"] {
            assert_eq!(open(desk, "", &[key]).ok().stdout, shop);
            assert_eq!(asked(desk), shop);
        }
        open(desk, "", &["shop/api"]).ok();
        assert_eq!(asked(desk), shop.replace('\n', "/api\n"));
        let ran = open(desk, "", &["shop", "--json"]).ok();
        assert_eq!(ran.json(), json!({ "url": shop.trim(), "opened": true }));
        asked(desk);
    }
}

#[test]
fn a_name_that_no_route_has() {
    let router = Router::start_at(Arc::new(desk("")), &[]);
    let desk = &router.desk;
    router.run(&["add", "storefront", "9"]).ok();
    open(desk, "", &["storefrnt"]).failed(3, "ROUTE_NOT_FOUND", &["storefrnt", "hint: did you mean storefront?"]);
    let far = open(desk, "", &["xyz"]).failed(3, "ROUTE_NOT_FOUND", &["xyz"]);
    assert!(!far.stderr.contains("hint"), "{far:?}");
    // So do the others that take a name.
    router.run(&["url", "storefrnt"]).failed(3, "ROUTE_NOT_FOUND", &["did you mean storefront?"]);
    assert!(!desk.path("asked").exists());
}

#[test]
fn without_a_name_it_is_the_project_s() {
    let router = Router::start_at(Arc::new(desk("")), &[]);
    let desk = &router.desk;
    let page = format!("http://localhost:{}\n", router.proxy.port());
    for dir in ["repo", "repo/.git", "repo/src", "plain"] {
        fs::create_dir(desk.path(dir)).unwrap();
    }
    router.run(&["add", "store", "9"]).ok();
    router.run(&["add", "named", "9"]).ok();
    // No route is called as the project is, so it is the page that lists all.
    let ran = open(desk, "repo/src", &[]).ok();
    assert_eq!((ran.stdout.as_str(), asked(desk).as_str()), (page.as_str(), page.as_str()));
    assert!(ran.stderr.contains("no route is called repo"), "{ran:?}");
    desk.write("repo/package.json", "{\"name\": \"@acme/store\"}");
    open(desk, "repo/src", &[]).ok();
    assert!(asked(desk).starts_with("http://store.localhost:"));
    desk.write("repo/mastra-router.toml", "[run]\nname = \"named\"\n");
    open(desk, "repo/src", &[]).ok();
    assert!(asked(desk).starts_with("http://named.localhost:"));
    desk.write("repo/mastra-router.toml", "[run\n");
    open(desk, "repo/src", &[]).failed(2, "CONFIG_INVALID", &["mastra-router.toml:1:"]);
    open(desk, "plain", &[]).ok();
    assert_eq!(asked(desk), page);
}

#[test]
fn port_mapping_has_no_page() {
    let desk = desk("");
    fs::create_dir(desk.path("plain")).unwrap();
    let mut process = Running::spawn(&mut desk.command(["serve", "--strategy", "port-mapping"]));
    process.json_line();
    open(&desk, "plain", &[]).failed(3, "NAME_MISSING", &["plain", "hint: mastra-router list"]);
    desk.run(["add", "plain", "4111"]).ok();
    open(&desk, "plain", &[]).ok();
    assert_eq!(asked(&desk), "http://localhost:4111\n");
}

#[test]
fn where_there_is_no_browser_the_url_is_said() {
    let router = Router::start_at(Arc::new(desk("exit 3")), &[]);
    let desk = &router.desk;
    router.run(&["add", "shop", "9"]).ok();
    let url = format!("http://shop.localhost:{}", router.proxy.port());
    let failed = |ran: Ran| {
        assert_eq!(ran.stdout, format!("{url}\n"));
        ran.failed(1, "OPEN_FAILED", &["no browser could be opened", &format!("hint: open {url} yourself")])
    };
    failed(open(desk, "", &["shop"]));
    assert_eq!(asked(desk), format!("{url}\n"));
    fs::remove_file(desk.path("bin/xdg-open")).unwrap();
    failed(open(desk, "", &["shop"]));
    let ran = open(desk, "", &["shop", "--json"]);
    assert_eq!(ran.json(), json!({ "url": url, "opened": false }));
    assert!(ran.stderr.contains("\"code\":\"OPEN_FAILED\""), "{ran:?}");
}

#[test]
fn a_browser_that_stays_is_not_waited_for() {
    // It stays until the test is over.
    let desk = desk("while [ -e \"$0\" ]; do /bin/sleep 0.05; done");
    let router = Router::start_at(Arc::new(desk), &[]);
    router.run(&["add", "shop", "9"]).ok();
    open(&router.desk, "", &["shop"]).ok();
    asked(&router.desk);
}
