//! What only root can set up: mounts, full disks, files that cannot be changed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::desk::{Desk, PLAIN, Task, process_with_mounts};

/// Whether this user can make mounts of its own; where not, a test has nothing to test.
fn can_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        let _ = writeln!(std::io::stderr(), "skipped: no mount namespace can be made here");
    }
    can
}

/// What the process said, and what the file held in the end, as it saw it.
fn run(script: &str, file: &Path, backups: &Path, name: &str) -> (String, String) {
    let output = process_with_mounts(script, file, backups, &Task::Add(name.to_owned())).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let outcome = said.lines().find(|l| l.starts_with("changed ") || l.starts_with("failed "));
    let outcome = outcome.unwrap_or_else(|| panic!("{said}{errors}")).to_owned();
    (outcome, said.split_once("\ncontent:\n").unwrap().1.to_owned())
}

#[test]
fn a_bind_mount_is_written_in_place() {
    if !can_mount() {
        return;
    }
    let desk = Desk::with(b"");
    let real = desk.dir.path().join("real");
    fs::write(&real, PLAIN).unwrap();
    let script = format!("mount --bind {} {}", real.display(), desk.file.display());
    let (outcome, content) = run(&script, &desk.file, &desk.backups, "a.test");
    assert_eq!(outcome, "changed true");
    assert!(content.contains("127.0.0.1\ta.test\t# mounted\n"));
    assert_eq!(fs::read_to_string(&real).unwrap(), content, "what is mounted was written, not what is beneath");
    assert!(content.as_bytes().starts_with(PLAIN));
    assert_eq!(desk.content(), b"");
    let (files, backups) = desk.listing();
    assert_eq!(files, ["backups", "hosts", "real"]);
    assert_eq!(backups.len(), 1);
    assert_eq!(fs::read(desk.backups.join(&backups[0])).unwrap(), PLAIN);

    let (outcome, _) = run(&script, &desk.file, &desk.backups, "a.test");
    assert_eq!(outcome, "changed false");
    let read_only = format!("{script}; mount -o remount,ro,bind {}", desk.file.display());
    let (outcome, after) = run(&read_only, &desk.file, &desk.backups, "b.test");
    assert!(outcome.starts_with("failed HOSTS_FILE") && outcome.contains("Read-only"), "{outcome}");
    assert_eq!(after, content);
}

/// As in a container whose file system cannot be written, but for the hosts file.
#[test]
fn a_directory_that_is_read_only() {
    if !can_mount() {
        return;
    }
    let desk = Desk::empty();
    let (etc, real) = (desk.dir.path().join("etc"), desk.dir.path().join("real"));
    fs::create_dir(&etc).unwrap();
    fs::write(&real, PLAIN).unwrap();
    fs::write(etc.join("hosts"), "").unwrap();
    let (e, r) = (etc.display(), real.display());
    let script = format!("mount --bind {e} {e}; mount -o remount,ro,bind {e}; mount --bind {r} {e}/hosts");
    let (outcome, content) = run(&script, &etc.join("hosts"), &desk.backups, "a.test");
    assert_eq!(outcome, "changed true");
    assert_eq!(fs::read_to_string(&real).unwrap(), content);
    assert!(content.contains("a.test"));
}

#[test]
fn a_full_disk_changes_nothing() {
    if !can_mount() {
        return;
    }
    let desk = Desk::empty();
    let disk = desk.dir.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let at = disk.display();
    // Two pages for what there is, and nothing for a copy.
    let full = format!(
        "mount -t tmpfs -o size=16k none {at}; printf '10.0.0.7 mine.lan\\n' > {at}/hosts; \
         dd if=/dev/zero of={at}/fill bs=4k count=99 2>/dev/null || true"
    );
    let (outcome, content) = run(&full, &disk.join("hosts"), &desk.backups, "a.test");
    assert!(outcome.starts_with("failed HOSTS_FILE") && outcome.contains("No space left"), "{outcome}");
    assert_eq!(content, "10.0.0.7 mine.lan\n");
    assert_eq!(desk.listing().1.len(), 0, "a backup of what was not changed is of no use");

    // In place, where the file has to grow by more than there is.
    let twice = format!(
        "mount -t tmpfs -o size=16k none {at}; yes '10.0.0.7 mine.lan' | head -c 4090 > {at}/hosts; ln {at}/hosts {at}/twin; \
         cp {at}/hosts {}; dd if=/dev/zero of={at}/fill bs=4k count=99 2>/dev/null || true",
        desk.dir.path().join("copy").display()
    );
    let (outcome, content) = run(&twice, &disk.join("hosts"), &desk.backups, "a.test");
    assert!(outcome.starts_with("failed HOSTS_FILE") && outcome.contains("No space left"), "{outcome}");
    assert_eq!(content, fs::read_to_string(desk.dir.path().join("copy")).unwrap(), "it was put back");

    // Where the backups are.
    let desk = Desk::with(PLAIN);
    fs::create_dir(&desk.backups).unwrap();
    let at = desk.backups.display();
    let script = format!(
        "mount -t tmpfs -o size=4k,mode=700 none {at}; dd if=/dev/zero of={at}/fill bs=4k count=9 2>/dev/null || true"
    );
    let (outcome, _) = run(&script, &desk.file, &desk.backups, "a.test");
    assert!(outcome.starts_with("failed HOSTS_FILE") && outcome.contains("no backup can be kept"), "{outcome}");
    assert_eq!(desk.content(), PLAIN);
}

#[test]
fn a_file_that_cannot_be_changed() {
    let desk = Desk::with(PLAIN);
    let set = |flag: &str| Command::new("chattr").arg(flag).arg(&desk.file).output().is_ok_and(|o| o.status.success());
    if !set("+i") {
        eprintln!("skipped: no file can be made immutable here");
        return;
    }
    let error = desk.manager("one").add(["a.test"]).unwrap_err();
    assert!(set("-i"));
    assert_eq!(error.code(), "HOSTS_FILE");
    assert!(error.to_string().contains("immutable"), "{error}");
    assert_eq!(desk.content(), PLAIN);
    assert_eq!(desk.listing(), (vec!["backups".to_owned(), "hosts".to_owned()], vec![]));
}
