//! A process that is killed while it writes.

use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, PLAIN, Task, outside, process};

/// A thousand are killed with `MASTRA_ROUTER_TEST_KILLS=1000`.
fn kills() -> u64 {
    std::env::var("MASTRA_ROUTER_TEST_KILLS").map_or(60, |kills| kills.parse().unwrap())
}

/// Lets a process write, kills it at some moment, and looks at what it left.
fn kill_many(desk: &Desk, look: impl Fn(&Desk)) {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..kills() {
        let mut child = process(&desk.file, &desk.backups, "killed", &Task::Churn).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "churning"));
        // Not to wait for something: the moment is what is tried.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_micros(random % 40_000));
        kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        child.wait().unwrap();
        look(desk);
    }
}

/// Kills that never meet a write try nothing. A few may miss; many do not.
fn met_a_write(cut: u32) {
    let _ = writeln!(std::io::stdout(), "{cut} of {} were killed within a write", kills());
    assert!(cut > 0 || kills() < 500, "no kill met a write");
}

#[test]
fn the_file_is_whole_whenever_its_writer_is_killed() {
    let desk = Desk::with(PLAIN);
    let cut = std::cell::Cell::new(0);
    kill_many(&desk, |desk| {
        assert_eq!(outside(&desk.content()), PLAIN);
        // Counted once; that a successor tidies up is another test's.
        let left: Vec<_> = desk.listing().0.into_iter().filter(|name| name.starts_with(".hosts.")).collect();
        cut.set(cut.get() + u32::from(!left.is_empty()));
        left.iter().for_each(|name| std::fs::remove_file(desk.dir.path().join(name)).unwrap());
        let names = desk.names();
        let rounds = names.iter().filter_map(|name| name.split('-').next()).collect::<std::collections::BTreeSet<_>>();
        assert!(rounds.len() <= 1, "a mixture of two writes: {rounds:?}");
        assert!([0, 1, 3, 150, 400].contains(&names.len()));
    });
    met_a_write(cut.get());
    let hosts = desk.manager("killed");
    hosts.set(["last.test"]).unwrap();
    let (files, backups) = desk.listing();
    assert_eq!(files, ["backups", "hosts"], "the next writer tidies up");
    assert!((1..=10).contains(&backups.len()), "{backups:?}");
    hosts.clean().unwrap();
    assert_eq!(desk.content(), PLAIN);
}

/// In place, as on a bind mount, a write cannot be one step. The next writer puts right what was cut short.
#[test]
fn in_place_the_next_writer_puts_it_right() {
    let desk = Desk::with(PLAIN);
    std::fs::hard_link(&desk.file, desk.dir.path().join("twin")).unwrap();
    // Lines behind the block move whenever it grows or shrinks.
    let hosts = desk.manager("other");
    hosts.add(["kept.test"]).unwrap();
    let behind = b"10.0.0.8 behind.lan\n";
    std::fs::write(&desk.file, [&desk.content()[..], behind].concat()).unwrap();
    let cut = std::cell::Cell::new(0);
    kill_many(&desk, |desk| {
        assert!(desk.content().starts_with(PLAIN), "what stands before the block is never touched");
        let torn = desk.listing().1.iter().any(|name| name.ends_with(".intended"));
        cut.set(cut.get() + u32::from(torn));
        hosts.set(["kept.test", "more.test"]).unwrap();
        assert_eq!(outside(&desk.content()), [PLAIN, behind].concat());
        hosts.set(["kept.test"]).unwrap();
        assert!(desk.names().contains("kept.test"));
    });
    met_a_write(cut.get());
    hosts.clean().unwrap();
    assert_eq!(desk.content(), [PLAIN, behind].concat());
}
