//! Generated hosts files through add, remove and clean.

use std::path::Path;

use mastra_router::{HostsManager, HostsSettings};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::desk::{outside, settings};

const BEGIN: &str = "# BEGIN MASTRA LOCAL ROUTING";
const END: &str = "# END MASTRA LOCAL ROUTING";

/// Each case is a handful of files, so memory is the disk where there is one in memory.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// Ten thousand are run with `MASTRA_ROUTER_TEST_CASES=10000`; the pure half of it has as many in every run (`block.rs`).
fn cases(usual: u32) -> u32 {
    std::env::var("MASTRA_ROUTER_TEST_CASES").map_or(usual, |cases| cases.parse().unwrap())
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        "(127\\.0\\.0\\.1|10\\.[0-9]\\.0\\.[1-9]|::1|fe80::1%lo0|fd00::[a-f]{1,4}|0\\.0\\.0\\.0)[ \t]{1,3}[a-z]{1,8}(\\.[a-z]{2,5})?([ \t]{1,2}[a-z]{1,5})?[ \t]{0,2}(#.{0,10})?",
        "[ \t]*#.{0,30}",
        Just(String::new()),
        "[ \t]{0,4}",
        "\\PC{0,20}",
        // Almost a marker.
        Just(format!(" {BEGIN}")),
        Just(format!("{END} ")),
        Just(format!("#{BEGIN}")),
        Just("# begin mastra local routing".to_owned()),
    ];
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    let line = prop_oneof![9 => text.prop_map(String::into_bytes), 1 => bytes];
    // A newline within would make two lines of it, of which one could be a marker by chance alone.
    line.prop_map(|line| line.into_iter().filter(|b| *b != b'\n').collect())
}

fn block() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let entry = prop_oneof![
        "(127\\.0\\.0\\.1|::1)\t[a-c]{1,2}\\.(test|mastra\\.local)\t# (one|two)",
        "127\\.0\\.0\\.1 [a-c]{1,2}\\.test",
        "#.{0,10}",
    ];
    proptest::collection::vec(entry.prop_map(String::into_bytes), 0..5)
}

/// A file, and what of it is not ours.
fn file() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let lines = || proptest::collection::vec((line(), prop_oneof![Just("\n"), Just("\r\n")]), 0..8);
    let own = proptest::option::of((block(), prop_oneof![Just("\n"), Just("\r\n")]));
    (any::<bool>(), lines(), own, lines(), any::<bool>()).prop_map(|(bom, before, own, after, ended)| {
        let mut file = Vec::new();
        let put = |file: &mut Vec<u8>, line: &[u8], eol: &str| file.extend([line, eol.as_bytes()].concat());
        if bom {
            file.extend(b"\xef\xbb\xbf");
        }
        // The first line of a file must not begin like UTF-16.
        let plain = |line: &[u8]| line.first().is_none_or(|b| *b < 0xfe);
        before.iter().filter(|(l, _)| plain(l)).for_each(|(line, eol)| put(&mut file, line, eol));
        let mut rest = file.clone();
        if let Some((entries, eol)) = own {
            put(&mut file, BEGIN.as_bytes(), eol);
            entries.iter().for_each(|entry| put(&mut file, entry, eol));
            put(&mut file, END.as_bytes(), eol);
        }
        for (line, eol) in after.iter().filter(|(l, _)| plain(l)) {
            put(&mut file, line, eol);
            put(&mut rest, line, eol);
        }
        if !ended {
            // Both lose the newline where the last line is not our marker.
            if let (Some(b'\n'), Some(b'\n'), true) = (file.last(), rest.last(), file != rest || !file.is_empty()) {
                let marker =
                    file.ends_with(format!("{END}\n").as_bytes()) || file.ends_with(format!("{END}\r\n").as_bytes());
                if !marker {
                    file.pop();
                    rest.pop();
                }
            }
        }
        (file, rest)
    })
}

