//! What others write never speaks to the terminal.

use crate::router::{Desk, Ran, Router};

const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}d";

#[track_caller]
fn harmless(ran: &Ran) {
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']), "{ran:?}");
    }
}

#[test]
fn escape_sequences_are_shown_as_text() {
    let router = Router::start();
    let outcomes = [
        router.run(&["add", "shop", "4111", "--deployment", HOSTILE, "--project", HOSTILE]),
        router.run(&["add", "shop", "4111", "--deployment", HOSTILE]),
        router.run(&["list"]),
        router.run(&["get", HOSTILE]),
        router.run(&["get", "absent\u{1b}[2J\u{202e}"]),
        router.run(&["add", HOSTILE, "4111"]),
        router.run(&["add", "x", HOSTILE]),
        router.run(&["add", "x", "4111", "--path-prefix", HOSTILE]),
        router.run(&["add", "x", "4111", "--health", HOSTILE]),
        router.run(&["update", HOSTILE, "--target", "4111"]),
        router.run(&["rm", HOSTILE]),
        router.run(&[HOSTILE]),
        router.run(&["list", &format!("--{HOSTILE}")]),
        router.run(&["serve", "--config", HOSTILE]),
        router.run(&["list", "--home", HOSTILE]),
    ];
    outcomes.iter().for_each(harmless);
    assert!(outcomes.iter().any(|ran| ran.stderr.contains("\\u{1b}")), "it is shown");
    let log = router.process.stderr();
    assert!(!log.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{log:?}");
}

#[test]
fn a_hostile_file_is_shown_as_text() {
    let desk = Desk::new();
    desk.write("bad.toml", "[[routes]]\nname = \"\\u001b[2J\\u202e\"\ntarget = \"\\u001b[2J\"\n");
    harmless(&desk.run(["serve", "--config", "bad.toml"]).failed(2, "CONFIG_INVALID", &[]));
    desk.write("bad.toml", "\"\\u001b[2J\" = 1\n");
    harmless(&desk.run(["serve", "--config", "bad.toml"]).failed(2, "CONFIG_INVALID", &[]));
}

#[test]
fn colour_is_for_terminals() {
    let router = Router::start();
    router.run(&["add", "shop", "4111"]).ok();
    harmless(&router.run(&["list"]).ok());
}
