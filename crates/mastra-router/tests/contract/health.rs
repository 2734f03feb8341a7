//! Health checks, and registrations and updates that wait for them.

use std::time::Duration;

use mastra_router::{RouteConfig, RouteStatus, RouteUpdate};

use crate::make::{Make, Subject, code, numbered, route};
use crate::target::{DEAD_PORT, Health, OK, Target, UNAVAILABLE, body};

pub(crate) async fn the_health_of_a_healthy_target_is_told(make: Make) {
    let router = make.router().await;
    let target = Target::with("target", Health::Status("204 No Content"), "/health").await;
    let info = router.register_route(route(target.port)).await.unwrap();
    let health = router.check_route_health(info.route_id.as_str()).await.unwrap();
    assert_eq!((health.healthy, health.status_code, health.error), (true, Some(204), None));
    assert!(health.latency.is_some());
    assert_eq!(target.checks(), 2);
}

pub(crate) async fn the_health_of_an_unhealthy_target_is_told_with_its_status(make: Make) {
    let router = make.router().await;
    let target = Target::with("target", UNAVAILABLE, "/health").await;
    let info = router.register_route(route(target.port)).await.unwrap();
    assert_eq!(info.status, RouteStatus::Pending);
    let health = router.check_route_health(info.route_id.as_str()).await.unwrap();
    let error = health.error.as_deref();
    assert_eq!((health.healthy, health.status_code), (false, Some(503)));
    assert_eq!(error, Some("Non-OK response: 503 Service Unavailable"));
}

pub(crate) async fn the_health_of_a_target_that_does_not_answer_is_told_as_timed_out(make: Make) {
    let router = make.with(|c| c.health_check.timeout = Duration::from_millis(100)).await;
    let target = Target::with("target", Health::Silence, "/health").await;
    let info = router.register_route(route(target.port)).await.unwrap();
    let health = router.check_route_health(info.route_id.as_str()).await.unwrap();
    assert_eq!((health.healthy, health.error.as_deref()), (false, Some("Health check timed out after 100ms")));
}

pub(crate) async fn the_health_of_a_route_that_is_not_there_is_told_as_not_found(make: Make) {
    let router = make.router().await;
    let health = router.check_route_health("route_0").await.unwrap();
    assert_eq!((health.healthy, health.error.as_deref()), (false, Some("Route not found: route_0")));
}

pub(crate) async fn failures_up_to_the_threshold_make_a_route_unhealthy_and_a_success_active(make: Make) {
    let router = make.with(|c| c.health_check.failure_threshold = 2).await;
    let target = Target::start().await;
    let info = router.register_route(route(target.port)).await.unwrap();
    let id = info.route_id.as_str();
    target.set_health(Health::Status("500 Internal Server Error"));
    for expected in [RouteStatus::Active, RouteStatus::Unhealthy, RouteStatus::Unhealthy] {
        assert!(!router.check_route_health(id).await.unwrap().healthy);
        assert_eq!(status(&router).await, expected);
    }
    target.set_health(OK);
    assert!(router.check_route_health(id).await.unwrap().healthy);
    assert_eq!(status(&router).await, RouteStatus::Active);
    target.set_health(UNAVAILABLE);
    assert!(!router.check_route_health(id).await.unwrap().healthy);
    assert_eq!(status(&router).await, RouteStatus::Active);
}

pub(crate) async fn a_check_is_noted_with_its_time(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    let before = target.checks();
    router.check_route_health(info.route_id.as_str()).await.unwrap();
    assert_eq!(target.checks(), before + 1);
    let noted = router.get_route("deploy-1").await.unwrap().unwrap().last_health_check;
    assert!(info.last_health_check.is_some() && noted >= info.last_health_check);
}

pub(crate) async fn a_route_may_have_a_health_path_of_its_own(make: Make) {
    let router = make.router().await;
    let target = Target::with("target", UNAVAILABLE, "/health").await;
    let own = Target::with("own", OK, "/ready").await;
    let with = |path: &str, config| RouteConfig { health_path: Some(path.into()), ..config };
    let elsewhere = router.register_route(with("/elsewhere", numbered(target.port, 1))).await.unwrap();
    assert_eq!(elsewhere.status, RouteStatus::Active);
    let info = router.register_route(with("/ready", numbered(own.port, 2))).await.unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    assert_eq!(own.checks(), 1);
    assert_eq!(target.paths(), ["/elsewhere"]);
    // An empty one goes back to the router's.
    let back = RouteUpdate { health_path: Some(String::new()), ..RouteUpdate::default() };
    router.update_route(info.route_id.as_str(), back).await.unwrap();
    router.check_route_health(info.route_id.as_str()).await.unwrap();
    assert!(own.paths().contains(&"/health".to_owned()));
}

pub(crate) async fn a_registration_that_waits_for_health_is_refused_where_there_is_none(make: Make) {
    let router = make.with(|c| c.health_check.timeout = Duration::from_millis(200)).await;
    let target = Target::with("target", UNAVAILABLE, "/health").await;
    for port in [target.port, DEAD_PORT] {
        let waiting = RouteConfig { wait_healthy: true, ..route(port) };
        assert_eq!(code(router.register_route(waiting).await), "TARGET_UNHEALTHY");
        assert!(router.get_route("deploy-1").await.unwrap().is_none());
    }
    // Nothing was left of it, and nothing is in the way.
    assert_eq!(router.register_route(route(target.port)).await.unwrap().status, RouteStatus::Pending);
}

pub(crate) async fn a_registration_that_waits_for_health_ends_when_the_target_is_healthy(make: Make) {
    let router = make.with(|c| c.health_check.timeout = Duration::from_secs(60)).await;
    let target = Target::with("target", Health::After(2), "/health").await;
    let waiting = RouteConfig { wait_healthy: true, ..route(target.port) };
    let info = router.register_route(waiting).await.unwrap();
    assert_eq!(info.status, RouteStatus::Active);
    assert!(target.checks() >= 3, "{}", target.checks());
    assert_eq!(body(&info.public_url).await, "target /");
}

pub(crate) async fn an_update_that_waits_for_health_is_refused_where_there_is_none(make: Make) {
    let router = make.with(|c| c.health_check.timeout = Duration::from_millis(200)).await;
    let (old, new) = (Target::named("old").await, Target::with("new", UNAVAILABLE, "/health").await);
    let info = router.register_route(route(old.port)).await.unwrap();
    let id = info.route_id.as_str();
    let waiting = |port| RouteConfig { wait_healthy: true, ..route(port) };
    for port in [new.port, DEAD_PORT] {
        let moved = RouteConfig { project_id: "project-2".into(), ..waiting(port) };
        assert_eq!(code(router.update_route(id, moved.into()).await), "TARGET_UNHEALTHY");
    }
    assert_eq!(router.url("deploy-1").await, info.public_url);
    assert_eq!(router.list_routes("project-1").await.unwrap()[0].status, RouteStatus::Active);
    assert_eq!(body(&info.public_url).await, "old /");
    new.set_health(OK);
    let moved = router.update_route(id, waiting(new.port).into()).await.unwrap();
    assert_eq!(body(&moved.public_url).await, "new /");
}

async fn status(router: &Subject) -> RouteStatus {
    router.get_route("deploy-1").await.unwrap().unwrap().status
}
