//! Running the system's tools: by arguments, without a shell, a terminal or input, and never for longer than a limit.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::machine::{Machine, RunAs};

/// What the tools of a store usually take is a tenth of a second; those that rebuild a system's store take seconds.
pub(super) const QUICK: Duration = Duration::from_secs(10);
/// For tools that rebuild a system's store, start a Java machine or wait for a person to confirm.
pub(super) const SLOW: Duration = Duration::from_secs(120);
/// A store as text is a few hundred KiB.
const OUTPUT_MAX: u64 = 16 << 20;
/// How long what a tool left running may keep its output open.
const OUTPUT_LATE: Duration = Duration::from_secs(2);

/// A command as a person would type it; displayed, it can be pasted into a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The program and its arguments.
    pub fn new<S: Into<String>>(words: impl IntoIterator<Item = S>) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }

    /// The program and its arguments, before any quoting.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// Runs it to its end, without a shell, a terminal or input, and gives what it said; one that does not end within
    /// `limit` is ended, with all that it has started. Blocks.
    ///
    /// # Errors
    /// Where it cannot be started, and [`io::ErrorKind::TimedOut`].
    pub fn run(&self, limit: Duration) -> io::Result<CommandOutput> {
        let [program, arguments @ ..] = self.words() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut command = Command::new(program);
        command.args(arguments);
        let ended = to_its_end(&mut command, limit)
            .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?
            .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, format!("{self} does not end")))?;
        let stdout = ended.stdout.unwrap_or_default();
        Ok(CommandOutput { success: ended.status.success(), stdout, stderr: ended.stderr })
    }
}

/// What a command has said, and whether it did what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it wrote as data.
    pub stdout: String,
    /// What it told people.
    pub stderr: String,
}

impl CommandOutput {
    /// The last line that says something, which is where tools say why.
    pub fn last_words(&self) -> String {
        match last_words(if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr }) {
            none if none.is_empty() => "it failed without a word".to_owned(),
            words => words,
        }
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.0.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
            let space = if i == 0 { "" } else { " " };
            if !word.is_empty() && word.bytes().all(plain) {
                write!(f, "{space}{word}")?;
            } else {
                write!(f, "{space}'{}'", word.replace('\'', "'\\''"))?;
            }
        }
        Ok(())
    }
}

/// A tool about to be run.
#[derive(Debug)]
pub(super) struct Tool {
    program: PathBuf,
    arguments: Vec<OsString>,
    path: OsString,
    home: PathBuf,
    run_as: Option<RunAs>,
    limit: Duration,
    deadline: Option<Instant>,
}

/// Why a tool did not do what it was asked for.
#[derive(Debug)]
pub(super) enum ToolError {
    NotStarted { program: PathBuf, source: io::Error },
    TimedOut { program: PathBuf, limit: Duration },
    Failed { program: PathBuf, status: ExitStatus, said: String },
}

impl Tool {
    /// The program `name` of a machine, where it has it.
    pub(super) fn find(machine: &Machine, name: &str) -> Option<Self> {
        machine.program(name).map(|program| Self::at(machine, program))
    }

    pub(super) fn at(machine: &Machine, program: PathBuf) -> Self {
        let path = std::env::join_paths(&machine.path).unwrap_or_default();
        let home = machine.home.clone();
        Self { program, arguments: Vec::new(), path, home, run_as: None, limit: QUICK, deadline: machine.deadline }
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn args<S: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// As the user who called sudo, whom what it makes then belongs to.
    pub(super) fn run_as(mut self, run_as: Option<RunAs>) -> Self {
        self.run_as = run_as;
        self
    }

    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end and gives its stdout. Nothing of it is left running.
    pub(super) fn run(self) -> Result<String, ToolError> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.map_or(self.limit, |left| left.min(self.limit));
        if limit.is_zero() {
            return Err(ToolError::TimedOut { program: self.program, limit });
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("PATH", &self.path);
        if let Some(RunAs { uid, gid }) = self.run_as {
            command.uid(uid).gid(gid).env("HOME", &self.home);
        }
        let program = self.program;
        let ended = match to_its_end(&mut command, limit) {
            Ok(Some(ended)) => ended,
            Ok(None) => return Err(ToolError::TimedOut { program, limit }),
            Err(source) => return Err(ToolError::NotStarted { program, source }),
        };
        let Ended { status, stdout, stderr } = ended;
        match stdout {
            Some(out) if status.success() => Ok(out),
            out => {
                let said = if stderr.trim().is_empty() { out.unwrap_or_default() } else { stderr };
                Err(ToolError::Failed { program, status, said: last_words(&said) })
            }
        }
    }
}

/// How a tool ended, and what it wrote; no stdout where what it left running keeps that open.
struct Ended {
    status: ExitStatus,
    stdout: Option<String>,
    stderr: String,
}

/// Runs a tool; `None` where it did not end in time. Nothing of it is left running then.
fn to_its_end(command: &mut Command, limit: Duration) -> io::Result<Option<Ended>> {
    // A group of its own: it can be ended whole, and cannot read from the terminal.
    command.env("LC_ALL", "C").current_dir("/").process_group(0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let Some(status) = wait(&mut child, limit) else {
        // Its children too, which could keep a store locked or the output open.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = child.wait();
        }
        return Ok(None);
    };
    let (stdout, stderr) = (out.recv_timeout(OUTPUT_LATE).ok(), err.recv_timeout(OUTPUT_LATE).unwrap_or_default());
    Ok(Some(Ended { status, stdout, stderr }))
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |program: &PathBuf| program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match self {
            Self::NotStarted { program, source } => write!(f, "{} cannot be run: {source}", program.display()),
            Self::TimedOut { program, limit } => {
                let name = name(program);
                match limit.as_secs() {
                    0 => write!(f, "{name} had no time to end"),
                    seconds => write!(f, "{name} did not end within {seconds} seconds"),
                }
            }
            Self::Failed { program, status, said } => {
                let ended = match (status.code(), status.signal()) {
                    (Some(code), _) => format!("exit {code}"),
                    (None, signal) => format!("signal {}", signal.unwrap_or_default()),
                };
                match said.as_str() {
                    "" => write!(f, "{} failed ({ended})", name(program)),
                    said => write!(f, "{} failed ({ended}): {said}", name(program)),
                }
            }
        }
    }
}

/// Looks again and again, since a wait that could be given up would have to be one of another thread, and could then end
/// a process that is no longer the tool.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = limit.checked_sub(began.elapsed())?;
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// All that comes through a pipe, once it ends.
fn reader(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(OUTPUT_MAX).read_to_end(&mut bytes);
        }
        // Nobody waits for the output of a tool that was ended.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The last line that says something, which is where tools say why.
fn last_words(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| line.chars().any(char::is_alphanumeric));
    line.unwrap_or_default().chars().take(300).collect()
}
