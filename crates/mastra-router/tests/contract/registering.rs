//! Registering and listing.

use futures_util::future::join_all;
use mastra_router::{RouteConfig, RouteStatus, RouteUpdate};

use crate::make::{Make, code, deployments, numbered, route};
use crate::target::{DEAD_PORT, Target, ask, body};

pub(crate) async fn a_registered_route_answers_under_its_url_at_once(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let info = router.register_route(route(target.port)).await.unwrap();
    assert_eq!(body(&format!("{}/x?y=1", info.public_url)).await, "target /x?y=1");
    assert_eq!(info.deployment_id, "deploy-1");
    let digits = info.route_id.as_str().strip_prefix("route_").unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{digits}");
}

pub(crate) async fn a_route_is_active_where_its_target_is_healthy_and_pending_where_there_is_none(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    assert_eq!(router.register_route(numbered(target.port, 1)).await.unwrap().status, RouteStatus::Active);
    assert_eq!(router.register_route(numbered(DEAD_PORT, 2)).await.unwrap().status, RouteStatus::Pending);
    assert_eq!(router.get_route("deploy-2").await.unwrap().unwrap().status, RouteStatus::Pending);
}

pub(crate) async fn a_deployment_without_a_route_has_none(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    assert!(router.get_route("deploy-1").await.unwrap().is_none());
    let info = router.register_route(route(target.port)).await.unwrap();
    assert_eq!(router.get_route("deploy-1").await.unwrap().unwrap().route_id, info.route_id);
    // It is asked for by deployment, not by route or name.
    for other in ["deploy-2", info.route_id.as_str(), "app", ""] {
        assert!(router.get_route(other).await.unwrap().is_none(), "{other:?}");
    }
}

pub(crate) async fn a_second_registration_of_a_deployment_fails_and_the_first_goes_on_serving(make: Make) {
    let router = make.router().await;
    let (first, second) = (Target::named("first").await, Target::named("second").await);
    let info = router.register_route(route(first.port)).await.unwrap();
    let again = RouteConfig { subdomain: "other".into(), ..route(second.port) };
    let error = router.register_route(again).await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.code()),
        ("Route already exists for deployment deploy-1", "ROUTE_EXISTS")
    );
    assert_eq!(body(&info.public_url).await, "first /");
    assert_eq!(router.list_routes("project-1").await.unwrap().len(), 1);
    assert_eq!(router.url("deploy-1").await, info.public_url);
}

pub(crate) async fn a_name_that_is_taken_is_refused_and_its_route_goes_on_serving(make: Make) {
    let router = make.router().await;
    let (first, second) = (Target::named("first").await, Target::named("second").await);
    let info = router.register_route(route(first.port)).await.unwrap();
    for name in ["app", "APP"] {
        let conflict = RouteConfig { deployment_id: "deploy-2".into(), subdomain: name.into(), ..route(second.port) };
        assert_eq!(code(router.register_route(conflict).await), "ROUTE_CONFLICT");
    }
    let other = router.register_route(numbered(second.port, 3)).await.unwrap();
    let rename = RouteUpdate { subdomain: Some("app".into()), ..RouteUpdate::default() };
    assert_eq!(code(router.update_route(other.route_id.as_str(), rename).await), "ROUTE_CONFLICT");
    // The loser's end does not take the winner with it.
    router.remove_route("deploy-2").await.unwrap();
    assert_eq!(body(&info.public_url).await, "first /");
    assert_eq!(body(&other.public_url).await, "second /");
}

pub(crate) async fn names_that_are_no_dns_labels_are_refused(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let long = "x".repeat(64);
    let names =
        ["", ".", "a/b", "../x", "a b", "-a", "a-", "a..b", "a_b", "ü", "a:b", "a\nb", "%61", "feature/x--app", &long];
    let named = |name: &str| RouteConfig { subdomain: name.into(), ..route(target.port) };
    for name in names {
        assert_eq!(code(router.register_route(named(name)).await), "INVALID_NAME", "{name:?}");
    }
    let info = router.register_route(route(target.port)).await.unwrap();
    for name in names {
        let update = RouteUpdate { subdomain: Some(name.into()), ..RouteUpdate::default() };
        assert_eq!(code(router.update_route(info.route_id.as_str(), update).await), "INVALID_NAME", "{name:?}");
    }
    assert_eq!(router.list_routes("project-1").await.unwrap().len(), 1);
    assert_eq!(body(&info.public_url).await, "target /");
}

