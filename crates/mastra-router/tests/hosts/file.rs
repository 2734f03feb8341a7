//! One manager on one file, case by case.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use mastra_router::{HostsEdit, HostsManager, HostsSettings, RouterError};

use crate::desk::{Desk, PLAIN, outside};

#[test]
fn a_block_comes_changes_and_goes() {
    let desk = Desk::with(PLAIN);
    let hosts = desk.manager("one");
    let change = hosts.add(["shop.mastra.local", "API.test"]).unwrap();
    assert!(change.changed);
    assert_eq!(fs::read(change.backup.unwrap()).unwrap(), PLAIN);
    let block = "# BEGIN MASTRA LOCAL ROUTING\n127.0.0.1\tapi.test\t# one\n::1\tapi.test\t# one\n\
                 127.0.0.1\tshop.mastra.local\t# one\n::1\tshop.mastra.local\t# one\n# END MASTRA LOCAL ROUTING\n";
    assert_eq!(desk.text(), format!("{}{block}", String::from_utf8_lossy(PLAIN)));

    let before = fs::metadata(&desk.file).unwrap();
    let same = hosts.set(["api.test", "shop.mastra.local"]).unwrap();
    assert!(!same.changed && same.backup.is_none());
    assert_eq!(fs::metadata(&desk.file).unwrap().ino(), before.ino(), "what is right is not written");

    assert!(hosts.has_entry("Shop.Mastra.Local").unwrap() && !hosts.has_entry("printer.lan").unwrap());
    assert!(hosts.remove(["shop.mastra.local"]).unwrap().changed);
    assert_eq!(desk.names().into_iter().collect::<Vec<_>>(), ["api.test"]);
    assert!(!hosts.remove(["shop.mastra.local", "no name at all"]).unwrap().changed);
    hosts.remove_all().unwrap();
    assert_eq!(desk.content(), PLAIN);
}

#[test]
fn owners_do_not_remove_each_others_names() {
    let desk = Desk::with(PLAIN);
    let (one, two) = (desk.manager("one"), desk.manager("two"));
    one.add(["a.test", "both.test"]).unwrap();
    two.add(["b.test", "both.test"]).unwrap();
    assert!(!two.remove(["a.test"]).unwrap().changed);
    two.set(["c.test", "both.test"]).unwrap();
    one.remove_all().unwrap();
    assert_eq!(desk.names().into_iter().collect::<Vec<_>>(), ["both.test", "c.test"]);
    one.clean().unwrap();
    assert_eq!(desk.content(), PLAIN, "clean takes the whole block");
}

#[test]
fn what_others_wrote_into_the_block_stays_until_it_is_cleaned() {
    let block = "# BEGIN MASTRA LOCAL ROUTING\r\n# a note\r\n10.0.0.9 mine.lan\r\n127.0.0.1 old.mastra.local\r\n\
                 # END MASTRA LOCAL ROUTING";
    let desk = Desk::with(format!("1.2.3.4 x\r\n{block}").as_bytes());
    let hosts = desk.manager("one");
    hosts.add(["a.test"]).unwrap();
    hosts.remove_all().unwrap();
    let text = desk.text();
    assert!(text.contains("# a note\r\n10.0.0.9 mine.lan\r\n") && text.ends_with("ROUTING"), "{text:?}");
    assert!(hosts.has_entry("old.mastra.local").unwrap());
    assert!(matches!(hosts.add(["mine.lan"]), Err(RouterError::HostsName { .. })));
    assert!(
        hosts.remove(["old.mastra.local"]).unwrap().changed,
        "an entry of nobody is anybody's to remove by its name"
    );
    hosts.clean().unwrap();
    assert_eq!(desk.text(), "1.2.3.4 x\r\n");
}

