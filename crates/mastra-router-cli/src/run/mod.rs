//! `run`: a command that is started, with a name that leads to it for as long as it runs.

mod claim;
pub(crate) mod environment;
pub(crate) mod habits;
mod invocation;
mod port;
pub(crate) mod processes;
mod project;
mod prune;
mod serving;
mod signals;
mod sockets;
mod stable_hash;
mod supervisor;
mod telling;

use std::path::Path;
use std::process::{ExitCode, Stdio};

use mastra_router::{Home, InvokingUser, RouteConfig, RouteLease};

pub(crate) use self::claim::{Claim, Told};
pub(crate) use self::port::LeasedPort;
pub(crate) use self::processes::{RunId, VARIABLE as MARKER, left_behind};
pub(crate) use self::project::Project;
pub(crate) use self::prune::prune;
pub(crate) use self::serving::{NEVER, News, Serving};
pub(crate) use self::signals::{Received, Signals};
pub(crate) use self::sockets::{Listening, is_taken_from};
pub(crate) use self::stable_hash::stable_hash;
pub(crate) use self::supervisor::Supervisor;
use crate::cli::Run;
use crate::config::cert_dir;
use crate::daemon::reach::Reach;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::project_file::BranchTemplate;

/// Longest text of a lease that is told to people.
const TEXT_MAX: usize = 1024;

/// Runs a command behind a name, to its end.
///
/// # Errors
/// Where the command is not started. Nothing is left behind then.
pub(crate) async fn run(args: Run, reach: Reach<'_>, output: &Output) -> Result<ExitCode, Failure> {
    // From now on: a command that is started is not left alone.
    let signals = Signals::new()?;
    let home = reach.home;
    refuse_sudo(home)?;
    let dir = std::env::current_dir()?;
    let project = match args.name {
        // What the file says of names is of no use then.
        Some(_) => Project::of(&dir, None, BranchTemplate::default()),
        None => Project::described(&dir)?,
    };
    let name = project.name(args.name.as_deref())?;
    let client = reach.client().await?;
    let router = client.status().await?.pid;
    let port = LeasedPort::take(home, &project.dir.to_string_lossy(), &name, args.port)?;
    let shown = words(&args.command);
    let lease = RouteLease {
        command: Some(cut(&shown)),
        folder: Some(cut(&dir.to_string_lossy())),
        ..RouteLease::of_this_process()
    };
    let config = RouteConfig {
        health_path: args.health,
        lease: Some(lease.clone()),
        ..RouteConfig::new(name.clone(), args.project, name, "localhost", port.number)
    };
    let hint = format!("mastra-router run {} --force -- … takes it over", config.subdomain);
    let claim = Claim::take(client, config, args.force, hint).await?;
    port.remember();
    let run = RunId::new(&lease, home);
    let variables = environment::variables(port.number, &claim.route.public_url, &cert_dir(home).join("ca.pem"));
    let command = if args.as_is { args.command } else { habits::for_port(args.command, port.number, &dir) };
    let supervisor = match Supervisor::start(&command, variables, Stdio::inherit(), run, router, signals, args.grace) {
        Ok(supervisor) => supervisor,
        Err(failure) => {
            claim.end().await;
            return Err(failure);
        }
    };
    let tell = |claim: &Claim, news: News| telling::tell(claim, &news, port.number, &shown, output);
    let serving = Serving::new(claim, port.number, shown.clone(), router, tell);
    Ok(ExitCode::from(supervisor.until_ended(serving, output).await))
}

/// Under sudo, what is made in the user's own directories would be root's, and of no use to the user.
pub(crate) fn refuse_sudo(home: &Home) -> Result<(), Failure> {
    let user = InvokingUser::current();
    if user.sudo.is_none() || !home.path().starts_with(&user.home) {
        return Ok(());
    }
    Err(Failure {
        code: "FILE_ERROR".to_owned(),
        message: format!(
            "{} is that of the user who called sudo, who could not use it any more",
            home.path().display()
        ),
        hint: Some("mastra-router run … -- sudo <command>, as yourself".to_owned()),
        exit: Exit::Failed,
    })
}

/// A command as it was typed, more or less.
pub(crate) fn words(command: &[std::ffi::OsString]) -> String {
    let words = command.iter().enumerate().map(|(at, word)| match at {
        0 => Path::new(word).file_name().unwrap_or(word).to_string_lossy(),
        _ => word.to_string_lossy(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// No longer than a lease may tell it, and on one line.
pub(crate) fn cut(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if kept.len() + c.len_utf8() > TEXT_MAX {
            break;
        }
        kept.push(c);
    }
    kept
}
