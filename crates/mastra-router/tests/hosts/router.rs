//! A router whose names have to be in the file, and a file that cannot be written in time.

use std::fs::File;
use std::time::{Duration, Instant};

use mastra_router::{
    EdgeRouterProvider, HostsMode, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RouteInfo, RouteUpdate,
    RouterControl, RouterEvent, RoutingStrategy,
};

use crate::desk::{Desk, PLAIN};

/// Far from the default, which is 5 s.
const MOST: Duration = Duration::from_millis(300);

async fn router(desk: &Desk) -> LocalEdgeRouter {
    let mut config = LocalEdgeRouterConfig {
        strategy: RoutingStrategy::ReverseProxy,
        base_domain: "mastra.local".to_owned(),
        proxy_port: 0,
        enable_hosts_file: HostsMode::Required,
        lease_dir: Some(desk.dir.path().join("ports")),
        ..LocalEdgeRouterConfig::default()
    };
    config.hosts.path = Some(desk.file.clone());
    config.hosts.backup_dir = Some(desk.backups.clone());
    config.health_check.timeout = MOST;
    config.proxy.threads = Some(1);
    LocalEdgeRouter::start(config).await.unwrap()
}

fn route(name: &str) -> RouteConfig {
    // Nothing listens on this port, which a registration does not ask for.
    RouteConfig::new(name, "project", name, "127.0.0.1", 1)
}

/// Keeps the file locked, as any process can that may read it.
fn locked(desk: &Desk) -> File {
    let file = File::open(&desk.file).unwrap();
    file.lock().unwrap();
    file
}

fn shown(routes: &[RouteInfo]) -> Vec<(&str, &str)> {
    routes.iter().map(|route| (route.subdomain.as_str(), route.project_id.as_str())).collect()
}

#[tokio::test]
async fn what_cannot_be_written_within_a_checks_time_is_taken_back() {
    let desk = Desk::with(PLAIN);
    let router = router(&desk).await;
    let one = router.register_route(route("one")).await.unwrap();
    let mut events = router.subscribe();
    let lock = locked(&desk);

    let began = Instant::now();
    let error = router.register_route(route("two")).await.unwrap_err();
    assert_eq!(error.code(), "HOSTS_FILE", "{error}");
    let rename = RouteUpdate { subdomain: Some("three".into()), ..RouteUpdate::default() };
    let error = router.update_route(one.route_id.as_str(), rename.clone()).await.unwrap_err();
    assert_eq!(error.code(), "HOSTS_FILE", "{error}");
    let took = began.elapsed();
    assert!(took >= 2 * MOST && took < Duration::from_secs(5), "it waits as long as a check may take: {took:?}");
    assert_eq!(shown(&router.get_all_routes()), [("one", "project")]);
    let mut told = Vec::new();
    while let Ok(event) = events.try_recv() {
        match event {
            RouterEvent::Registered(route) => told.push(format!("registered {}", route.subdomain)),
            RouterEvent::Removed(route) => told.push(format!("removed {}", route.subdomain)),
            RouterEvent::Updated(route) => told.push(format!("updated {}", route.subdomain)),
            _ => {}
        }
    }
    assert_eq!(told, ["registered two", "removed two"]);

    // Once the file can be written, all of it works.
    drop(lock);
    router.register_route(route("two")).await.unwrap();
    router.update_route(one.route_id.as_str(), rename).await.unwrap();
    let names: Vec<String> = desk.names().into_iter().collect();
    assert_eq!(names, ["three.mastra.local", "two.mastra.local"]);
    router.close().await;
    assert_eq!(desk.content(), PLAIN);
}

#[tokio::test]
async fn updates_that_are_taken_back_at_once_leave_what_was_before_both() {
    let desk = Desk::with(PLAIN);
    let router = router(&desk).await;
    let one = router.register_route(route("one")).await.unwrap();
    let lock = locked(&desk);
    let id = one.route_id.as_str();
    let rename = RouteUpdate { subdomain: Some("two".into()), ..RouteUpdate::default() };
    let regroup = RouteUpdate { project_id: Some("other".into()), ..RouteUpdate::default() };
    let (renamed, regrouped) = tokio::join!(router.update_route(id, rename), router.update_route(id, regroup));
    for outcome in [renamed, regrouped] {
        assert_eq!(outcome.unwrap_err().code(), "HOSTS_FILE");
    }
    assert_eq!(shown(&router.get_all_routes()), [("one", "project")]);
    drop(lock);
    router.close().await;
}
