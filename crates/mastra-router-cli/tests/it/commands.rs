//! What each command prints, for people and for programs.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::app::{App, get, open_events};
use crate::router::{Router, Running};

#[test]
fn a_route_from_its_beginning_to_its_end() {
    let router = Router::start();
    let app = App::start("one");
    let added = router.run(&["add", "shop", &app.target()]).ok();
    let url = format!("http://shop.localhost:{}", router.proxy.port());
    assert_eq!(added.stdout, format!("{url}\n"));
    assert_eq!(added.stderr, format!("shop → {}  ● active\n", app.target()));
    assert_eq!(get(router.proxy, "shop.localhost", "/x"), (200, "one/x".to_owned()));

    let listed = router.run(&["list"]).ok();
    let mut lines = listed.stdout.lines();
    assert_eq!(lines.next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAME", "URL", "TARGET", "STATUS"]);
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row, ["shop", &url, &app.target(), "●", "active"]);
    assert_eq!(router.run(&["ls"]).ok().stdout, listed.stdout, "ls is list");
    assert!(router.run(&["get", "shop"]).ok().stdout.contains(&url));
    assert_eq!(router.run(&["url", "shop"]).ok().stdout, format!("{url}\n"));

    let health = router.run(&["health", "shop"]).ok().stdout;
    assert!(health.starts_with(&format!("● healthy  shop → {} (200) in ", app.target())), "{health}");

    let other = App::start("two");
    let updated = router.run(&["update", "shop", "--target", &other.target()]).ok();
    assert_eq!(updated.stderr, format!("shop → {}  ● active\n", other.target()));
    assert_eq!(get(router.proxy, "shop.localhost", "/"), (200, "two/".to_owned()));

    assert_eq!(router.run(&["rm", "shop"]).ok().stderr, "removed shop\n");
    assert_eq!(get(router.proxy, "shop.localhost", "/").0, 404);
    let empty = router.run(&["list"]).ok();
    assert_eq!((empty.stdout.as_str(), empty.stderr.as_str()), ("", "No routes yet: mastra-router add shop 5173\n"));
}

#[test]
fn every_command_speaks_json() {
    let router = Router::start();
    let app = App::start("app");
    let added =
        router.run(&["--json", "add", "shop", &app.target(), "--project", "p", "--deployment", "d"]).ok().json();
    assert_eq!(added["subdomain"], "shop");
    assert_eq!(added["deploymentId"], "d");
    assert_eq!(added["projectId"], "p");
    assert_eq!(added["targetPort"], app.port);
    assert_eq!(added["status"], "active");
    let id = added["routeId"].as_str().unwrap();

    let fields = |value: &Value| (value["routeId"].clone(), value["publicUrl"].clone());
    let list = router.routes();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(fields(&list[0]), fields(&added));
    for args in [["get", "d"], ["url", "shop"], ["url", "d"], ["url", id]] {
        assert_eq!(fields(&router.run(&[args[0], args[1], "--json"]).ok().json()), fields(&added), "{args:?}");
    }
    assert_eq!(router.run(&["list", "--project", "p", "--json"]).ok().json(), list);
    assert_eq!(router.run(&["list", "--project", "q", "--json"]).ok().json(), json!([]));

    let health = router.run(&["health", "d", "--json"]).ok().json();
    assert_eq!((&health["healthy"], &health["statusCode"]), (&json!(true), &json!(200)));
    let updated = router.run(&["update", "d", "--name", "store", "--health", "/live", "--json"]).ok().json();
    assert_eq!((&updated["subdomain"], &updated["healthPath"]), (&json!("store"), &json!("/live")));

    let status = router.run(&["status", "--json"]).ok().json();
    assert_eq!(status["pid"], router.process.child.id());
    assert_eq!(status["routes"], 1);
    assert_eq!(status["listen"], router.ready["listen"]);
    assert_eq!(status["home"], router.ready["home"]);
    assert_eq!(status["home"], router.desk.home().to_str().unwrap());

    assert_eq!(router.run(&["rm", "store", "--json"]).ok().json()["routeId"], id);
    assert_eq!(router.routes(), json!([]));
}

#[test]
fn status_for_people() {
    let router = Router::start();
    let status = router.run(&["status"]).ok().stdout;
    for part in [
        &*format!("pid {}", router.process.child.id()),
        &router.proxy.to_string(),
        "0 under localhost (reverse-proxy)",
        router.desk.home().to_str().unwrap(),
    ] {
        assert!(status.contains(part), "no {part:?} in {status}");
    }
}

