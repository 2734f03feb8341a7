//! The authority: what it says of itself, and what becomes of it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mastra_router::{BaseDomain, Certificates, RouterError, TlsManager, TlsSettings};
use tempfile::TempDir;
use x509_parser::extensions::GeneralName;

use crate::certificate::{der, lifetime, parsed, served};
use crate::place::{DAY, Place};

#[test]
fn what_the_certificate_says() {
    let place = Place::new("mastra.local");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    let pem = manager.ca_pem().unwrap();
    assert_eq!(std::fs::read_to_string(manager.ca_path().unwrap()).unwrap(), pem);
    let der = der(&pem);
    let certificate = parsed(&der);
    assert_eq!(certificate.public_key().parsed().unwrap().key_size(), 256);
    let basic = certificate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    assert_eq!(basic.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && !usage.value.digital_signature());
    let extended = certificate.extended_key_usage().unwrap().unwrap();
    assert!(extended.value.server_auth && !extended.value.any && !extended.value.client_auth);
    assert!(lifetime(&certificate) <= 730 * 24 * 60 * 60);
    let constraints = certificate.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = constraints.value.permitted_subtrees.as_ref().unwrap();
    let domains: Vec<&str> = permitted
        .iter()
        .filter_map(|subtree| match subtree.base {
            GeneralName::DNSName(domain) => Some(domain),
            _ => None,
        })
        .collect();
    assert_eq!(domains, ["localhost", "test", "mastra.local"]);
    let others = |kind: fn(&GeneralName<'_>) -> bool| permitted.iter().filter(|s| kind(&s.base)).count();
    assert_eq!(others(|name| matches!(name, GeneralName::IPAddress(_))), 2);
    assert_eq!(others(|name| matches!(name, GeneralName::RFC822Name("invalid"))), 1);
    assert_eq!(others(|name| matches!(name, GeneralName::URI("invalid"))), 1);

    let output = crate::program::is_installed("openssl").then(|| {
        let path = manager.ca_path().unwrap();
        crate::program::run("openssl", &["x509", "-noout", "-fingerprint", "-sha256", "-in", path.to_str().unwrap()])
    });
    if let Some(output) = output {
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim().split_once('=').unwrap().1, manager.fingerprint().unwrap());
    }
}

#[test]
fn made_once() {
    let place = Place::new("localhost");
    let first = TlsManager::authority_only(place.settings.clone()).unwrap().authority().unwrap();
    let again = TlsManager::authority_only(place.settings.clone()).unwrap().authority().unwrap();
    assert_eq!(first, again);
    assert_eq!(TlsManager::read_authority(place.certs()).unwrap(), Some(first.clone()));
    assert_eq!(TlsManager::read_authority(&place.certs().join("none")).unwrap(), None);
    let changes: [fn(&Path); 2] =
        [|path| std::fs::remove_file(path).unwrap(), |path| std::fs::write(path, "x").unwrap()];
    for change in changes {
        change(&first.path);
        TlsManager::authority_only(place.settings.clone()).unwrap();
        assert_eq!(std::fs::read_to_string(&first.path).unwrap(), first.pem, "the public copy is made again");
    }
    let other = Place::new("localhost");
    assert_ne!(TlsManager::authority_only(other.settings.clone()).unwrap().fingerprint(), Some(first.fingerprint));
}

#[test]
fn only_this_user_reads_the_key() {
    let place = Place::new("localhost");
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    let issued = manager.issue("shop.localhost").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(place.certs()), 0o700);
    assert_eq!(mode(&place.certs().join("leaves")), 0o700);
    assert_eq!(mode(&place.certs().join("authority.pem")), 0o600);
    assert_eq!(mode(&issued.key_path), 0o600);
    for public in [manager.ca_path().unwrap(), issued.cert_path] {
        assert!(!std::fs::read_to_string(public).unwrap().contains("PRIVATE"));
    }
    // A directory made by hand, and a key that was copied carelessly.
    for (path, loose, tight) in
        [(place.certs().to_owned(), 0o755, 0o700), (place.certs().join("authority.pem"), 0o644, 0o600)]
    {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(loose)).unwrap();
        let again = TlsManager::authority_only(place.settings.clone()).unwrap();
        assert_eq!(mode(&path), tight);
        assert_eq!(again.fingerprint(), manager.fingerprint());
    }
}

