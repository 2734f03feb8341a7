//! Many processes at once.

use std::collections::BTreeSet;
use std::process::{Child, Output};

use crate::desk::{Desk, PLAIN, Task, outside, process};

const PROCESSES: usize = 20;
const EACH: usize = 5;

fn all_add(desk: &Desk, owner: impl Fn(usize) -> String) -> BTreeSet<String> {
    let of = |i: usize| -> Vec<String> { (0..EACH).map(|n| format!("n{n}.p{i}.test")).collect() };
    let running: Vec<Child> = (0..PROCESSES)
        .map(|i| process(&desk.file, &desk.backups, &owner(i), &Task::AddEach(of(i))).spawn().unwrap())
        .collect();
    let ended: Vec<Output> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in ended {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    (0..PROCESSES).flat_map(of).collect()
}

#[test]
fn processes_that_add_at_once_lose_nothing() {
    let desk = Desk::with(PLAIN);
    let names = all_add(&desk, |i| format!("owner{i}"));
    assert_eq!(desk.names(), names);
    assert_eq!(outside(&desk.content()), PLAIN);
    let (files, backups) = desk.listing();
    assert_eq!((files, backups.len()), (vec!["backups".to_owned(), "hosts".to_owned()], 10));
    desk.manager("owner3").remove_all().unwrap();
    assert_eq!(desk.names().len(), (PROCESSES - 1) * EACH);
    desk.manager("any").clean().unwrap();
    assert_eq!(desk.content(), PLAIN);
}

#[test]
fn the_first_of_many_makes_the_file() {
    let desk = Desk::empty();
    assert_eq!(all_add(&desk, |_| "one".to_owned()), desk.names());
}

/// As the one before, with less between the start and the race, and so many times.
#[test]
fn a_file_that_is_made_by_many_is_made_once() {
    const THREADS: usize = 8;
    let desk = Desk::empty();
    for round in 0..100 {
        let barrier = std::sync::Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for i in 0..THREADS {
                let (desk, barrier) = (&desk, &barrier);
                scope.spawn(move || {
                    let hosts = desk.manager(&format!("owner{i}"));
                    barrier.wait();
                    hosts.add([format!("n{i}.test")]).unwrap_or_else(|error| panic!("round {round}: {error}"));
                });
            }
        });
        assert_eq!(desk.names().len(), THREADS, "round {round}");
        std::fs::remove_file(&desk.file).unwrap();
    }
}

#[test]
fn in_place_they_lose_nothing_either() {
    let desk = Desk::with(PLAIN);
    let twin = desk.dir.path().join("twin");
    std::fs::hard_link(&desk.file, &twin).unwrap();
    assert_eq!(all_add(&desk, |i| format!("owner{i}")), desk.names());
    assert_eq!(std::fs::read(twin).unwrap(), desk.content());
    assert_eq!(outside(&desk.content()), PLAIN);
}

/// An editor knows no lock. What it saves is kept, whenever it does.
#[test]
fn what_an_editor_saves_meanwhile_is_kept() {
    let desk = Desk::with(PLAIN);
    let mut churning =
        process(&desk.file, &desk.backups, "one", &Task::AddEach((0..200).map(|i| format!("n{i}.test")).collect()));
    let mut churning = churning.spawn().unwrap();
    let mut lines = 0;
    while churning.try_wait().unwrap().is_none() {
        // As editors do: read, change, write beside, and move there.
        let read = desk.content();
        let beside = desk.dir.path().join("hosts.swp");
        std::fs::write(&beside, [format!("10.9.0.1 line{lines}\n").as_bytes(), &read].concat()).unwrap();
        if desk.content() == read {
            std::fs::rename(&beside, &desk.file).unwrap();
            lines += 1;
        }
        if lines == 100 {
            assert!(churning.wait().unwrap().success());
        }
    }
    assert!(churning.wait().unwrap().success());
    let text = desk.text();
    for line in 0..lines {
        assert!(text.contains(&format!("10.9.0.1 line{line}\n")), "line {line} of {lines} is gone");
    }
    assert!(text.contains(std::str::from_utf8(PLAIN).unwrap()) && lines > 0);
}
