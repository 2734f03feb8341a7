//! The directory of a router's state.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::sync::Arc;

use serde_json::json;

use crate::app::{App, get};
use crate::router::{Desk, Router, entries};

#[test]
fn a_home_that_cannot_be_used() {
    let desk = Desk::new();
    let home = desk.home();
    let refused = |exit, parts: &[&str]| {
        let ran = desk.run(["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!((ran.code, &ran.json()["event"]), (Some(exit), &json!("failed")), "{ran:?}");
        let hint = "hint: choose another directory: MASTRA_ROUTER_HOME=DIR or --home DIR";
        ran.failed(exit, "FILE_ERROR", &[home.to_str().unwrap(), hint]).failed(exit, "FILE_ERROR", parts);
    };
    fs::write(&home, "mine").unwrap();
    refused(1, &["cannot create"]);
    assert_eq!(fs::read_to_string(&home).unwrap(), "mine");
    fs::remove_file(&home).unwrap();

    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    refused(1, &["others can write to it", "chmod go-w"]);
    assert_eq!(entries(&home).len(), 0);

    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&home, Some(12_345), None).unwrap();
        refused(1, &["it belongs to another user"]);
        assert_eq!(entries(&home).len(), 0);
    }
    fs::remove_dir(&home).unwrap();

    fs::create_dir(desk.path("elsewhere")).unwrap();
    symlink(desk.path("elsewhere"), &home).unwrap();
    refused(1, &["it is a symbolic link"]);
    assert_eq!(entries(&desk.path("elsewhere")).len(), 0);
}

#[test]
fn only_its_user_can_reach_the_router() {
    let router = Router::start();
    assert_eq!(fs::metadata(router.desk.home()).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(router.socket()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_second_router_in_one_home_leaves_the_first_alone() {
    let router = Router::start();
    let pid = format!("(pid {})", router.process.child.id());
    let second = router.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.json()["event"], "failed");
    second.failed(4, "HOME_IN_USE", &["another router", &pid, "mastra-router stop"]);
    assert_eq!(router.run(&["status", "--json"]).ok().json()["pid"], router.process.child.id());
}

#[test]
fn the_flag_is_stronger_than_the_environment() {
    let router = Router::start();
    let other = router.desk.path("other");
    let other = other.to_str().unwrap();
    let ran = router.run(&["list", "--home", other]);
    ran.failed(1, "ROUTER_UNREACHABLE", &[other]);
}

#[test]
fn after_a_kill_the_next_router_starts_in_the_same_home() {
    let mut router = Router::start();
    router.process.child.kill().unwrap();
    router.process.wait();
    assert!(router.socket().exists(), "nobody could remove it");
    router.run(&["list"]).failed(1, "ROUTER_UNREACHABLE", &["none runs there"]);

    let router = Router::start_at(router.desk(), &[]);
    let app = App::start("app");
    router.run(&["add", "shop", &app.target()]).ok();
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "app/");
}

#[test]
fn two_homes_are_two_routers() {
    let desk = Arc::new(Desk::new());
    let first = Router::start_at(desk.clone(), &[]);
    let other = desk.path("other");
    let second = Router::start_at(desk.clone(), &["--home", other.to_str().unwrap()]);
    second.run(&["add", "shop", "4111", "--home", other.to_str().unwrap()]).ok();
    assert_eq!(first.routes(), json!([]));
}
