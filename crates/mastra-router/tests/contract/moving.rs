//! Updating and removing.

use mastra_router::{RouteConfig, RouteInfo, RouteStatus, RouteUpdate};

use crate::make::{Make, Subject, numbered, route};
use crate::target::{DEAD_PORT, Target, ask, body, open, read_until};

pub(crate) async fn a_redeploy_with_all_five_fields_moves_the_traffic(make: Make) {
    let router = make.router().await;
    let (old, new) = (Target::named("old").await, Target::named("new").await);
    let before = router.register_route(route(old.port)).await.unwrap();
    let id = before.route_id.as_str();
    let moved = router.update_route(id, route(new.port).into()).await.unwrap();
    assert_eq!((moved.route_id.as_str(), moved.created_at), (id, before.created_at));
    assert_eq!(moved.status, RouteStatus::Active);
    assert_eq!(body(&format!("{}/x", moved.public_url)).await, "new /x");
    let renamed = RouteConfig::new("deploy-2", "project-2", "shop", "127.0.0.1", new.port);
    let moved = router.update_route(id, renamed.into()).await.unwrap();
    assert_eq!(moved.route_id.as_str(), id);
    assert_eq!(body(&format!("{}/x", moved.public_url)).await, "new /x");
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    assert_eq!(router.url("deploy-2").await, moved.public_url);
    assert!(router.list_routes("project-1").await.unwrap().is_empty());
    assert_eq!(router.list_routes("project-2").await.unwrap().len(), 1);
}

pub(crate) async fn a_request_in_flight_finishes_on_the_old_target(make: Make) {
    let router = make.router().await;
    let (old, new) = (Target::named("old").await, Target::named("new").await);
    let info = router.register_route(route(old.port)).await.unwrap();
    let mut stream = open(&format!("{}/stream", info.public_url)).await;
    read_until(&mut stream, "data: old\n\n").await;
    router.update_route(info.route_id.as_str(), route(new.port).into()).await.unwrap();
    assert_eq!(body(&info.public_url).await, "new /");
    old.stream("data: after the move\n\n");
    assert!(read_until(&mut stream, "data: after the move\n\n").await.contains("move"));
    router.remove_route(info.route_id.as_str()).await.unwrap();
    old.stream("data: the end\n\n");
    old.stream("");
    assert!(read_until(&mut stream, "data: the end\n\n").await.contains("the end"));
}

pub(crate) async fn a_rollback_moves_the_traffic_back(make: Make) {
    let router = make.router().await;
    let (old, new) = (Target::named("old").await, Target::named("new").await);
    let info = router.register_route(route(old.port)).await.unwrap();
    for (target, answer) in [(&new, "new /"), (&old, "old /"), (&new, "new /"), (&old, "old /")] {
        let moved = router.update_route(info.route_id.as_str(), route(target.port).into()).await.unwrap();
        assert_eq!(body(&moved.public_url).await, answer);
        assert_eq!(moved.status, RouteStatus::Active);
    }
}

pub(crate) async fn an_update_of_one_field_keeps_the_others(make: Make) {
    let router = make.router().await;
    let (old, new) = (Target::named("old").await, Target::named("new").await);
    let info = router.register_route(route(old.port)).await.unwrap();
    let id = info.route_id.as_str();
    let to_new = RouteUpdate { target_port: Some(new.port), ..RouteUpdate::default() };
    let moved = router.update_route(id, to_new).await.unwrap();
    assert_eq!(body(&format!("{}/x", moved.public_url)).await, "new /x");
    let project = RouteUpdate { project_id: Some("project-2".into()), ..RouteUpdate::default() };
    router.update_route(id, project).await.unwrap();
    let listed = router.list_routes("project-2").await.unwrap();
    assert_eq!((listed[0].deployment_id.as_str(), &listed[0].public_url), ("deploy-1", &moved.public_url));
    let same = router.update_route(id, RouteUpdate::default()).await.unwrap();
    assert_eq!(same.public_url, moved.public_url);
}

pub(crate) async fn an_update_of_a_route_that_is_not_there_fails(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    router.register_route(route(target.port)).await.unwrap();
    for id in ["route_0", "deploy-1", "app", ""] {
        let error = router.update_route(id, route(target.port).into()).await.unwrap_err();
        assert_eq!((error.code(), error.to_string()), ("ROUTE_NOT_FOUND", format!("Route not found: {id}")));
    }
}

