//! Starts a router in the background and waits for the first line it writes: ready, or why not.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use mastra_router::Home;
use mastra_router::control::ControlClient;
use mastra_router::control::wire::RouterJson;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// A router with 100,000 routes takes a second; a resolver that does not answer takes a few.
const START_MOST: Duration = Duration::from_secs(60);
/// When a person wonders what is going on.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// How long one that has the home may take until it answers: it starts, stops or is replaced.
const ANSWER_MOST: Duration = Duration::from_secs(30);
/// More of what a process that failed said is not shown.
const SAID_MAX: u64 = 16 * 1024;

/// The first line of a router in the background.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum First {
    Ready(Ready),
    Failed { code: String, message: String, hint: Option<String> },
}

/// A router that serves.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) pid: u32,
    pub(crate) url: String,
    /// The line as it came.
    #[serde(skip)]
    pub(crate) line: String,
    /// What it told people until then.
    #[serde(skip)]
    pub(crate) said: String,
}

/// A router that runs.
pub(crate) enum Found {
    /// It was started just now.
    Started(Ready),
    /// It ran already.
    Running(RouterJson),
}

/// The router of `home`: the one that runs, or the one that `command` starts. Of several who do this at one time, one
/// starts it, and the others find it.
///
/// # Errors
/// That of the router that could not start.
pub(crate) async fn find_or_start(
    home: &Home,
    mut command: impl FnMut() -> io::Result<std::process::Command>,
    output: &Output,
) -> Result<Found, Failure> {
    let client = ControlClient::new(home);
    let began = Instant::now();
    loop {
        if let Ok(router) = client.status().await {
            return Ok(Found::Running(router));
        }
        match start(command()?, output).await {
            Ok(ready) => return Ok(Found::Started(ready)),
            // Somebody has the home, and will answer or give it up.
            Err(failure) if failure.code == "HOME_IN_USE" && began.elapsed() < ANSWER_MOST => {
                let again = Instant::now() + Duration::from_millis(500);
                while Instant::now() < again {
                    if let Ok(router) = client.status().await {
                        return Ok(Found::Running(router));
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Runs a command line that becomes a router in the background.
///
/// # Errors
/// The failure that it wrote, with its exit code; `START_FAILED` where it ended without a word.
pub(crate) async fn start(command: std::process::Command, output: &Output) -> Result<Ready, Failure> {
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // It outlives the run that may have started it, and is not one of what that leaves behind.
    command.env_remove(crate::run::MARKER);
    let mut child = command.spawn()?;
    let Some(stdout) = child.stdout.take() else { return Err(Failure::failed("START_FAILED", "no stdout")) };
    let said = tokio::spawn(listen(child.stderr.take()));
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout);
    let read = stdout.read_line(&mut line);
    tokio::pin!(read);
    let first = tokio::select! {
        read = &mut read => Ok(read),
        () = tokio::time::sleep(PROGRESS_AFTER) => {
            output.say("Starting the router…");
            tokio::time::timeout(START_MOST, &mut read).await
        }
    };
    let Ok(read) = first else {
        let _ = child.start_kill();
        let message = format!("the router was not ready within {} seconds", START_MOST.as_secs());
        return Err(Failure::failed("START_FAILED", message));
    };
    read?;
    match serde_json::from_str(&line) {
        Ok(First::Ready(ready)) => {
            // It has turned its stderr away from us before it wrote the line.
            let said = tokio::time::timeout(PROGRESS_AFTER, said).await.ok().and_then(Result::ok).unwrap_or_default();
            Ok(Ready { line: line.trim_end().to_owned(), said, ..ready })
        }
        Ok(First::Failed { code, message, hint }) => {
            let exit = exit(child.wait().await?);
            Err(Failure { code, message, hint, exit })
        }
        Err(_) => Err(speechless(&mut child, said.await.unwrap_or_default()).await),
    }
}

async fn listen(stderr: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = stderr {
        let _ = stderr.take(SAID_MAX).read_to_end(&mut said).await;
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn exit(status: ExitStatus) -> Exit {
    let all = [Exit::Usage, Exit::NotFound, Exit::Conflict, Exit::Privilege];
    all.into_iter().find(|exit| status.code() == Some(*exit as i32)).unwrap_or(Exit::Failed)
}

async fn speechless(child: &mut Child, said: String) -> Failure {
    let ended = child.wait().await.map(|status| status.to_string()).unwrap_or_default();
    let said = said.trim();
    let separator = if said.is_empty() { "" } else { ": " };
    Failure::failed("START_FAILED", format!("the router ended before it was ready ({ended}){separator}{said}"))
}
