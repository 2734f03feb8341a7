//! Files of certificates that were issued for other servers: what is in them, and when they are used again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use mastra_router::{Certificates, IssuedFiles, RouterError, TlsManager};
use rcgen::SanType;
use rcgen::string::Ia5String;

use crate::certificate::{der, served, stolen};
use crate::place::{DAY, Place};
use crate::program::{is_installed, run};

const HOST: &str = "shop.localhost";

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn meta(place: &Place, stem: &str) -> PathBuf {
    place.certs().join(format!("{stem}.meta.json"))
}

/// Every file in the directory, with what is in it.
fn everything(place: &Place) -> Vec<(PathBuf, String)> {
    let paths = std::fs::read_dir(place.certs()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = paths.filter(|path| path.is_file()).map(|path| (path.clone(), text(&path))).collect();
    found.sort();
    found
}

/// Writes both files of [`HOST`].
fn put(files: &IssuedFiles, cert: impl AsRef<[u8]>, key: impl AsRef<[u8]>) {
    std::fs::write(&files.cert_path, cert).unwrap();
    std::fs::write(&files.key_path, key).unwrap();
}

#[test]
fn what_is_written() {
    let place = Place::new("localhost");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    for (name, stem) in [(HOST, HOST), ("*.shop.localhost", "_wildcard.shop.localhost"), ("::1", "__1")] {
        let before = SystemTime::now();
        let issued = manager.issue(name).unwrap();
        assert_eq!((&issued.cert_pem, &issued.key_pem), (&text(&issued.cert_path), &text(&issued.key_path)));
        assert!(!format!("{issued:?}").contains("PRIVATE"), "a key does not stand in a log");
        let said: serde_json::Value = serde_json::from_str(&text(&meta(&place, stem))).unwrap();
        let fields: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields.len(), 4, "{fields:?}");
        let of = |field: &str| said[field].as_str().unwrap().to_owned();
        assert_eq!((of("domain"), of("fingerprint")), (name.to_owned(), issued.fingerprint.clone()));
        let time = |field: &str| humantime::parse_rfc3339(&of(field)).unwrap();
        assert_eq!(time("expiresAt"), issued.not_after);
        assert!(before.duration_since(time("createdAt")).unwrap_or_default() <= DAY / 24 / 60);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&meta(&place, stem)), mode(&issued.key_path)), (mode(&issued.cert_path), 0o600));
        if is_installed("openssl") {
            let cert = issued.cert_path.to_str().unwrap();
            let output = run("openssl", &["x509", "-noout", "-fingerprint", "-sha256", "-in", cert]);
            let said = String::from_utf8(output.stdout).unwrap();
            assert_eq!(said.trim().split_once('=').unwrap().1, issued.fingerprint);
        }
    }
    assert_eq!(manager.list().unwrap().len(), 3, "what is said of a certificate is none");
    assert!(manager.delete(HOST).unwrap() && !meta(&place, HOST).exists());
    // As a process leaves it that was killed.
    std::fs::write(meta(&place, HOST), "{}").unwrap();
    assert!(manager.delete(HOST).unwrap() && !manager.delete(HOST).unwrap());
}