#[test]
fn every_byte_that_is_not_ours_stays() {
    let dir = directory();
    let path = dir.path().join("hosts");
    let of = |owner| {
        HostsManager::new(HostsSettings { force: true, ..settings(&path, &dir.path().join("b"), owner) }).unwrap()
    };
    let (one, two) = (of("one"), of("three"));
    let names = proptest::collection::vec("[a-d]{1,2}\\.(test|mastra\\.local|localhost)", 1..5);
    let config = Config { cases: cases(1_500), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&(file(), names.clone(), names), |((file, rest), names, others)| {
        let read = || std::fs::read(&path).unwrap();
        // The newline that a file without one is given before the block is ours.
        let kept = |content: &[u8]| {
            let found = outside(strip_bom(content).1);
            let (bom, rest) = strip_bom(&rest);
            let mut with_newline = rest.to_vec();
            with_newline.extend_from_slice(b"\n");
            let mut with_crlf = rest.to_vec();
            with_crlf.extend_from_slice(b"\r\n");
            (content.starts_with(bom))
                && (found == rest || (!rest.ends_with(b"\n") && (found == with_newline || found == with_crlf)))
        };
        std::fs::write(&path, &file).unwrap();
        let had = one.entries().unwrap();
        one.add(names.clone()).unwrap();
        prop_assert!(kept(&read()), "add: {:?} became {:?}", show(&file), show(&read()));
        for name in &names {
            prop_assert!(one.has_entry(name).unwrap());
        }
        two.set(others.clone()).unwrap();
        one.remove(names.iter().take(1).cloned()).unwrap();
        prop_assert!(kept(&read()), "remove: {:?} became {:?}", show(&file), show(&read()));
        one.remove_all().unwrap();
        prop_assert!(others.iter().all(|name| two.has_entry(name).unwrap()), "another owner's were removed");
        two.remove_all().unwrap();
        let left = one.entries().unwrap();
        prop_assert!(left.iter().all(|entry| had.contains(entry)), "entries of nobody that was here are left");
        two.clean().unwrap();
        prop_assert_eq!(show(&read()), show(&rest));
        Ok(())
    });
    outcome.unwrap();
}

