//! `completions`: the script that a shell reads, and the answers that it gets of us.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, Shells};
use mastra_router::control::ControlClient;
use mastra_router::{Home, RouteInfo, RouterControl};

use super::Outcome;
use super::look::name;
use crate::cli::{Cli, CompletionShell};
use crate::failure::Failure;

/// A person waits for the answer with the key still down.
const ANSWER_MOST: Duration = Duration::from_millis(300);
/// Set by the script that a shell has read.
const VARIABLE: &str = "MASTRA_ROUTER_COMPLETE";

/// Answers a shell that asks for completions, and ends the process then.
pub(crate) fn answer_shell() {
    CompleteEnv::with_factory(Cli::command).var(VARIABLE).complete();
}

/// Names, deployments and ids have one place on the command line; these are names, as `list` shows them.
pub(crate) fn route_names() -> Vec<CompletionCandidate> {
    candidates(name)
}

/// Deployments, where nothing else is taken.
pub(crate) fn deployments() -> Vec<CompletionCandidate> {
    candidates(|route| route.deployment_id.clone())
}

/// What is asked for of each route of the router that runs; nothing where none does, which starts none.
fn candidates(of: impl Fn(&RouteInfo) -> String) -> Vec<CompletionCandidate> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return Vec::new() };
    let routes = runtime.block_on(async {
        let client = ControlClient::new(&Home::resolve(home_being_typed()));
        tokio::time::timeout(ANSWER_MOST, client.all_routes()).await
    });
    runtime.shutdown_background();
    let Ok(Ok(routes)) = routes else { return Vec::new() };
    routes.iter().map(|route| CompletionCandidate::new(of(route)).help(Some(route.target.to_string().into()))).collect()
}

/// The value of `--home` on the command line that is being completed.
fn home_being_typed() -> Option<std::path::PathBuf> {
    let mut words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    while let Some(word) = words.next() {
        if word == "--home" {
            return words.next().map(Into::into);
        }
        if let Some(home) = word.to_str().and_then(|word| word.strip_prefix("--home=")) {
            return Some(home.into());
        }
    }
    None
}

pub(crate) fn completions(shell: CompletionShell) -> Outcome {
    let name = shell.as_str();
    let shells = Shells::builtins();
    let shell =
        shells.completer(name).ok_or_else(|| Failure::usage("USAGE", format!("{name} is not supported"), None))?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "mastra_router", "mastra-router", "mastra-router", &mut script)?;
    // A reader that has gone is no failure.
    let _ = io::stdout().write_all(&script);
    Ok(ExitCode::SUCCESS)
}
