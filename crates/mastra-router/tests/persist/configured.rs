//! Saved routes beside those of a configuration file, and under other settings than they were made with.

use std::fs;

use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, RouteConfig, RouterControl, RoutingStrategy};

use crate::desk::{Desk, add, deployments, route};

#[tokio::test]
async fn configured_routes_are_not_saved() {
    let desk = Desk::new();
    let router = desk.router();
    router.load_routes(vec![route("file", "file")]).await.unwrap();
    add(&router, "typed").await;
    let configured = router.get_route("file").await.unwrap().unwrap();
    let update = mastra_router::RouteUpdate { target_port: Some(10), ..Default::default() };
    router.update_route(configured.route_id.as_str(), update).await.unwrap();
    assert_eq!(desk.on_disk().len(), 1);
    router.remove_route("file").await.unwrap();
    router.close().await;
    let router = desk.router();
    assert_eq!(deployments(&router), ["typed"]);
    router.load_routes(vec![route("file", "file")]).await.unwrap();
    assert_eq!(deployments(&router), ["typed", "file"]);
}

#[tokio::test]
async fn a_configured_route_goes_before_a_saved_one() {
    let desk = Desk::with(RoutingStrategy::ReverseProxy);
    let router = desk.router();
    for name in ["same-deployment", "same-name", "both", "other"] {
        add(&router, name).await;
    }
    router.close().await;

    let router = desk.router();
    let file = vec![route("same-deployment", "x"), route("y", "same-name"), route("both", "both")];
    // The second of these is at fault by itself.
    let failed = [&file[..], &[route("z", "a"), route("z", "b")]].concat();
    let (index, error) = router.load_routes_in_order(failed).await.unwrap_err();
    assert_eq!((index, error.code()), (Some(4), "ROUTE_EXISTS"));
    assert_eq!(deployments(&router), ["same-deployment", "same-name", "both", "other"], "nothing has changed");
    router.close().await;
    assert_eq!(desk.on_disk().len(), 4);

    let router = desk.router();
    router.load_routes(file).await.unwrap();
    assert_eq!(deployments(&router), ["other", "same-deployment", "y", "both"]);
    add(&router, "typed").await;
    let error = router.load_routes(vec![route("typed", "z")]).await.unwrap_err();
    assert_eq!(error.code(), "ROUTE_EXISTS", "one of this run does not give way");
    router.close().await;
    assert_eq!(deployments(&desk.router()), ["other", "typed"]);
}

#[tokio::test]
async fn a_saved_route_is_no_reason_not_to_start() {
    let mut desk = Desk::with(RoutingStrategy::PortMapping);
    let router = desk.router();
    add(&router, "good").await;
    router.register_route(route("twin-1", "twin")).await.unwrap();
    router.register_route(route("twin-2", "twin")).await.unwrap();
    router.register_route(RouteConfig::new("remote", "p", "remote", "192.0.2.1", 80)).await.unwrap();
    let tls = RouteConfig { tls: Some(true), ..route("tls", "tls") };
    router.register_route(tls).await.unwrap();
    router.register_route(RouteConfig::new("name", "p", "name", "nothing.invalid", 80)).await.unwrap();
    router.close().await;
    let before = fs::read(desk.journal()).unwrap();

    desk.config.strategy = RoutingStrategy::ReverseProxy;
    let router = LocalEdgeRouter::start(desk.config.clone()).await.unwrap();
    // A name may resolve later.
    let served = deployments(&router);
    for deployment in ["good", "twin-1", "name"] {
        assert!(served.contains(&deployment.to_owned()), "{served:?}");
    }
    for deployment in ["twin-2", "remote"] {
        assert!(!served.contains(&deployment.to_owned()), "{served:?}");
        let named = router.warnings().iter().any(|w| w.contains(&format!("deployment {deployment} was left out")));
        assert!(named, "{:?}", router.warnings());
    }
    let aside = desk.aside();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(&aside[0]).unwrap(), before);
    assert!(router.warnings().last().unwrap().contains(aside[0].to_str().unwrap()));
    assert!(router.find_route("name").await.unwrap().is_some());
    router.remove_route("name").await.unwrap();
    let rest = deployments(&router);
    router.close().await;
    let router = desk.router();
    assert_eq!(deployments(&router), rest);
    assert_eq!(router.warnings(), [""; 0]);
}
