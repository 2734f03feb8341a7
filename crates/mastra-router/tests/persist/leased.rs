//! Routes that are leased to a process, over a restart.

use std::process::Command;

use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, RouteConfig, RouteLease};

use crate::desk::{Desk, all_kept, deployments, route};

#[tokio::test]
async fn a_route_comes_back_where_its_process_runs() {
    let desk = Desk::new();
    let router = desk.router();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let of_child = RouteLease {
        command: Some("sleep 1000".into()),
        folder: Some("/".into()),
        ..RouteLease::of_process(child.id()).unwrap()
    };
    for (name, lease) in [("own", Some(RouteLease::of_this_process())), ("child", Some(of_child)), ("stays", None)] {
        router.register_route(RouteConfig { lease, ..route(name, name) }).await.unwrap();
    }
    let before = all_kept(router.get_all_routes());
    router.close().await;
    let router = desk.router();
    assert_eq!(all_kept(router.get_all_routes()), before);
    router.close().await;

    child.kill().unwrap();
    child.wait().unwrap();
    let router = LocalEdgeRouter::start(desk.config.clone()).await.unwrap();
    assert_eq!(deployments(&router), ["own", "stays"]);
    assert_eq!(router.warnings(), [""; 0], "that a process has ended is no fault of the file");
    router.close().await;
    let saved = std::fs::read_to_string(desk.journal()).unwrap();
    assert!(saved.lines().last().unwrap().contains("\"remove\""), "{saved}");
}

#[tokio::test]
async fn a_file_of_the_version_before_is_read_and_written_anew() {
    let desk = Desk::new();
    let router = desk.router();
    router.register_route(route("first", "first")).await.unwrap();
    let before = all_kept(router.get_all_routes());
    router.close().await;
    let text = std::fs::read_to_string(desk.journal()).unwrap();
    // With a last line that was cut off.
    let old = text.replacen("\"version\":3", "\"version\":1", 1) + "[\"0badcafe\",[{\"rem";
    assert_ne!(text, old);
    std::fs::write(desk.journal(), old).unwrap();
    let router = desk.router();
    assert_eq!(all_kept(router.get_all_routes()), before);
    assert_eq!(router.warnings(), [""; 0]);
    let lease = Some(RouteLease::of_this_process());
    router.register_route(RouteConfig { lease, ..route("second", "second") }).await.unwrap();
    let before = all_kept(router.get_all_routes());
    router.close().await;
    assert!(std::fs::read_to_string(desk.journal()).unwrap().contains("\"version\":3}\n"));
    let router = desk.router();
    assert_eq!(all_kept(router.get_all_routes()), before);
    assert_eq!(desk.aside().len(), 0);
    router.close().await;
}
