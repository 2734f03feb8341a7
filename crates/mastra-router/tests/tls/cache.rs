//! What is cached on disk, when it is believed, and when it is renewed.

use std::os::unix::fs::MetadataExt;

use mastra_router::{Certificates, TlsManager};

use crate::certificate::{lifetime, parsed, served, stolen};
use crate::place::{DAY, Place};

const HOST: &str = "shop.localhost";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_leaf_is() {
    let mut place = Place::new("localhost");
    place.route("shop");
    for days in [1, 90, 365, 397] {
        place.settings.validity_days = days;
        let manager = place.open();
        let leaf = served(&*manager, HOST).await.unwrap();
        let certificate = parsed(&leaf);
        let allowed = i64::from(days) * 24 * 60 * 60;
        assert!((allowed - 60..=allowed).contains(&lifetime(&certificate)), "{days}: {}", lifetime(&certificate));
        assert!(certificate.validity().is_valid());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(format!("{:?}", names.value.general_names), format!("[DNSName({HOST:?})]"));
        assert!(!certificate.is_ca());
        let common_names: Vec<_> = certificate.subject().iter_common_name().map(|n| n.as_str().unwrap()).collect();
        assert_eq!(common_names, ["localhost"]);
        assert_eq!(std::fs::metadata(place.leaf(HOST)).unwrap().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(place.leaf(HOST)).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE") && text.contains("BEGIN PRIVATE KEY"));
        std::fs::remove_file(place.leaf(HOST)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_mints_nothing() {
    let place = Place::new("localhost");
    place.route("shop");
    let leaf = served(&*place.open(), HOST).await;
    let again = place.open();
    assert!(again.held(HOST).is_none(), "it is on the disk only");
    assert_eq!(served(&*again, HOST).await, leaf);
    assert_eq!(again.minted(), 0);
    assert_eq!(again.list().unwrap()[0].name, HOST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_pair_that_is_not_right_is_replaced() {
    let mut place = Place::new("localhost");
    place.route("shop");
    place.route("other");
    let manager = place.open();
    served(&*manager, HOST).await.unwrap();
    served(&*manager, "other.localhost").await.unwrap();
    let whole = std::fs::read_to_string(place.leaf(HOST)).unwrap();
    let other = std::fs::read_to_string(place.leaf("other.localhost")).unwrap();
    let key_at = |text: &str| text.find("-----BEGIN PRIVATE").unwrap();
    let by_another = {
        let stranger = Place::new("localhost");
        stranger.route("shop");
        served(&*stranger.open(), HOST).await.unwrap();
        std::fs::read_to_string(stranger.leaf(HOST)).unwrap()
    };
    let with_names = |names: &[&str]| {
        let names = names.iter().map(|n| rcgen::SanType::DnsName(rcgen::string::Ia5String::try_from(*n).unwrap()));
        let (cert, key) = stolen(place.certs(), "localhost", names.collect());
        cert + &key
    };
    let spoilt = [
        ("empty", Vec::new()),
        ("no text", b"\xff\xfe\x00".to_vec()),
        ("torn", whole[..whole.len() / 2].into()),
        ("no key", whole[..key_at(&whole)].into()),
        ("no certificate", whole[key_at(&whole)..].into()),
        ("another key", format!("{}{}", &whole[..key_at(&whole)], &other[key_at(&other)..]).into()),
        ("another host", other.clone().into()),
        ("another authority", by_another.into()),
        ("more names", with_names(&[HOST, "more.localhost"]).into()),
        ("a wider name", with_names(&["*.localhost"]).into()),
        ("a flipped bit", whole.replacen('A', "B", 1).into()),
        ("long", vec![b'x'; 3 << 20]),
    ];
    for (what, bytes) in spoilt {
        // Those that are of no use at all are swept; the rest is found out when asked for.
        let manager = place.open();
        std::fs::write(place.leaf(HOST), bytes).unwrap();
        let leaf = served(&*manager, HOST).await.unwrap();
        assert_eq!(manager.minted(), 1, "{what}");
        let again = place.open();
        assert_eq!(served(&*again, HOST).await, Some(leaf), "{what}");
        assert_eq!(again.minted(), 0, "{what}");
    }

    // Valid for longer than the settings now allow.
    place.settings.validity_days = 30;
    let shorter = place.open();
    served(&*shorter, HOST).await.unwrap();
    assert_eq!(shorter.minted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_while_served_and_never_served_expired() {
    let mut place = Place::new("localhost");
    place.settings.validity_days = 90;
    place.route("shop");
    let manager = place.open();
    let first = served(&*manager, HOST).await.unwrap();
    place.pass(58 * DAY);
    assert_eq!(served(&*manager, HOST).await.as_ref(), Some(&first));
    assert_eq!(manager.minted(), 1, "more than a third is left");

    place.pass(3 * DAY);
    let answered = manager.held(HOST).expect("the old one is served while the new one is made");
    drop(answered);
    let second = loop {
        let now = served(&*manager, HOST).await.unwrap();
        if now != first {
            break now;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(manager.minted(), 2);
    assert!(parsed(&second).validity().not_after > parsed(&first).validity().not_after);

    place.pass(91 * DAY);
    assert!(manager.held(HOST).is_none(), "it has expired");
    assert_ne!(served(&*manager, HOST).await, Some(second));
    assert_eq!(manager.minted(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_no_use_are_swept() {
    let mut place = Place::new("localhost");
    place.settings.validity_days = 30;
    place.route("shop");
    served(&*place.open(), HOST).await.unwrap();
    std::fs::write(place.leaf("junk"), "junk").unwrap();
    let young = place.certs().join("leaves/.unfinished-1-1");
    let old = place.certs().join("leaves/.unfinished-1-2");
    std::fs::write(&young, "").unwrap();
    std::fs::write(&old, "").unwrap();
    let file = std::fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(std::time::SystemTime::now() - DAY).unwrap();
    place.open();
    assert!(place.leaf(HOST).exists() && young.exists());
    assert!(!place.leaf("junk").exists() && !old.exists());
    place.pass(31 * DAY);
    place.open();
    assert!(!place.leaf(HOST).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_served_without() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    // Root may write anywhere, so the directory is no directory any more.
    std::fs::remove_dir_all(place.certs().join("leaves")).unwrap();
    std::fs::write(place.certs().join("leaves"), "").unwrap();
    let leaf = served(&*manager, HOST).await.unwrap();
    assert_eq!(served(&*manager, HOST).await, Some(leaf));
    std::fs::remove_dir_all(place.certs()).unwrap();
    place.route("new");
    served(&*manager, "new.localhost").await.unwrap();
    assert!(place.leaf("new.localhost").exists(), "a directory that is gone is made again");
}

#[test]
fn a_sweep_of_many_is_quick() {
    let place = Place::new("localhost");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    let issued = manager.issue(HOST).unwrap();
    let text = std::fs::read_to_string(issued.cert_path).unwrap();
    for i in 0..2000 {
        std::fs::write(place.leaf(&format!("h{i}.localhost")), &text).unwrap();
    }
    let start = std::time::Instant::now();
    TlsManager::authority_only(place.settings.clone()).unwrap();
    eprintln!("2,000 files swept in {:?}", start.elapsed());
    assert_eq!(place.leaves().len(), 2000);
}
