//! Which files of a directory are ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mastra_router::TlsManager;

use crate::certificate::served;
use crate::place::Place;

/// Everything below a directory, but not itself.
fn tree(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_ours_and_nothing_else() {
    let place = Place::new("localhost");
    assert!(TlsManager::files(place.certs()).is_empty(), "there is no directory yet");
    place.route("shop");
    let manager = place.open();
    served(&*manager, "shop.localhost").await.unwrap();
    manager.issue("db.test").unwrap();
    let certs = place.certs();
    for (name, text) in [("ca.pem.replaced-1790000000", "ca.pem"), ("authority.pem.corrupt-1790000000", "ca.pem")] {
        fs::copy(certs.join(text), certs.join(name)).unwrap();
    }
    fs::write(certs.join(".unfinished-12-0"), "").unwrap();
    let written = tree(certs);
    let ours = || TlsManager::files(certs).into_iter().collect::<BTreeSet<PathBuf>>();
    assert_eq!(ours(), written);
    let listed = TlsManager::read_certificates(certs).unwrap();
    assert_eq!(listed, manager.list().unwrap());
    assert_eq!(listed.len(), 2);

    for name in ["mine.crt", "mine.key", "ca.pem.replaced-", "ca.pem.replaced-1", ".unfinished-a", "leaves/mine.pem"] {
        fs::write(certs.join(name), "mine").unwrap();
    }
    std::os::unix::fs::symlink(certs.join("ca.pem"), certs.join("ca.pem.replaced-2")).unwrap();
    assert_eq!(ours(), written);

    let other = Place::new("localhost");
    fs::create_dir_all(other.certs()).unwrap();
    for name in ["ca.pem", "authority.pem", "authority.lock", "db.test.crt"] {
        fs::write(other.certs().join(name), "mine").unwrap();
    }
    assert!(TlsManager::files(other.certs()).is_empty(), "a person's have these names too");
}
