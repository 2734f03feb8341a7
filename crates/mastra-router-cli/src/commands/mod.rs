//! One file a command, or a few that are alike.

mod authority;
mod demo;
mod env;
mod hosts;
mod look;
mod router;
mod routes;
mod run;
mod sample;
mod serve;
mod tls;

use std::process::ExitCode;

use mastra_router::Home;
use mastra_router::control::ControlClient;

use crate::cli::{Cli, Command, Watch};
use crate::failure::Failure;
use crate::output::Output;

type Outcome = Result<ExitCode, Failure>;

/// Runs a command to its end.
pub(crate) fn run(cli: Cli, output: &Output) -> Outcome {
    // Control work needs one thread; the proxy has its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let home = Home::resolve(cli.home.clone());
    let ended = runtime.block_on(async {
        let client = ControlClient::new(&home);
        match cli.command {
            Command::Demo(args) => demo::run(args, output).await,
            Command::Serve(args) => serve::run(args, &home, output).await,
            Command::Add(args) => routes::add(args, &client, output).await,
            Command::Run(args) => run::run(args, &home, output).await,
            Command::Prune(args) => run::prune(&args, &home, output).await,
            Command::Update(args) => routes::update(args, &client, output).await,
            Command::Rm(args) => routes::remove(args, &client, output).await,
            Command::List(args) => look::list(args, &client, output).await,
            Command::Get { deployment } => look::get(&deployment, &client, output).await,
            Command::Url(args) => look::url(&args.route, &client, output).await,
            Command::Health(args) => look::health(&args.route, &client, output).await,
            Command::Watch(Watch { requests: false }) => look::watch(&client, output).await,
            Command::Watch(Watch { requests: true }) => look::watch_requests(&client, output).await,
            Command::Hosts(args) => hosts::run(args, cli.home.is_some(), &home, &client, output).await,
            Command::Port(args) => router::port(&args, &client, output).await,
            Command::Status => router::status(&client, output).await,
            Command::Stop => router::stop(&client, &home, output).await,
            Command::Tls(command) => tls::run(command, output),
            Command::Env(args) => env::run(&args, output),
        }
    });
    // A name that is being resolved has no cancellation; nobody waits for its answer any more.
    runtime.shutdown_background();
    ended
}
