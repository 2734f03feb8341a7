//! Saved routes and settings, from the command line.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use mastra_router::control::ControlClient;
use mastra_router::{EdgeRouterProvider, Home, RouteConfig};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::app::{App, get};
use crate::router::{Desk, Router, Running, entries};

/// `serve` with nothing but these, ready.
fn serve(desk: &Desk, args: &[&str]) -> (Running, Value) {
    let mut process = Running::spawn(&mut desk.command(["serve"].iter().chain(args)));
    let ready = process.json_line();
    assert_eq!(ready["event"], "ready", "{ready}: {}", process.stderr());
    (process, ready)
}

fn proxy(ready: &Value) -> SocketAddr {
    ready["listen"][0].as_str().unwrap().parse().unwrap()
}

/// What of the routes is to be the same after a restart.
fn routes(desk: &Desk) -> Vec<Value> {
    let all: Value = desk.run(["list", "--json"]).ok().json();
    let fields = ["routeId", "deploymentId", "projectId", "subdomain", "createdAt", "targetHost", "targetPort"];
    all.as_array().unwrap().iter().map(|route| fields.map(|field| route[field].clone()).into()).collect()
}

#[test]
fn routes_outlive_the_router() {
    let mut router = Router::start();
    let (app, api) = (App::start("app"), App::start("api"));
    router.run(&["add", "shop", &app.target()]).ok();
    router.run(&["add", "shop", &api.target(), "--path-prefix", "/api"]).ok();
    router.run(&["add", "gone", "9"]).ok();
    router.run(&["rm", "gone"]).ok();
    let port = router.run(&["port"]).ok().stdout;
    let before = routes(&router.desk);
    router.process.child.kill().unwrap();
    router.process.wait();

    let mut router = Router::start_at(router.desk(), &[]);
    assert_eq!(routes(&router.desk), before);
    assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app/x");
    assert_eq!(get(router.proxy, "shop.localhost", "/api/x").1, "api/x");
    assert_ne!(router.run(&["port"]).ok().stdout, port, "it is leased still");
    router.run(&["stop"]).ok();
    router.process.wait();

    let router = Router::start_at(router.desk(), &[]);
    assert_eq!(routes(&router.desk), before);
    assert_eq!(get(router.proxy, "shop.localhost", "/x").1, "app/x");
    let status = router.run(&["status", "--json"]).ok().json();
    assert_eq!(status["stateFile"], router.desk.home().join("routes.journal").to_str().unwrap());
    assert!(status.get("warnings").is_none());
}

#[test]
fn a_run_that_saves_nothing() {
    let mut router = Router::start();
    router.run(&["add", "shop", "9"]).ok();
    router.run(&["stop"]).ok();
    router.process.wait();
    let desk = router.desk();
    let file = || fs::read(desk.home().join("routes.journal")).unwrap();
    let before = file();
    let config = desk.write("no.toml", "save = false\nlisten = \"127.0.0.1:0\"\n");
    for args in [&["--no-save", "--listen", "127.0.0.1:0"][..], &["--config", config.to_str().unwrap()]] {
        let (mut process, _) = serve(&desk, args);
        assert_eq!(routes(&desk), Vec::<Value>::new(), "{args:?}");
        desk.run(["add", "other", "9"]).ok();
        desk.run(["port"]).ok();
        assert!(desk.run(["status", "--json"]).ok().json().get("stateFile").is_none());
        assert!(desk.run(["status"]).ok().stdout.contains("nothing is saved"));
        desk.run(["stop"]).ok();
        process.wait();
        assert_eq!(file(), before, "{args:?}");
    }
    let router = Router::start_at(desk, &[]);
    assert_eq!(router.routes()[0]["subdomain"], "shop");
}

