//! The follower: a registry, a hosts file, and what happens between them.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mastra_router::{
    BaseDomain, HostsFollower, HostsMode, HostsOwner, Route, RouteConfig, RouteRegistry, RouteSpec, RouterError,
};
use tokio::runtime::Handle;

use crate::desk::{Desk, PLAIN};

fn follow(desk: &Desk, registry: &RouteRegistry, mode: HostsMode) -> HostsFollower {
    let base = BaseDomain::parse("mastra.local").unwrap();
    HostsFollower::start(&Handle::current(), registry.reader(), base, mode, desk.manager("router"))
}

fn add(registry: &RouteRegistry, name: &str) -> Arc<Route> {
    let config = RouteConfig::new(format!("d-{name}"), "p", name, "localhost", 1);
    registry.add(RouteSpec::parse(&config).unwrap()).unwrap()
}

fn names(desk: &Desk) -> Vec<String> {
    desk.names().into_iter().collect()
}

/// Waits for a fact.
async fn until(what: &str, fact: impl Fn() -> bool) {
    let waiting = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "not within half a minute: {what}");
}

#[tokio::test]
async fn names_come_and_go_with_their_routes() {
    let (desk, registry) = (Desk::with(PLAIN), RouteRegistry::new(true));
    desk.manager("other").add(["theirs.test"]).unwrap();
    // A router of the same home that was killed.
    desk.manager("router").add(["stale.mastra.local"]).unwrap();
    let early = add(&registry, "early");
    let follower = follow(&desk, &registry, HostsMode::Required);
    follower.written(&early.spec.name).await.unwrap();
    assert_eq!(names(&desk), ["early.mastra.local", "theirs.test"]);

    let shop = add(&registry, "shop");
    let mut config = RouteConfig::new("api", "p", "shop", "localhost", 1);
    config.path_prefix = Some("/api".to_owned());
    registry.add(RouteSpec::parse(&config).unwrap()).unwrap();
    config = RouteConfig::new("wild", "p", "a.wild", "localhost", 1);
    config.wildcard = true;
    let wild = registry.add(RouteSpec::parse(&config).unwrap()).unwrap();
    follower.written(&wild.spec.name).await.unwrap();
    assert_eq!(names(&desk), ["a.wild.mastra.local", "early.mastra.local", "shop.mastra.local", "theirs.test"]);

    registry.remove(shop.id.as_str());
    registry.remove(early.id.as_str());
    until("the name of a route that is gone goes", || !names(&desk).contains(&"early.mastra.local".to_owned())).await;
    follower.written(&shop.spec.name).await.unwrap();
    assert_eq!(
        names(&desk),
        ["a.wild.mastra.local", "shop.mastra.local", "theirs.test"],
        "the prefix's route has the name too"
    );

    follower.stop().await;
    follower.stop().await;
    assert_eq!(names(&desk), ["theirs.test"]);
    assert!(matches!(follower.written(&shop.spec.name).await, Err(RouterError::Closed)));
}

#[tokio::test]
async fn a_burst_is_a_few_writes() {
    let (desk, registry) = (Desk::with(PLAIN), RouteRegistry::new(true));
    let follower = follow(&desk, &registry, HostsMode::Required);
    let routes: Vec<_> = (0..300).map(|i| add(&registry, &format!("n{i}"))).collect();
    follower.written(&routes[299].spec.name).await.unwrap();
    assert_eq!(names(&desk).len(), 300);
    assert!(desk.listing().1.len() <= 3, "each write leaves a backup");
    let all = futures_util::future::join_all(routes.iter().map(|route| follower.written(&route.spec.name))).await;
    assert!(all.into_iter().all(|outcome| outcome.is_ok()));
    follower.stop().await;
    assert_eq!(desk.content(), PLAIN);
}

#[tokio::test]
async fn one_name_that_is_refused_is_told_and_the_others_are_written() {
    let (desk, registry) = (Desk::with(b"10.0.0.1 taken.mastra.local\n"), RouteRegistry::new(true));
    let follower = follow(&desk, &registry, HostsMode::Required);
    let (taken, wpad, good) = (add(&registry, "taken"), add(&registry, "wpad"), add(&registry, "good"));
    let (taken_error, wpad_error, fine) = tokio::join!(
        follower.written(&taken.spec.name),
        follower.written(&wpad.spec.name),
        follower.written(&good.spec.name)
    );
    assert!(matches!(taken_error, Err(RouterError::HostsTaken { line: 1, .. })));
    assert!(matches!(wpad_error, Err(RouterError::HostsName { .. })));
    fine.unwrap();
    assert_eq!(names(&desk), ["good.mastra.local"]);
    fs::write(&desk.file, desk.text().replace("10.0.0.1 taken.mastra.local\n", "")).unwrap();
    until("the name is tried again", || names(&desk).contains(&"taken.mastra.local".to_owned())).await;
    follower.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_and_tried_again() {
    let broken = "# BEGIN MASTRA LOCAL ROUTING\n10.0.0.1 mine.lan\n";
    let (desk, registry) = (Desk::with(broken.as_bytes()), RouteRegistry::new(true));
    let follower = follow(&desk, &registry, HostsMode::BestEffort);
    let shop = add(&registry, "shop");
    match follower.written(&shop.spec.name).await {
        Err(RouterError::HostsFile { line: Some(1), path, .. }) => assert_eq!(path, desk.file),
        other => panic!("{other:?}"),
    }
    assert_eq!(desk.text(), broken);
    // Mended by hand: nobody has to tell.
    fs::write(&desk.file, PLAIN).unwrap();
    until("it is tried again", || names(&desk) == ["shop.mastra.local"]).await;
    follower.written(&shop.spec.name).await.unwrap();
    // Broken for good: stopping ends none the less, and nothing is lost.
    fs::write(&desk.file, broken).unwrap();
    follower.stop().await;
    assert_eq!(desk.text(), broken);
}

#[tokio::test]
async fn dropped_or_without_a_registry_it_takes_its_names_along() {
    let (desk, registry) = (Desk::with(PLAIN), RouteRegistry::new(true));
    let follower = follow(&desk, &registry, HostsMode::Required);
    let shop = add(&registry, "shop");
    follower.written(&shop.spec.name).await.unwrap();
    drop(follower);
    until("it is gone", || desk.content() == PLAIN).await;

    let follower = follow(&desk, &registry, HostsMode::Required);
    follower.written(&shop.spec.name).await.unwrap();
    drop(registry);
    until("it is gone", || desk.content() == PLAIN).await;
    follower.stop().await;
}

#[test]
fn the_owner_is_that_of_the_home() {
    let home = std::path::Path::new("/home/ann/.mastra/router");
    assert_eq!(HostsOwner::of_home(home), HostsOwner::of_home(home));
}