#[test]
fn line_endings_and_last_lines() {
    for file in
        ["", "\n", "127.0.0.1 a", "127.0.0.1 a\r\n", "a\r\nb", "a\nb\r\nc", "\u{feff}127.0.0.1 a", "\u{feff}", "a\r"]
    {
        let desk = Desk::with(file.as_bytes());
        let hosts = desk.manager("one");
        hosts.add(["a.test"]).unwrap();
        let text = desk.text();
        assert!(
            text.starts_with(file)
                && text.lines().any(|l| l.trim_start_matches('\u{feff}') == "# BEGIN MASTRA LOCAL ROUTING"),
            "{text:?}"
        );
        let crlf = text.matches("\r\n").count() - file.matches("\r\n").count();
        assert!(file.contains("\r\n") == (crlf >= 4), "{text:?}");
        hosts.add(["b.test"]).unwrap();
        hosts.remove_all().unwrap();
        assert_eq!(desk.text(), file);
        hosts.add(["a.test"]).unwrap();
        hosts.clean().unwrap();
        assert_eq!(desk.text(), file);
    }
    // What comes behind the block keeps the newline that was put before it.
    let desk = Desk::with(b"1.1.1.1 a");
    desk.manager("one").add(["a.test"]).unwrap();
    fs::write(&desk.file, format!("{}2.2.2.2 b", desk.text())).unwrap();
    desk.manager("one").clean().unwrap();
    assert_eq!(desk.text(), "1.1.1.1 a\n2.2.2.2 b");
}

#[test]
fn a_block_that_cannot_be_understood_is_told_by_its_line() {
    const B: &str = "# BEGIN MASTRA LOCAL ROUTING\n";
    const E: &str = "# END MASTRA LOCAL ROUTING\n";
    for (file, line) in [
        (format!("1.1.1.1 a\n{B}127.0.0.1 x.test\n2.2.2.2 b\n"), 2),
        (format!("{B}{B}{E}"), 2),
        (format!("{E}1.1.1.1 a\n"), 1),
        (format!("{B}{E}1.1.1.1 a\n{E}"), 4),
        (format!("{B}{E}1.1.1.1 a\n{B}{E}"), 4),
        (format!("\u{feff}{B}1.1.1.1 a"), 1),
        (format!("1.1.1.1 a\r\n{}", E.replace('\n', "\r\n")), 2),
    ] {
        let desk = Desk::with(file.as_bytes());
        let hosts = desk.manager("one");
        let edits = [HostsEdit::Add(vec!["a.test".into()]), HostsEdit::RemoveAll, HostsEdit::Clean];
        for edit in edits {
            match (hosts.apply(&edit), hosts.preview(&edit)) {
                (Err(RouterError::HostsFile { line: at, .. }), Err(_)) => assert_eq!(at, Some(line), "{file:?}"),
                other => panic!("{file:?}: {other:?}"),
            }
        }
        let error = hosts.entries().unwrap_err();
        assert_eq!(error.code(), "HOSTS_FILE");
        assert!(error.to_string().contains(&format!("line {line}")), "{error}");
        assert_eq!(desk.text(), file);
        assert_eq!(desk.listing(), (vec!["hosts".to_owned()], vec![]));
    }
    // No marker, only something like one.
    for like in [format!(" {B}"), "# BEGIN MASTRA LOCAL ROUTING X\n".into(), format!("1.1.1.1 a {E}"), B.to_lowercase()]
    {
        let desk = Desk::with(like.as_bytes());
        desk.manager("one").add(["a.test"]).unwrap();
        desk.manager("one").clean().unwrap();
        assert_eq!(desk.text(), like);
    }
    let desk = Desk::with(b"\xff\xfe1\x00");
    assert_eq!(desk.manager("one").add(["a.test"]).unwrap_err().code(), "HOSTS_FILE");
}

