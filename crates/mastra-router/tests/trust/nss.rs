//! The databases of browsers, with the real certutil where this machine has it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mastra_router::trust::{Exports, Machine, Mode, Outcome, Platform, RunAs, StoreKind, StoreState};

use crate::authority;
use crate::fake::{Fake, installed, one, reason};

/// A machine with the real certutil; none where this one has it not.
fn with_certutil() -> Option<Fake> {
    let fake = Fake::with_os("ID=debian\n");
    installed("mkdir")?;
    (fake.real("certutil") && fake.real("mkdir")).then_some(fake)
}

fn certutil(directory: &Path, args: &[&str]) -> String {
    let database = format!("sql:{}", directory.display());
    let mut command = Command::new("certutil");
    command.args(args).args(["-d", &database]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn database(path: PathBuf) -> PathBuf {
    fs::create_dir_all(&path).unwrap();
    certutil(&path, &["-N", "--empty-password"]);
    path
}

/// What a database says: nicknames and trust.
fn listing(directory: &Path) -> Vec<String> {
    let text = certutil(directory, &["-L"]);
    let rows = text.lines().skip_while(|line| !line.contains("SSL,S/MIME")).skip(1).filter(|line| !line.is_empty());
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_place_of_a_database() {
    let mut fake = Fake::new();
    let places = [
        (".pki/nssdb", "Chrome ~/.pki/nssdb"),
        (".local/share/pki/nssdb", "Chrome ~/.local/share/pki/nssdb"),
        ("snap/chromium/current/.pki/nssdb", "Chromium (snap)"),
        (".var/app/org.chromium.Chromium/.pki/nssdb", "Chromium (flatpak)"),
        (".var/app/com.google.Chrome/data/pki/nssdb", "Chrome (flatpak)"),
        (".mozilla/firefox/ab12.default-release", "Firefox default-release"),
        (".mozilla/firefox/cd34.dev", "Firefox dev"),
        (".mozilla/firefox/Crash Reports", ""),
        ("snap/firefox/common/.mozilla/firefox/ef56.default", "Firefox default (snap)"),
        (".var/app/org.mozilla.firefox/.mozilla/firefox/gh78.default", "Firefox default (flatpak)"),
        (".config/mozilla/firefox/ij90.default", "Firefox default"),
    ];
    for (path, name) in places {
        fs::create_dir_all(fake.home(path)).unwrap();
        if !name.is_empty() {
            fs::write(fake.home(path).join("cert9.db"), "").unwrap();
        }
    }
    let ca = fake.authority("Test CA");
    let names = |fake: &Fake| -> Vec<String> {
        fake.stores(StoreKind::Nss).status(&ca).unwrap().into_iter().map(|report| report.store).collect()
    };
    let expected: Vec<&str> = places.iter().map(|(_, name)| *name).filter(|name| !name.is_empty()).collect();
    assert_eq!(names(&fake), expected);

    fs::create_dir_all(fake.home("Library/Application Support/Firefox/Profiles/x.mac")).unwrap();
    fs::write(fake.home("Library/Application Support/Firefox/Profiles/x.mac/cert9.db"), "").unwrap();
    fake.machine = Machine { platform: Platform::MacOs, ..fake.machine };
    assert_eq!(names(&fake), ["Firefox mac"]);
}

#[test]
fn certutil_that_is_missing_is_named_with_its_package() {
    for (release, install) in [
        ("ID=ubuntu\n", "sudo apt-get install libnss3-tools"),
        ("ID=fedora\n", "sudo dnf install nss-tools"),
        ("ID=arch\n", "sudo pacman -S nss"),
        ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n", "sudo zypper install mozilla-nss-tools"),
        ("ID=alpine\n", "sudo apk add nss-tools"),
    ] {
        let fake = Fake::with_os(release);
        fs::create_dir_all(fake.home(".pki/nssdb")).unwrap();
        fs::write(fake.home(".pki/nssdb/cert9.db"), "").unwrap();
        let ca = fake.authority("Test CA");
        let outcome = one(fake.stores(StoreKind::Nss).trust(&ca, Mode::Apply).unwrap());
        assert!(reason(&outcome).contains("certutil"), "{outcome:?}");
        assert_eq!(outcome.commands.iter().map(ToString::to_string).collect::<Vec<_>>(), [install]);
        let report = fake.stores(StoreKind::Nss).status(&ca).unwrap().remove(0);
        assert!(matches!(report.state, StoreState::Unavailable { .. }));
        assert_eq!(report.commands, outcome.commands);
    }
}

#[test]
fn a_certificate_goes_in_once_and_comes_out_alone() {
    let Some(fake) = with_certutil() else { return };
    let profile = database(fake.home(".mozilla/firefox/ab12.default-release"));
    let ca = fake.authority("Test CA");
    // Of the same subject, by somebody else; and one that only mail is trusted to.
    let foreign = fake.path("foreign.pem");
    fs::write(&foreign, authority::pem(authority::authority("Test CA"))).unwrap();
    certutil(&profile, &["-A", "-t", "C,,", "-n", "Test CA", "-i", foreign.to_str().unwrap()]);
    let before = listing(&profile);
    assert_eq!(before, ["Test CA C,,"]);

    let stores = fake.stores(StoreKind::Nss);
    assert!(matches!(stores.status(&ca).unwrap()[0].state, StoreState::Stale(_)));
    assert_eq!(one(stores.trust(&ca, Mode::DryRun).unwrap()).outcome, Outcome::WouldChange);
    assert_eq!(listing(&profile), before);
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    let label = format!("mastra-router-{}", &ca.fingerprint.hex()[..8]);
    assert!(listing(&profile).contains(&format!("{label} C,,")), "{:?}", listing(&profile));
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::AlreadyTrusted);
    assert_eq!(fake.record(), [format!("nss {}", ca.fingerprint.hex())]);

    // A person took the trust away, and keeps the certificate.
    certutil(&profile, &["-M", "-t", ",,", "-n", &label]);
    assert!(!matches!(stores.status(&ca).unwrap()[0].state, StoreState::Trusted));
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);

    let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(listing(&profile), before);
    assert_eq!(one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap()).outcome, Outcome::NothingToRemove);
    assert_eq!(listing(&profile), before);
}

