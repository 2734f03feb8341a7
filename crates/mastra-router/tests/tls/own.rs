//! A certificate and key of the user's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mastra_router::{Certificates, OwnFiles, TlsManager};

use crate::certificate::{der, served};
use crate::place::{DAY, Place};
use crate::program::{is_installed, run, said};

struct Own {
    place: Place,
    files: OwnFiles,
}

impl Own {
    fn new() -> Self {
        let mut place = Place::new("localhost");
        let path = |name: &str| place.dir.path().join(name);
        let files = OwnFiles { cert: path("own.crt"), key: path("own.key") };
        place.settings.own = Some(files.clone());
        Self { place, files }
    }

    fn write(&self, (cert, key): &(String, String)) {
        std::fs::write(&self.files.cert, cert).unwrap();
        std::fs::write(&self.files.key, key).unwrap();
    }

    fn refusal(&self) -> String {
        let error = self.place.try_open().err().unwrap();
        assert_eq!(error.code(), "CERTIFICATE_ERROR");
        error.to_string()
    }
}

pub(crate) fn pair(days: i64) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["own.example".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    params.not_before = (now - 400 * DAY).into();
    params.not_after = time::OffsetDateTime::from(now) + time::Duration::days(days);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn served_for_every_host() {
    let own = Own::new();
    let pair = pair(30);
    own.write(&pair);
    let manager = own.place.open();
    for host in ["shop.localhost", "none.example", "127.0.0.1", ""] {
        assert_eq!(served(&*manager, host).await, Some(der(&pair.0)), "{host}");
    }
    assert!(!own.place.certs().exists(), "no authority is made");
    assert_eq!((manager.fingerprint(), manager.ca_path(), manager.list().unwrap().len()), (None, None, 0));
    assert_eq!(manager.issue("shop.localhost").unwrap_err().code(), "CERTIFICATE_ERROR");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_again_when_it_changes() {
    let own = Own::new();
    let (first, second, third) = (pair(30), pair(30), pair(30));
    own.write(&first);
    let manager = own.place.open();
    assert!(manager.held("any").is_some());
    own.write(&second);
    assert_eq!(served(&*manager, "any").await, Some(der(&first.0)), "one look a second");
    own.place.pass(Duration::from_secs(1));
    assert!(manager.held("any").is_none(), "time to look");
    assert_eq!(served(&*manager, "any").await, Some(der(&second.0)));
    assert!(manager.held("any").is_some());

    // Only one of the two is there yet, then nothing, then half of a file: the old pair is served on.
    let half = |text: &str| text[..text.len() / 2].to_owned();
    for (cert, key) in [
        (third.0.clone(), second.1.clone()),
        (String::new(), third.1.clone()),
        (half(&third.0), third.1.clone()),
        (third.0.clone(), half(&third.1)),
    ] {
        own.write(&(cert, key));
        own.place.pass(Duration::from_secs(1));
        assert_eq!(served(&*manager, "any").await, Some(der(&second.0)));
    }
    std::fs::remove_file(&own.files.key).unwrap();
    own.place.pass(Duration::from_secs(1));
    assert_eq!(served(&*manager, "any").await, Some(der(&second.0)));
    own.write(&third);
    own.place.pass(Duration::from_secs(1));
    assert_eq!(served(&*manager, "any").await, Some(der(&third.0)));
}

/// As certbot does it: links that are put on other files.
#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed() {
    let own = Own::new();
    let pairs = [pair(30), pair(30)];
    let path = |name: String| own.place.dir.path().join(name);
    for (i, (cert, key)) in pairs.iter().enumerate() {
        std::fs::write(path(format!("{i}.crt")), cert).unwrap();
        std::fs::write(path(format!("{i}.key")), key).unwrap();
    }
    let link = |i: usize| {
        for (name, kind) in [(&own.files.cert, "crt"), (&own.files.key, "key")] {
            let _ = std::fs::remove_file(name);
            std::os::unix::fs::symlink(path(format!("{i}.{kind}")), name).unwrap();
        }
    };
    link(0);
    let manager = own.place.open();
    link(1);
    own.place.pass(Duration::from_secs(1));
    assert_eq!(served(&*manager, "any").await, Some(der(&pairs[1].0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_said() {
    let own = Own::new();
    let (good, other) = (pair(30), pair(30));
    assert!(own.refusal().contains("own.crt"));
    own.write(&(good.0.clone(), other.1));
    assert!(own.refusal().contains("it is not the key of"));
    own.write(&(good.1.clone(), good.1.clone()));
    assert!(own.refusal().contains("no certificate"));
    own.write(&(good.0.clone(), good.0.clone()));
    assert!(own.refusal().contains("no key"));
    own.write(&(good.0.clone(), "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----\n".into()));
    assert!(own.refusal().contains("passphrase"));
    own.write(&good);
    std::fs::write(&own.files.cert, vec![b'x'; 2 << 20]).unwrap();
    assert!(own.refusal().contains("1 MiB"));
    // One that has expired is the user's own business.
    let expired = pair(-1);
    own.write(&expired);
    assert_eq!(served(&*own.place.open(), "any").await, Some(der(&expired.0)));
}

/// PKCS#8, SEC1 and PKCS#1, ECDSA, RSA and Ed25519, with a chain.
#[tokio::test(flavor = "multi_thread")]
async fn forms_of_keys() {
    if !is_installed("openssl") {
        return;
    }
    let own = Own::new();
    let path = |name: &str| own.place.dir.path().join(name).to_str().unwrap().to_owned();
    for (form, make) in [
        ("EC PRIVATE", &["ecparam", "-name", "prime256v1", "-genkey", "-noout"][..]),
        ("EC PARAMETERS", &["ecparam", "-name", "secp384r1", "-genkey"]),
        ("RSA PRIVATE", &["genrsa", "-traditional", "2048"]),
        ("BEGIN PRIVATE", &["genpkey", "-algorithm", "RSA"]),
        ("BEGIN PRIVATE", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        ("BEGIN PRIVATE", &["genpkey", "-algorithm", "ED25519"]),
    ] {
        let output = run("openssl", &[&make[..1], &["-out", &path("own.key")], &make[1..]].concat());
        assert!(output.status.success(), "{}", said(&output));
        assert!(std::fs::read_to_string(&own.files.key).unwrap().contains(form), "{form}");
        let request = [
            "req",
            "-x509",
            "-new",
            "-key",
            &path("own.key"),
            "-subj",
            "/CN=own",
            "-days",
            "9",
            "-out",
            &path("own.crt"),
        ];
        let output = run("openssl", &request);
        assert!(output.status.success(), "{}", said(&output));
        let chain = std::fs::read_to_string(&own.files.cert).unwrap();
        std::fs::write(&own.files.cert, format!("some words\n{chain}{}", pair(1).0)).unwrap();
        let manager: Arc<TlsManager> = own.place.open();
        assert_eq!(served(&*manager, "any").await, Some(der(&chain)), "{make:?}");
        let config = manager.held("any").unwrap();
        assert!(!config.alpn_protocols.is_empty());
    }
    let _: PathBuf = own.files.cert;
}
