//! The command of a run as a child: started, waited for, and ended with all that it has started.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, waitpid};
use tokio::sync::watch;
use tokio::time::Instant;

use super::processes::{self, Process, RunId};
use super::serving::Serving;
use super::signals::{Received, Signals};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// What is killed is gone within this, unless the system does not let go of it.
const KILL_MOST: Duration = Duration::from_secs(3);
/// Pause between two looks at processes that are to end. Those that are our children are told of sooner.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A command that was started.
pub(crate) struct Supervisor {
    /// The command's own process.
    child: u32,
    status: Option<WaitStatus>,
    run: RunId,
    router: u32,
    signals: Signals,
    /// How long what was asked to end may take for it.
    grace: Duration,
}

/// How waiting for processes ended.
#[derive(PartialEq, Eq)]
enum Waited {
    /// They are gone.
    Gone,
    /// Their time is over.
    TooLong,
    /// A second signal came.
    AskedAgain,
}

impl Supervisor {
    /// Starts a command. It stands where this process stands: in the same group of the same terminal, with the same files
    /// but for its stdin.
    ///
    /// # Errors
    /// `COMMAND_NOT_FOUND` and `COMMAND_NOT_EXECUTABLE`, with the exit codes that shells have for them.
    pub(crate) fn start(
        words: &[OsString],
        variables: Vec<(&str, OsString)>,
        stdin: Stdio,
        run: RunId,
        router: u32,
        signals: Signals,
        grace: Duration,
    ) -> Result<Self, Failure> {
        // So that what is left by a parent that ends becomes a child of ours, and not one of init's. Where the system cannot
        // do that, it is found by its environment.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_child_subreaper(Pid::from_raw(1));
        let Some((program, args)) = words.split_first() else {
            return Err(Failure::usage("USAGE", "there is no command", None));
        };
        // It is waited for here, like those that are left to us.
        let mut command = Command::new(program);
        command.args(args).envs(variables).env(processes::VARIABLE, run.to_string()).stdin(stdin);
        let child = command.spawn();
        let child = child.map_err(|error| not_started(program, words.len() == 1, &error))?.id();
        Ok(Self { child, status: None, run, router, signals, grace })
    }

    /// Waits for the command to end, or for a signal, while the server is followed; then ends all that is left, in order:
    /// the route, so that nobody comes any more and no stream keeps the server; the command; what it has started. A second
    /// signal kills at once. Returns the exit code of the command.
    pub(crate) async fn until_ended(mut self, mut serving: Serving<'_>, output: &Output) -> u8 {
        let (ended, command_ended) = watch::channel(false);
        let asked = self.until_asked(&ended, serving.follow(command_ended)).await;
        serving.claim.end().await;
        if asked.is_none() && !serving.has_listened() {
            output.say(&format!(
                "{}: {} {} before it listened on a port",
                serving.name,
                serving.command,
                self.how_it_ended()
            ));
        }
        self.end(asked).await;
        self.exit_code()
    }

    /// The first signal to end, and whether the command has it already; `None` where the command has ended by itself, or
    /// where what it has started is over, which `following` returns after `ended` says that the command is.
    pub(crate) async fn until_asked(
        &mut self,
        ended: &watch::Sender<bool>,
        following: impl Future<Output = ()>,
    ) -> Option<(Signal, bool)> {
        let mut following = std::pin::pin!(following);
        loop {
            let received = tokio::select! {
                received = self.signals.next() => received,
                () = &mut following => return None,
            };
            match received {
                Received::End { signal, of_terminal } => return Some((signal, of_terminal)),
                Received::PassOn(signal) => self.pass_on(signal),
                Received::Child => {
                    self.reap();
                    match self.status.map(|status| status.exit_status()) {
                        None => {}
                        // It may have put its server in the background.
                        Some(Some(0)) => _ = ended.send_replace(true),
                        Some(_) => return None,
                    }
                }
            }
        }
    }

    fn how_it_ended(&self) -> String {
        match self.status.map(|status| (status.exit_status(), status.terminating_signal())) {
            Some((Some(code), _)) => format!("ended with exit code {code}"),
            Some((_, Some(signal))) => format!("was ended by signal {signal}"),
            _ => "ended".to_owned(),
        }
    }

