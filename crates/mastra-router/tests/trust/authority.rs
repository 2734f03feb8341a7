//! Certificates to be trusted or not, and what is read of them.

use std::path::Path;

use mastra_router::RouterError;
use mastra_router::trust::{CaCertificate, Fingerprint, Machine, Mode, StoreKind, TrustStores};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, KeyPair, NameConstraints,
    date_time_ymd,
};

/// An authority as the router makes it, with any key.
pub(crate) fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0])),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

pub(crate) fn pem(params: CertificateParams) -> String {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

/// Writes a new authority to `ca.pem` of a directory.
pub(crate) fn make(cert_dir: &Path, name: &str) -> CaCertificate {
    std::fs::create_dir_all(cert_dir).unwrap();
    let path = cert_dir.join("ca.pem");
    std::fs::write(&path, pem(authority(name))).unwrap();
    CaCertificate::read(&path).unwrap()
}

#[test]
fn what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let ca = make(dir.path(), "Test CA");
    assert_eq!((ca.common_name.as_str(), ca.subject.as_str()), ("Test CA", "CN=Test CA"));
    assert_eq!(ca.permitted, ["localhost", "127.0.0.0/8", "::1"]);
    assert_eq!(ca.fingerprint, Fingerprint::of(&ca.der));
    assert!(ca.pem.starts_with("-----BEGIN CERTIFICATE-----\n") && ca.pem.ends_with("-----END CERTIFICATE-----\n"));
    let again = CaCertificate::parse(&ca.path, &ca.pem).unwrap();
    assert_eq!(again, ca);
}

/// Constraints are for each kind of name by itself, so one kind that is left out is not constrained at all.
#[test]
fn one_that_may_sign_for_more_than_local_names_is_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    let loopback = || GeneralSubtree::IpAddress(CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0]));
    let domain = |name: &str| GeneralSubtree::DnsName(name.into());
    let everywhere = GeneralSubtree::IpAddress(CidrSubnet::V4([0, 0, 0, 0], [0, 0, 0, 0]));
    let fit = |permitted: Vec<GeneralSubtree>| {
        let mut params = authority("x");
        let excluded_subtrees = Vec::new();
        params.name_constraints = Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees });
        let ca = CaCertificate::parse(&dir.path().join("ca.pem"), &pem(params)).unwrap();
        ca.check_fit_to_trust(std::time::SystemTime::now()).is_ok()
    };
    assert!(fit(vec![domain("localhost"), loopback()]));
    assert!(!fit(vec![loopback()]));
    assert!(!fit(vec![domain("localhost")]));
    assert!(!fit(vec![domain(""), loopback()]));
    assert!(!fit(vec![domain("localhost"), everywhere]));
}

#[test]
fn fingerprints() {
    // SHA-256 of nothing.
    let text = "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
    let empty = Fingerprint::of(&[]);
    assert_eq!(empty.to_string(), text);
    for same in [text.to_owned(), text.to_lowercase(), text.replace(':', ""), empty.hex()] {
        assert_eq!(Fingerprint::parse(&same), Some(empty), "{same}");
    }
    for bad in ["", "E3", &text[1..], &text.replace('E', "G"), &text.replace("E3", "+3"), &format!("{text}:00")] {
        assert_eq!(Fingerprint::parse(bad), None, "{bad}");
    }
}

#[test]
fn files_that_are_no_authoritys() {
    let key = KeyPair::generate().unwrap();
    let ca = authority("x").self_signed(&key).unwrap().pem();
    let leaf = pem(CertificateParams::new(vec!["shop.localhost".to_owned()]).unwrap());
    for (text, reason) in [
        (format!("{ca}{}", key.serialize_pem()), "private key"),
        (format!("{}{ca}", key.serialize_pem()), "private key"),
        (String::new(), "exactly one"),
        ("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n".to_owned(), "exactly one"),
        (format!("{ca}{ca}"), "exactly one"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "cannot be read"),
        (leaf, "not an authority's"),
    ] {
        match CaCertificate::parse(Path::new("/certs/ca.pem"), &text) {
            Err(error @ RouterError::AuthorityUnusable { .. }) => {
                assert!(error.to_string().contains(reason), "{error}");
                assert!(error.to_string().contains("/certs/ca.pem"), "{error}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    let absent = CaCertificate::read(Path::new("/nowhere/ca.pem")).unwrap_err();
    assert!(matches!(absent, RouterError::File { .. }), "{absent}");
}

#[test]
fn what_no_machine_should_trust_reaches_no_store() {
    let (mut unconstrained, mut expired) = (authority("x"), authority("x"));
    unconstrained.name_constraints = None;
    expired.not_after = date_time_ymd(2024, 2, 1);
    for (params, reason) in [(unconstrained, "not constrained to names"), (expired, "expired")] {
        let dir = tempfile::tempdir().unwrap();
        let ca = CaCertificate::parse(&dir.path().join("ca.pem"), &pem(params)).unwrap();
        let machine = Machine::at(dir.path().to_owned(), dir.path().join("home"), Vec::new());
        for mode in [Mode::Apply, Mode::DryRun] {
            let stores = TrustStores::find(&machine, dir.path(), &StoreKind::ALL);
            let error = stores.trust(&ca, mode).unwrap_err();
            assert_eq!(error.code(), "AUTHORITY_UNUSABLE");
            assert!(error.to_string().contains(reason), "{error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
