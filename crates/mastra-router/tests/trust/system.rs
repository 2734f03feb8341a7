//! The stores of Linux distributions.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mastra_router::trust::{Mode, Outcome, StoreKind, StoreState, TrustStores};

use crate::fake::{Fake, installed, one, reason};

const FOREIGN: &str = "not a certificate, and not ours\n";

struct Distribution {
    release: &'static str,
    name: &'static str,
    anchors: &'static str,
    extension: &'static str,
    bundle: &'static str,
    added_by: &'static str,
    removed_by: &'static str,
    install: &'static str,
}

const DISTRIBUTIONS: [Distribution; 6] = [
    Distribution {
        release: "NAME=\"Debian GNU/Linux\"\nID=debian\n",
        name: "System (Debian)",
        anchors: "/usr/local/share/ca-certificates",
        extension: "crt",
        bundle: "/etc/ssl/certs/ca-certificates.crt",
        added_by: "update-ca-certificates",
        removed_by: "update-ca-certificates --fresh",
        install: "sudo apt-get install ca-certificates",
    },
    Distribution {
        release: "NAME=\"Zorin OS\"\nID=zorin\nID_LIKE=\"ubuntu debian\"\n",
        name: "System (Zorin)",
        anchors: "/usr/local/share/ca-certificates",
        extension: "crt",
        bundle: "/etc/ssl/certs/ca-certificates.crt",
        added_by: "update-ca-certificates",
        removed_by: "update-ca-certificates --fresh",
        install: "sudo apt-get install ca-certificates",
    },
    Distribution {
        release: "NAME=\"Fedora Linux\"\nID=fedora\n",
        name: "System (Fedora)",
        anchors: "/etc/pki/ca-trust/source/anchors",
        extension: "pem",
        bundle: "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        added_by: "update-ca-trust extract",
        removed_by: "update-ca-trust extract",
        install: "sudo dnf install ca-certificates",
    },
    Distribution {
        release: "NAME='Arch Linux'\nID='arch'\n",
        name: "System (Arch)",
        anchors: "/etc/ca-certificates/trust-source/anchors",
        extension: "crt",
        bundle: "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
        added_by: "trust extract-compat",
        removed_by: "trust extract-compat",
        install: "sudo pacman -S ca-certificates-utils",
    },
    Distribution {
        release: "NAME=\"openSUSE Tumbleweed\"\nID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
        name: "System (openSUSE)",
        anchors: "/etc/pki/trust/anchors",
        extension: "pem",
        bundle: "/var/lib/ca-certificates/ca-bundle.pem",
        added_by: "update-ca-certificates",
        removed_by: "update-ca-certificates",
        install: "sudo zypper install ca-certificates",
    },
    Distribution {
        release: "NAME=\"Alpine Linux\"\nID=alpine\n",
        name: "System (Alpine)",
        anchors: "/usr/local/share/ca-certificates",
        extension: "crt",
        bundle: "/etc/ssl/certs/ca-certificates.crt",
        added_by: "update-ca-certificates",
        removed_by: "update-ca-certificates",
        install: "sudo apk add ca-certificates",
    },
];

impl Distribution {
    /// A machine of it whose tool works: it makes the bundle of the anchors.
    fn machine(&self) -> Fake {
        let fake = self.without_tool();
        let tool = self.added_by.split(' ').next().unwrap();
        fake.tool(tool, &format!("cat \"$ROOT{}\"/* > \"$ROOT{}\"", self.anchors, self.bundle));
        fake
    }

    fn without_tool(&self) -> Fake {
        let fake = Fake::with_os(self.release);
        fake.write(&format!("{}/foreign", self.anchors), FOREIGN);
        fake.write(self.bundle, FOREIGN);
        fake
    }
}

