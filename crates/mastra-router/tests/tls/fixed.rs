//! One certificate for every host, from memory.

use std::sync::Arc;

use mastra_router::{
    BaseDomain, Certificates, ProxyConfig, ProxySetup, ProxyTls, ReverseProxy, RouteRegistry, RouterError, TargetTls,
    TlsManager,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::certificate::{der, served};
use crate::own::pair;
use crate::program::{is_installed, run, said};
use crate::server::{client, connect};

#[tokio::test(flavor = "multi_thread")]
async fn served_for_every_host() {
    let (cert, key) = pair(30);
    let manager = TlsManager::fixed(cert.as_bytes(), key.as_bytes()).unwrap();
    for host in ["shop.localhost", "none.example", "127.0.0.1", ""] {
        assert!(manager.held(host).is_some());
        assert_eq!(served(&*manager, host).await, Some(der(&cert)), "{host}");
        assert!(manager.obtain(host).await.is_some());
    }
    // As with files of the user's: there is no authority, and nothing that it could have issued.
    assert_eq!(
        (manager.authority(), manager.fingerprint(), manager.ca_pem(), manager.ca_path()),
        (None, None, None, None)
    );
    assert_eq!((manager.list().unwrap(), manager.clear().unwrap(), manager.minted()), (vec![], vec![], 0));
    assert_eq!((manager.issued("a.test").unwrap(), manager.delete("a.test").unwrap()), (None, false));
    let error = manager.issue("a.test").unwrap_err();
    assert_eq!(error.code(), "CERTIFICATE_ERROR");
    assert_eq!(
        error.to_string(),
        "cannot issue beside a fixed certificate: there is no local authority while it is served"
    );
    assert!(!manager.settings().cert_dir.exists());
}

#[test]
fn what_cannot_be_served_is_said() {
    let (good, other, expired) = (pair(30), pair(30), pair(-1));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let half = |text: &str| text.as_bytes()[..text.len() / 2].to_vec();
    let (cert, key) = (good.0.as_bytes().to_vec(), good.1.as_bytes().to_vec());
    let not_a_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    for (cert, key, at, why) in [
        (vec![], key.clone(), "cert", "no certificate"),
        (b"\xff\xfe\x00".to_vec(), key.clone(), "cert", "no certificate"),
        (half(&good.0), key.clone(), "cert", ""),
        (key.clone(), key.clone(), "cert", "no certificate"),
        (not_a_certificate, key.clone(), "cert", "cannot be read"),
        (expired.0.into_bytes(), expired.1.into_bytes(), "cert", "expired"),
        (cert.clone(), vec![], "key", "no key"),
        (cert.clone(), vec![0; 1000], "key", "no key"),
        (cert.clone(), half(&good.1), "key", ""),
        (cert.clone(), cert.clone(), "key", "no key"),
        (cert.clone(), other.1.into_bytes(), "key", "not the key of"),
        (cert.clone(), encrypted.into(), "key", "passphrase"),
    ] {
        match TlsManager::fixed(&cert, &key).err() {
            Some(RouterError::InvalidConfig { setting, reason }) => {
                assert!(setting == at && reason.contains(why), "{setting}: {reason}, not {at}: {why}");
            }
            other => panic!("{at} {why}: {other:?}"),
        }
    }
    TlsManager::fixed(&cert, &key).unwrap();
}

#[test]
fn forms_of_keys() {
    if !is_installed("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for make in [
        &["ecparam", "-name", "prime256v1", "-genkey", "-noout"][..],
        &["genrsa", "-traditional", "2048"],
        &["genpkey", "-algorithm", "ED25519"],
    ] {
        let output = run("openssl", &[&make[..1], &["-out", &path("key")], &make[1..]].concat());
        assert!(output.status.success(), "{}", said(&output));
        let request =
            ["req", "-x509", "-new", "-key", &path("key"), "-subj", "/CN=own", "-days", "9", "-out", &path("crt")];
        assert!(run("openssl", &request).status.success());
        let chain = [std::fs::read(path("crt")).unwrap(), pair(1).0.into_bytes()].concat();
        TlsManager::fixed(&chain, &std::fs::read(path("key")).unwrap()).unwrap();
    }
}

/// The proxy takes it as it takes any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_serves_it() {
    let (cert, key) = pair(30);
    let manager = TlsManager::fixed(cert.as_bytes(), key.as_bytes()).unwrap();
    let (registry, config) = (RouteRegistry::new(true), ProxyConfig { threads: Some(1), ..ProxyConfig::default() });
    let targets = TargetTls::new(None);
    let tls = ProxyTls { certificates: Some(manager), by_default: true, redirect: false, targets };
    let (base, reader) = (BaseDomain::parse("localhost").unwrap(), registry.reader());
    let setup = ProxySetup { base, config, reader, suspect: Arc::new(|_| {}), tls, observer: None };
    let proxy = ReverseProxy::start(&["127.0.0.1:0".parse().unwrap()], setup).unwrap();
    let mut connection = connect(&client(&cert), proxy.addresses()[0], "own.example").await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: own.example\r\nConnection: close\r\n\r\n";
    connection.write_all(ask).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "there is no route: {answer}");
    proxy.stop().await;
}