#[test]
fn names_that_are_refused_change_nothing() {
    let desk = Desk::with(PLAIN);
    let hosts = desk.manager("one");
    for bad in [
        "localhost",
        "registry.npmjs.org",
        "a.test\n1.1.1.1 bank.test",
        "a.test # x",
        "a b.test",
        "127.0.0.1",
        "",
        "*.test",
    ] {
        for edit in [HostsEdit::Add(vec!["good.test".into(), bad.into()]), HostsEdit::Set(vec![bad.into()])] {
            assert!(matches!(hosts.apply(&edit), Err(RouterError::HostsName { .. })), "{bad:?}");
        }
    }
    assert_eq!(desk.content(), PLAIN);
    let change = hosts.apply(&HostsEdit::Sync(vec!["good.test".into(), "bad_.test".into()])).unwrap();
    assert_eq!(
        change.refused.iter().map(|(name, error)| (name.as_str(), error.code())).collect::<Vec<_>>(),
        [("bad_.test", "HOSTS_NAME")]
    );
    assert_eq!(desk.names().into_iter().collect::<Vec<_>>(), ["good.test"]);
    let remote = HostsSettings { local_ip: "10.0.0.1".parse().unwrap(), ..desk.settings("one") };
    assert!(matches!(HostsManager::new(remote), Err(RouterError::InvalidConfig { setting: "localIp", .. })));
    let other = HostsSettings { local_ip: "127.0.0.5".parse().unwrap(), ..desk.settings("one") };
    HostsManager::new(other).unwrap().set(["five.test"]).unwrap();
    assert!(desk.text().contains("127.0.0.5\tfive.test") && !desk.text().contains("::1\tfive.test"));
}