pub(crate) async fn a_path_prefix_is_taken_off_unless_it_is_to_stay(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let prefixed =
        |n, strip| RouteConfig { path_prefix: Some("/api".into()), strip_prefix: strip, ..numbered(target.port, n) };
    router.register_route(prefixed(1, None)).await.unwrap();
    let kept = router.register_route(prefixed(2, Some(false))).await.unwrap();
    let port = router.own.proxy_addresses()[0].port();
    let at = |name: &str, path: &str| format!("http://{name}.localhost:{port}{path}");
    assert_eq!(body(&at("app-1", "/api/x")).await, "target /x");
    assert_eq!(body(&at("app-2", "/api/x")).await, "target /api/x");
    assert_eq!(ask(&at("app-2", "/apix")).await.0, 404);
    let strip = RouteUpdate { strip_prefix: Some(true), ..RouteUpdate::default() };
    router.update_route(kept.route_id.as_str(), strip).await.unwrap();
    assert_eq!(body(&at("app-2", "/api/x")).await, "target /x");
}

pub(crate) async fn the_routes_of_a_project_are_listed_in_the_order_of_registration(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    for n in [3, 1, 2] {
        router.register_route(numbered(target.port, n)).await.unwrap();
    }
    let other = RouteConfig { project_id: "project-2".into(), ..numbered(target.port, 4) };
    router.register_route(other).await.unwrap();
    // An update changes nothing of the order.
    let third = router.get_route("deploy-3").await.unwrap().unwrap();
    let rename = RouteUpdate { subdomain: Some("app-5".into()), ..RouteUpdate::default() };
    router.update_route(third.route_id.as_str(), rename).await.unwrap();
    let listed = router.list_routes("project-1").await.unwrap();
    assert_eq!(deployments(&listed), ["deploy-3", "deploy-1", "deploy-2"]);
    assert_eq!(deployments(&router.list_routes("project-2").await.unwrap()), ["deploy-4"]);
    assert!(router.list_routes("project-3").await.unwrap().is_empty());
}

pub(crate) async fn all_routes_are_listed_in_the_order_of_registration(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    assert!(router.all_routes().await.unwrap().is_empty());
    for n in [3, 1, 2] {
        let config = RouteConfig { project_id: format!("project-{n}"), ..numbered(target.port, n) };
        router.register_route(config).await.unwrap();
    }
    assert_eq!(deployments(&router.all_routes().await.unwrap()), ["deploy-3", "deploy-1", "deploy-2"]);
}

pub(crate) async fn of_concurrent_registrations_of_one_deployment_one_wins(make: Make) {
    let router = make.router().await;
    let targets = join_all((0..8).map(|n| async move { Target::named(&format!("t{n}")).await })).await;
    let all =
        join_all(targets.iter().enumerate().map(|(n, target)| {
            router.register_route(RouteConfig { subdomain: format!("app-{n}"), ..route(target.port) })
        }))
        .await;
    let won: Vec<usize> = (0..all.len()).filter(|n| all[*n].is_ok()).collect();
    assert_eq!(won.len(), 1);
    for error in all.iter().filter_map(|result| result.as_ref().err()) {
        assert_eq!(error.to_string(), "Route already exists for deployment deploy-1");
    }
    assert_eq!(body(&router.url("deploy-1").await).await, format!("t{} /", won[0]));
    assert_eq!(router.list_routes("project-1").await.unwrap().len(), 1);
}

pub(crate) async fn fifty_concurrent_registrations_are_all_there(make: Make) {
    let (router, target) = (make.router().await, Target::start().await);
    let all = join_all((0..50).map(|n| router.register_route(numbered(target.port, n)))).await;
    assert_eq!(router.list_routes("project-1").await.unwrap().len(), 50);
    for info in all.into_iter().map(Result::unwrap) {
        let known = router.get_route(&info.deployment_id).await.unwrap().unwrap();
        assert_eq!(known.route_id, info.route_id);
        assert_eq!(body(&format!("{}/x", info.public_url)).await, "target /x");
    }
}
