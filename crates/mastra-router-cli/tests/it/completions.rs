//! What shells complete.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::router::{Desk, Router, Running};

const SHELLS: [(&str, &[&str]); 3] = [("bash", &["-n"]), ("zsh", &["-n"]), ("fish", &["--no-execute"])];

/// Bash asks us as it does when Tab is pressed after these words; what it would offer, line by line.
const ASK: &str = r#"
source <(mastra-router completions bash) || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
complete -p mastra-router > /dev/null || exit 8
_clap_complete_mastra_router mastra-router "${@: -1}" "${@: -2:1}"
printf '%s\n' "${COMPREPLY[@]}"
"#;

fn is_installed(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|dir| dir.join(program).is_file())
}

/// What bash offers after these words; nothing is said on stderr.
#[track_caller]
fn offered(desk: &Desk, words: &[&str]) -> Vec<String> {
    let _ = fs::create_dir(desk.path("bin"));
    let _ = symlink(env!("CARGO_BIN_EXE_mastra-router"), desk.path("bin/mastra-router"));
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", ASK, "bash", "mastra-router"]).args(words).stdin(Stdio::null());
    let ours = desk.command([] as [&str; 0]);
    bash.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // As a person has it: a router could be started.
    bash.env_remove("MASTRA_ROUTER_NO_START").env("PATH", format!("{}:/usr/bin:/bin", desk.path("bin").display()));
    let ran =
        Running::spawn(bash.current_dir(desk.path("")).stdout(Stdio::piped()).stderr(Stdio::piped())).ended().ok();
    assert_eq!(ran.stderr, "");
    ran.stdout.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Those that are no flags.
fn words(offered: Vec<String>) -> Vec<String> {
    offered.into_iter().filter(|word| !word.starts_with('-')).collect()
}

#[test]
fn scripts_are_valid() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = desk.run(["completions", shell]).ok();
        assert!(ran.stdout.contains("MASTRA_ROUTER_COMPLETE") && ran.stderr.is_empty(), "{shell}: {ran:?}");
        // The program is found when it is asked, wherever it is then.
        assert!(!ran.stdout.contains(env!("CARGO_BIN_EXE_mastra-router")), "{shell}");
        desk.write(shell, &ran.stdout);
    }
    for (shell, check) in SHELLS {
        if !is_installed(shell) {
            eprintln!("skipped: no {shell}");
            continue;
        }
        let ran = Command::new(shell).args(check).arg(desk.path(shell)).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{shell}: {ran:?}");
    }
    let ran = desk.run(["completions", "tcsh"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("bash, elvish, fish, powershell, zsh"), "{ran:?}");
    assert!(!desk.home().exists());
}

#[test]
fn commands_flags_and_values() {
    let desk = Desk::new();
    let commands = words(offered(&desk, &[""]));
    for command in ["serve", "run", "open", "config", "completions", "man"] {
        assert!(commands.iter().any(|offered| offered == command), "{command}: {commands:?}");
    }
    assert!(!commands.iter().any(|offered| offered == "hold"), "it is for us alone");
    assert_eq!(words(offered(&desk, &["se"])), ["serve", "service"]);
    assert_eq!(words(offered(&desk, &["serve", "--strategy", ""])), ["port-mapping", "reverse-proxy"]);
    assert!(offered(&desk, &["open", "--"]).contains(&"--json".to_owned()));
    assert!(words(offered(&desk, &["config", ""])).contains(&"show".to_owned()));
}

#[test]
fn names_of_the_routes_that_there_are() {
    let router = Router::start_at(Arc::new(Desk::new()), &[]);
    let desk = &router.desk;
    for args in [&["shop", "9"][..], &["shop", "9", "--path-prefix", "/api", "--deployment", "d-api"], &["agent", "9"]]
    {
        router.run(&[&["add"], args].concat()).ok();
    }
    let all = ["shop", "shop/api", "agent"];
    for command in ["url", "open", "health", "rm", "update"] {
        assert_eq!(words(offered(desk, &[command, ""])), all, "{command}");
        assert_eq!(words(offered(desk, &[command, "s"])), ["shop", "shop/api"], "{command}");
    }
    assert_eq!(words(offered(desk, &["rm", "agent", ""])), all, "several can be named");
    assert_eq!(words(offered(desk, &["get", "d"])), ["d-api"]);
    // What is offered is found.
    for name in all {
        router.run(&["url", name]).ok();
    }
    router.run(&["rm", "shop/api"]).ok();
    assert_eq!(words(offered(desk, &["url", "s"])), ["shop"], "those of the moment");
    // Those of the home that is typed, before and behind the command.
    let other = desk.path("other");
    let other = other.to_str().unwrap();
    let none: [&str; 0] = [];
    assert_eq!(words(offered(desk, &["--home", other, "url", ""])), none);
    assert_eq!(words(offered(desk, &[&format!("--home={other}"), "url", ""])), none);
    let home = desk.home();
    let home = home.to_str().unwrap();
    assert_eq!(words(offered(desk, &["url", "--home", home, ""])), ["shop", "agent"]);
}

#[test]
fn no_router_is_started_and_nothing_is_said() {
    let desk = Desk::new();
    for command in ["url", "open", "rm", "get"] {
        assert_eq!(words(offered(&desk, &[command, ""])), [""; 0]);
    }
    assert!(!desk.home().exists());
    // What a router that was killed has left.
    let mut router = Router::start_at(Arc::new(desk), &[]);
    router.run(&["add", "shop", "9"]).ok();
    router.process.child.kill().unwrap();
    router.process.wait();
    assert_eq!(words(offered(&router.desk, &["url", ""])), [""; 0]);
    router.run(&["status"]).failed(1, "ROUTER_UNREACHABLE", &[]);
}

#[test]
fn a_router_that_does_not_answer_keeps_nobody_waiting() {
    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    // It takes connections, and that is all.
    let _silent = std::os::unix::net::UnixListener::bind(desk.home().join("control.sock")).unwrap();
    assert_eq!(words(offered(&desk, &["url", ""])), [""; 0]);
}