#[test]
fn quiet_says_only_what_was_asked_for() {
    let router = Router::start();
    let app = App::start("app");
    let added = router.run(&["-q", "add", "shop", &app.target()]).ok();
    assert_eq!((added.stdout.lines().count(), added.stderr.as_str()), (1, ""));
    assert_eq!(router.run(&["-q", "rm", "shop"]).ok().stderr, "");
}

#[test]
fn a_target_that_is_not_there_is_routed_and_said_to_be_unhealthy() {
    let router = Router::start();
    let app = App::with_health("app", 500);
    let added = router.run(&["add", "shop", &app.target()]).ok();
    assert!(added.stderr.contains("not healthy yet: "), "{added:?}");
    let health = router.run(&["health", "shop"]);
    assert_eq!(health.code, Some(1), "{health:?}");
    assert!(health.stdout.starts_with("✗ not healthy  shop → "), "{health:?}");
    let health = router.run(&["health", "shop", "--json"]);
    assert_eq!((health.code, &health.json()["healthy"]), (Some(1), &json!(false)));
}

#[test]
fn path_prefixes_share_a_name() {
    let router = Router::start();
    let (web, api) = (App::start("web"), App::start("api"));
    router.run(&["add", "shop", &web.target()]).ok();
    router.run(&["add", "shop", &api.target(), "--path-prefix", "/api", "--keep-prefix"]).ok();
    assert_eq!(get(router.proxy, "shop.localhost", "/a").1, "web/a");
    assert_eq!(get(router.proxy, "shop.localhost", "/api/a").1, "api/api/a");
    router.run(&["update", "shop/api", "--strip-prefix"]).ok();
    assert_eq!(get(router.proxy, "shop.localhost", "/api/a").1, "api/a");
    router.run(&["rm", "shop/api"]).ok();
    assert_eq!(get(router.proxy, "shop.localhost", "/api/a").1, "web/api/a");
}

#[test]
fn an_add_that_waits_for_health_adds_nothing_where_there_is_none() {
    let router = Router::configured("[health]\ntimeout = \"300ms\"\n");
    let (sick, well) = (App::with_health("sick", 503), App::start("well"));
    let refused = router.run(&["add", "shop", &sick.target(), "--wait-healthy"]);
    refused.failed(1, "TARGET_UNHEALTHY", &[&sick.target(), "503"]);
    assert_eq!(router.routes(), json!([]));
    assert_eq!(get(router.proxy, "shop.localhost", "/").0, 404);
    let added = router.run(&["add", "shop", &well.target(), "--wait-healthy"]).ok();
    assert!(added.stderr.contains("● active"), "{added:?}");
}

#[test]
fn an_update_that_waits_for_health_keeps_the_old_target_when_there_is_none() {
    let router = Router::configured("[health]\ntimeout = \"300ms\"\n");
    let (old, sick, well) = (App::start("old"), App::with_health("sick", 503), App::start("well"));
    router.run(&["add", "shop", &old.target()]).ok();
    // What checks say of it meanwhile may differ.
    let lasting = |routes: Value| ["routeId", "target", "createdAt", "publicUrl"].map(|key| routes[0][key].clone());
    let before = lasting(router.routes());
    let refused = router.run(&["update", "shop", "--target", &sick.target(), "--wait-healthy"]);
    refused.failed(1, "TARGET_UNHEALTHY", &[&sick.target(), "503"]);
    assert_eq!(lasting(router.routes()), before);
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "old/");
    router.run(&["update", "shop", "--target", &well.target(), "--wait-healthy"]).ok();
    assert_eq!(get(router.proxy, "shop.localhost", "/").1, "well/");
}