#[test]
fn settings_that_were_typed_are_those_of_the_next_run() {
    let desk = Desk::new();
    let (first, ready) = serve(&desk, &["--listen", "127.0.0.1:0", "--base-domain", "dev.localhost"]);
    // One that is free, and is asked for by its number.
    let address = proxy(&ready).to_string();
    desk.run(["stop"]).ok();
    let ran = first.ended();
    assert!(!ran.stderr.contains("As the last time"), "{ran:?}");
    assert_eq!(saved(&desk), json!({"version": 1, "listen": ["127.0.0.1:0"], "baseDomain": "dev.localhost"}));

    let (second, _) = serve(&desk, &["--listen", &address]);
    let url = desk.run(["add", "shop", "9", "-q"]).ok().stdout;
    assert!(url.starts_with("http://shop.dev.localhost:"), "{url}");
    drop(second);
    let (third, ready) = serve(&desk, &[]);
    assert_eq!(ready["listen"], json!([address]));
    assert_eq!(desk.run(["url", "shop"]).ok().stdout, url, "the route has the URL it had");
    third.until_said(&format!("As the last time: --listen {address} --base-domain dev.localhost"));
    assert_eq!(third.stderr().lines().count(), 1, "{}", third.stderr());
    drop(third);

    // A file goes before what was saved, and a flag before the file.
    let config = desk.write("router.toml", "listen = \"127.0.0.1:0\"\nstrategy = \"port-mapping\"\n");
    let config = config.to_str().unwrap();
    let (fourth, ready) = serve(&desk, &["--config", config, "--base-domain", "other.localhost"]);
    assert_ne!(ready["listen"], json!([address]));
    let status = desk.run(["status", "--json"]).ok().json();
    assert_eq!((&status["strategy"], &status["baseDomain"]), (&json!("port-mapping"), &json!("other.localhost")));
    assert_eq!(fourth.stderr(), "");
    drop(fourth);
    let expected = json!({"version": 1, "listen": [address], "baseDomain": "other.localhost"});
    assert_eq!(saved(&desk), expected, "what a file says is not saved");

    // What other machines can reach is asked for each time, and a start that fails leaves nothing.
    let args = ["serve", "--lan", "--listen", "0.0.0.0:0", "--strategy", "port-mapping"];
    drop(serve(&desk, &args[1..4]));
    assert_eq!(saved(&desk), expected);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    desk.run(["serve", "--listen", &taken]).failed(4, "PORT_IN_USE", &[&taken]);
    assert_eq!(saved(&desk), expected);
    let (quiet, _) = serve(&desk, &["-q", "--listen", "127.0.0.1:0"]);
    assert_eq!(quiet.stderr(), "");
}

fn saved(desk: &Desk) -> Value {
    serde_json::from_slice(&fs::read(desk.home().join("settings.json")).unwrap()).unwrap()
}

