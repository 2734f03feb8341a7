//! Ports, events, and the end.

use mastra_router::{RequestNews, RequestProtocol, RouteStatus, RouteUpdate, RouterEvent};

use crate::make::{Make, code, numbered, route, within};
use crate::target::{Target, UNAVAILABLE, ask, body};

pub(crate) async fn a_port_is_allocated_once_and_released_once(make: Make) {
    let router = make.router().await;
    let all = tokio::join!(router.allocate_port(), router.allocate_port(), router.allocate_port());
    let ports = [all.0.unwrap(), all.1.unwrap(), all.2.unwrap()];
    assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2], "{ports:?}");
    assert!(ports.iter().all(|port| (23_100..=23_199).contains(port)), "{ports:?}");
    assert!(router.release_port(ports[0]).await.unwrap());
    assert!(!router.release_port(ports[0]).await.unwrap());
    assert!(!router.release_port(1).await.unwrap());
}

pub(crate) async fn changes_of_routes_are_told_as_events(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let mut events = router.events().await;
    let info = router.register_route(route(target.port)).await.unwrap();
    let project = RouteUpdate { project_id: Some("project-2".into()), ..RouteUpdate::default() };
    router.update_route(info.route_id.as_str(), project).await.unwrap();
    router.remove_route(info.route_id.as_str()).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        let (change, route) = match within("an event", events.recv()).await.unwrap() {
            RouterEvent::Registered(route) => ("registered", route),
            RouterEvent::Updated(route) => ("updated", route),
            RouterEvent::Removed(route) => ("removed", route),
            RouterEvent::Checked { .. } => continue,
            other => panic!("{other:?}"),
        };
        assert_eq!((&route.route_id, &route.public_url), (&info.route_id, &info.public_url));
        told.push(change);
    }
    assert_eq!(told, ["registered", "updated", "removed"]);
}

pub(crate) async fn health_checks_are_told_as_events(make: Make) {
    let router = make.with(|c| c.health_check.failure_threshold = 1).await;
    let target = Target::start().await;
    let info = router.register_route(route(target.port)).await.unwrap();
    let mut events = router.events().await;
    target.set_health(UNAVAILABLE);
    router.check_route_health(info.route_id.as_str()).await.unwrap();
    match within("an event", events.recv()).await.unwrap() {
        RouterEvent::Checked { route, before, health } => {
            assert_eq!((route.route_id, route.status), (info.route_id, RouteStatus::Unhealthy));
            assert_eq!(before, RouteStatus::Active);
            assert_eq!((health.healthy, health.status_code), (false, Some(503)));
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn requests_are_told_as_events(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    let mut requests = router.requests().await.unwrap();
    body(&format!("{}/x?y=1", info.public_url)).await;
    let host = info.public_url.split('/').nth(2).unwrap();
    let port = host.rsplit_once(':').unwrap().1;
    ask(&format!("http://nothing.localhost:{port}/")).await;
    let Some(RequestNews::Answered(told)) = within("a request", requests.next()).await else { panic!("it ended") };
    assert_eq!((told.protocol, told.method.as_str(), told.status), (RequestProtocol::Http11, "GET", 200));
    assert_eq!((told.route_id.as_ref(), told.subdomain.as_deref()), (Some(&info.route_id), Some("app")));
    assert_eq!(told.host, host);
    assert!(told.path.ends_with("/x?y=1"), "{}", told.path);
    let Some(RequestNews::Answered(told)) = within("a request", requests.next()).await else { panic!("it ended") };
    assert!(told.host.starts_with("nothing."), "{}", told.host);
    assert_eq!((told.status, told.route_id.as_ref()), (404, None));
}

pub(crate) async fn calls_after_closing_fail(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    let id = info.route_id.as_str();
    router.own.close().await;
    let codes = [
        code(router.register_route(numbered(target.port, 2)).await),
        code(router.update_route(id, route(target.port).into()).await),
        code(router.remove_route(id).await),
        code(router.get_route("deploy-1").await),
        code(router.list_routes("project-1").await),
        code(router.check_route_health(id).await),
        code(router.allocate_port().await),
        code(router.own.start_proxy().await),
    ];
    assert_eq!(codes, ["ROUTER_CLOSED"; 8]);
    assert!(router.own.get_all_routes().is_empty());
    assert!(!router.own.is_proxy_running());
}

pub(crate) async fn closing_twice_does_nothing_more(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    router.register_route(route(target.port)).await.unwrap();
    tokio::join!(router.own.close(), router.own.close());
    router.own.close().await;
    assert!(router.own.get_all_routes().is_empty());
}
