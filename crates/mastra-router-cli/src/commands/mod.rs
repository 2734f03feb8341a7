//! One file a command, or a few that are alike.

pub(crate) mod authority;
mod completions;
mod config;
pub(crate) mod daemon;
mod demo;
mod doctor;
mod env;
pub(crate) mod hosts;
mod logs;
pub(crate) mod look;
mod man;
mod open;
mod port;
mod routes;
mod run;
mod sample;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod tls;
mod uninstall;

use std::process::ExitCode;

use mastra_router::Home;
use mastra_router::control::ControlClient;

use crate::cli::{Cli, Command, Config, Watch};
use crate::config::Places;
use crate::daemon::reach::Reach;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) use completions::{answer_shell, deployments, route_names};

type Outcome = Result<ExitCode, Failure>;

/// Runs a command to its end.
pub(crate) fn run(cli: Cli, output: &Output) -> Outcome {
    // Control work needs one thread; the proxy has its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let home = Home::resolve(cli.home.clone());
    let ended = runtime.block_on(async {
        // `status`, `stop` and what only looks at the machine have no use for a router that has just been started.
        let client = ControlClient::new(&home);
        let reach = Reach::new(&home, cli.no_start, output);
        match cli.command {
            Command::Demo(args) => demo::run(args, output).await,
            Command::Serve(args) => serve::run(args, &home, output).await,
            // The same command line with one flag more is the router that it starts.
            Command::Start(args) if args.background.is_some() => serve::run(args, &home, output).await,
            Command::Start(_) => daemon::start(&home, output).await,
            Command::Restart(args) => daemon::restart(&args, &home, output).await,
            Command::Logs(args) => logs::logs(&args, &home, output).await,
            Command::Add(args) => routes::add(args, reach, output).await,
            Command::Run(args) => run::run(args, reach, output).await,
            Command::Up(args) => crate::up::up(args, reach, output).await,
            Command::Init(args) => crate::init::init(&args, output),
            Command::Hold(args) => crate::up::hold(args, &home).await,
            Command::Prune(args) => run::prune(&args, &home, output).await,
            Command::Update(args) => routes::update(args, reach, output).await,
            Command::Rm(args) => routes::remove(args, &reach.client().await?, output).await,
            Command::List(args) => look::list(args, &reach.client().await?, output).await,
            Command::Get { deployment } => look::get(&deployment, &reach.client().await?, output).await,
            Command::Url(args) => look::url(&args.route, &reach.client().await?, output).await,
            Command::Health(args) => look::health(&args.route, &reach.client().await?, output).await,
            Command::Watch(Watch { requests: false }) => look::watch(reach, output).await,
            Command::Watch(Watch { requests: true }) => look::watch_requests(reach, output).await,
            Command::Hosts(mut args) => {
                let places = Places::of_user(&home)?;
                args.hosts_file = args.hosts_file.or(places.hosts_file);
                args.backup_dir = args.backup_dir.or(places.backup_dir);
                hosts::run(args, cli.home.is_some(), &home, &client, output).await
            }
            Command::Port(args) => port::port(&args, &reach.client().await?, output).await,
            Command::Doctor => doctor::run(&home, cli.home.is_some(), output).await,
            Command::Service(command) => service::run(command, &home, output).await,
            Command::Uninstall(mut args) => {
                let places = Places::of_user(&home)?;
                args.hosts_file = args.hosts_file.or(places.hosts_file);
                args.backup_dir = args.backup_dir.or(places.backup_dir);
                args.cert_dir.cert_dir = args.cert_dir.cert_dir.or(places.cert_dir);
                uninstall::run(args, cli.home.is_some(), &home, output).await
            }
            Command::Status => daemon::status(&client, &home, output).await,
            Command::Stop(args) => daemon::stop(&args, &client, &home, output).await,
            Command::Tls(mut command) => {
                command.cert_dir().or(Places::of_user(&home)?);
                tls::run(command, output)
            }
            Command::Env(mut args) => {
                args.cert_dir.or(Places::of_user(&home)?);
                env::run(&args, output)
            }
            Command::Open(args) => open::open(args.route.as_deref(), &reach.client().await?, output).await,
            Command::Config(Config::Show(args)) => config::show(&args, &home, output),
            Command::Completions(args) => completions::completions(args.shell),
            Command::Man(args) => man::man(args.dir.as_deref(), output),
        }
    });
    // A name that is being resolved has no cancellation; nobody waits for its answer any more.
    runtime.shutdown_background();
    ended
}
