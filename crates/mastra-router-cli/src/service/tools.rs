//! Running a manager's tools.

use std::io;
use std::time::Duration;

use mastra_router::trust::{CommandLine, CommandOutput};

use super::Manager;
use crate::failure::{Exit, Failure};

/// A manager waits this long by itself for a service that does not end.
const MOST: Duration = Duration::from_secs(100);

/// Runs a command to its end.
pub(super) fn run(command: &CommandLine) -> io::Result<CommandOutput> {
    command.run(MOST)
}

/// Runs commands in order, until one fails.
pub(super) fn run_all(manager: &dyn Manager, commands: &[CommandLine]) -> Result<(), Failure> {
    for command in commands {
        let why = match run(command) {
            Ok(tool) if tool.success => continue,
            Ok(tool) => tool.last_words(),
            Err(error) => error.to_string(),
        };
        let lower = why.to_ascii_lowercase();
        let denied =
            ["access denied", "permission denied", "authentication required"].iter().any(|w| lower.contains(w));
        let (code, exit) = if denied { ("NEEDS_PRIVILEGE", Exit::Privilege) } else { ("SERVICE_FAILED", Exit::Failed) };
        let hint = Some(manager.more().to_string());
        return Err(Failure { exit, hint, ..Failure::failed(code, format!("{command} failed: {why}")) });
    }
    Ok(())
}
