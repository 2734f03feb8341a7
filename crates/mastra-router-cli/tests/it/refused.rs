//! Bad input: a clear error with its code and exit status, and nothing changed.

use serde_json::json;

use crate::app::{App, get};
use crate::router::{Desk, Ran, Router, Running};

#[track_caller]
fn usage(ran: Ran, parts: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in {}", ran.stderr);
    }
}

#[test]
fn what_is_typed_wrong() {
    let desk = Desk::new();
    usage(desk.run(["list", "--jsn"]), &["unexpected argument '--jsn'", "'--json'"]);
    usage(desk.run(["lst"]), &["unrecognized subcommand 'lst'", "'list'"]);
    usage(desk.run(["add", "shop"]), &["<TARGET>"]);
    usage(desk.run(["rm"]), &["<ROUTES>"]);
    usage(desk.run::<_, &str>([]), &["Usage: mastra-router"]);
    usage(desk.run(["serve", "--listen", "3000"]), &["an address and a port: 127.0.0.1:3000"]);
    usage(desk.run(["serve", "--strategy", "reverse"]), &["port-mapping, reverse-proxy"]);
    for count in ["0", "1001", "x"] {
        usage(desk.run(["port", "--count", count]), &["--count"]);
    }
    let ran = desk.run(["list", "--json", "--projct", "x"]);
    assert_eq!(ran.code, Some(2));
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["code"], "USAGE");
    assert!(error["error"]["message"].as_str().unwrap().contains("--projct"), "{error}");
    assert!(error["error"]["hint"].as_str().unwrap().contains("--project"), "{error}");
    assert!(!desk.home().exists(), "nothing was made");
}

#[test]
fn help_is_complete() {
    let desk = Desk::new();
    let help = desk.run(["--help"]).ok().stdout;
    for part in [
        "MASTRA_ROUTER_CERT_DIR",
        "MASTRA_ROUTER_HOME",
        "MASTRA_ROUTER_LOG",
        "MASTRA_ROUTER_NO_START",
        "MASTRA_ROUTER_IDLE_EXIT",
        "NO_COLOR",
        "3 not found, 4 conflict",
        "--json",
        "--home",
    ] {
        assert!(help.contains(part), "no {part} in {help}");
    }
    for command in [
        "demo", "serve", "start", "restart", "add", "update", "rm", "list", "get", "url", "health", "port", "watch",
        "status", "stop", "logs", "tls", "env",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "no {command} in {help}");
        assert!(desk.run([command, "--help"]).ok().stdout.contains("Usage: mastra-router"), "{command}");
    }
    assert!(desk.run(["--version"]).ok().stdout.starts_with("mastra-router "));
}

#[test]
fn without_a_router_every_command_says_how_to_start_one() {
    let desk = Desk::new();
    for args in [
        &["list"][..],
        &["add", "shop", "4111"],
        &["update", "shop", "--target", "4111"],
        &["rm", "shop"],
        &["get", "shop"],
        &["url", "shop"],
        &["health", "shop"],
        &["port"],
        &["watch"],
        &["status"],
        &["stop"],
    ] {
        let ran = desk.run(args);
        assert_eq!(ran.stdout, "", "{args:?}");
        ran.failed(1, "ROUTER_UNREACHABLE", &["hint: start it: mastra-router start"]);
        let ran = desk.run(args.iter().chain(&["--json"]));
        let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        assert_eq!((ran.code, &error["error"]["code"]), (Some(1), &json!("ROUTER_UNREACHABLE")), "{args:?}");
    }
    assert!(!desk.home().exists(), "nothing was made");
}

#[test]
fn what_the_router_refuses_changes_nothing() {
    let router = Router::start();
    let app = App::start("app");
    router.run(&["add", "shop", &app.target(), "--deployment", "d1"]).ok();
    let before = router.routes();

    for args in [&["get", "x"][..], &["url", "x"], &["health", "x"], &["rm", "x"], &["rm", "shop", "x"]] {
        router.run(args).failed(3, "ROUTE_NOT_FOUND", &["Route not found: x"]);
    }
    router.run(&["update", "x", "--target", "4111"]).failed(3, "ROUTE_NOT_FOUND", &["x"]);

    let suggested = &["\"a b\"", "hint: use \"a-b\""];
    router.run(&["add", "a b", "4111"]).failed(2, "INVALID_NAME", suggested);
    router.run(&["update", "shop", "--name", "a b"]).failed(2, "INVALID_NAME", suggested);
    router.run(&["add", "", "4111"]).failed(2, "INVALID_NAME", &[]);
    for target in ["0", "65536", "x", "localhost", "ftp://localhost:1", "http://localhost:1/x", "169.254.169.254:80"] {
        router.run(&["add", "new", target]).failed(2, "INVALID_TARGET", &[target, "cannot be a target"]);
        router.run(&["update", "shop", "--target", target]).failed(2, "INVALID_TARGET", &[]);
    }
    router.run(&["add", "new", "192.0.2.1:80"]).failed(2, "INVALID_TARGET", &["on another machine"]);
    let itself = router.proxy.port().to_string();
    router.run(&["add", "new", &itself]).failed(2, "INVALID_TARGET", &["it is the router itself"]);
    router.run(&["add", "new", "4111", "--path-prefix", "/a/../b"]).failed(2, "INVALID_FIELD", &[]);
    router.run(&["add", "new", "4111", "--health", "live"]).failed(2, "INVALID_FIELD", &[]);

    assert_eq!(router.routes(), before);
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "app/");
}

