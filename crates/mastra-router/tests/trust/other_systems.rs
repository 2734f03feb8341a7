//! The stores of macOS and Windows, whose tools are played here from their documentation.

use std::fs;

use mastra_router::trust::{Machine, Mode, Outcome, Platform, StoreKind, StoreState};

use crate::fake::{Fake, one};

#[test]
fn the_login_keychain_of_macos() {
    let mut fake = Fake::new();
    fake.machine = Machine { platform: Platform::MacOs, ..fake.machine };
    // The keychain is a directory of certificates, each beside its SHA-256; settings are one file.
    fake.tool(
        "security",
        "K=$ROOT/keychain; mkdir -p $K
        case $1 in
        find-certificate) cat $K/* 2>/dev/null; exit 0;;
        dump-trust-settings) cat $ROOT/settings 2>/dev/null || exit 1;;
        add-trusted-cert)
            for file; do :; done
            hash=$(openssl x509 -in $file -noout -fingerprint -sha256 | sed 's/.*=//; s/://g')
            cp $file $K/$hash && echo 'Cert 0: Test CA' > $ROOT/settings;;
        delete-certificate) rm $K/$4 $ROOT/settings;;
        esac",
    );
    if crate::fake::installed("openssl").is_none() {
        return;
    }
    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::System);
    assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::NotTrusted);
    fake.log();
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    let keychain = fake.home("Library/Keychains/login.keychain-db");
    let keychain = keychain.display();
    let added = format!("security add-trusted-cert -r trustRoot -p ssl -k {keychain} {}", ca.path.display());
    assert!(fake.log().contains(&added));
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::AlreadyTrusted);
    let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    let hash = ca.fingerprint.hex().to_ascii_uppercase();
    assert!(fake.log().contains(&format!("security delete-certificate -t -Z {hash} {keychain}")));
    assert_eq!(fs::read_dir(fake.file("keychain")).unwrap().count(), 0);
}

#[test]
fn windows_from_linux_in_it() {
    let mut fake = Fake::with_os("ID=debian\n");
    fake.write("proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n");
    fake.machine = Machine::at(fake.machine.root.clone(), fake.machine.home.clone(), fake.machine.path.clone());
    assert_eq!(fake.machine.platform, Platform::Wsl);
    // The store is a directory of certificates in base64, each called by its SHA-1.
    fake.tool("wslpath", "[ $1 = -w ] && printf '%s\\n' '\\\\wsl.localhost\\Debian'$2");
    fake.tool("powershell.exe", "cat $ROOT/roots/* 2>/dev/null; exit 0");
    fake.tool(
        "certutil.exe",
        "mkdir -p $ROOT/roots
        case $2 in
        -addstore)
            file=$(printf '%s' \"$4\" | sed 's/.*Debian//')
            hash=$(openssl x509 -in $file -noout -fingerprint -sha1 | sed 's/.*=//; s/://g' | tr A-F a-f)
            { grep -v CERTIFICATE $file | tr -d '\\n'; echo; } > $ROOT/roots/$hash;;
        -delstore) rm $ROOT/roots/$4;;
        esac",
    );
    if crate::fake::installed("openssl").is_none() {
        return;
    }
    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::System);
    let status = || stores.status(&ca).unwrap().remove(1);
    assert_eq!((status().store.as_str(), status().state), ("System (Windows, this user)", StoreState::NotTrusted));
    fake.log();
    let outcomes = stores.trust(&ca, Mode::Apply).unwrap();
    assert!(matches!(outcomes[0].outcome, Outcome::Unavailable { .. }), "Linux has no tool, and stops nothing");
    assert_eq!(outcomes[1].outcome, Outcome::Trusted);
    let log = fake.log();
    assert!(log.iter().any(|line| line.starts_with("certutil.exe -user -addstore Root \\\\wsl.localhost")), "{log:?}");
    assert_eq!(stores.trust(&ca, Mode::Apply).unwrap()[1].outcome, Outcome::AlreadyTrusted);
    let removed = stores.untrust(Some(&ca), &[], Mode::Apply).unwrap().remove(1);
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(fs::read_dir(fake.file("roots")).unwrap().count(), 0);
}