/// Processes that have ended, as lines of the block among others: each edit takes out those it may, and no other byte.
#[cfg(target_os = "linux")]
#[test]
fn only_entries_of_what_has_ended_go() {
    use mastra_router::HostsOwnerKind::{Program, Router};
    use mastra_router::{HostsEdit, HostsOwner};

    let dir = directory();
    let path = dir.path().join("hosts");
    // This process, had it started at another time: whoever that was has ended.
    let ended = |kind| {
        let own = HostsOwner::of_process(kind);
        let mut fields: Vec<&str> = own.as_str().split('.').collect();
        fields[2] = "1";
        HostsOwner::parse(&fields.join(".")).unwrap()
    };
    let living = [HostsOwner::of_process(Program), HostsOwner::of_process(Router)];
    let gone = [ended(Program), ended(Router)];
    assert!(gone.iter().all(HostsOwner::has_ended) && !living.iter().any(HostsOwner::has_ended));
    let named = ["router-3f2a9c81d4e0", "one"].map(|owner| HostsOwner::parse(owner).unwrap());
    let owners: Vec<Option<HostsOwner>> =
        living.into_iter().chain(gone.clone()).chain(named).map(Some).chain([None]).collect();
    let entry =
        ("[a-d]\\.test", proptest::sample::select(owners), proptest::bool::ANY).prop_map(|(name, owner, six)| {
            let owner = owner.map(|owner| format!("\t# {owner}")).unwrap_or_default();
            format!("{}\t{name}{owner}", if six { "::1" } else { "127.0.0.1" })
        });
    let entries = proptest::collection::btree_set(entry, 0..12);
    let outside_lines = (proptest::collection::vec("[#a-z0-9. ]{0,20}", 0..4), "\r?\n");
    let edit = prop_oneof![
        Just(HostsEdit::RemoveAll),
        proptest::collection::vec("[a-d]\\.test", 0..3).prop_map(HostsEdit::Remove),
        proptest::collection::vec("[a-d]\\.test", 0..3).prop_map(HostsEdit::Add),
        proptest::collection::vec("[a-d]\\.test", 0..3).prop_map(HostsEdit::Sync),
    ];
    let by = proptest::sample::select(vec![HostsOwner::of_process(Program), HostsOwner::parse("one").unwrap()]);
    let config = Config { cases: cases(1_000), failure_persistence: None, ..Config::default() };
    let outcome =
        TestRunner::new(config).run(&(entries, outside_lines, edit, by), |(entries, (rest, eol), edit, by)| {
            let rest: String = rest.iter().flat_map(|line| [line.as_str(), &eol]).collect();
            let block: String = entries.iter().flat_map(|line| [line.as_str(), &eol]).collect();
            std::fs::write(&path, format!("{rest}{BEGIN}{eol}{block}{END}{eol}")).unwrap();
            let settings = HostsSettings { owner: by.clone(), ..settings(&path, &dir.path().join("b"), "any") };
            let hosts = HostsManager::new(settings).unwrap();
            let before = hosts.entries().unwrap();
            hosts.apply(&edit).unwrap();
            let after = hosts.entries().unwrap();
            for entry in &before {
                let (is_own, named) =
                    (entry.owner.as_ref() == Some(&by), |names: &[String]| names.contains(&entry.name));
                let ended = gone.iter().position(|gone| Some(gone) == entry.owner.as_ref());
                let goes = match &edit {
                    HostsEdit::RemoveAll => is_own || (ended == Some(0) && by.process_kind() == Some(Program)),
                    HostsEdit::Remove(names) => named(names) && (is_own || ended.is_some() || entry.owner.is_none()),
                    HostsEdit::Add(names) => named(names) && ended.is_some(),
                    HostsEdit::Sync(names) => (is_own && !named(names)) || ended == Some(1),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(after.contains(entry), !goes, "{:?} by {}: {:?}", &edit, &by, entry);
            }
            prop_assert!(after.iter().all(|entry| before.contains(entry) || entry.owner.as_ref() == Some(&by)));
            prop_assert_eq!(show(&outside(&std::fs::read(&path).unwrap())), show(rest.as_bytes()));
            Ok(())
        });
    outcome.unwrap();
}

/// Names of every kind, of which those that are refused change nothing and the others stay within the block.
#[test]
fn no_name_reaches_beyond_the_block() {
    let dir = directory();
    let path = dir.path().join("hosts");
    let mine: &[u8] = b"127.0.0.1 localhost\r\n10.0.0.1 mine.lan\nlast";
    let hosts = HostsManager::new(settings(&path, &dir.path().join("b"), "one")).unwrap();
    let name = prop_oneof![
        ".{0,40}",
        "[a-z0-9.\\-#\n\r\t \x00]{0,30}(\\.test)?",
        "xn--[a-z0-9-]{0,20}\\.test",
        "[a-z-]{1,70}\\.localhost"
    ];
    let mut runner = TestRunner::new(Config { cases: cases(1_000), failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&proptest::collection::vec(name, 1..4), |names| {
        std::fs::write(&path, mine).unwrap();
        let added = hosts.add(names.clone());
        let now = std::fs::read(&path).unwrap();
        match added {
            Ok(_) => prop_assert_eq!(show(&outside(&now)), show(&[mine, b"\n"].concat())),
            Err(_) => prop_assert_eq!(show(&now), show(mine)),
        }
        for line in now.split(|b| *b == b'\n').filter(|line| line.ends_with(b"# one")) {
            let line = String::from_utf8(line.to_vec()).unwrap();
            let [address, name, owner] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            prop_assert!(["127.0.0.1", "::1"].contains(&address) && owner == "# one");
            prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')), "{}", name);
        }
        hosts.clean().unwrap();
        prop_assert_eq!(show(&std::fs::read(&path).unwrap()), show(mine));
        Ok(())
    });
    outcome.unwrap();
}

fn strip_bom(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes.split_at(if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 })
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
