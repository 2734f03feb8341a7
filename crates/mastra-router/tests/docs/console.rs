//! The README's terminal transcripts and configuration file, carried out.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::programs::{is_installed, router};
use crate::{blocks, read};

/// Stands between the outputs of two commands; nothing prints it by accident.
const MARK: &str = "\u{1}next\u{1}";

#[derive(Debug)]
struct Step {
    command: String,
    expected: Vec<String>,
}

#[test]
fn the_transcripts_hold() {
    if !["bash", "curl", "python3"].into_iter().all(is_installed) {
        eprintln!("skipped: bash, curl and python3 are needed");
        return;
    }
    let readme = read("README.md");
    let steps: Vec<Step> = blocks(&readme, "console").into_iter().flat_map(steps).collect();
    assert!(steps.len() > 10, "the transcripts were not found");

    let dir = tempfile::tempdir().unwrap();
    let script = script(&steps);
    let mut bash = shell(dir.path());
    bash.arg("-c").arg(&script).stdout(Stdio::piped()).process_group(0);
    let child = bash.spawn().unwrap();
    let output = within(Duration::from_secs(60), child.id(), || child.wait_with_output().unwrap());
    // Where a step fails, what it started in a session of its own is there still.
    let _ = shell(dir.path()).args(["-c", "mastra-router stop --timeout 5s"]).output();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut outputs = said.split(MARK);
    assert_eq!(outputs.next().unwrap(), "");
    for step in &steps {
        let output = outputs.next().unwrap_or_else(|| panic!("`{}` was not reached:\n{said}", step.command));
        let lines: Vec<&str> = output.lines().collect();
        assert!(
            matches(&step.expected, &lines),
            "`{}` said\n{output}\nand not\n{}",
            step.command,
            step.expected.join("\n")
        );
    }
}

#[test]
fn the_configuration_file_is_one() {
    let readme = read("README.md");
    let [file] = blocks(&readme, "toml")[..] else { panic!("one file is shown") };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mastra-router.toml"), file).unwrap();
    let home = dir.path().join("home");
    let mut serve = Command::new(router());
    serve.current_dir(dir.path()).env("HOME", dir.path()).env("MASTRA_ROUTER_HOME", &home);
    serve.args(["serve", "--config", "mastra-router.toml", "--listen", "127.0.0.1:0"]);
    let mut child = serve.stdout(Stdio::piped()).spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let id = child.id();
    let ready = within(Duration::from_secs(30), id, || BufReader::new(out).lines().next().unwrap().unwrap());
    assert!(ready.contains(r#""event":"ready""#), "{ready}");
    let list = Command::new(router()).env("MASTRA_ROUTER_HOME", &home).arg("list").output().unwrap();
    let listed = String::from_utf8(list.stdout).unwrap();
    for route in ["shop ", "shop/api ", "agent "] {
        assert!(listed.lines().any(|l| l.starts_with(route)), "{route} is not in\n{listed}");
    }
    let stop = Command::new(router()).env("MASTRA_ROUTER_HOME", &home).arg("stop").output().unwrap();
    assert!(stop.status.success(), "{stop:?}");
    assert!(within(Duration::from_secs(30), id, || child.wait().unwrap()).success());
}

#[test]
fn wildcards() {
    let own = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    assert!(matches(&own(&["a...c", "..."]), &["abc", "x", "y"]));
    assert!(matches(&own(&["...", "z"]), &["z"]));
    assert!(matches(&own(&["a  ...  b"]), &["a      12 b"]));
    assert!(!matches(&own(&["a...c"]), &["abd"]));
    assert!(!matches(&own(&["a"]), &["a", "b"]));
    assert!(!matches(&own(&["a", "b"]), &["a"]));
}

fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push(Step { command: command.to_owned(), expected: Vec::new() }),
            // As shells have it, a command that goes on.
            (None, Some(step)) if line.starts_with('>') && step.expected.is_empty() => {
                let _ = write!(step.command, "\n{}", line.strip_prefix("> ").unwrap_or_default());
            }
            (None, Some(step)) => step.expected.push(line.to_owned()),
            (None, None) => panic!("output before any command: {line}"),
        }
    }
    steps
}

/// One shell runs all commands in order, in its own process group; what is left in the background ends with it.
fn script(steps: &[Step]) -> String {
    let mut script = String::from("exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n");
    for step in steps {
        let _ = writeln!(script, "printf '%s' '{MARK}'\n{}", step.command);
    }
    script
}

fn shell(dir: &Path) -> Command {
    let program = router();
    let mut path = std::ffi::OsString::from(program.parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    // Settings of whoever runs the tests must not change what is said.
    shell.current_dir(dir).env("PATH", path).env("HOME", dir).env("MASTRA_ROUTER_HOME", dir.join("home"));
    shell.env_remove("MASTRA_ROUTER_LOG").env_remove("http_proxy").env_remove("ALL_PROXY");
    shell
}

/// Whether the lines are the expected ones: `...` stands for any text, as a line of its own for any lines, and runs of
/// spaces are one, since columns are as wide as ports are long.
fn matches(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "..." => (0..=lines.len()).any(|n| matches(rest, &lines[n..])),
        Some((line, rest)) => {
            lines.split_first().is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others))
        }
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, line) = (words(expected), words(line));
    let mut parts = expected.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What `wait` returns; ends the process group of `pid`, or the process, when that takes too long.
fn within<R>(most: Duration, pid: u32, wait: impl FnOnce() -> R) -> R {
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(most).is_err() {
            for target in [format!("-{pid}"), pid.to_string()] {
                let _ = Command::new("kill").args(["-KILL", "--", &target]).stderr(Stdio::null()).status();
            }
        }
    });
    let outcome = wait();
    let _ = done.send(());
    let _ = watchdog.join();
    outcome
}
