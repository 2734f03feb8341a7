//! `up` on a terminal: a table below the logs.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::router::{Ran, Router, Running};
use crate::run::server;
use crate::up::shop;

/// An `up` in a terminal of its own, to its end.
fn in_terminal(router: &Router, script: &str, no_color: bool) -> Ran {
    let up = router.desk.command(["up"]);
    let mut command = Command::new("python3");
    command
        .args([&format!("{}/tests/it/terminal.py", env!("CARGO_MANIFEST_DIR")), script])
        .arg(up.get_program())
        .args(up.get_args())
        .current_dir(up.get_current_dir().unwrap())
        .env_remove("NO_COLOR")
        .env_remove("FORCE_COLOR")
        .env("TERM", "xterm")
        .envs(up.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if no_color {
        command.env("NO_COLOR", "1");
    }
    Running::spawn(&mut command).ended()
}

#[test]
fn a_table_stays_below_the_logs() {
    let router = Router::start();
    let app = format!(
        "{}[apps.chatty]\ncommand = \"printf 'hi \\\\033[32mgreen\\\\033[2J\\\\007\\\\n'; echo FORCE_COLOR=$FORCE_COLOR; exec python3 {}\"\n",
        shop("log=api.log"),
        server()
    );
    router.desk.write("mastra-router.toml", &app);
    let ran = in_terminal(&router, "until all apps are there\ntype \\x03", false);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let shown = &ran.stdout;
    assert!(shown.contains("|\u{1b}[0m hi \u{1b}[32mgreen\\u{7}\u{1b}[0m"), "the colour, and nothing else: {shown:?}");
    assert!(shown.contains("FORCE_COLOR=1"), "{shown:?}");
    assert!(shown.contains("NAME ") && shown.contains(" UPTIME"), "{shown:?}");
    assert!(shown.contains("\u{1b}[32m●\u{1b}[0m healthy"), "{shown:?}");
    assert!(shown.contains("○\u{1b}[0m waiting for api-v2"), "{shown:?}");
    let signals = std::fs::read_to_string(router.desk.path("api.log")).unwrap();
    assert_eq!(signals, "SIGTERM\n", "Ctrl-C comes to up alone");
    let last = shown.rsplit("NAME ").next().unwrap();
    assert_eq!(last.matches("stopped").count(), 4, "the last table stays: {last:?}");
    assert!(shown.ends_with("\u{1b}[?7h"), "lines run over the edge again");
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn no_colour_where_none_is_wanted() {
    let router = Router::start();
    let command =
        format!("printf 'hi \\\\033[32mgreen\\\\n'; echo FORCE_COLOR=$FORCE_COLOR.; exec python3 {}", server());
    router.desk.write("mastra-router.toml", &format!("[apps.a]\ncommand = \"{command}\"\n"));
    let ran = in_terminal(&router, "until all apps are there\ntype \\x03", true);
    assert!(ran.stdout.contains("a | hi green\r\n") && ran.stdout.contains("FORCE_COLOR=.\r\n"), "{ran:?}");
    assert!(!ran.stdout.contains("\u{1b}[32m"), "{ran:?}");
}

#[test]
fn ctrl_c_twice_ends_what_is_deaf() {
    let router = Router::start();
    router.desk.write("mastra-router.toml", &shop("deaf"));
    let ran =
        in_terminal(&router, "until all apps are there\ntype \\x03\nuntil stopping\ntype \\x03\ntype \\x03", false);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}

#[test]
fn the_table_shows_what_sleeps() {
    let router = Router::start();
    router
        .desk
        .write("mastra-router.toml", &format!("[apps.web]\ncommand = [\"python3\", \"{}\"]\nwake = true\n", server()));
    let get = format!("shell curl -s -H host:web.localhost http://{}/x", router.proxy);
    let script = format!("until all apps are there\nuntil asleep\n{get}\nuntil healthy\ntype \\x03");
    let ran = in_terminal(&router, &script, true);
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let row = |state: &str| {
        ran.stdout.lines().any(|line| line.starts_with("web   http") && line.contains(&format!("  {state}")))
    };
    assert!(row("○ asleep") && row("○ starting") && row("● healthy"), "{ran:?}");
    assert!(!ran.stdout.contains("asleep:"), "the table has one word for it: {ran:?}");
}
