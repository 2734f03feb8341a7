//! What `env` exports.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use mastra_router::trust::{CaCertificate, Exports};

use crate::authority;
use crate::fake::Fake;

const VARIABLES: [&str; 5] =
    ["NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

type Environment = BTreeMap<&'static str, PathBuf>;

fn export(fake: &Fake, ca: &CaCertificate, set: &Environment) -> (Environment, Vec<String>) {
    let current = |name: &str| set.get(name).cloned();
    let prepared = Exports::prepare(&fake.machine, &fake.cert_dir(), ca, current).unwrap();
    (prepared.exports.into_iter().map(|export| (export.name, export.file)).collect(), prepared.notes)
}

fn root(name: &str) -> String {
    authority::pem(authority::authority(name))
}

fn all_set_to(path: &Path) -> Environment {
    VARIABLES.into_iter().map(|name| (name, path.to_owned())).collect()
}

/// What a bundle holds, as the blocks of its PEM.
fn blocks(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.split_inclusive("-----END CERTIFICATE-----\n").map(|b| b[b.find("-----").unwrap()..].to_owned()).collect()
}

#[test]
fn by_itself() {
    let fake = Fake::new();
    let (one, two) = (root("One"), root("Two"));
    fake.write("etc/ssl/certs/ca-certificates.crt", &format!("# text\n{one}\n{two}"));
    let ca = fake.authority("Test CA");
    let (set, notes) = export(&fake, &ca, &Environment::new());
    assert_eq!(set.keys().copied().collect::<Vec<_>>(), {
        let mut names = VARIABLES;
        names.sort();
        names
    });
    assert_eq!(notes, [""; 0]);
    assert_eq!((&set["NODE_EXTRA_CA_CERTS"], &set["DENO_CERT"]), (&ca.path, &ca.path));
    let bundle = fake.cert_dir().join("bundle.pem");
    for name in &VARIABLES[2..] {
        assert_eq!(set[name], bundle);
    }
    assert_eq!(blocks(&bundle), [ca.pem.clone(), one, two]);
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o644);
}

#[test]
fn again_and_again_is_the_same() {
    let fake = Fake::new();
    let system = fake.write("etc/ssl/certs/ca-certificates.crt", &root("One"));
    let ca = fake.authority("Test CA");
    let own = fake.path("corporate.pem");
    fs::write(&own, root("Corporate")).unwrap();
    let link = fake.path("link.pem");
    symlink(&system, &link).unwrap();
    for first in [Environment::new(), all_set_to(&own), all_set_to(&system), all_set_to(&link), all_set_to(&ca.path)] {
        let (set, _) = export(&fake, &ca, &first);
        let content = |set: &Environment| set.values().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
        let (before, mut last) = (content(&set), set.clone());
        for _ in 0..3 {
            let (next, notes) = export(&fake, &ca, &last);
            assert_eq!((&next, notes.len()), (&set, 0), "from {first:?}");
            last = next;
        }
        assert_eq!(content(&last), before, "nothing has grown");
    }
}

#[test]
fn a_file_that_is_set_already_is_merged() {
    let fake = Fake::new();
    fake.write("etc/ssl/certs/ca-certificates.crt", &root("One"));
    let ca = fake.authority("Test CA");
    let (corporate, own) = (root("Corporate"), fake.path("corporate.pem"));
    // It holds our authority as well, as a system's file does once the system trusts it.
    fs::write(&own, format!("{corporate}{}", ca.pem)).unwrap();
    let (set, notes) = export(&fake, &ca, &all_set_to(&own));
    assert_eq!(notes, [""; 0]);
    for name in VARIABLES {
        assert_eq!(blocks(&set[name]), [ca.pem.clone(), corporate.clone()], "{name}");
    }
    assert_eq!(fs::read_to_string(&own).unwrap(), format!("{corporate}{}", ca.pem), "it is left alone");

    // It changes, and so does the authority: both are found from the bundle's name.
    let (new, ca) = (root("New"), fake.authority("Test CA"));
    fs::write(&own, &new).unwrap();
    let (again, _) = export(&fake, &ca, &set);
    assert_eq!(again, set);
    assert_eq!(blocks(&set["SSL_CERT_FILE"]), [ca.pem.clone(), new]);

    // Another variable may name another file.
    let other = fake.path("other.pem");
    fs::write(&other, root("Other")).unwrap();
    let (mixed, _) = export(&fake, &ca, &Environment::from([("CURL_CA_BUNDLE", other), ("SSL_CERT_FILE", own)]));
    let files: std::collections::BTreeSet<&PathBuf> = mixed.values().collect();
    assert_eq!(files.len(), 4, "{mixed:?}");
}

#[test]
fn a_directory_is_merged_file_by_file() {
    let fake = Fake::new();
    fake.write("etc/ssl/certs/ca-certificates.crt", &root("One"));
    let ca = fake.authority("Test CA");
    let (one, two, dir) = (root("A"), root("B"), fake.path("roots"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("a.0"), &one).unwrap();
    fs::write(dir.join("b.0"), &two).unwrap();
    let (set, _) = export(&fake, &ca, &Environment::from([("REQUESTS_CA_BUNDLE", dir)]));
    assert_eq!(blocks(&set["REQUESTS_CA_BUNDLE"]), [ca.pem.clone(), one, two]);
}

#[test]
fn what_cannot_be_read_is_said_and_passed_over() {
    let fake = Fake::new();
    let system = root("One");
    fake.write("etc/ssl/certs/ca-certificates.crt", &system);
    let ca = fake.authority("Test CA");
    let empty = fake.path("empty.pem");
    fs::write(&empty, "").unwrap();
    for bad in [fake.path("absent.pem"), empty, fake.cert_dir().join("bundle-gone.pem")] {
        let (set, notes) = export(&fake, &ca, &all_set_to(&bad));
        assert_eq!(set["NODE_EXTRA_CA_CERTS"], ca.path);
        assert_eq!(blocks(&set["SSL_CERT_FILE"]), [ca.pem.clone(), system.clone()]);
        let ours = bad.starts_with(fake.cert_dir());
        assert_eq!(notes.len(), if ours { 0 } else { VARIABLES.len() }, "{notes:?}");
    }
    let (set, notes) = export(&fake, &ca, &all_set_to(Path::new("")));
    assert_eq!((set["DENO_CERT"].as_path(), notes.len()), (ca.path.as_path(), 0), "empty is unset");
}
