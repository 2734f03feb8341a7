//! Owners that are processes: what they leave when they end, and who may take it out.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use mastra_router::{HostsEdit, HostsManager, HostsOwner, HostsSettings};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::desk::{Desk, PLAIN, PROGRAM, ROUTER, Task, outside, process, router_with, settings};

/// A process that has names in the file, and the owner it says it is. It ends with its value.
struct Holder {
    child: Child,
    owner: HostsOwner,
}

impl Holder {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let owner = lines.find_map(|line| line.strip_prefix("holding ").map(|owner| HostsOwner::parse(owner).unwrap()));
        Self { child, owner: owner.unwrap() }
    }

    /// Adds names as a program or a router of its own process.
    fn of(desk: &Desk, owner: &str, names: &[&str]) -> Self {
        let task = Task::Hold(names.iter().map(ToString::to_string).collect());
        Self::start(process(&desk.file, &desk.backups, owner, &task))
    }

    fn kill(mut self) -> HostsOwner {
        self.end();
        self.owner.clone()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

fn names(desk: &Desk) -> Vec<String> {
    desk.names().into_iter().collect()
}

/// The name's owners.
fn owners(desk: &Desk, name: &str) -> BTreeSet<HostsOwner> {
    let entries = desk.manager("reader").entries().unwrap();
    entries.into_iter().filter(|entry| entry.name == name).filter_map(|entry| entry.owner).collect()
}

#[test]
fn an_end_is_seen_and_nothing_else_is_taken_for_one() {
    let desk = Desk::with(PLAIN);
    for kind in [PROGRAM, ROUTER] {
        let mut holder = Holder::of(&desk, kind, &["a.test"]);
        let pid = holder.child.id();
        assert!(holder.owner.as_str().contains(&format!(".{pid}.")), "{}", holder.owner);
        assert!(!holder.owner.has_ended());
        // What its parent has not asked for yet keeps no name.
        holder.child.kill().unwrap();
        let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert!(holder.owner.has_ended(), "a zombie");
        holder.child.wait().unwrap();
        assert!(holder.owner.has_ended());
        // The same process, as another namespace would have written it.
        let (kind, rest) = holder.owner.as_str().split_once('-').unwrap();
        let (namespace, rest) = rest.split_once('.').unwrap();
        let namespace = u64::from_str_radix(namespace, 16).unwrap() + 1;
        assert!(!HostsOwner::parse(&format!("{kind}-{namespace:x}.{rest}")).unwrap().has_ended());
    }
}

#[test]
fn a_script_that_ended_is_followed_by_one_that_removes_its_names() {
    let desk = Desk::with(PLAIN);
    let first = Holder::of(&desk, PROGRAM, &["shop.test", "api.test"]);
    let living = Holder::of(&desk, PROGRAM, &["living.test"]);
    let next = desk.manager(PROGRAM);
    // Nobody removes the names of a process that lives.
    assert!(!next.remove(["shop.test", "living.test"]).unwrap().changed);
    assert!(!next.remove_all().unwrap().changed);
    let first = first.kill();
    assert!(next.remove(["Shop.test", "living.test"]).unwrap().changed);
    assert_eq!(names(&desk), ["api.test", "living.test"]);
    assert_eq!(owners(&desk, "api.test"), BTreeSet::from([first]));
    assert!(next.remove_all().unwrap().changed);
    assert_eq!(names(&desk), ["living.test"]);
    drop(living);
    assert!(desk.manager("anybody").remove(["living.test"]).unwrap().changed);
    assert_eq!(desk.content(), PLAIN);
}

/// Who takes out what, for each edit and each kind of an owner that has ended.
#[test]
fn each_edit_takes_out_its_kind_of_ended_owners() {
    let desk = Desk::with(PLAIN);
    let hold = |owner: &str, name: &str| Holder::of(&desk, owner, &[name]);
    let living = [hold(PROGRAM, "p1.test"), hold(ROUTER, "r1.test")];
    let ended = [hold(PROGRAM, "p2.test"), hold(ROUTER, "r2.test")].map(Holder::kill);
    desk.manager("router-3f2a9c81d4e0").add(["home.test"]).unwrap();
    desk.manager("named").add(["named.test"]).unwrap();
    let before = desk.content();
    let all = ["home.test", "named.test", "p1.test", "p2.test", "r1.test", "r2.test"];
    let every = || all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&desk), all);
    let remove = || HostsEdit::Remove(every());
    for (owner, edit, gone) in [
        (PROGRAM, HostsEdit::Sync(vec![]), &["r2.test"][..]),
        (ROUTER, HostsEdit::Sync(vec![]), &["r2.test"]),
        ("router-3f2a9c81d4e0", HostsEdit::Sync(vec![]), &["home.test", "r2.test"]),
        (PROGRAM, HostsEdit::RemoveAll, &["p2.test"]),
        (ROUTER, HostsEdit::RemoveAll, &[]),
        ("named", HostsEdit::RemoveAll, &["named.test"]),
        (PROGRAM, remove(), &["p2.test", "r2.test"]),
        (ROUTER, remove(), &["p2.test", "r2.test"]),
        ("named", remove(), &["named.test", "p2.test", "r2.test"]),
        (PROGRAM, HostsEdit::Set(vec![]), &[]),
        (PROGRAM, HostsEdit::Add(vec![]), &[]),
    ] {
        std::fs::write(&desk.file, &before).unwrap();
        let hosts = desk.manager(owner);
        let shown = hosts.preview(&edit).unwrap();
        let changed = hosts.apply(&edit).unwrap().changed;
        let left: Vec<&str> = all.into_iter().filter(|name| !gone.contains(name)).collect();
        assert_eq!(names(&desk), left, "{owner}: {edit:?}");
        assert_eq!((shown.changed, changed), (!gone.is_empty(), !gone.is_empty()));
        assert_eq!(outside(&desk.content()), PLAIN);
    }
    // Adding takes over what an owner has that ended, of whichever kind, and shares what a living one has.
    for edit in [HostsEdit::Add(every()), HostsEdit::Set(every())] {
        std::fs::write(&desk.file, &before).unwrap();
        let hosts = desk.manager(PROGRAM);
        assert!(hosts.apply(&edit).unwrap().changed);
        let own = hosts.owner().clone();
        for (name, owner) in all.into_iter().zip(["router-3f2a9c81d4e0", "named"].map(HostsOwner::parse)) {
            assert_eq!(owners(&desk, name), BTreeSet::from([own.clone(), owner.unwrap()]));
        }
        for name in ["p2.test", "r2.test"] {
            assert_eq!(owners(&desk, name), BTreeSet::from([own.clone()]), "{edit:?}");
        }
        for (name, holder) in ["p1.test", "r1.test"].into_iter().zip(&living) {
            assert_eq!(owners(&desk, name), BTreeSet::from([own.clone(), holder.owner.clone()]));
        }
    }
    assert!(ended.iter().all(HostsOwner::has_ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_router_left_goes_with_the_next_routers_first_change() {
    let desk = Desk::with(PLAIN);
    let route = |name: &str| Holder::start(process(&desk.file, &desk.backups, ROUTER, &Task::Route(name.to_owned())));
    let (killed, living) = (route("killed"), route("living"));
    Holder::of(&desk, PROGRAM, &["script.test"]).kill();
    assert_eq!(names(&desk), ["killed.localhost", "living.localhost", "script.test"]);
    killed.kill();
    let (one, two) = (
        router_with(&desk.file, &desk.backups, "one").await,
        // A second router of one process has names of its own.
        router_with(&desk.file, &desk.backups, "two").await,
    );
    assert_eq!(names(&desk), ["living.localhost", "one.localhost", "script.test", "two.localhost"]);
    one.close().await;
    assert_eq!(names(&desk), ["living.localhost", "script.test", "two.localhost"]);
    // The last change of a router is one, too.
    living.kill();
    two.close().await;
    assert_eq!(names(&desk), ["script.test"]);
    let hosts = HostsManager::new(HostsSettings { force: true, ..settings(&desk.file, &desk.backups, "any") }).unwrap();
    hosts.remove(["script.test"]).unwrap();
    assert_eq!(desk.content(), PLAIN);
}
