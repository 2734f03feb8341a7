//! Wildcard routes: one certificate for all hosts right below, none for those deeper.

use mastra_router::{Certificates, RouteConfig};

use crate::certificate::{parsed, served};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread")]
async fn one_certificate_for_all_hosts_below() {
    let place = Place::new("localhost");
    let mut wild = RouteConfig::new("wild", "p", "wild", "localhost", 1);
    wild.wildcard = true;
    place.add(wild);
    place.route("plain");
    place.route("own.wild");
    let manager = place.open();
    let mut seen = Vec::new();
    for host in ["a.wild.localhost", "b.wild.localhost", "x--y.wild.localhost"] {
        seen.push(served(&*manager, host).await.unwrap());
    }
    assert!(seen.iter().all(|leaf| *leaf == seen[0]));
    let names = parsed(&seen[0]).subject_alternative_name().unwrap().unwrap().value.general_names.clone();
    assert_eq!(format!("{names:?}"), "[DNSName(\"*.wild.localhost\")]");
    assert_eq!(manager.minted(), 1);
    assert!(place.leaf("_wildcard.wild.localhost").exists());

    assert_ne!(served(&*manager, "wild.localhost").await.as_ref(), Some(&seen[0]), "a wildcard is not its own host");
    assert_ne!(served(&*manager, "own.wild.localhost").await.as_ref(), Some(&seen[0]), "an exact route comes first");
    let minted = manager.minted();
    for host in
        ["b.a.wild.localhost", "x.own.wild.localhost", "a.plain.localhost", "*.wild.localhost.", "*.plain.localhost"]
    {
        assert!(manager.held(host).is_none() && manager.obtain(host).await.is_none(), "{host}");
    }
    assert_eq!(manager.minted(), minted);
    place.remove("wild");
    assert!(manager.held("a.wild.localhost").is_none() && manager.obtain("a.wild.localhost").await.is_none());
    assert!(manager.held("own.wild.localhost").is_some());
}
