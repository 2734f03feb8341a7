//! `start`, `restart`, `stop`, `status`, `logs`.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use mastra_router::control::ControlClient;
use mastra_router::control::wire::RouterJson;
use mastra_router::{Home, HomeHolder, RouterError};
use serde_json::json;

use super::Outcome;
use crate::cli::{Restart, Stop, VERSION};
use crate::daemon::door::{self, Question};
use crate::daemon::spawn::{self, Found, Ready};
use crate::failure::Failure;
use crate::output::Output;

/// When a person wonders what is going on.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// How long a router that is in the way may take for its end.
const STOP_MOST: Duration = Duration::from_secs(30);
/// One that runs answers within milliseconds.
const ANSWER_MOST: Duration = Duration::from_secs(2);

pub(crate) async fn start(home: &Home, output: &Output) -> Outcome {
    match spawn::find_or_start(home, in_background, output).await? {
        Found::Started(ready) => tell(&ready, "started", output),
        Found::Running(router) => {
            if router.started_by.as_deref() == Some("command") {
                // It was about to end by itself some time.
                let _ = door::ask(home, &Question::Stay).await;
            }
            running(&router, output);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// This command line, as that of a router.
fn in_background() -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).arg("--background=start");
    Ok(command)
}

fn tell(ready: &Ready, what: &str, output: &Output) {
    ready.said.lines().for_each(|line| output.say(line));
    if output.json {
        output.line(&ready.line);
        return;
    }
    output.line(&ready.url);
    output.say(&format!(
        "{what} (pid {}); mastra-router add NAME PORT adds a route, mastra-router stop ends it",
        ready.pid
    ));
}

fn running(router: &RouterJson, output: &Output) {
    if output.json {
        output.json(&json!({
            "event": "running", "pid": router.pid, "listen": router.listen, "url": router.url, "home": router.home,
        }));
        return;
    }
    if let Some(url) = &router.url {
        output.line(url);
    }
    output.say(&format!("runs already (pid {}); it is left as it is", router.pid));
}

pub(crate) async fn restart(args: &Restart, home: &Home, output: &Output) -> Outcome {
    let old = match door::ask(home, &Question::Describe).await {
        Ok(old) => old,
        Err(error) => {
            let Ok(router) = ControlClient::new(home).status().await else {
                return restart_none(home, output).await;
            };
            let message = format!("the router (pid {}) cannot be replaced while it runs: {error}", router.pid);
            return Err(Failure {
                hint: Some("stop it and start it".to_owned()),
                ..Failure::failed("RESTART_FAILED", message)
            });
        }
    };
    let Some(origin) = old.origin else {
        let message = format!("the command line of the router (pid {}) is not UTF-8", old.pid);
        return Err(Failure {
            hint: Some("stop it and start it".to_owned()),
            ..Failure::failed("RESTART_FAILED", message)
        });
    };
    let by_command = old.started_by == "command";
    let background = if by_command { "--background=command" } else { "--background=start" };
    let take_over = format!("--take-over={}", humantime::format_duration(args.drain).to_string().replace(' ', ""));
    let mut command = origin.command(!by_command && origin.is_of_command(), &[background.to_owned(), take_over])?;
    command.env("MASTRA_ROUTER_HOME", home.path());
    match spawn::start(command, output).await {
        Ok(ready) => {
            if old.started_by == "serve" {
                output.say(&format!(
                    "the router of pid {} ran in the foreground; the new one runs in the background",
                    old.pid
                ));
            }
            tell(&ready, "restarted", output);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            output.say(&format!("The new router did not start; the old one (pid {}) goes on.", old.pid));
            Err(failure)
        }
    }
}

/// A router that does not run is restarted by being started.
async fn restart_none(home: &Home, output: &Output) -> Outcome {
    let command = || {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--home").arg(home.path()).args(["serve", "--background=start"]);
        Ok(command)
    };
    match spawn::find_or_start(home, command, output).await? {
        Found::Started(ready) => tell(&ready, "none ran; started", output),
        Found::Running(router) => running(&router, output),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn status(client: &ControlClient, home: &Home, output: &Output) -> Outcome {
    let mut router = client.status().await?;
    let process = door::ask(home, &Question::Describe).await.ok().filter(|process| process.pid == router.pid);
    if let Some(process) = &process {
        router.started_by = Some(process.started_by.clone());
    }
    if output.json {
        output.json(&router);
        return Ok(ExitCode::SUCCESS);
    }
    let own = VERSION;
    let version = match router.version == own {
        true => format!("version {own}"),
        false => format!("version {} (this command is {own}: mastra-router restart)", router.version),
    };
    let mut rows = vec![
        ["router", &format!("● running, {version}, pid {}", router.pid)].map(str::to_owned),
        ["since".to_owned(), since(&router.started_at)],
    ];
    rows.extend(router.started_by.as_deref().map(|by| ["started by".to_owned(), started_by(by).to_owned()]));
    rows.extend([
        ["listening".to_owned(), router.listen.join(", ")],
        ["routes".to_owned(), format!("{} under {} ({})", router.routes, router.base_domain, router.strategy)],
        ["home".to_owned(), router.home],
        ["saved in".to_owned(), router.state_file.unwrap_or_else(|| "nothing is saved".to_owned())],
    ]);
    rows.extend(router.log_file.map(|file| ["log".to_owned(), file]));
    rows.extend(router.warnings.into_iter().map(|warning| ["warning".to_owned(), warning]));
    for [name, value] in rows {
        output.line(&format!("{name:10}  {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A moment, and how long ago that is.
fn since(moment: &str) -> String {
    let passed = humantime::parse_rfc3339(moment).ok().and_then(|time| time.elapsed().ok());
    match passed {
        Some(passed) => format!("{moment} (up {})", humantime::format_duration(Duration::from_secs(passed.as_secs()))),
        None => moment.to_owned(),
    }
}

fn started_by(word: &str) -> &str {
    match word {
        "serve" => "serve, in the foreground",
        "start" => "start, in the background",
        "command" => "a command that needed it; it ends by itself when it has had no route for a while",
        other => other,
    }
}

pub(crate) async fn stop(args: &Stop, client: &ControlClient, home: &Home, output: &Output) -> Outcome {
    let pid = client.status().await.map(|router| router.pid).ok();
    client.stop().await?;
    let (began, mut told) = (Instant::now(), false);
    // The lock is given up last, by an orderly end and by any other.
    while let Err(RouterError::HomeInUse { .. }) = home.lock() {
        let waited = began.elapsed();
        if waited > args.timeout {
            return Err(still_running(args.timeout, pid, home).await);
        }
        if waited > PROGRESS_AFTER && !told {
            told = true;
            output.say(&format!("Waiting for {}…", open(home).await));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if output.json {
        output.json(&json!({ "event": "stopped", "pid": pid }));
    } else {
        output.say("stopped");
    }
    Ok(ExitCode::SUCCESS)
}

/// The router of a home, if it answers soon: what is stopped by hand is no reason to wait for good.
pub(crate) async fn answering(home: &Home) -> Option<RouterJson> {
    let client = ControlClient::new(home);
    tokio::time::timeout(ANSWER_MOST, client.status()).await.ok()?.ok()
}

/// Waits for the end of a router that was asked to stop, whoever's home it has.
///
/// # Errors
/// `STOP_TIMEOUT`.
pub(crate) async fn until_ended(home: &Home, pid: u32) -> Result<(), Failure> {
    let began = Instant::now();
    while home.holder()? != HomeHolder::Nobody {
        if began.elapsed() > STOP_MOST {
            return Err(still_running(STOP_MOST, Some(pid), home).await);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// What a router that stops waits for.
async fn open(home: &Home) -> String {
    match door::ask(home, &Question::Describe).await {
        Ok(process) if process.connections == 1 => "1 connection to end".to_owned(),
        Ok(process) if process.connections > 1 => format!("{} connections to end", process.connections),
        _ => "the router to end".to_owned(),
    }
}

async fn still_running(timeout: Duration, pid: Option<u32>, home: &Home) -> Failure {
    let (after, open) = (humantime::format_duration(timeout), open(home).await);
    let named = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let message = format!("the router{named} has not stopped within {after}: it waits for {open}");
    let hint = pid.map(|pid| format!("end it at once: kill {pid}"));
    Failure { hint, ..Failure::failed("STOP_TIMEOUT", message) }
}
