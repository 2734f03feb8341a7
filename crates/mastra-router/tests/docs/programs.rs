//! Programs of the workspace, built where they are not yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Builds one program and returns where it is.
pub(crate) fn built(args: &[&str]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(crate::root()).args(["build", "--message-format", "json"]).args(args).stderr(Stdio::inherit());
    let output = build.output().unwrap();
    assert!(output.status.success(), "cargo build {args:?} failed");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
        .unwrap_or_else(|| panic!("cargo build {args:?} made no program"))
}

/// The `mastra-router` command.
pub(crate) fn router() -> PathBuf {
    built(&["-p", "mastra-router-cli", "--bin", "mastra-router"])
}

/// Whether a program is on the path. Where all have to be there, one that is missing is a failure.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| Path::new(&dir).join(name).is_file());
    let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !required, "{name} is not installed");
    found
}