#[test]
fn directories_that_are_refused() {
    let dir = TempDir::new().unwrap();
    let open = dir.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let link = dir.path().join("link");
    symlink(&real, &link).unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for bad in [open, link.join(""), link, file] {
        let error = TlsManager::authority_only(TlsSettings::new(&bad)).err().unwrap();
        assert_eq!(error.code(), "CERTIFICATE_ERROR", "{error}");
        assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
}

#[test]
fn an_authority_that_cannot_be_used_is_kept_aside() {
    let place = Place::new("localhost");
    let path = place.certs().join("authority.pem");
    let first = TlsManager::authority_only(place.settings.clone()).unwrap().fingerprint();
    let whole = std::fs::read_to_string(&path).unwrap();
    let key_at = whole.find("-----BEGIN PRIVATE").unwrap();
    let other = Place::new("localhost");
    TlsManager::authority_only(other.settings.clone()).unwrap();
    let foreign = std::fs::read_to_string(other.certs().join("authority.pem")).unwrap();
    let foreign_key = &foreign[foreign.find("-----BEGIN PRIVATE").unwrap()..];
    let unconstrained = {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.self_signed(&key).unwrap().pem() + &key.serialize_pem()
    };
    let mut fingerprints = vec![first];
    let spoilt = [
        Vec::new(),
        b"\xff\xfe\x00".to_vec(),
        whole[..whole.len() / 2].into(),
        whole[..key_at].into(),
        whole[key_at..].into(),
        format!("{}{foreign_key}", &whole[..key_at]).into(),
        whole.replacen('A', "B", 1).into(),
        unconstrained.into(),
    ];
    for (round, bytes) in spoilt.iter().enumerate() {
        std::fs::write(&path, bytes).unwrap();
        place.pass(DAY / 24);
        let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
        assert!(!fingerprints.contains(&manager.fingerprint()), "round {round}");
        fingerprints.push(manager.fingerprint());
        assert_eq!(std::fs::read_to_string(place.certs().join("ca.pem")).unwrap(), manager.ca_pem().unwrap());
        let aside = std::fs::read_dir(place.certs()).unwrap().map(|e| e.unwrap().path());
        let aside: Vec<_> = aside.filter(|p| p.to_str().unwrap().contains("authority.pem.corrupt-")).collect();
        assert_eq!(aside.len(), round + 1);
        assert!(aside.iter().any(|path| std::fs::read(path).unwrap() == *bytes));
    }
}

#[test]
fn a_base_domain_outside_the_constraints() {
    let place = Place::new("localhost");
    let first = TlsManager::authority_only(place.settings.clone()).unwrap().authority().unwrap();
    let mut settings = place.settings.clone();
    for inside in ["test", "shop.test", "dev.localhost"] {
        settings.base_domains = vec![BaseDomain::parse(inside).unwrap()];
        TlsManager::authority_only(settings.clone()).unwrap();
    }
    settings.base_domains = vec![BaseDomain::parse("mastra.local").unwrap()];
    let error = TlsManager::authority_only(settings.clone()).err().unwrap();
    assert_eq!(error.code(), "CA_CONSTRAINTS");
    let text = error.to_string();
    for part in [first.path.to_str().unwrap(), "mastra.local", "localhost, test, 127.0.0.0/8, ::1"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().unwrap().contains("mastra-router tls renew"), "{error:?}");
    assert_eq!(TlsManager::read_authority(place.certs()).unwrap(), Some(first.clone()), "nothing was changed");

    let replaced = TlsManager::replace_authority(&settings).unwrap();
    assert_eq!(replaced, Some(first.clone()));
    let now = TlsManager::authority_only(settings).unwrap().authority().unwrap();
    assert_ne!(now.fingerprint, first.fingerprint);
    assert!(now.permitted.contains(&"mastra.local".to_owned()));
    assert_eq!(std::fs::read_to_string(&now.path).unwrap(), now.pem);
}

#[test]
fn what_is_issued_for_other_servers() {
    let mut place = Place::new("mastra.local");
    place.settings.organization = "Acme & Söhne".to_owned();
    let manager = TlsManager::authority_only(place.settings.clone()).unwrap();
    for name in ["shop.mastra.local", "*.shop.mastra.local", "localhost", "a.test", "127.0.0.1", "::1", "Shop.Test."] {
        let issued = manager.issue(name).unwrap();
        let der = der(&std::fs::read_to_string(&issued.cert_path).unwrap());
        let certificate = parsed(&der);
        assert!(certificate.subject().to_string().contains("Acme & Söhne"), "{}", certificate.subject());
        let end = certificate.validity().not_after.timestamp();
        let told = issued.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(u64::try_from(end).unwrap(), told);
    }
    assert_eq!(manager.list().unwrap().len(), 7);
    for name in ["example.com", "local", "10.0.0.1", "*.com", "mastra.local.evil.com"] {
        assert_eq!(manager.issue(name).unwrap_err().code(), "CA_CONSTRAINTS", "{name}");
    }
    for name in ["", "../x.test", "a b.test", "a.*.test", "https://a.test"] {
        assert!(matches!(manager.issue(name), Err(RouterError::InvalidField { field: "name", .. })), "{name}");
    }
    assert_eq!(manager.list().unwrap().len(), 7, "what is refused leaves no file");
    assert!(manager.delete("shop.test").unwrap());
    assert!(!manager.delete("shop.test").unwrap());
    assert!(!place.certs().join("shop.test.key").exists());
    assert_eq!(manager.list().unwrap().len(), 6);
}

#[test]
fn settings_of_a_configuration() {
    let base = BaseDomain::parse("mastra.local").unwrap();
    let mut config = mastra_router::TlsConfig { validity_days: 7, ..mastra_router::TlsConfig::default() };
    let settings = TlsSettings::from_config(&config, base.clone());
    assert!(settings.cert_dir.ends_with(".mastra/certs") && settings.own.is_none());
    assert_eq!((settings.validity_days, &settings.base_domains[..]), (7, &[base.clone()][..]));
    config.cert_dir = Some("/certs".into());
    config.cert = Some("/own.crt".into());
    config.key = Some("/own.key".into());
    let settings = TlsSettings::from_config(&config, base);
    assert_eq!(settings.cert_dir, Path::new("/certs"));
    assert_eq!(settings.own, Some(mastra_router::OwnFiles { cert: "/own.crt".into(), key: "/own.key".into() }));
}

#[test]
fn settings_that_cannot_be_used() {
    let dir = TempDir::new().unwrap();
    let settings = TlsSettings::new(dir.path().join("certs"));
    let changes: [fn(&mut TlsSettings); 5] = [
        |s| s.validity_days = 0,
        |s| s.validity_days = 398,
        |s| s.organization = " ".into(),
        |s| s.organization = "a\nb".into(),
        |s| s.organization = "x".repeat(65),
    ];
    for change in changes {
        let mut settings = settings.clone();
        change(&mut settings);
        assert_eq!(TlsManager::authority_only(settings.clone()).err().unwrap().code(), "INVALID_CONFIG");
        assert_eq!(TlsManager::replace_authority(&settings).unwrap_err().code(), "INVALID_CONFIG");
    }
    assert!(!settings.cert_dir.exists());
}

/// Another process, as `mastra-router tls renew`, replaces the authority of a router that runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_router_takes_a_new_authority_over() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    let before = served(&*manager, "shop.localhost").await.unwrap();
    let old = manager.fingerprint();
    TlsManager::replace_authority(&place.settings).unwrap();
    place.pass(DAY / 24);
    let after = loop {
        let now = served(&*manager, "shop.localhost").await.unwrap();
        if now != before {
            break now;
        }
        tokio::task::yield_now().await;
        place.pass(DAY / 24 / 60);
    };
    assert_ne!(manager.fingerprint(), old);
    assert_eq!(parsed(&after).issuer().to_string(), parsed(&der(&manager.ca_pem().unwrap())).subject().to_string());

    // One that does not permit the base domain, or is none, is not taken over.
    let kept = manager.fingerprint();
    std::fs::write(place.certs().join("authority.pem"), "torn").unwrap();
    place.pass(DAY / 24);
    place.route("new");
    assert!(manager.obtain("new.localhost").await.is_some());
    assert_eq!(manager.fingerprint(), kept);
    let held: Arc<dyn Certificates> = manager;
    assert_eq!(served(&*held, "shop.localhost").await, Some(after));
}

/// An authority that ends: leaves end with it, it is not renewed over and over, and then there is a new one.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_authority() {
    let place = Place::new("localhost");
    place.route("shop");
    let manager = place.open();
    let first = manager.authority().unwrap();
    place.pass(700 * DAY);
    let leaf = served(&*manager, "shop.localhost").await.unwrap();
    let end = first.not_after.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(u64::try_from(parsed(&leaf).validity().not_after.timestamp()).unwrap(), end);
    place.pass(28 * DAY);
    for _ in 0..3 {
        assert_eq!(served(&*manager, "shop.localhost").await.unwrap(), leaf);
    }
    assert_eq!(manager.minted(), 1);
    place.pass(3 * DAY);
    assert!(manager.held("shop.localhost").is_none());
    let next = served(&*manager, "shop.localhost").await.unwrap();
    assert_ne!(next, leaf);
    assert_ne!(manager.fingerprint(), Some(first.fingerprint));
}