#[test]
fn a_damaged_file_is_named_and_kept() {
    let mut router = Router::start();
    router.run(&["add", "shop", "9"]).ok();
    router.run(&["stop"]).ok();
    router.process.wait();
    let desk = router.desk();
    for name in ["routes.journal", "settings.json"] {
        fs::write(desk.home().join(name), "damaged").unwrap();
    }
    let router = Router::start_at(desk.clone(), &[]);
    assert_eq!(router.routes(), json!([]));
    let aside: Vec<String> = entries(&desk.home())
        .iter()
        .map(|path| path.display().to_string())
        .filter(|path| path.contains(".corrupt-"))
        .collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    for path in &aside {
        router.process.until_said(path);
        assert_eq!(fs::read_to_string(path).unwrap(), "damaged");
    }
    let status = router.run(&["status"]).ok().stdout;
    assert!(status.contains("warning") && aside.iter().any(|path| status.contains(path)), "{status}");
    let status = router.run(&["status", "--json"]).ok().json();
    assert_eq!(status["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn a_link_in_the_place_of_the_file_starts_nothing() {
    let desk = Desk::new();
    let elsewhere = desk.write("elsewhere", "mine");
    let mut router = Router::start_at(Arc::new(desk), &[]);
    router.run(&["stop"]).ok();
    router.process.wait();
    let desk = router.desk();
    fs::remove_file(desk.home().join("routes.journal")).unwrap();
    symlink(&elsewhere, desk.home().join("routes.journal")).unwrap();
    let ran = desk.run(["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.json()["event"], "failed");
    ran.failed(5, "FILE_ERROR", &["routes.journal", "symbolic link"]);
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
}

/// Registers routes at the same time: each name, and whether it was told that it is there.
fn at_once(desk: &Desk, many: usize) -> Vec<(String, bool)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = ControlClient::new(&Home::resolve(Some(desk.home())));
        let mut all = tokio::task::JoinSet::new();
        for i in 0..many {
            let client = client.clone();
            all.spawn(async move {
                let name = format!("n{i}");
                let done = client.register_route(RouteConfig::new(&name, "p", &name, "127.0.0.1", 9)).await;
                assert!(
                    done.as_ref().map_err(|error| error.code()).err().is_none_or(|code| code == "FILE_ERROR"),
                    "{done:?}"
                );
                (name, done.is_ok())
            });
        }
        all.join_all().await
    })
}

/// A limit on the size of files stands for a disk that is full.
#[test]
fn what_cannot_be_saved_does_not_take_place() {
    let desk = Desk::new();
    let mut limited = std::process::Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_mastra-router");
    // The signal that comes with the limit would end the router; ignored, it leaves an error.
    limited.args(["-c", "trap '' XFSZ; exec \"$0\" serve --listen 127.0.0.1:0", binary]);
    let like = desk.command([""; 0]);
    like.get_envs().for_each(|(key, value)| match value {
        Some(value) => _ = limited.env(key, value),
        None => _ = limited.env_remove(key),
    });
    limited.current_dir(desk.path("")).stdin(std::process::Stdio::null());
    limited.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut process = Running::spawn(&mut limited);
    assert_eq!(process.json_line()["event"], "ready", "{}", process.stderr());
    let app = App::start("app");
    desk.run(["add", "shop", &app.target()]).ok();
    desk.run(["add", "other", "9"]).ok();
    let port = desk.run(["port"]).ok().stdout;
    let before = routes(&desk);
    let size = || fs::metadata(desk.home().join("routes.journal")).unwrap().len();
    let full = size();
    let limit = |most: Option<u64>| {
        let pid = Pid::from_raw(process.child.id().try_into().unwrap());
        // The last few bytes are there, so that a part of a write succeeds.
        prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
    };
    for left in [0, 1, 20] {
        limit(Some(full + left));
        for args in [
            &["add", "new", "9"][..],
            &["update", "shop", "--target", "9"],
            &["update", "shop", "--name", "renamed"],
            &["rm", "shop"],
            &["port"],
        ] {
            desk.run(args).failed(1, "FILE_ERROR", &["cannot save to", "routes.journal", "df -h"]);
            assert_eq!(routes(&desk), before, "{args:?}");
            assert_eq!(size(), full, "{args:?}");
        }
    }
    // Many at once, of which the disk takes some: who was told that it is there finds it, and nobody else does.
    limit(Some(full + 2_000));
    let told = at_once(&desk, 40);
    assert!(told.iter().any(|(_, done)| !done), "the disk is full");
    let there: Vec<String> = routes(&desk)
        .iter()
        .map(|route| route[1].as_str().unwrap().to_owned())
        .filter(|d| d.starts_with('n'))
        .collect();
    let mut expected: Vec<String> = told.into_iter().filter(|(_, done)| *done).map(|(name, _)| name).collect();
    expected.sort_by_key(|name| there.iter().position(|found| found == name));
    assert_eq!(there, expected);
    limit(None);
    for name in there {
        desk.run(["rm", &name]).ok();
    }
    assert_eq!(routes(&desk), before);
    assert_eq!(desk.run(["port"]).ok().stdout.len(), port.len());
    desk.run(["add", "new", "9"]).ok();
    desk.run(["rm", "other"]).ok();
    let after = routes(&desk);
    assert_eq!(after.len(), 2);
    process.child.kill().unwrap();
    process.wait();
    let router = Router::start_at(Arc::new(desk), &[]);
    assert_eq!(routes(&router.desk), after);
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "app/");
}

#[test]
fn urls_that_were_https_are_so_again() {
    let desk = Desk::new();
    let certs = desk.path("certs");
    let (first, _) = serve(&desk, &["--listen", "127.0.0.1:0", "--tls", "--cert-dir", certs.to_str().unwrap()]);
    assert!(desk.run(["add", "shop", "9", "-q"]).ok().stdout.starts_with("https://shop.localhost:"));
    drop(first);
    let (again, _) = serve(&desk, &["--cert-dir", certs.to_str().unwrap()]);
    assert!(desk.run(["url", "shop"]).ok().stdout.starts_with("https://"));
    again.until_said("As the last time: --listen 127.0.0.1:0 --tls");
    drop(again);
    let (_plain, _) = serve(&desk, &["--tls=false"]);
    assert!(desk.run(["url", "shop"]).ok().stdout.starts_with("http://"));
}

#[test]
fn own_certificates_are_for_one_start() {
    let desk = Desk::new();
    let issued = desk.run(["tls", "issue", "localhost", "--cert-dir", "certs", "--json"]).ok().json();
    let (cert, key) = (issued["cert"].as_str().unwrap(), issued["key"].as_str().unwrap());
    let (first, _) = serve(&desk, &["--listen", "127.0.0.1:0", "--cert", cert, "--key", key]);
    drop(first);
    let (again, _) = serve(&desk, &[]);
    again.until_said("As the last time: --listen 127.0.0.1:0 (--no-save");
    drop(again);
    assert!(!desk.path(".mastra/certs").exists(), "no authority was made in the place of the files");
}