pub(crate) async fn a_route_that_moves_to_a_dead_port_does_not_stay_active(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    let id = info.route_id.as_str();
    assert_eq!(info.status, RouteStatus::Active);
    assert_eq!(router.update_route(id, route(DEAD_PORT).into()).await.unwrap().status, RouteStatus::Pending);
    assert_eq!(router.get_route("deploy-1").await.unwrap().unwrap().status, RouteStatus::Pending);
    assert_eq!(router.update_route(id, route(target.port).into()).await.unwrap().status, RouteStatus::Active);
}

pub(crate) async fn a_route_is_removed_by_its_id(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(numbered(target.port, 1)).await.unwrap();
    let other = router.register_route(numbered(target.port, 2)).await.unwrap();
    router.remove_route(info.route_id.as_str()).await.unwrap();
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    assert_eq!(body(&other.public_url).await, "target /");
    // What it had is free again.
    let again = router.register_route(numbered(target.port, 1)).await.unwrap();
    assert_ne!(again.route_id, info.route_id);
    assert_eq!(body(&again.public_url).await, "target /");
}

pub(crate) async fn a_route_is_removed_by_its_deployment(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    router.register_route(numbered(target.port, 1)).await.unwrap();
    router.register_route(numbered(target.port, 2)).await.unwrap();
    router.remove_route("deploy-1").await.unwrap();
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    assert!(router.get_route("deploy-2").await.unwrap().is_some());
    // A name is neither: it may be another deployment's.
    router.remove_route("app-2").await.unwrap();
    assert!(router.get_route("deploy-2").await.unwrap().is_some());
}

pub(crate) async fn a_removed_route_does_not_answer_any_more(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    router.remove_route(info.route_id.as_str()).await.unwrap();
    assert_eq!(ask(&info.public_url).await.0, 404);
    assert!(target.paths().is_empty());
}

pub(crate) async fn removing_what_is_not_there_is_no_error(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(numbered(target.port, 1)).await.unwrap();
    router.register_route(numbered(target.port, 2)).await.unwrap();
    let id = info.route_id.as_str();
    for id in ["route_0", "nothing", "", id, id, "deploy-1"] {
        router.remove_route(id).await.unwrap_or_else(|error| panic!("{id:?}: {error}"));
    }
    assert_eq!(router.list_routes("project-1").await.unwrap().len(), 1);
}

pub(crate) async fn clearing_removes_all_routes(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    for n in [1, 2, 3] {
        router.register_route(numbered(target.port, n)).await.unwrap();
    }
    router.own.clear_routes();
    assert!(router.all_routes().await.unwrap().is_empty());
    assert!(router.list_routes("project-1").await.unwrap().is_empty());
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    let again = router.register_route(numbered(target.port, 1)).await.unwrap();
    assert_eq!(body(&again.public_url).await, "target /");
}

pub(crate) async fn an_orchestrator_deploys_redeploys_rolls_back_and_stops(make: Make) {
    let router = make.router().await;
    let (first, second) = (Target::named("first").await, Target::named("second").await);
    let deployed = deploy(&router, &first).await;
    assert_eq!(body(&router.url("deploy-1").await).await, "first /");
    assert_eq!(deploy(&router, &second).await.route_id, deployed.route_id);
    assert_eq!(body(&router.url("deploy-1").await).await, "second /");
    assert_eq!(deploy(&router, &first).await.route_id, deployed.route_id);
    assert_eq!(body(&router.url("deploy-1").await).await, "first /");
    router.remove_route("deploy-1").await.unwrap();
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    assert_ne!(deploy(&router, &second).await.route_id, deployed.route_id);
    assert_eq!(body(&router.url("deploy-1").await).await, "second /");
}

/// The order in which MastraAdmin calls a router, and all that it calls.
async fn deploy(router: &Subject, target: &Target) -> RouteInfo {
    match router.get_route("deploy-1").await.unwrap() {
        Some(there) => router.update_route(there.route_id.as_str(), route(target.port).into()).await.unwrap(),
        None => router.register_route(route(target.port)).await.unwrap(),
    }
}
