//! `cargo xtask test`: every step, each timed, and a table at the end.
use std::process::ExitCode;
use std::time::Instant;

use crate::failure::Failure;
use crate::process::which;
use crate::summary::{Outcome, Summary};
use crate::workspace::Workspace;
use crate::{debian, e2e, npm, terminal};

/// One thing that has to hold.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn(&Workspace) -> Result<(), Failure>,
    /// A machine without what it needs is no failure, not even in CI.
    optional: bool,
}

/// In the order they run: what is quick, and what others stand on, first.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", about: "the code is formatted", run: fmt, optional: false },
    Step { name: "clippy", about: "no lint in any target", run: clippy, optional: false },
    Step {
        name: "deny",
        about: "licences and bans of dependencies (where cargo-deny is installed)",
        run: deny,
        optional: true,
    },
    Step {
        name: "cargo-test",
        about: "unit, integration and documentation tests, the README's examples among them",
        run: cargo_test,
        optional: false,
    },
    Step { name: "build", about: "the release binary of the command", run: build, optional: false },
    Step {
        name: "npm",
        about: "the npm package: its declarations, and its tests under Node 20, 22 and 24",
        run: npm::run,
        optional: false,
    },
    Step {
        name: "e2e",
        about: "real applications and a real browser behind the command",
        run: e2e::run_built,
        optional: false,
    },
];

/// Runs the steps, or only the named ones; goes on after a failure.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> ExitCode {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    let mut summary = Summary::default();
    for step in STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)) {
        terminal::line(&format!("==> {}: {}", step.name, step.about));
        let start = Instant::now();
        let outcome = Outcome::of((step.run)(workspace), ci && !step.optional);
        let took = start.elapsed();
        terminal::line(&format!("<== {}: {outcome} ({:.1} s)", step.name, took.as_secs_f64()));
        summary.add(step.name, outcome, took);
    }
    terminal::line(&format!("\n{summary}"));
    if summary.any_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Builds the release binary of the command.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo(&["build", "--release", "--package", "mastra-router-cli", "--bin", "mastra-router"]).run()
}

fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo(&["fmt", "--all", "--check"]).run()
}

fn clippy(workspace: &Workspace) -> Result<(), Failure> {
    workspace.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()
}

fn deny(workspace: &Workspace) -> Result<(), Failure> {
    if which("cargo-deny").is_none() {
        return Err(Failure::unavailable("cargo-deny is not installed: cargo install cargo-deny --locked"));
    }
    // The advisories need a database from the network; licences, bans and sources do not.
    workspace.cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]).run()
}

fn cargo_test(workspace: &Workspace) -> Result<(), Failure> {
    debian::install_store_tools();
    workspace.cargo(&["test", "--workspace"]).run()
}
