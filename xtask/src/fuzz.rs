//! The fuzz targets of `fuzz/`, by cargo-fuzz.
use crate::failure::Failure;
use crate::process::{self, Run, which};
use crate::terminal;
use crate::workspace::Workspace;

/// Runs each target for a while.
pub(crate) fn run(workspace: &Workspace, seconds: u32) -> Result<(), Failure> {
    let directory = workspace.path("fuzz");
    if !directory.join("Cargo.toml").is_file() {
        return Err(Failure::unavailable("there is no fuzz/ yet"));
    }
    let tools = workspace.tool("cargo-fuzz");
    if which("cargo-fuzz").is_none() && !tools.join("bin").join("cargo-fuzz").is_file() {
        terminal::line("installing cargo-fuzz from crates.io");
        let root = tools.to_string_lossy();
        workspace
            .cargo(&["install", "cargo-fuzz", "--locked", "--root", &root])
            .run()
            .map_err(|_| Failure::unavailable("cargo-fuzz is not installed and could not be"))?;
    }
    let path = process::path_with(&[&tools.join("bin")]);
    // The sanitizer flags are unstable; this lets the stable compiler take them.
    let cargo_fuzz =
        |arguments: &[&str]| -> Run { workspace.cargo(arguments).env("RUSTC_BOOTSTRAP", "1").env("PATH", &path) };
    let targets = cargo_fuzz(&["fuzz", "list"]).read().ok_or_else(|| Failure::failed("`cargo fuzz list` failed"))?;
    for target in targets.lines() {
        terminal::line(&format!("fuzzing {target} for {seconds} s"));
        cargo_fuzz(&["fuzz", "run", target, "--", &format!("-max_total_time={seconds}")]).run()?;
    }
    Ok(())
}
