//! The project's own benchmarks.
use crate::failure::Failure;
use crate::workspace::Workspace;

/// Runs `cargo bench --workspace`, with what else was asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<(), Failure> {
    let all: Vec<&str> = ["bench", "--workspace"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    workspace.cargo(&all).run()
}