#[test]
fn a_certificate_goes_in_once_and_comes_out_alone() {
    for distribution in &DISTRIBUTIONS {
        let fake = distribution.machine();
        let ca = fake.authority("Test CA");
        let stores = fake.stores(StoreKind::System);
        let file =
            format!("{}/mastra-router-{}.{}", distribution.anchors, &ca.fingerprint.hex()[..8], distribution.extension);
        let file = fake.file(&file);

        let before = stores.status(&ca).unwrap().remove(0);
        assert_eq!((before.store.as_str(), &before.state), (distribution.name, &StoreState::NotTrusted));
        let dry = one(stores.trust(&ca, Mode::DryRun).unwrap());
        assert_eq!(dry.outcome, Outcome::WouldChange);
        assert_eq!(dry.commands, before.commands);
        let install = format!("sudo install -m 0644 {} {}", ca.path.display(), file.display());
        let by_hand = [install, format!("sudo {}", distribution.added_by)];
        assert_eq!(dry.commands.iter().map(ToString::to_string).collect::<Vec<_>>(), by_hand);
        assert!(!file.exists() && fake.log().is_empty() && fake.record().is_empty(), "a dry run changes nothing");

        let added = one(stores.trust(&ca, Mode::Apply).unwrap());
        assert_eq!((added.outcome, added.commands.len()), (Outcome::Trusted, 0));
        assert_eq!(fake.log(), [distribution.added_by]);
        assert_eq!(fs::read_to_string(&file).unwrap(), ca.pem);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fake.record(), [format!("system {}", ca.fingerprint.hex())]);
        assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::Trusted);

        assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::AlreadyTrusted);
        assert_eq!(fake.log(), [""; 0], "nothing is run for what is done");

        let dry = one(stores.untrust(Some(&ca), &[], Mode::DryRun).unwrap());
        assert_eq!(dry.outcome, Outcome::WouldChange);
        let by_hand = [format!("sudo rm -f -- {}", file.display()), format!("sudo {}", distribution.removed_by)];
        assert_eq!(dry.commands.iter().map(ToString::to_string).collect::<Vec<_>>(), by_hand);
        assert!(file.exists() && fake.log().is_empty());

        let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
        assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
        assert_eq!(fake.log(), [distribution.removed_by]);
        assert!(!file.exists());
        assert_eq!(fake.record(), [""; 0]);
        assert_eq!(one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap()).outcome, Outcome::NothingToRemove);
        let foreign = fake.file(&format!("{}/foreign", distribution.anchors));
        assert_eq!(fs::read_to_string(foreign).unwrap(), FOREIGN);
        assert_eq!(fs::read_dir(fake.file(distribution.anchors)).unwrap().count(), 1, "nothing is left");
    }
}

#[test]
fn without_its_tool_nothing_is_written() {
    for distribution in &DISTRIBUTIONS {
        let fake = distribution.without_tool();
        let ca = fake.authority("Test CA");
        let outcome = one(fake.stores(StoreKind::System).trust(&ca, Mode::Apply).unwrap());
        assert!(reason(&outcome).ends_with("is not installed"), "{outcome:?}");
        assert_eq!(outcome.commands.iter().map(ToString::to_string).collect::<Vec<_>>(), [distribution.install]);
        assert_eq!(fs::read_dir(fake.file(distribution.anchors)).unwrap().count(), 1);
    }
}

#[test]
fn a_tool_that_fails_leaves_no_anchor() {
    let fake = DISTRIBUTIONS[0].without_tool();
    fake.tool("update-ca-certificates", "echo first >&2; echo 'the disk is full' >&2; exit 3");
    let ca = fake.authority("Test CA");
    let outcome = one(fake.stores(StoreKind::System).trust(&ca, Mode::Apply).unwrap());
    assert_eq!(reason(&outcome), "update-ca-certificates failed (exit 3): the disk is full");
    assert_eq!(outcome.commands.len(), 2);
    assert_eq!(fs::read_dir(fake.file(DISTRIBUTIONS[0].anchors)).unwrap().count(), 1);
}

#[test]
fn success_is_looked_up_and_not_believed() {
    let fake = DISTRIBUTIONS[0].without_tool();
    fake.tool("update-ca-certificates", "exit 0");
    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::System);
    let outcome = one(stores.trust(&ca, Mode::Apply).unwrap());
    assert!(reason(&outcome).contains("does not trust"), "{outcome:?}");
    assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::NotTrusted);

    // The bundle has it, and the tool does not take it out.
    fake.write(DISTRIBUTIONS[0].bundle, &ca.pem);
    assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::Trusted);
    let outcome = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert!(reason(&outcome).contains("still there"), "{outcome:?}");
    assert_eq!(fake.record().len(), 1, "what is still trusted stays recorded");
}