    /// Ends what runs, with patience.
    pub(crate) async fn end(&mut self, asked: Option<(Signal, bool)>) {
        let mut waited = Waited::Gone;
        if let Some((signal, has_it)) = asked {
            let everyone_knows = has_it || is_of_terminals(signal);
            match (has_it, everyone_knows) {
                (true, _) => {}
                (false, true) => self.tell_group(signal),
                (false, false) => self.pass_on(signal),
            }
            // Where everyone was told, everyone is on the way; else only the command is, which may tell the others.
            waited = if everyone_knows { self.wait(Self::is_all_over).await } else { self.wait(Self::has_ended).await };
        }
        if waited != Waited::AskedAgain && !self.is_all_over() {
            self.left().iter().for_each(|process| _ = process.signal(Signal::TERM));
            self.wait(Self::is_all_over).await;
        }
        // Until nothing is left: what is just being started is not seen at first.
        let deadline = Instant::now() + KILL_MOST;
        while !self.is_all_over() && Instant::now() < deadline {
            self.left().iter().for_each(|process| _ = process.signal(Signal::KILL));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn wait(&mut self, is_over: fn(&mut Self) -> bool) -> Waited {
        let deadline = Instant::now() + self.grace;
        while !is_over(self) {
            if Instant::now() >= deadline {
                return Waited::TooLong;
            }
            tokio::select! {
                received = self.signals.next() => match received {
                    Received::End { .. } => return Waited::AskedAgain,
                    Received::PassOn(signal) => self.pass_on(signal),
                    Received::Child => {}
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        Waited::Gone
    }

    fn has_ended(&mut self) -> bool {
        self.reap();
        self.status.is_some()
    }

    fn is_all_over(&mut self) -> bool {
        self.reap();
        // The short look first: the long one is for what it may miss, and for what is not below us.
        let is_below = !processes::without(processes::below_pid(std::process::id()), self.router).is_empty();
        self.status.is_some() && !is_below && self.left().is_empty()
    }

    fn left(&self) -> Vec<Process> {
        processes::without(processes::of_run(self.run), self.router)
    }

    /// Tells all those whom the terminal would tell.
    fn tell_group(&self, signal: Signal) {
        let group = processes::without(processes::of_this_group(), self.router);
        // A command that has made a group of its own is told all the same.
        if !group.iter().any(|process| process.pid == self.child) {
            self.pass_on(signal);
        }
        group.iter().for_each(|process| _ = process.signal(signal));
    }

    fn pass_on(&self, signal: Signal) {
        // Nobody else is given its pid before it has been waited for.
        if self.status.is_none()
            && let Some(pid) = i32::try_from(self.child).ok().and_then(Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Waits for all children that have ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
            if u32::try_from(pid.as_raw_nonzero().get()) == Ok(self.child) {
                self.status = Some(status);
            }
        }
    }

    /// As shells have it.
    pub(crate) fn exit_code(&self) -> u8 {
        let status = self.status.map(|status| (status.exit_status(), status.terminating_signal()));
        let code = match status {
            Some((Some(code), _)) => code,
            Some((_, Some(signal))) => 128 + signal,
            _ => 128 + Signal::KILL.as_raw(),
        };
        u8::try_from(code).unwrap_or(1)
    }
}

/// Whether a signal is one that a terminal sends to everyone at once. Shells count on that: one that waits for its command
/// heeds an interrupt only once the command has ended of it, and npm runs every script in a shell.
fn is_of_terminals(signal: Signal) -> bool {
    signal == Signal::INT || signal == Signal::QUIT
}

fn not_started(program: &OsString, is_alone: bool, error: &io::Error) -> Failure {
    let path = Path::new(program);
    let name = path.display();
    let failure = |code: &str, message: String, hint: Option<String>, exit| Failure {
        code: code.to_owned(),
        message,
        hint,
        exit,
    };
    let missing = error.kind() == io::ErrorKind::NotFound;
    if missing && path.components().count() > 1 && path.exists() {
        let message = format!("{name} names an interpreter that is not there");
        return failure("COMMAND_NOT_EXECUTABLE", message, Some(format!("head -1 {name}")), Exit::NotExecutable);
    }
    if missing {
        let hint = match program.to_str().filter(|text| is_alone && text.contains(' ')) {
            Some(text) => format!("without the quotes: -- {text}"),
            None => format!("command -v {name}"),
        };
        return failure("COMMAND_NOT_FOUND", format!("{name} was not found"), Some(hint), Exit::CommandNotFound);
    }
    let message = format!("{name} cannot be executed: {error}");
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied if path.is_file() => Some(format!("chmod +x {name}")),
        // Without a line that names one, the system does not know what a script is for.
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Some(format!("mastra-router run -- sh {name}"))
        }
        _ => None,
    };
    failure("COMMAND_NOT_EXECUTABLE", message, hint, Exit::NotExecutable)
}