#[test]
fn watch_tells_requests_as_they_are_answered() {
    let mut router = Router::start();
    let app = App::start("app");
    let id = router.run(&["--json", "add", "shop", &app.target()]).ok().json()["routeId"].clone();
    let mut watch = Running::spawn(&mut router.desk.command(["watch", "--requests", "--json"]));
    let mut people = Running::spawn(&mut router.desk.command(["watch", "--requests"]));
    watch.until_said("Watching requests.");
    people.until_said("Watching requests.");
    get(router.proxy, "shop.localhost", "/a?b");
    // It does not wait for the end of a stream.
    let stream = open_events(router.proxy, "shop.localhost");
    get(router.proxy, "nobody.localhost", "/c");
    for (want, route, said) in [
        (json!(["GET", "shop.localhost", "/a?b", 200, "http/1.1"]), id.clone(), "  GET      shop.localhost/a?b  200  "),
        (json!(["GET", "shop.localhost", "/events", 200, "http/1.1"]), id, "  GET      shop.localhost/events  200  "),
        (
            json!(["GET", "nobody.localhost", "/c", 404, "http/1.1"]),
            json!(null),
            "  GET      nobody.localhost/c  404  ",
        ),
    ] {
        let request = watch.json_line();
        assert_eq!(json!(["method", "host", "path", "status", "protocol"].map(|key| request[key].clone())), want);
        assert_eq!(request["routeId"], route);
        assert!(request["latencyMs"].as_f64().is_some_and(|ms| ms >= 0.0), "{request}");
        let line = people.line();
        assert!(line.contains(said) && line.trim_end().ends_with(" ms  http/1.1"), "{line}");
    }
    drop(stream);
    router.run(&["stop"]).ok();
    assert_eq!(router.process.wait().code(), Some(0));
    for watcher in [watch, people] {
        let ended = watcher.ended().ok();
        assert!(ended.stderr.ends_with("The router has stopped.\n"), "{ended:?}");
    }
}

#[test]
fn watch_tells_what_happens_in_order_and_ends_with_the_router() {
    let mut router = Router::start();
    let app = App::start("app");
    let mut watch = Running::spawn(&mut router.desk.command(["watch", "--json"]));
    let mut people = Running::spawn(&mut router.desk.command(["watch"]));
    watch.until_said("Watching.");
    people.until_said("Watching.");
    router.run(&["add", "shop", &app.target()]).ok();
    router.run(&["update", "shop", "--name", "store"]).ok();
    router.run(&["rm", "store"]).ok();
    let mut told = Vec::new();
    while told.last().is_none_or(|(kind, _)| kind != "removed") {
        let event = watch.json_line();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        told.push((text(&event["type"]), text(&event["route"]["subdomain"])));
    }
    told.retain(|(kind, _)| kind != "checked");
    let expected = [("registered", "shop"), ("updated", "store"), ("removed", "store")];
    assert_eq!(told, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
    let first = people.line();
    assert!(first.starts_with("registered  shop  http://shop.localhost:"), "{first}");

    router.run(&["stop"]).ok();
    assert_eq!(router.process.wait().code(), Some(0));
    for watcher in [watch, people] {
        let ended = watcher.ended().ok();
        assert!(ended.stderr.ends_with("The router has stopped.\n"), "{ended:?}");
    }
}

#[test]
fn ports_are_leased_together_or_not_at_all() {
    // Outside of what the system hands out by itself, so that only this test's twins want its neighbours.
    let (held, start) = (0..1000)
        .map(|i| 20_000 + (u16::try_from(std::process::id() % 1000).unwrap() + i) % 1000 * 10)
        .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok().map(|held| (held, port)))
        .unwrap();
    let router = Router::configured(&format!("port_range = {{ start = {start}, end = {} }}\n", start + 2));
    let refused = router.run(&["port", "--count", "3"]);
    assert_eq!(refused.stdout, "");
    let own = format!(": {start} ");
    refused.failed(1, "NO_PORT_AVAILABLE", &[&own, "(pid ", "hint: stop one of them, or widen the port range"]);

    // What it took is free again.
    let both = router.run(&["port", "--count", "2", "--json"]).ok().json();
    assert_eq!(both, json!({ "ports": [start + 1, start + 2] }));
    let leased = format!("(pid {})", router.process.child.id());
    router.run(&["port"]).failed(1, "NO_PORT_AVAILABLE", &[&leased]);
    drop(held);
    assert_eq!(router.run(&["port"]).ok().stdout, format!("{start}\n"));
}

#[test]
fn a_thousand_routes_are_listed_and_a_reader_may_leave_early() {
    let routes: String =
        (0..1000).map(|i| format!("[[routes]]\nname = \"r{i}\"\ntarget = \"{}\"\n", 10_000 + i)).collect();
    let router = Router::configured(&routes);
    let list = router.run(&["list"]).ok().stdout;
    assert_eq!(list.lines().count(), 1001);
    assert!(list.lines().last().unwrap().starts_with("r999 "));
    assert_eq!(router.routes().as_array().unwrap().len(), 1000);
    assert_eq!(router.run(&["status", "--json"]).ok().json()["routes"], 1000);

    let mut listing = Running::spawn(&mut router.desk.command(["list"]));
    assert!(listing.line().starts_with("NAME"));
    let ended = listing.closed_stdout().ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "who has read enough is no failure");
}