#[test]
fn one_that_a_person_imported_is_found_and_removed() {
    let Some(fake) = with_certutil() else { return };
    let profile = database(fake.home(".mozilla/firefox/ab12.default"));
    let ca = fake.authority("Test CA");
    certutil(&profile, &["-A", "-t", "C,,", "-n", "Test CA - Mastra", "-i", ca.path.to_str().unwrap()]);
    let stores = fake.stores(StoreKind::Nss);
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::AlreadyTrusted);
    let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(listing(&profile), [""; 0]);
}

#[test]
fn successors_of_the_same_subject() {
    let Some(fake) = with_certutil() else { return };
    let profile = database(fake.home(".pki/nssdb"));
    let stores = fake.stores(StoreKind::Nss);
    let all = [fake.authority("Test CA"), fake.authority("Test CA"), fake.authority("Test CA")];
    for ca in &all {
        fs::write(fake.cert_dir().join("ca.pem"), &ca.pem).unwrap();
        assert_eq!(one(stores.trust(ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    }
    assert_eq!(listing(&profile).len(), 3);
    let mut expected: Vec<_> = all.iter().map(|ca| ca.fingerprint).collect();
    expected.sort();
    assert_eq!(one(stores.untrust(Some(&all[2]), &[], Mode::Apply).unwrap()).outcome, Outcome::Removed(expected));
    assert_eq!(listing(&profile), [""; 0]);
}

#[test]
fn chromes_database_is_made_where_chrome_is() {
    let cases: [(&[&str], &str); 4] = [
        (&[], ".pki/nssdb"),
        (&[".local/share/pki/nssdb"], ".local/share/pki/nssdb"),
        (&[".pki/nssdb"], ".pki/nssdb"),
        (&[".pki/nssdb", ".local/share/pki/nssdb"], ".pki/nssdb"),
    ];
    for (directories, expected) in cases {
        let Some(fake) = with_certutil() else { return };
        directories.iter().for_each(|path| fs::create_dir_all(fake.home(path)).unwrap());
        let ca = fake.authority("Test CA");
        assert!(fake.stores(StoreKind::Nss).is_empty(), "without a browser there is none");
        fake.tool("chromium", "");
        let stores = fake.stores(StoreKind::Nss);
        assert_eq!(one(stores.trust(&ca, Mode::DryRun).unwrap()).commands.len(), 3);
        assert!(!fake.home(expected).join("cert9.db").exists(), "a dry run changes nothing");
        assert_eq!(one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap()).outcome, Outcome::NothingToRemove);
        assert!(!fake.home(expected).join("cert9.db").exists(), "none is made to remove from");
        assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
        assert_eq!(listing(&fake.home(expected)).len(), 1);
        assert_eq!(fake.log(), [""; 0], "no browser is run");
    }
}

#[test]
fn a_database_that_is_there_is_never_made_anew() {
    let fake = Fake::with_os("ID=debian\n");
    fake.tool("chromium", "");
    // Asked to make a database it would wait for a password for ever.
    fake.tool("certutil", "exit 0");
    fs::create_dir_all(fake.home(".pki/nssdb")).unwrap();
    fs::write(fake.home(".pki/nssdb/cert9.db"), "").unwrap();
    let ca = fake.authority("Test CA");
    let outcome = one(fake.stores(StoreKind::Nss).trust(&ca, Mode::Apply).unwrap());
    assert!(reason(&outcome).contains("does not trust"), "{outcome:?}");
    let log = fake.log();
    assert!(log.iter().any(|line| line.contains(" -A ")) && !log.iter().any(|line| line.contains(" -N ")), "{log:?}");
}

#[test]
fn a_tool_that_never_ends_is_ended_with_its_children() {
    let fake = Fake::with_os("ID=debian\n");
    let pid = fake.path("pid");
    fake.tool("certutil", &format!("sleep 1000 & echo $! > '{}'; cat; wait", pid.display()));
    fs::create_dir_all(fake.home(".pki/nssdb")).unwrap();
    fs::write(fake.home(".pki/nssdb/cert9.db"), "").unwrap();
    let ca = fake.authority("Test CA");
    let began = Instant::now();
    let outcome = one(fake.stores(StoreKind::Nss).trust(&ca, Mode::Apply).unwrap());
    assert_eq!(reason(&outcome), "certutil did not end within 10 seconds");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let pid = fs::read_to_string(pid).unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // It is dead; its new parent takes it away when it comes to it.
    while !state().is_empty() && !state().contains(") Z ") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", state());
        std::thread::yield_now();
    }
}

#[test]
fn a_database_that_fails_stops_no_other() {
    let Some(fake) = with_certutil() else { return };
    let broken = fake.home(".mozilla/firefox/aa.broken");
    fs::create_dir_all(&broken).unwrap();
    fs::write(broken.join("cert9.db"), "garbage").unwrap();
    let old = fake.home(".mozilla/firefox/bb.old");
    fs::create_dir_all(&old).unwrap();
    fs::write(old.join("cert8.db"), "").unwrap();
    let locked = fake.home(".mozilla/firefox/cc.locked");
    fs::create_dir_all(&locked).unwrap();
    let password = fake.path("password");
    fs::write(&password, "secret\n").unwrap();
    certutil(&locked, &["-N", "-f", password.to_str().unwrap()]);
    let good = database(fake.home(".mozilla/firefox/dd.good"));

    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::Nss);
    let outcomes = stores.trust(&ca, Mode::Apply).unwrap();
    assert_eq!(outcomes.len(), 4);
    assert!(reason(&outcomes[0]).contains("SEC_ERROR_BAD_DATABASE"), "{:?}", outcomes[0]);
    assert!(reason(&outcomes[1]).contains("cert8.db"), "{:?}", outcomes[1]);
    assert!(reason(&outcomes[2]).contains("primary password"), "{:?}", outcomes[2]);
    assert!(outcomes[2].commands[0].to_string().starts_with("certutil -A -d sql:"), "{:?}", outcomes[2]);
    assert_eq!(outcomes[3].outcome, Outcome::Trusted);
    assert_eq!(listing(&good).len(), 1);
    assert_eq!(listing(&locked), [""; 0], "certutil adds before it asks for the password; that is taken back");
    assert_eq!(fs::read_to_string(broken.join("cert9.db")).unwrap(), "garbage");

    let outcomes = stores.untrust(Some(&ca), &[], Mode::Apply).unwrap();
    assert_eq!(outcomes[3].outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(fake.record().len(), 1, "one store could not be looked at, so nothing is forgotten");
}

#[test]
fn under_sudo_what_is_made_belongs_to_the_user() {
    let Some(mut fake) = with_certutil() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can be sudo");
        return;
    }
    let user = RunAs { uid: 54_321, gid: 54_322 };
    fake.tool("chromium", "");
    let ca = fake.authority("Test CA");
    for path in [&fake.machine.home, &fake.cert_dir()] {
        chown(path, Some(user.uid), Some(user.gid)).unwrap();
    }
    for path in [fake.path(""), fake.cert_dir()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fake.machine.run_as = Some(user);
    assert_eq!(one(fake.stores(StoreKind::Nss).trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    let made = [".pki", ".pki/nssdb", ".pki/nssdb/cert9.db", ".pki/nssdb/key4.db"].map(|path| fake.home(path));
    for path in made.into_iter().chain([fake.cert_dir().join("trusted")]) {
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (user.uid, user.gid), "{}", path.display());
    }
    let exports = Exports::prepare(&fake.machine, &fake.cert_dir(), &ca, |_| None).unwrap().exports;
    for export in exports.iter().filter(|export| export.file != ca.path) {
        assert_eq!(fs::metadata(&export.file).unwrap().uid(), user.uid);
    }
}
