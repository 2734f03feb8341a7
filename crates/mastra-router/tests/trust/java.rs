//! Java's stores, with the real keytool where this machine has it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use mastra_router::trust::{Mode, Outcome, StoreKind, StoreState};

use crate::fake::{Fake, installed, one};

#[test]
fn a_certificate_goes_in_once_and_comes_out_alone() {
    let Some(keytool) = installed("keytool") else { return };
    let fake = Fake::with_os("ID=debian\n");
    let java = fake.file("usr/lib/jvm/java-17-test");
    for directory in ["bin", "lib/security"] {
        fs::create_dir_all(java.join(directory)).unwrap();
    }
    fs::write(java.join("release"), "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17.0.9\"\n").unwrap();
    symlink(&keytool, java.join("bin/keytool")).unwrap();
    // Another name of the same machine.
    symlink(&java, fake.file("usr/lib/jvm/default-java")).unwrap();
    let store = java.join("lib/security/cacerts");
    let other = fake.path("other.pem");
    fs::write(&other, crate::authority::pem(crate::authority::authority("Test CA"))).unwrap();
    let mut import = Command::new(&keytool);
    import.args(["-importcert", "-noprompt", "-storepass", "changeit", "-alias", "theirs", "-file"]);
    assert!(import.arg(&other).arg("-keystore").arg(&store).output().unwrap().status.success());

    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::Java);
    let reports = stores.status(&ca).unwrap();
    assert_eq!(reports.len(), 1, "a store that two names lead to is one");
    assert!(reports[0].store.starts_with("Java 17 "), "{reports:?}");
    assert_eq!(reports[0].state, StoreState::NotTrusted);
    assert!(reports[0].commands[0].to_string().contains("keytool -importcert -noprompt -file"), "{reports:?}");
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::AlreadyTrusted);
    let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::NotTrusted);

    let mut list = Command::new(&keytool);
    let list = list.args(["-list", "-storepass", "changeit", "-keystore"]).arg(&store).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.matches("trustedCertEntry").count(), 1, "{list}");
    assert!(list.contains("theirs, "), "{list}");
}

#[test]
fn a_machine_without_a_store_is_none() {
    let fake = Fake::new();
    fs::create_dir_all(fake.file("usr/lib/jvm/empty")).unwrap();
    assert!(fake.stores(StoreKind::Java).is_empty());
}
