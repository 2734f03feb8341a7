//! `hold`, which `up` starts for each of its apps: a process that has all of an app's below it, and ends them when it is
//! told to, or when `up` is there no more.

use std::os::fd::AsFd;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use mastra_router::{Home, RouteLease};
use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::cli::Hold;
use crate::failure::Failure;
use crate::run::processes::{below_pid, without};
use crate::run::{Listening, RunId, Signals, Supervisor};

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a server in the background may listen nowhere, as it does while it restarts.
const RESTART: Duration = Duration::from_secs(2);

/// Runs a command to its end, and ends with its exit code.
///
/// # Errors
/// Where the command is not started.
pub(crate) async fn hold(args: Hold, home: &Home) -> Result<ExitCode, Failure> {
    let signals = Signals::new()?;
    let run = RunId::new(&RouteLease::of_this_process(), home);
    let mut supervisor =
        Supervisor::start(&args.command, Vec::new(), Stdio::null(), run, args.router, signals, args.grace)?;
    let (ended, command_ended) = watch::channel(false);
    let asked = tokio::select! {
        asked = supervisor.until_asked(&ended, until_nothing_is_left(command_ended, args.router)) => asked,
        () = end_of_up() => Some((Signal::TERM, false)),
    };
    supervisor.end(asked).await;
    Ok(ExitCode::from(supervisor.exit_code()))
}

/// Returns when the pipe on stdin is closed at its other end, which `up` has, and nobody else.
async fn end_of_up() {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned();
    let Ok(mut pipe) = stdin.and_then(pipe::Receiver::from_owned_fd) else {
        // Somebody else has started this, and ends it by a signal.
        return std::future::pending().await;
    };
    let mut bytes = [0; 64];
    while pipe.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// After the command has ended, it may have left a server in the background.
async fn until_nothing_is_left(mut command_ended: watch::Receiver<bool>, router: u32) {
    let _ = command_ended.wait_for(|ended| *ended).await;
    let mut silent_since: Option<Instant> = None;
    let mut has_listened = false;
    loop {
        let processes = without(below_pid(std::process::id()), router);
        if Listening::of(&processes, 0).is_some() {
            (has_listened, silent_since) = (true, None);
        } else if has_listened {
            silent_since.get_or_insert_with(Instant::now);
        }
        if processes.is_empty() || silent_since.is_some_and(|since| since.elapsed() >= RESTART) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
