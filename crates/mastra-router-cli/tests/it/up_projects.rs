//! `up` without a file, `init`, and names that the file gives to `run`.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::app::get;
use crate::router::{Desk, Router};
use crate::run::{Run, server};
use crate::up::{Up, order};

fn write(desk: &Desk, name: &str, text: &str) {
    fs::create_dir_all(desk.path(name).parent().unwrap()).unwrap();
    desk.write(name, text);
}

fn package(name: &str, script: &str) -> String {
    format!(r#"{{"name": "@shop/{name}", "scripts": {{"{script}": "python3 {}"}}}}"#, server())
}

/// A package manager that does what it is asked, and says so.
fn stand_in(desk: &Desk, name: &str) -> String {
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = run ] || exit 9\necho {name} runs $2 >&2\nexec sh -c \"$(python3 -c 'import json,sys; \
         print(json.load(open(\"package.json\"))[\"scripts\"][sys.argv[1]])' \"$2\")\"\n"
    );
    write(desk, &format!("bin/{name}"), &script);
    let path = desk.path(&format!("bin/{name}"));
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", desk.path("bin").display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_packages_of_a_workspace() {
    for (manager, files) in [
        ("pnpm", [("pnpm-workspace.yaml", "packages:\n  - apps/*\n  - '!apps/old'\n"), ("pnpm-lock.yaml", "")]),
        ("npm", [("package.json", r#"{"workspaces": ["apps/*", "!apps/old"]}"#), ("package-lock.json", "{}")]),
        ("yarn", [("package.json", r#"{"workspaces": {"packages": ["apps/{web,api,lib}"]}}"#), ("yarn.lock", "")]),
        ("bun", [("package.json", r#"{"workspaces": ["apps/*", "!apps/old"]}"#), ("bun.lock", "")]),
    ] {
        let router = Router::start();
        let desk = &router.desk;
        let path = stand_in(desk, manager);
        files.iter().for_each(|(name, text)| write(desk, name, text));
        write(desk, "apps/web/package.json", &package("web", "dev"));
        write(desk, "apps/api/package.json", &package("api", "start"));
        write(desk, "apps/old/package.json", &package("old", "dev"));
        write(desk, "apps/lib/package.json", &package("lib", "build"));
        let mut up = Up::spawn(desk.command(["up", "--json"]).env("PATH", &path));
        let said = up.until_ready();
        let mut healthy = order(&said, "healthy");
        healthy.sort_unstable();
        assert_eq!(healthy, ["api", "web"], "{manager}");
        let runs = format!("{manager} runs dev");
        assert!(said.iter().any(|line| line["app"] == "web" && line["line"] == runs.as_str()), "{said:#?}");
        assert_eq!(get(router.proxy, "api.localhost", "/x").1, "app /x");
    }
}

#[test]
fn one_package_by_the_real_npm() {
    if std::process::Command::new("npm").arg("--version").output().is_err() {
        eprintln!("skipped: npm is needed");
        return;
    }
    let router = Router::start();
    write(&router.desk, "package.json", &package("web", "dev"));
    let mut up = Up::start(&router.desk, &[]);
    assert_eq!(order(&up.until_ready(), "healthy"), ["web"]);
    up.signal(Signal::INT);
    assert_eq!(up.rest().1, Some(130));
}

#[test]
fn init_then_up() {
    let router = Router::start();
    let desk = &router.desk;
    let path = stand_in(desk, "npm");
    write(desk, "web/package.json", &package("web", "dev"));
    write(desk, "api/requirements.txt", "fastapi\nuvicorn\n");
    write(desk, "api/main.py", "app = FastAPI()\n");
    let dry = desk.run(["init", "--dry-run"]).ok();
    assert!(!desk.path("mastra-router.toml").exists());
    assert!(dry.stdout.starts_with("#:schema https://"), "{dry:?}");
    assert!(dry.stdout.contains("[apps.web]\ncommand = \"npm run dev\"\ndir = \"web\"\n"), "{dry:?}");
    assert!(dry.stdout.contains("[apps.api]\ncommand = \"uvicorn main:app --reload\"\ndir = \"api\"\n"), "{dry:?}");
    let ran = desk.run(["init"]).ok();
    assert!(ran.stderr.contains("mastra-router up"), "{ran:?}");
    let written = fs::read_to_string(desk.path("mastra-router.toml")).unwrap();
    assert_eq!(written, dry.stdout);
    desk.write("mastra-router.toml", &format!("{written}# mine\n"));
    desk.run(["init"]).failed(4, "EXISTS", &["hint: mastra-router init --dry-run"]);
    assert!(fs::read_to_string(desk.path("mastra-router.toml")).unwrap().ends_with("# mine\n"), "it is left alone");
    let mut up = Up::spawn(desk.command(["up", "web", "--json"]).env("PATH", &path));
    assert_eq!(order(&up.until_ready(), "healthy"), ["web"]);
}

#[test]
fn init_of_nothing_is_a_file_that_says_how() {
    let router = Router::start();
    let desk = &router.desk;
    // A link that leads nowhere is somebody's too.
    std::os::unix::fs::symlink(desk.path("away"), desk.path("mastra-router.toml")).unwrap();
    desk.run(["init"]).failed(4, "EXISTS", &[]);
    assert!(!desk.path("away").exists());
    fs::remove_file(desk.path("mastra-router.toml")).unwrap();
    desk.run(["init"]).ok();
    desk.run(["up"]).failed(3, "NO_APPS", &[]);
    let schema = desk.run(["init", "--schema"]).ok();
    let schema: Value = schema.json();
    assert!(schema["properties"]["apps"].is_object());
}

#[test]
fn the_router_reads_the_same_file() {
    let router = Router::configured("threads = 1\n[run]\nname = \"shop\"\n[apps.web]\ncommand = \"true\"\n");
    assert_eq!(router.routes(), Value::Array(Vec::new()));
    let desk = Desk::new();
    desk.write("bad.toml", "[apps.web]\ncommand = \"true\"\nprot = 1\n");
    desk.run(["serve", "--config", "bad.toml"]).failed(
        2,
        "CONFIG_INVALID",
        &["bad.toml:3:1", "did you mean \"port\"?"],
    );
}

#[test]
fn run_is_called_what_the_file_says() {
    let router = Router::start();
    let desk = &router.desk;
    let name = |dir: &Path| {
        let mut command = desk.command(["run", "--json", "--", "python3", &server()]);
        Run::spawn(command.current_dir(dir)).json_line()["name"].clone()
    };
    write(desk, "repo/.git/HEAD", "");
    write(desk, "repo/web/package.json", r#"{"name": "from-package"}"#);
    write(desk, "repo/mastra-router.toml", "[apps.front]\ncommand = \"x\"\ndir = \"web\"\nname = \"shop-front\"\n");
    assert_eq!(name(&desk.path("repo/web")), "shop-front");
    write(desk, "repo/mastra-router.toml", "[run]\nname = \"shop\"\n");
    assert_eq!(name(&desk.path("repo")), "shop");
    write(desk, "repo/mastra-router.toml", "");
    assert_eq!(name(&desk.path("repo/web")), "from-package");
    assert_eq!(name(&desk.path("repo")), "repo");
    write(desk, "repo/mastra-router.toml", "[run]\nnmae = \"shop\"\n");
    let mut command = desk.command(["run", "--", "true"]);
    let ran = crate::router::Running::spawn(command.current_dir(desk.path("repo"))).ended();
    ran.failed(2, "CONFIG_INVALID", &["did you mean \"name\"?"]);
    let mut command = desk.command(["run", "given", "--", "true"]);
    crate::router::Running::spawn(command.current_dir(desk.path("repo"))).ended().ok();
}