#[test]
fn a_name_that_is_taken_is_spoken_of_as_it_was_typed() {
    let router = Router::start();
    let app = App::start("app");
    let target = app.target();
    router.run(&["add", "echo", &target]).ok();
    router.run(&["add", "echo", &target, "--path-prefix", "/api"]).ok();
    router.run(&["add", "shop", &target, "--deployment", "d1"]).ok();
    let before = router.routes();

    let message = format!("echo is taken: it leads to {target}");
    let hint = "hint: mastra-router update echo --target localhost:4112";
    let again = router.run(&["add", "echo", "4112"]).failed(4, "ROUTE_EXISTS", &[&message, hint]);
    assert_eq!((again.stdout.as_str(), again.stderr.lines().count()), ("", 2));
    router.run(&["add", "Echo", "4112"]).failed(4, "ROUTE_CONFLICT", &[&message, hint]);
    let refused = router.run(&["add", "shop", "4112"]);
    refused.failed(4, "ROUTE_CONFLICT", &["shop is taken", "hint: mastra-router update shop --target localhost:4112"]);
    let refused = router.run(&["add", "echo", "4112", "--path-prefix", "/api"]);
    refused.failed(4, "ROUTE_EXISTS", &["echo/api is taken", "hint: mastra-router update echo/api --target "]);
    let refused = router.run(&["add", "store", "4112", "--deployment", "d1"]);
    let hint = "hint: mastra-router update shop --target localhost:4112 --name store";
    refused.failed(4, "ROUTE_EXISTS", &["deployment d1 has a route: shop", hint]);
    router.run(&["update", "shop", "--name", "echo"]).failed(4, "ROUTE_CONFLICT", &["echo is taken"]);

    assert_eq!(router.routes(), before);
    // The hint is a command that works.
    let other = App::start("other");
    router.run(&["update", "echo", "--target", &other.target()]).ok();
    assert_eq!(get(router.proxy, "echo.localhost", "/").1, "other/");
}

/// What `serve` prints when it cannot: a line of JSON for whoever started it, and the same for people.
#[track_caller]
fn serve_fails(desk: &Desk, args: &[&str], exit: i32, code: &str, parts: &[&str]) {
    let ran = desk.run(["serve"].iter().chain(args)).failed(exit, code, parts);
    let line = ran.json();
    assert_eq!((&line["event"], &line["code"]), (&json!("failed"), &json!(code)), "{ran:?}");
    assert!(ran.stderr.contains(line["message"].as_str().unwrap()), "{ran:?}");
    assert!(!desk.home().join("control.sock").exists(), "nothing is left");
}

#[test]
fn a_port_in_use_is_named_with_its_holder() {
    // A process of its own: a socket of this one would be in the hands of the others' children, too, until they exec.
    let holder = Router::start();
    let address = holder.proxy.to_string();
    let pid = format!("mastra-router (pid {})", holder.process.child.id());
    let desk = Desk::new();
    serve_fails(
        &desk,
        &["--listen", &address],
        4,
        "PORT_IN_USE",
        &[&address, &pid, "hint: stop it, or listen elsewhere"],
    );
    let demo = desk.run(["demo", "--listen", &address]).failed(4, "PORT_IN_USE", &[&pid]);
    assert_eq!(demo.stdout, "");
}

#[test]
fn other_machines_are_let_in_only_when_asked() {
    let desk = Desk::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let hint = "hint: add --lan";
        serve_fails(&desk, &["--listen", address], 2, "LAN_NOT_ALLOWED", &[address, "other machines", hint]);
    }
    desk.run(["demo", "--listen", "0.0.0.0:0"]).failed(2, "LAN_NOT_ALLOWED", &[]);
    desk.write("lan.toml", "listen = [\"0.0.0.0:0\"]\n");
    serve_fails(&desk, &["--config", "lan.toml"], 2, "LAN_NOT_ALLOWED", &[]);
    let mut router = Running::spawn(&mut desk.command(["serve", "--listen", "0.0.0.0:0", "--lan"]));
    let ready = router.json_line();
    assert!(ready["listen"][0].as_str().unwrap().starts_with("0.0.0.0:"), "{ready}");
}

#[test]
fn settings_of_serve_that_cannot_be() {
    let desk = Desk::new();
    serve_fails(&desk, &["--listen", "127.0.0.1:0", "--threads", "0"], 2, "INVALID_CONFIG", &["threads"]);
    let ran = desk.run(["serve", "--listen", "127.0.0.1:0", "--base-domain", "a b"]);
    assert_eq!((ran.code, &ran.json()["event"]), (Some(2), &json!("failed")), "{ran:?}");
}