#[test]
fn a_name_that_has_another_address_is_not_taken_from_it() {
    let file = "127.0.0.1 local.test\n10.0.0.1 a.test Shop.Test # shop2.test\n127.0.0.1 shop2.test\n";
    let desk = Desk::with(file.as_bytes());
    let hosts = desk.manager("one");
    match hosts.add(["shop2.test", "shop.test"]) {
        Err(RouterError::HostsTaken { name, line, address, path }) => {
            assert_eq!((name.as_str(), line, address.as_str(), path), ("shop.test", 2, "10.0.0.1", desk.file.clone()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(desk.text(), file);
    hosts.add(["shop2.test", "local.test"]).unwrap();
    HostsManager::new(HostsSettings { force: true, ..desk.settings("one") }).unwrap().add(["shop.test"]).unwrap();
    assert!(hosts.has_entry("shop.test").unwrap());
    fs::write(&desk.file, format!("{}::2 b.test\n", desk.text())).unwrap();
    let lines = desk.text().lines().count();
    assert!(matches!(hosts.add(["b.test"]), Err(RouterError::HostsTaken { line, .. }) if line == lines));
}

#[test]
fn mode_owner_and_links_stay() {
    let desk = Desk::with(PLAIN);
    let root = rustix::process::geteuid().is_root();
    if root {
        chown(&desk.file, Some(12_345), Some(23_456)).unwrap();
    }
    fs::set_permissions(&desk.file, fs::Permissions::from_mode(0o664)).unwrap();
    let _ = rustix::fs::setxattr(&desk.file, "user.mine", b"kept", rustix::fs::XattrFlags::empty());
    let had = rustix::fs::getxattr(&desk.file, "user.mine", &mut [0_u8; 16]);
    let before = fs::metadata(&desk.file).unwrap();
    let link = desk.dir.path().join("link");
    symlink("hosts", &link).unwrap();
    let settings = HostsSettings { path: Some(link.clone()), ..desk.settings("one") };
    let hosts = HostsManager::new(settings).unwrap();
    hosts.add(["a.test"]).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let after = fs::symlink_metadata(&desk.file).unwrap();
    assert_ne!(before.ino(), after.ino(), "it was replaced");
    let shown = |m: &fs::Metadata| (m.mode(), m.uid(), m.gid());
    assert_eq!(shown(&before), shown(&after));
    assert_eq!(rustix::fs::getxattr(&desk.file, "user.mine", &mut [0_u8; 16]), had);
    assert_eq!(desk.listing().0, ["backups", "hosts", "link"], "nothing is left behind");

    // A second name of the file goes on being one.
    let twin = desk.dir.path().join("twin");
    fs::hard_link(&desk.file, &twin).unwrap();
    hosts.add(["b.test"]).unwrap();
    assert_eq!(fs::read(&twin).unwrap(), desk.content());
    assert!(hosts.has_entry("b.test").unwrap());
    hosts.clean().unwrap();
    assert_eq!(fs::read(&twin).unwrap(), PLAIN);
    assert!(desk.listing().1.iter().all(|name| !name.contains("intended")));
}

#[test]
fn files_that_are_none() {
    let desk = Desk::empty();
    let hosts = desk.manager("one");
    assert!(hosts.entries().unwrap().is_empty());
    assert!(!hosts.remove_all().unwrap().changed && !desk.file.exists());
    assert!(hosts.add(["bad name.test"]).is_err() && !desk.file.exists());
    let made = hosts.add(["a.test"]).unwrap();
    assert!(made.changed && made.backup.is_none());
    assert_eq!(fs::metadata(&desk.file).unwrap().mode() & 0o777, 0o644);
    hosts.clean().unwrap();
    assert_eq!(desk.content(), b"");

    let at = |path| HostsManager::new(HostsSettings { path: Some(path), ..desk.settings("one") }).unwrap();
    let error = |path| at(path).add(["a.test"]).unwrap_err();
    assert!(error(desk.dir.path().join("no/hosts")).to_string().contains("its directory does not exist"));
    assert!(error(desk.dir.path().to_owned()).to_string().contains("not a regular file"));
    let dangling = desk.dir.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    assert!(error(dangling).to_string().contains("symbolic link"));
    let pipe = desk.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(error(pipe).to_string().contains("not a regular file"));
}

#[test]
fn one_of_several_backups_is_put_back() {
    let desk = Desk::with(PLAIN);
    let hosts = HostsManager::new(desk.settings("a")).unwrap();
    let first = hosts.add(["one.test"]).unwrap().backup.unwrap();
    let second = hosts.add(["two.test"]).unwrap().backup.unwrap();
    let now = desk.content();
    let elsewhere = desk.dir.path().join(first.file_name().unwrap());
    std::fs::copy(&first, &elsewhere).unwrap();
    let [up, none] = [desk.backups.join("../hosts"), desk.backups.join("hosts-00000000-000001")];
    for refused in [elsewhere, up, none, desk.backups.clone(), "".into()] {
        let error = hosts.apply(&HostsEdit::RestoreFrom(refused.clone())).unwrap_err();
        assert!(error.to_string().contains("is no backup of"), "{refused:?}: {error}");
        assert_eq!(desk.content(), now);
    }
    hosts.apply(&HostsEdit::RestoreFrom(first)).unwrap();
    assert_eq!(desk.content(), PLAIN);
    hosts.apply(&HostsEdit::RestoreFrom(second)).unwrap();
    assert!(hosts.has_entry("one.test").unwrap() && !hosts.has_entry("two.test").unwrap());
}

#[test]
fn backups_are_kept_to_a_number_and_put_back() {
    let desk = Desk::with(PLAIN);
    let hosts = desk.manager("one");
    assert!(hosts.restore().unwrap_err().to_string().contains("there is no backup"));
    for i in 0..15 {
        hosts.add([format!("n{i}.test")]).unwrap();
    }
    let before_last: Vec<u8> = {
        let last = hosts.add(["last.test"]).unwrap().backup.unwrap();
        fs::read(last).unwrap()
    };
    assert_eq!(desk.listing().1.len(), 10);
    assert_eq!(fs::metadata(&desk.backups).unwrap().mode() & 0o777, 0o700);
    let with_last = desk.content();
    let shown = hosts.preview(&HostsEdit::Restore).unwrap();
    assert!(shown.diff.contains("-127.0.0.1\tlast.test\t# one\n"), "{}", shown.diff);
    hosts.restore().unwrap();
    assert_eq!(desk.content(), before_last);
    hosts.restore().unwrap();
    assert_eq!(desk.content(), with_last, "a restore can be undone");
    assert_eq!(desk.listing().1.len(), 10);
    // Another file has backups of its own.
    let other = desk.dir.path().join("other");
    fs::write(&other, "").unwrap();
    let other = HostsManager::new(HostsSettings { path: Some(other), ..desk.settings("one") }).unwrap();
    assert!(other.restore().is_err());
}

#[test]
fn a_preview_changes_nothing() {
    let desk = Desk::with(b"1.1.1.1 a");
    let hosts = desk.manager("one");
    let preview = hosts.preview(&HostsEdit::Add(vec!["a.test".into()])).unwrap();
    assert!(preview.changed);
    let lines: Vec<&str> = preview.diff.lines().collect();
    let path = desk.file.display();
    assert_eq!(lines[0], format!("--- {path}"));
    assert_eq!(lines[1], format!("+++ {path}"));
    assert!(
        lines.contains(&"+127.0.0.1\ta.test\t# one") && lines.contains(&"\\ No newline at end of file"),
        "{lines:?}"
    );
    assert_eq!(desk.text(), "1.1.1.1 a");
    assert_eq!(desk.listing(), (vec!["hosts".to_owned()], vec![]));
    let none = hosts.preview(&HostsEdit::Clean).unwrap();
    assert_eq!((none.changed, none.diff.as_str()), (false, ""));
}

#[test]
fn backups_are_not_written_where_others_could_lead_them_elsewhere() {
    let desk = Desk::with(PLAIN);
    let refused = |reason: &str| {
        let error = desk.manager("one").add(["a.test"]).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(desk.content(), PLAIN);
        assert_eq!(crate::desk::listed(desk.dir.path()).iter().filter(|n| n.starts_with('.')).count(), 0);
    };
    fs::create_dir(&desk.backups).unwrap();
    fs::set_permissions(&desk.backups, fs::Permissions::from_mode(0o777)).unwrap();
    refused("others can write to it");
    fs::remove_dir(&desk.backups).unwrap();
    fs::create_dir(desk.dir.path().join("real")).unwrap();
    symlink("real", &desk.backups).unwrap();
    refused("no backup can be kept there");
    fs::remove_file(&desk.backups).unwrap();
    fs::write(&desk.backups, "mine").unwrap();
    refused("no backup can be kept there");
    fs::remove_file(&desk.backups).unwrap();
    fs::set_permissions(desk.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    refused("open to other users");
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(desk.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(&desk.backups).unwrap();
        chown(&desk.backups, Some(12_345), None).unwrap();
        refused("belongs to another user");
    }
    assert_eq!(outside(&desk.content()), PLAIN);
}

#[test]
fn a_temporary_file_that_was_left_goes_and_one_in_use_stays() {
    let desk = Desk::with(PLAIN);
    let left = desk.dir.path().join(".hosts.mastra-router-1-0");
    let in_use = desk.dir.path().join(".hosts.mastra-router-1-1");
    fs::write(&left, "half").unwrap();
    let held = fs::File::create(&in_use).unwrap();
    held.lock().unwrap();
    desk.manager("one").add(["a.test"]).unwrap();
    assert!(!left.exists() && in_use.exists());
}

/// The record of a write in place, and the file as it is when that was cut at a byte.
#[test]
fn a_write_in_place_that_was_cut_short_is_undone() {
    let desk = Desk::with(PLAIN);
    let hosts = desk.manager("one");
    hosts.add(["first.test"]).unwrap();
    fs::write(&desk.file, format!("{}10.0.0.8 behind.lan\n", desk.text())).unwrap();
    let foreign = [PLAIN, b"10.0.0.8 behind.lan\n"].concat();
    let record = |names: &[&str]| {
        let old = desk.content();
        let backup = hosts.set(names.iter().copied()).unwrap().backup.unwrap();
        let new = desk.content();
        (format!("{}.intended", backup.display()), old, new)
    };
    for names in [&["a.test", "b.test", "c.test", "first.test"][..], &["z.test"]] {
        let (intended, old, new) = record(names);
        let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        for written in same..=new.len() {
            // As the system writes: over what is there, and only then is the rest cut off.
            let rest = old.get(written..).unwrap_or_default();
            fs::write(&desk.file, [&new[..written], rest].concat()).unwrap();
            fs::write(&intended, &new).unwrap();
            hosts.set(["first.test"]).unwrap();
            assert_eq!(outside(&desk.content()), foreign, "cut at {written}");
            assert_eq!(desk.names().into_iter().collect::<Vec<_>>(), ["first.test"]);
            assert!(!std::path::Path::new(&intended).exists());
        }
    }
    // Mended by hand meanwhile: the record means nothing any more.
    let (intended, _, new) = record(&["a.test"]);
    fs::write(&intended, &new).unwrap();
    fs::write(&desk.file, "10.0.0.5 by-hand.lan\n").unwrap();
    hosts.set(["first.test"]).unwrap();
    assert!(desk.text().starts_with("10.0.0.5 by-hand.lan\n# BEGIN"));
}