#[test]
fn an_authority_that_was_replaced_goes_with_its_successor() {
    let fake = DISTRIBUTIONS[0].machine();
    let stores = fake.stores(StoreKind::System);
    let old = fake.authority("Test CA");
    stores.trust(&old, Mode::Apply).unwrap();
    let new = fake.authority("Test CA");
    let report = stores.status(&new).unwrap().remove(0);
    assert_eq!(report.state, StoreState::Stale(vec![old.fingerprint]));
    assert_eq!(one(stores.trust(&new, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    let report = stores.status(&new).unwrap().remove(0);
    assert_eq!((report.state, report.others), (StoreState::Trusted, vec![old.fingerprint]));

    let mut both = vec![old.fingerprint, new.fingerprint];
    both.sort();
    assert_eq!(one(stores.untrust(Some(&new), &[], Mode::Apply).unwrap()).outcome, Outcome::Removed(both));
    assert_eq!(fake.record(), [""; 0]);
}

#[test]
fn another_users_authority_stays_unless_it_is_named() {
    let fake = DISTRIBUTIONS[0].machine();
    let theirs = TrustStores::find(&fake.machine, &fake.path("theirs"), &[StoreKind::System]);
    let other = crate::authority::make(&fake.path("theirs"), "Test CA");
    theirs.trust(&other, Mode::Apply).unwrap();
    let ours = fake.stores(StoreKind::System);
    let ca = fake.authority("Test CA");
    assert_eq!(ours.status(&ca).unwrap()[0].state, StoreState::Stale(vec![other.fingerprint]));
    assert_eq!(one(ours.untrust(Some(&ca), &[], Mode::Apply).unwrap()).outcome, Outcome::NothingToRemove);
    assert_eq!(theirs.status(&other).unwrap()[0].state, StoreState::Trusted);

    // Also where our own authority is not there any more.
    let named = one(ours.untrust(None, &[other.fingerprint], Mode::Apply).unwrap());
    assert_eq!(named.outcome, Outcome::Removed(vec![other.fingerprint]));
    assert_eq!(theirs.status(&other).unwrap()[0].state, StoreState::NotTrusted);
}

#[test]
fn an_unknown_distribution_is_known_by_its_directory() {
    let fake = Fake::with_os("NAME=Unheard-Of\nID=unheard-of\n");
    let (ca, stores) = (fake.authority("Test CA"), fake.stores(StoreKind::System));
    assert_eq!(stores.status(&ca).unwrap()[0].state, StoreState::NotTrusted);
    for mode in [Mode::DryRun, Mode::Apply] {
        let outcome = one(stores.trust(&ca, mode).unwrap());
        assert_eq!(outcome.store, "System (Unheard-Of)");
        assert!(reason(&outcome).contains("not known"), "{outcome:?}");
    }
    assert_eq!(one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap()).outcome, Outcome::NothingToRemove);
    for distribution in &DISTRIBUTIONS[2..5] {
        let fake = Fake::with_os("NAME=Own\nID=unheard-of\n");
        fs::create_dir_all(fake.file(distribution.anchors)).unwrap();
        let ca = fake.authority("Test CA");
        let report = fake.stores(StoreKind::System).status(&ca).unwrap().remove(0);
        assert_eq!(report.store, "System (Own)");
        assert!(report.commands[0].to_string().contains(distribution.anchors), "{report:?}");
    }
}

#[test]
fn the_tool_of_debian_itself() {
    let Some(tool) = installed("update-ca-certificates") else { return };
    let fake = Fake::with_os(DISTRIBUTIONS[0].release);
    for directory in ["usr/local/share/ca-certificates", "usr/share/ca-certificates", "etc/ssl/certs", "etc/hooks"] {
        fs::create_dir_all(fake.file(directory)).unwrap();
    }
    let foreign = crate::authority::pem(crate::authority::authority("Of the machine"));
    fake.write("usr/share/ca-certificates/machine.crt", &foreign);
    fake.write("etc/ca-certificates.conf", "machine.crt\n");
    fake.tool(
        "update-ca-certificates",
        &format!(
            "exec '{}' \"$@\" --certsconf \"$ROOT/etc/ca-certificates.conf\" --certsdir \"$ROOT/usr/share/ca-certificates\" \
             --localcertsdir \"$ROOT/usr/local/share/ca-certificates\" --etccertsdir \"$ROOT/etc/ssl/certs\" \
             --hooksdir \"$ROOT/etc/hooks\"",
            tool.display()
        ),
    );
    let ca = fake.authority("Test CA");
    let stores = fake.stores(StoreKind::System);
    assert_eq!(one(stores.trust(&ca, Mode::Apply).unwrap()).outcome, Outcome::Trusted);
    let bundle = fake.file(DISTRIBUTIONS[0].bundle);
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(text.contains(&ca.pem) && text.contains(&foreign));
    let removed = one(stores.untrust(Some(&ca), &[], Mode::Apply).unwrap());
    assert_eq!(removed.outcome, Outcome::Removed(vec![ca.fingerprint]));
    assert_eq!(fs::read_to_string(&bundle).unwrap(), foreign);
    // The bundle, a link by name and one by hash; none of ours.
    let left: Vec<_> = fs::read_dir(fake.file("etc/ssl/certs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
