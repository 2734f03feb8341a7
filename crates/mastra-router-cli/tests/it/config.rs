//! The configuration file of `serve`.

use std::sync::Arc;

use serde_json::json;

use crate::app::{App, get};
use crate::router::{Desk, Router, Running};

#[test]
fn routes_of_the_file_are_served_before_the_ready_line() {
    let (web, api) = (App::start("web"), App::start("api"));
    let router = Router::configured(&format!(
        "base_domain = \"test\"\nthreads = 1\n\n[health]\npath = \"/live\"\ninterval = \"1m\"\n\n\
         [[routes]]\nname = \"shop\"\ntarget = \"{}\"\nproject = \"p\"\ndeployment = \"d\"\n\n\
         [[routes]]\nname = \"shop\"\ntarget = {:?}\npath_prefix = \"/api\"\nstrip_prefix = false\nhealth = \"/up\"\n",
        web.port,
        api.target(),
    ));
    assert_eq!(get(router.proxy, "shop.test", "/x").1, "web/x");
    assert_eq!(get(router.proxy, "shop.test", "/api/x").1, "api/api/x");
    let routes = router.routes();
    assert_eq!((&routes[0]["deploymentId"], &routes[0]["projectId"]), (&json!("d"), &json!("p")));
    assert_eq!((&routes[1]["deploymentId"], &routes[1]["healthPath"]), (&json!("shop/api"), &json!("/up")));
    assert_eq!(router.ready["url"], format!("http://test:{}", router.proxy.port()));
}

#[test]
fn flags_are_stronger_than_the_file() {
    let desk = Desk::new();
    // The address of the file could not be bound.
    desk.write(
        "router.toml",
        "listen = \"192.0.2.1:1\"\nlan = true\nstrategy = \"port-mapping\"\nbase_domain = \"x\"\n",
    );
    let flags = ["--config", "router.toml", "--strategy", "reverse-proxy", "--base-domain", "test"];
    let router = Router::start_at(Arc::new(desk), &flags);
    let status = router.run(&["status", "--json"]).ok().json();
    assert_eq!((&status["strategy"], &status["baseDomain"]), (&json!("reverse-proxy"), &json!("test")));
    assert_eq!(status["listen"].as_array().unwrap().len(), 1);
}

#[test]
fn port_mapping_listens_nowhere() {
    let desk = Desk::new();
    let mut process = Running::spawn(&mut desk.command(["serve", "--strategy", "port-mapping"]));
    assert_eq!(process.json_line()["listen"], json!([]));
    assert_eq!(desk.run(["add", "shop", "4111"]).ok().stdout, "http://localhost:4111\n");
}

#[test]
fn a_file_that_is_not_valid_is_named_with_line_column_and_key() {
    const ROUTE: &str = "[[routes]]\nname = \"ok\"\ntarget = \"4111\"\n\n";
    let desk = Desk::new();
    for (text, place, code, parts) in [
        ("threads = \n", "1:11", "CONFIG_INVALID", &[][..]),
        ("\n[health\n", "2:8", "CONFIG_INVALID", &[]),
        ("threads = \"two\"\n", "1:11", "CONFIG_INVALID", &["threads: ", "\"two\""]),
        ("threads = 2\nlissten = \"x\"\n", "2:1", "CONFIG_INVALID", &["unknown field `lissten`", "`listen`"]),
        ("[proxy]\n drain = \"1s\"\n", "2:2", "CONFIG_INVALID", &["unknown field `drain`", "`drain_timeout`"]),
        ("[health]\ntimeout = \"soon\"\n", "2:11", "CONFIG_INVALID", &["timeout: "]),
        ("listen = \"3000\"\n", "1:10", "CONFIG_INVALID", &["listen: ", "an address and a port"]),
        ("[[routes]]\nname = \"x\"\n", "1:1", "CONFIG_INVALID", &["target"]),
    ] {
        check(&desk, text, place, 2, code, parts);
    }
    for (route, exit, code, parts) in [
        ("name = \"a b\"\ntarget = \"4111\"", 2, "INVALID_NAME", &["\"a b\"", "hint: use \"a-b\""][..]),
        ("name = \"x\"\ntarget = \"99999\"", 2, "CONFIG_INVALID", &["routes.target of \"x\"", "99999"]),
        ("name = \"x\"\ntarget = \"4111\"\npath_prefix = \"/..\"", 2, "INVALID_FIELD", &["/.."]),
        ("name = \"x\"\ntarget = \"192.0.2.1:80\"", 2, "INVALID_TARGET", &["on another machine"]),
        ("name = \"ok\"\ntarget = \"4112\"", 4, "ROUTE_EXISTS", &["ok"]),
        ("name = \"ok\"\ntarget = \"4112\"\ndeployment = \"d\"", 4, "ROUTE_CONFLICT", &["ok is taken"]),
    ] {
        check(&desk, &format!("{ROUTE}[[routes]]\n{route}\n"), "5:1", exit, code, parts);
    }
    desk.run(["serve", "--config", "absent.toml"]).failed(2, "CONFIG_UNREADABLE", &["cannot read absent.toml"]);
    desk.run(["serve", "--config", "tmp"]).failed(2, "CONFIG_UNREADABLE", &["cannot read tmp"]);
}

#[track_caller]
fn check(desk: &Desk, text: &str, place: &str, exit: i32, code: &str, parts: &[&str]) {
    desk.write("bad.toml", text);
    let ran = desk.run(["serve", "--listen", "127.0.0.1:0", "--config", "bad.toml"]);
    assert_eq!((ran.code, &ran.json()["event"]), (Some(exit), &json!("failed")), "{text:?} {ran:?}");
    let ran = ran.failed(exit, code, parts);
    assert!(ran.stderr.contains(&format!("]: bad.toml:{place}: ")), "no {place}: {ran:?}");
    assert!(!desk.home().join("control.sock").exists());
}
