//! What apps write, as `up` shows it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::router::{Router, Running};
use crate::up::Up;

/// Two apps that write at the same time, each as hard as it can.
const HOSTILE: &str = r#"import os, sys
name = sys.argv[1]
out = sys.stdout.buffer
for i in range(300):
    line = f"{name}{i} " + name * (i * 37 % 997)
    for at in range(0, len(line), 100):
        out.write(line[at:at + 100].encode())
        out.flush()
    out.write(b"\n")
    print(f"{name}{i} on stderr", file=sys.stderr, flush=True)
out.write(b"long " + name.encode() * 2000000 + b"\n")
out.write(b"\x1b[2J\x1b]0;owned\x07\x1b[31mred\x1b[0m \xff\xfe\x07\n")
out.write(b"one\rtwo\r\n")
out.write(b"a | spoofed\n")
out.write("end \u202e of it".encode())
"#;

#[test]
fn lines_are_whole_and_have_their_app() {
    let router = Router::start();
    router.desk.write("hostile.py", HOSTILE);
    let app = |name: &str| format!("[apps.{name}]\ncommand = [\"python3\", \"hostile.py\", \"{name}\"]\n");
    router.desk.write("mastra-router.toml", &["a", "bb"].map(app).concat());
    let mut command = router.desk.command(["up"]);
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert_eq!(Running::of(child).ended().code, Some(0));
    let mut lines: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let name = if line.starts_with(b"a  | ") { "a" } else { "bb" };
        let rest = line.strip_prefix(format!("{name:2} | ").as_bytes());
        lines.entry(name).or_default().push(rest.unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(line))));
    }
    for (name, lines) in lines {
        let mut expected: Vec<Vec<u8>> = (0..300)
            .flat_map(|i| [format!("{name}{i} {}", name.repeat(i * 37 % 997)), format!("{name}{i} on stderr")])
            .map(String::into_bytes)
            .collect();
        expected.push(format!("long {}", name.repeat(2_000_000)).into_bytes());
        expected.push(b"red \xff\xfe\\u{7}".to_vec());
        expected.extend([&b"one"[..], b"two", b"a | spoofed", b"end \\u{202e} of it"].map(<[u8]>::to_vec));
        assert_eq!(lines.len(), expected.len(), "{name}");
        // The two streams of an app are not in step, each for itself is.
        let (of_stderr, of_stdout): (Vec<&[u8]>, Vec<&[u8]>) =
            lines.iter().partition(|line| line.ends_with(b"on stderr"));
        let (errors, outs): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
            expected.into_iter().partition(|line| line.ends_with(b"on stderr"));
        assert!(of_stderr == errors && of_stdout == outs, "{name}");
    }
}

#[test]
fn programs_read_lines_and_streams() {
    let router = Router::start();
    router
        .desk
        .write("mastra-router.toml", "[apps.a]\ncommand = \"printf 'out\\\\033[1m \\\\377\\\\nrest'; echo err >&2\"\n");
    let mut up = Up::start(&router.desk, &[]);
    let (said, code) = up.rest();
    let logs: Vec<(&str, &str)> = said
        .iter()
        .filter(|line| line["event"] == "log")
        .map(|line| (line["stream"].as_str().unwrap(), line["line"].as_str().unwrap()))
        .collect();
    assert_eq!(code, Some(0));
    for line in [("stdout", "out\u{1b}[1m \u{fffd}"), ("stdout", "rest"), ("stderr", "err")] {
        assert!(logs.contains(&line), "{logs:?}");
    }
    assert_eq!(said.last().unwrap()["state"], "exited", "the last lines come before it");
}

#[test]
fn a_pipe_that_is_held_elsewhere_does_not_keep_it() {
    let router = Router::start();
    let (pid, fifo) = (router.desk.path("pid"), router.desk.path("fifo"));
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Somebody outside of the app opens its stdout, as a debugger or a service of the system may have it.
    let command =
        format!("echo $$ > {0}.new; mv {0}.new {0}; echo here; read line < {1}; exit 0", pid.display(), fifo.display());
    router.desk.write("mastra-router.toml", &format!("[apps.a]\ncommand = {}\n", Value::from(command)));
    let mut up = Up::start(&router.desk, &[]);
    up.until(|line| line["line"] == "here");
    let stdout = format!("/proc/{}/fd/1", fs::read_to_string(&pid).unwrap().trim());
    let held = fs::OpenOptions::new().write(true).open(stdout).unwrap();
    fs::write(&fifo, "go\n").unwrap();
    assert_eq!(up.rest().1, Some(0));
    drop(held);
}

#[test]
fn a_reader_that_stops_reading_keeps_nobody_from_ending_it() {
    let router = Router::start();
    router.desk.write(
        "mastra-router.toml",
        "[apps.a]\ncommand = \"touch begun; exec yes\"\n[apps.b]\ncommand = \"exec yes\"\n",
    );
    let mut up = Up::spawn(&mut router.desk.command(["up"]));
    crate::router::wait_for("it runs", || router.desk.path("begun").exists());
    assert!(up.line().contains(" | y"));
    up.signal(Signal::INT);
    crate::router::wait_for("the end", || {
        up.signal(Signal::INT);
        up.child.try_wait().unwrap().is_some()
    });
    assert_eq!(router.routes(), Value::Array(Vec::new()));
}
