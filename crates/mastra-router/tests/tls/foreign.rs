//! A stolen key of the authority is of no use for other names.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::SanType;
use rcgen::string::Ia5String;

use crate::certificate::{config_of, stolen};
use crate::place::Place;
use crate::program::{CLIENTS, is_installed, run, said};
use crate::server::{Always, Server, client, connect};

fn dns(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

fn ip(address: &str) -> SanType {
    SanType::IpAddress(address.parse::<IpAddr>().unwrap())
}

/// The host that is asked for, and whether that certificate may be accepted.
fn cases() -> Vec<(&'static str, Vec<SanType>, bool)> {
    vec![
        ("shop.mastra.local", vec![dns("shop.mastra.local")], true),
        ("a.b.localhost", vec![dns("a.b.localhost")], true),
        ("x.shop.test", vec![dns("*.shop.test")], true),
        ("127.0.0.1", vec![ip("127.0.0.1")], true),
        ("example.com", vec![dns("example.com")], false),
        ("example.com", vec![dns("*.com")], false),
        ("appxmastra.local", vec![dns("appxmastra.local")], false),
        ("localhost.example.com", vec![dns("localhost.example.com")], false),
        ("10.0.0.1", vec![ip("10.0.0.1")], false),
        ("192.168.1.1", vec![ip("192.168.1.1")], false),
        ("shop.mastra.local", vec![dns("shop.mastra.local"), dns("example.com")], false),
        ("shop.mastra.local", vec![dns("shop.mastra.local"), ip("10.0.0.1")], false),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_refuse_foreign_names() {
    let place = Place::new("mastra.local");
    let manager = place.open();
    let ca = manager.ca_path().unwrap();
    let rustls = client(&manager.ca_pem().unwrap());
    for (host, names, accepted) in cases() {
        let (cert, key) = stolen(place.certs(), "localhost", names.clone());
        let server = Server::start(Arc::new(Always(config_of(&cert, &key))));
        let output = connect(&rustls, server.address, host).await;
        assert_eq!(output.is_ok(), accepted, "rustls {host} {names:?}: {output:?}");
        for (program, client) in CLIENTS.into_iter().filter(|(program, _)| is_installed(program)) {
            if !accepted && matches!(program, "curl") && host.parse::<IpAddr>().is_ok() {
                // It would connect to that address.
                continue;
            }
            if program == "node" && !accepted && host.parse::<IpAddr>().is_ok() {
                continue;
            }
            let output = client(&ca, server.address, host);
            assert_eq!(output.status.success(), accepted, "{program} {host} {names:?}: {}", said(&output));
        }
    }
}

#[test]
fn verifiers_refuse_foreign_names() {
    let place = Place::new("mastra.local");
    mastra_router::TlsManager::authority_only(place.settings.clone()).unwrap();
    let email = SanType::Rfc822Name(Ia5String::try_from("root@example.com").unwrap());
    let uri = SanType::URI(Ia5String::try_from("https://example.com/").unwrap());
    let own = || dns("shop.mastra.local");
    let mut cases: Vec<_> = cases().into_iter().map(|(_, names, accepted)| ("localhost", names, accepted)).collect();
    cases.extend([
        ("localhost", vec![own(), email.clone()], false),
        ("localhost", vec![own(), uri.clone()], false),
        ("localhost", vec![email], false),
        ("localhost", vec![uri], false),
    ]);
    let ca = place.certs().join("ca.pem");
    let ca = ca.to_str().unwrap();
    let database = place.dir.path().join("nss");
    std::fs::create_dir(&database).unwrap();
    let database = format!("sql:{}", database.display());
    let nss = is_installed("certutil");
    if nss {
        for args in [&["-N", "--empty-password"][..], &["-A", "-n", "ca", "-t", "C,,", "-i", ca]] {
            let output = run("certutil", &[&["-d", &database], args].concat());
            assert!(output.status.success(), "{}", said(&output));
        }
    }
    for (common_name, names, accepted) in cases {
        let (cert, _) = stolen(place.certs(), common_name, names.clone());
        let path = place.dir.path().join("leaf.pem");
        std::fs::write(&path, cert).unwrap();
        let leaf = path.to_str().unwrap();
        if is_installed("openssl") {
            let output = run("openssl", &["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, leaf]);
            assert_eq!(output.status.success(), accepted, "openssl {names:?}: {}", said(&output));
        }
        // GnuTLS does not know constraints for URIs, and takes none for the name of a server.
        let has_uri = names.iter().any(|name| matches!(name, SanType::URI(_)));
        if is_installed("certtool") && !has_uri {
            let output = run("certtool", &["--verify", "--load-ca-certificate", ca, "--infile", leaf]);
            assert_eq!(output.status.success(), accepted, "certtool {names:?}: {}", said(&output));
        }
        if nss && is_installed("vfychain") {
            let output = run("vfychain", &["-d", &database, "-a", "-u", "1", leaf]);
            assert_eq!(output.status.success(), accepted, "vfychain {names:?}: {}", said(&output));
            for args in [
                &["-A", "-n", "leaf", "-t", ",,", "-i", leaf][..],
                &["-V", "-n", "leaf", "-u", "V", "-e"],
                &["-D", "-n", "leaf"],
            ] {
                let output = run("certutil", &[&["-d", &database], args].concat());
                let expected = args[0] != "-V" || accepted;
                assert_eq!(output.status.success(), expected, "certutil {args:?} {names:?}: {}", said(&output));
            }
        }
    }
}

/// A common name is a host to old clients, where there is no other name.
#[test]
fn a_foreign_common_name_is_refused() {
    let place = Place::new("mastra.local");
    let manager = mastra_router::TlsManager::authority_only(place.settings.clone()).unwrap();
    if !is_installed("openssl") {
        return;
    }
    let (cert, _) = stolen(place.certs(), "example.com", Vec::new());
    let path = place.dir.path().join("leaf.pem");
    std::fs::write(&path, cert).unwrap();
    let (ca, leaf) = (manager.ca_path().unwrap(), path.to_str().unwrap());
    let output = run("openssl", &["verify", "-verify_hostname", "example.com", "-CAfile", ca.to_str().unwrap(), leaf]);
    assert!(!output.status.success(), "{}", said(&output));
}

/// Path length 0: what the authority vouched for cannot vouch for others.
#[tokio::test]
async fn a_leaf_is_no_authority() {
    let place = Place::new("mastra.local");
    let manager = place.open();
    let issued = manager.issue("shop.mastra.local").unwrap();
    let leaf = std::fs::read_to_string(&issued.cert_path).unwrap();
    let key = std::fs::read_to_string(&issued.key_path).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&leaf, rcgen::KeyPair::from_pem(&key).unwrap()).unwrap();
    let own_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["other.mastra.local".to_owned()]).unwrap();
    params.use_authority_key_identifier_extension = true;
    let below = params.signed_by(&own_key, &issuer).unwrap().pem();
    if !is_installed("openssl") {
        return;
    }
    let path = place.dir.path().join("below.pem");
    std::fs::write(&path, below).unwrap();
    let (ca, leaf) = (manager.ca_path().unwrap(), issued.cert_path);
    let args =
        ["verify", "-CAfile", ca.to_str().unwrap(), "-untrusted", leaf.to_str().unwrap(), path.to_str().unwrap()];
    let output = run("openssl", &args);
    assert!(!output.status.success(), "{}", said(&output));
}
