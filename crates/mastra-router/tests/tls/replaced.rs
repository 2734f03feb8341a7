//! An authority that is out of its time, and the one that comes in its place.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mastra_router::{AuthorityInfo, BaseDomain, TlsManager, TlsSettings};

use crate::place::{DAY, Place};

/// What was kept aside of authorities before, in order.
fn aside(place: &Place) -> Vec<String> {
    let paths = std::fs::read_dir(place.certs()).unwrap().map(|entry| entry.unwrap().path());
    let mut kept: Vec<_> = paths.filter(|path| path.to_str().unwrap().contains("ca.pem.replaced-")).collect();
    kept.sort();
    kept.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn opened(settings: &TlsSettings) -> AuthorityInfo {
    TlsManager::authority_only(settings.clone()).unwrap().authority().unwrap()
}

/// Settings with another base domain and another clock.
fn settings(place: &Place, base: &str, now: SystemTime) -> TlsSettings {
    let base_domains = vec![BaseDomain::parse(base).unwrap()];
    TlsSettings { base_domains, clock: Arc::new(move || now), ..place.settings.clone() }
}

#[test]
fn one_that_has_expired_leaves_its_domains_and_its_certificate() {
    let place = Place::new("mastra.local");
    let first = opened(&place.settings);
    let soon = settings(&place, "mastra.local", first.not_after - DAY);
    assert_eq!(opened(&soon), first);
    // A router of another base domain, which the first did not permit, is the one that finds it expired.
    let later = settings(&place, "other.internal", first.not_after + DAY);
    let second = opened(&later);
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.permitted, ["localhost", "test", "other.internal", "mastra.local", "127.0.0.0/8", "::1"]);
    assert_eq!(aside(&place), [first.pem]);
    assert_eq!(std::fs::read_to_string(&second.path).unwrap(), second.pem);
    // What the first served is served on.
    let manager = TlsManager::authority_only(settings(&place, "mastra.local", first.not_after + DAY)).unwrap();
    manager.issue("shop.mastra.local").unwrap();
    assert_eq!(manager.fingerprint(), Some(second.fingerprint.clone()));
    let third = opened(&settings(&place, "localhost", second.not_after + DAY));
    assert_eq!(third.permitted, ["localhost", "test", "other.internal", "mastra.local", "127.0.0.0/8", "::1"]);
    assert_eq!(aside(&place).len(), 2);
}

#[test]
fn one_that_begins_in_the_future_is_replaced() {
    let place = Place::new("mastra.local");
    let now = SystemTime::now();
    let ahead = opened(&settings(&place, "mastra.local", now + 400 * DAY));
    // As far off as clocks may be: it begins a day before it was made.
    for (now, usable) in [
        (ahead.not_before + DAY, true),
        (ahead.not_before, true),
        (ahead.not_before - DAY, true),
        (ahead.not_before - DAY - Duration::from_secs(2), false),
        (now, false),
        (ahead.not_after, true),
        (ahead.not_after + Duration::from_secs(2), false),
        // This clock is what is wrong.
        (SystemTime::UNIX_EPOCH + 400 * DAY, true),
    ] {
        assert_eq!(ahead.is_usable_at(now), usable, "{now:?}");
    }
    assert_eq!(opened(&settings(&place, "localhost", ahead.not_before - DAY)), ahead);
    assert_eq!(opened(&settings(&place, "localhost", SystemTime::UNIX_EPOCH + 400 * DAY)), ahead);
    assert!(aside(&place).is_empty());

    let replaced = opened(&settings(&place, "localhost", now));
    assert_ne!(replaced.fingerprint, ahead.fingerprint);
    assert!(replaced.not_before < now && replaced.not_after > now);
    assert_eq!(replaced.permitted, ahead.permitted);
    assert_eq!(aside(&place), [ahead.pem]);
    assert_eq!(opened(&settings(&place, "localhost", now)), replaced);
}

#[test]
fn one_that_cannot_be_read_is_replaced_on_demand_and_kept() {
    let place = Place::new("localhost");
    let first = opened(&place.settings);
    for (round, torn) in ["", "torn", &first.pem].into_iter().enumerate() {
        place.pass(DAY / 24);
        std::fs::write(place.certs().join("authority.pem"), torn).unwrap();
        assert_eq!(TlsManager::replace_authority(&place.settings).unwrap(), None);
        let now = opened(&place.settings);
        assert_eq!(std::fs::read_to_string(&now.path).unwrap(), now.pem);
        let kept = std::fs::read_dir(place.certs()).unwrap().map(|entry| entry.unwrap().path());
        let kept: Vec<_> = kept.filter(|path| path.to_str().unwrap().contains("authority.pem.corrupt-")).collect();
        assert!(kept.len() == round + 1 && kept.iter().any(|path| std::fs::read_to_string(path).unwrap() == torn));
    }
}
