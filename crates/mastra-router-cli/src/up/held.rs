//! An app that runs: its `hold`, and who reads what it writes.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mastra_router::{Home, RouteLease};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::lines::{self, Sink, Source};
use super::screen::Stream;
use super::tail::Tail;
use crate::run::{MARKER, RunId, processes};

/// How apps are held.
pub(crate) struct Holding<'u> {
    pub(crate) home: &'u Home,
    pub(crate) router: u32,
    pub(crate) grace: Duration,
    pub(crate) sink: Sink,
}

/// What is started.
pub(crate) struct Start {
    pub(crate) command: Vec<OsString>,
    pub(crate) variables: Vec<(OsString, OsString)>,
    pub(crate) dir: PathBuf,
}

/// An app that runs.
pub(crate) struct Held {
    child: Child,
    pub(crate) pid: u32,
    /// Its other end tells `hold` that this process is there.
    _leash: Option<ChildStdin>,
    ended: watch::Sender<bool>,
    readers: Vec<JoinHandle<()>>,
}

/// How it ended: what its command's exit code was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Code(i32),
    /// `hold` itself was ended by this signal.
    Killed(i32),
}

impl Held {
    /// # Errors
    /// Where there is no such directory, or no process to be had.
    pub(crate) fn start(app: usize, start: &Start, tail: &Arc<Tail>, holding: &Holding<'_>) -> io::Result<Self> {
        let own = RunId::new(&RouteLease::of_this_process(), holding.home);
        let mut command = Command::new(this_program()?);
        command.arg("--home").arg(holding.home.path()).arg("hold");
        command.arg("--router").arg(holding.router.to_string());
        command.arg("--grace").arg(format!("{}ms", holding.grace.as_millis()));
        command.arg("--").args(&start.command).envs(start.variables.iter().map(|(name, value)| (name, value)));
        // Where `up` was killed, `prune` ends the holds as well. What they start is marked with themselves.
        command.env(MARKER, own.to_string()).current_dir(&start.dir);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C comes to `up` alone, which ends apps in order.
        command.process_group(0);
        let mut child = command.spawn()?;
        let pid = child.id().unwrap_or_default();
        let (ended, has_ended) = watch::channel(false);
        let mut readers = Vec::new();
        let source = |stream| Source { app, stream, tail: tail.clone() };
        if let Some(out) = child.stdout.take() {
            let sink = holding.sink.clone();
            readers.push(tokio::spawn(lines::follow(out, source(Stream::Stdout), sink, has_ended.clone())));
        }
        if let Some(err) = child.stderr.take() {
            let sink = holding.sink.clone();
            readers.push(tokio::spawn(lines::follow(err, source(Stream::Stderr), sink, has_ended)));
        }
        Ok(Self { pid, _leash: child.stdin.take(), child, ended, readers })
    }

    /// Waits for its end. Cancel safe.
    pub(crate) async fn ended(&mut self) -> Ended {
        match self.child.wait().await {
            Ok(status) => how(status),
            Err(_) => Ended::Code(1),
        }
    }

    /// Asks it to end; asked twice, it ends at once. It must not have been waited for to its end.
    pub(crate) fn ask_to_end(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
            // One that somebody has stopped is to hear it.
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    /// After its end: the rest of what it has written, and of what a `hold` that was killed could not end.
    pub(crate) async fn finish(mut self, how: Ended, home: &Home) {
        if matches!(how, Ended::Killed(_)) {
            processes::left_by(self.pid, home).iter().for_each(|process| _ = process.signal(Signal::KILL));
        }
        self.ended.send_replace(true);
        for reader in &mut self.readers {
            let _ = reader.await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Where it is given up half-way, nobody reads any more.
        self.readers.iter().for_each(JoinHandle::abort);
    }
}

fn how(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Killed(signal.unwrap_or_default()),
    }
}

/// This very program, also where another was put in its place since.
fn this_program() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let running = Path::new("/proc/self/exe");
    Ok(if !program.exists() && running.exists() { running.to_owned() } else { program })
}
