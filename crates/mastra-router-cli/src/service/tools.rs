//! Running a manager's tool: by arguments, without input, and never for longer than a limit.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mastra_router::trust::CommandLine;

use super::Manager;
use crate::failure::{Exit, Failure};

/// A manager waits this long by itself for a service that does not end.
const MOST: Duration = Duration::from_secs(100);
/// What a tool says is a few lines.
const OUTPUT_MAX: u64 = 256 * 1024;

/// What a tool has said.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tool {
    /// The last line that says something.
    pub(crate) fn last_words(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it failed without a word").to_owned()
    }
}

/// Runs a command to its end.
pub(super) fn run(command: &CommandLine) -> io::Result<Tool> {
    let [program, args @ ..] = command.words() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut tool = Command::new(program);
    tool.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tool.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    let readers = (read(child.stdout.take()), read(child.stderr.take()));
    let Some(success) = wait(&mut child)? else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{command} does not end")));
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok(Tool { success, stdout: text(readers.0), stderr: text(readers.1) })
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

fn wait(child: &mut Child) -> io::Result<Option<bool>> {
    let began = Instant::now();
    while began.elapsed() < MOST {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(OUTPUT_MAX).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