#[test]
fn what_was_issued_is_found_again() {
    let place = Place::new("localhost");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    assert_eq!(manager.issued(HOST).unwrap(), None);
    let issued = manager.issue(HOST).unwrap();
    let wild = manager.issue("*.shop.localhost").unwrap();
    let other = TlsManager::authority_only(place.settings.clone()).unwrap();
    for manager in [&manager, &other] {
        assert_eq!(manager.issued(HOST).unwrap(), Some(issued.clone()));
        assert_eq!(manager.issued("Shop.Localhost.").unwrap(), Some(issued.clone()));
        assert_eq!(manager.issued("*.shop.localhost").unwrap(), Some(wild.clone()));
        assert_eq!(manager.issued("api.shop.localhost").unwrap(), None, "a name has files of its own");
        assert_eq!(manager.issued("example.com").unwrap(), None);
        assert!(matches!(manager.issued("a b"), Err(RouterError::InvalidField { field: "name", .. })));
    }
    // Nobody reads what is said beside the certificate.
    for said in [None, Some("{"), Some(r#"{"expiresAt":"1999-01-01T00:00:00Z"}"#)] {
        match said {
            None => std::fs::remove_file(meta(&place, HOST)).unwrap(),
            Some(said) => std::fs::write(meta(&place, HOST), said).unwrap(),
        }
        assert_eq!(manager.issued(HOST).unwrap(), Some(issued.clone()));
    }
}

#[test]
fn what_is_not_whole_or_not_ours_is_none_and_stays() {
    let mut place = Place::new("localhost");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    let (issued, other) = (manager.issue(HOST).unwrap(), manager.issue("other.localhost").unwrap());
    let (cert, key) = (issued.cert_pem.clone(), issued.key_pem.clone());
    let foreign = {
        let stranger = Place::new("localhost");
        TlsManager::authority_only(stranger.settings.clone()).unwrap().issue(HOST).unwrap()
    };
    let forged = |names: &[&str]| {
        let names = names.iter().map(|name| SanType::DnsName(Ia5String::try_from(*name).unwrap())).collect();
        stolen(place.certs(), "localhost", names)
    };
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let spoilt = [
        ("empty", String::new(), String::new()),
        ("half a certificate", half(&cert), key.clone()),
        ("half a key", cert.clone(), half(&key)),
        ("no certificate", String::new(), key.clone()),
        ("no key", cert.clone(), String::new()),
        ("no key, but one in the certificate's file", format!("{cert}{key}"), String::new()),
        ("a broken key, and a whole one in the certificate's file", format!("{cert}{key}"), half(&key)),
        ("no certificate, but one in the key's file", String::new(), format!("{key}{cert}")),
        ("more behind the certificate", format!("{cert}{}", half(&cert)), key.clone()),
        ("more behind the key", cert.clone(), format!("{key}{}", half(&key))),
        ("the wrong way round", key.clone(), cert.clone()),
        ("another key", cert.clone(), other.key_pem.clone()),
        ("another name", other.cert_pem.clone(), other.key_pem.clone()),
        ("another authority", foreign.cert_pem.clone(), foreign.key_pem.clone()),
        ("a wider name", forged(&["*.localhost"]).0, forged(&["*.localhost"]).1),
        ("a flipped bit", cert.replacen('A', "B", 1), key.clone()),
        ("long", "x".repeat(2 << 20), key.clone()),
    ];
    for (what, cert, key) in &spoilt {
        put(&issued, cert, key);
        let before = everything(&place);
        assert_eq!(manager.issued(HOST).unwrap(), None, "{what}");
        assert_eq!(everything(&place), before, "{what}");
    }
    let more = forged(&[HOST, "more.localhost"]);
    put(&issued, more.0, more.1);
    assert_eq!(manager.issued(HOST).unwrap(), None, "more names");
    put(&issued, b"\xff\xfe", b"\x00");
    assert_eq!(manager.issued(HOST).unwrap(), None, "no text");
    for gone in [&issued.cert_path, &issued.key_path] {
        put(&issued, &cert, &key);
        std::fs::remove_file(gone).unwrap();
        assert_eq!(manager.issued(HOST).unwrap(), None, "{}", gone.display());
    }
    put(&issued, &cert, &key);
    assert_eq!(manager.issued(HOST).unwrap(), Some(issued.clone()));
    std::fs::remove_file(&issued.key_path).unwrap();
    std::os::unix::fs::symlink(&other.key_path, &issued.key_path).unwrap();
    assert_eq!(manager.issued(HOST).unwrap(), None, "a link");
    let again = manager.issue(HOST).unwrap();
    assert_eq!(manager.issued(HOST).unwrap(), Some(again), "issuing mends it");
    // Valid for longer than is now allowed.
    place.settings.validity_days = 30;
    assert_eq!(TlsManager::authority_only(place.settings.clone()).unwrap().issued(HOST).unwrap(), None);
}

#[test]
fn what_is_due_over_or_of_an_authority_that_was_replaced_is_none() {
    let mut place = Place::new("localhost");
    place.settings.validity_days = 90;
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    let issued = manager.issue(HOST).unwrap();
    place.pass(58 * DAY);
    assert_eq!(manager.issued(HOST).unwrap(), Some(issued));
    place.pass(3 * DAY);
    assert_eq!(manager.issued(HOST).unwrap(), None, "it would be renewed if it were served");
    let second = manager.issue(HOST).unwrap();
    place.pass(91 * DAY);
    assert_eq!(manager.issued(HOST).unwrap(), None, "it is over: {second:?}");
    // Another process replaces the authority.
    let third = manager.issue(HOST).unwrap();
    assert_eq!(manager.issued(HOST).unwrap(), Some(third));
    TlsManager::replace_authority(&place.settings).unwrap();
    assert_eq!(manager.issued(HOST).unwrap(), None);
    // One that is over is not replaced for the sake of a look.
    place.pass(800 * DAY);
    let before = everything(&place);
    assert_eq!(manager.issued(HOST).unwrap(), None);
    assert_eq!(everything(&place), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_cleared_and_made_anew() {
    let place = Place::new("mastra.local");
    place.route("shop");
    let manager = place.open();
    let served_before = served(&*manager, "shop.mastra.local").await.unwrap();
    for name in ["shop.mastra.local", "*.shop.mastra.local", "*.torn.test", "::1", "corrupt.test", "gone.test"] {
        manager.issue(name).unwrap();
    }
    std::fs::write(place.certs().join("corrupt.test.crt"), "torn").unwrap();
    std::fs::write(place.certs().join("_wildcard.torn.test.crt"), "torn").unwrap();
    // Only what is said beside it tells that it is ours.
    let long = manager.issue(&format!("{}test", format!("{}.", "x".repeat(60)).repeat(4))).unwrap();
    std::fs::write(long.cert_path, "torn").unwrap();
    // As an older version left it, or a process that was killed.
    std::fs::remove_file(meta(&place, "corrupt.test")).unwrap();
    std::fs::remove_file(place.certs().join("gone.test.crt")).unwrap();
    std::fs::write(place.certs().join("leaves/junk.pem"), "junk").unwrap();
    // What a person put there is not ours.
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["own.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    std::fs::write(place.certs().join("own.test.crt"), &own).unwrap();
    std::fs::write(place.certs().join("own.test.key"), key.serialize_pem()).unwrap();
    std::fs::write(place.certs().join("ca.key"), "of another program").unwrap();
    let authority = manager.authority().unwrap();

    let cleared = manager.clear().unwrap();
    let expected =
        ["*.shop.mastra.local", "*.torn.test", "::1", "corrupt.test", "gone.test", "junk", "shop.mastra.local"];
    let (long, cleared): (Vec<_>, Vec<_>) = cleared.into_iter().partition(|name| name.starts_with("xxx"));
    assert_eq!((cleared.as_slice(), long.len()), (&expected.map(str::to_owned)[..], 1));
    assert_eq!(place.leaves().len(), 0);
    let left: Vec<String> = everything(&place)
        .into_iter()
        .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert_eq!(left, ["authority.pem", "ca.key", "ca.pem", "own.test.crt", "own.test.key"]);
    assert!(manager.held("shop.mastra.local").is_none(), "it is served no more");
    assert_ne!(served(&*manager, "shop.mastra.local").await.unwrap(), served_before);
    assert_eq!(manager.authority(), Some(authority));
    assert_eq!(manager.clear().unwrap(), ["shop.mastra.local"]);
    assert_eq!(manager.clear().unwrap(), Vec::<String>::new());
    std::fs::remove_dir_all(place.certs().join("leaves")).unwrap();
    manager.issue(HOST).unwrap();
    assert_eq!(manager.clear().unwrap(), [HOST]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_said_and_stops_nothing_else() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    served(&*manager, HOST).await.unwrap();
    for name in ["a.localhost", "b.localhost", "c.localhost"] {
        manager.issue(name).unwrap();
    }
    // Root removes any file, so this is none.
    let stuck = place.certs().join("b.localhost.crt");
    std::fs::remove_file(&stuck).unwrap();
    std::fs::create_dir(&stuck).unwrap();
    let error = manager.clear().unwrap_err();
    assert_eq!(error.code(), "CERTIFICATE_ERROR");
    assert!(error.to_string().contains(stuck.to_str().unwrap()), "{error}");
    assert_eq!(place.leaves().len(), 0);
    let left = everything(&place);
    assert!(left.iter().all(|(path, _)| !path.to_str().unwrap().contains(".localhost.")), "{left:?}");
    std::fs::remove_dir(&stuck).unwrap();
    assert_eq!(manager.clear().unwrap(), Vec::<String>::new());
    let fresh = manager.issue("a.localhost").unwrap();
    assert_eq!(der(&fresh.cert_pem), der(&text(&fresh.cert_path)));
}
