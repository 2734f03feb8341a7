//! What `run` calls a server when nobody says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::router::Router;
use crate::run::{Run, server};

fn git(dir: &Path, args: &[&str]) {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=main"]);
    let done = git.args(args).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// The name of a `run` in `dir`.
fn name(router: &Router, dir: &Path) -> Value {
    let mut command = router.desk.command(["run", "--json", "--", "python3", &server()]);
    let mut run = Run::spawn(command.current_dir(dir));
    let ready = run.json_line();
    assert!(ready["url"].as_str().unwrap().starts_with(&format!("http://{}.", ready["name"].as_str().unwrap())));
    ready["name"].clone()
}

#[test]
fn the_package_the_repository_the_folder() {
    let router = Router::start();
    let plain = router.desk.path("My Plain_Folder");
    fs::create_dir(&plain).unwrap();
    assert_eq!(name(&router, &plain), "my-plain-folder");
    let shop = router.desk.path("shop");
    fs::create_dir_all(shop.join("packages/web/src")).unwrap();
    git(&shop, &["init", "-q"]);
    assert_eq!(name(&router, &shop.join("packages/web/src")), "shop");
    fs::write(shop.join("packages/web/package.json"), r#"{"name": "@acme/Web.Front"}"#).unwrap();
    assert_eq!(name(&router, &shop.join("packages/web/src")), "web-front");
    let mut command = router.desk.command(["run", "Given", "--json", "--", "python3", &server()]);
    assert_eq!(Run::spawn(command.current_dir(&shop)).json_line()["name"], "given");
    let refused = router.run(&["run", "a/b", "--", "true"]);
    refused.failed(2, "INVALID_NAME", &["hint: use \"a-b\""]);
}

#[test]
fn a_linked_work_tree_has_its_branch_before() {
    let router = Router::start();
    let shop = router.desk.path("shop");
    fs::create_dir(&shop).unwrap();
    git(&shop, &["init", "-q"]);
    git(&shop, &["commit", "-q", "--allow-empty", "-m", "x"]);
    git(&shop, &["worktree", "add", "-q", "-b", "fix/ui", "../elsewhere"]);
    assert_eq!(name(&router, &router.desk.path("elsewhere")), "fix-ui.shop");
    assert_eq!(name(&router, &shop), "shop");
    let long = format!("feature/{}", "x".repeat(80));
    git(&shop, &["worktree", "add", "-q", "-b", &long, "../long"]);
    let name = name(&router, &router.desk.path("long"));
    let label = name.as_str().unwrap().strip_suffix(".shop").unwrap().to_owned();
    assert!(label.len() == 63 && label.starts_with("feature-xxx"), "{label}");
}
