//! The command line: one file for each of `commands/` that takes anything.

mod daemon;
mod doctor;
mod hosts;
mod look;
mod routes;
mod run;
mod serve;
mod service;
mod tls;
mod uninstall;
mod up;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;

pub(crate) use daemon::{Logs, Restart, Stop};
pub(crate) use hosts::{Hosts, HostsCommand};
pub(crate) use look::{CompletionShell, Completions, Config, ConfigShow, Man, Open};
pub(crate) use routes::{Add, Key, Keys, List, Port, Update, Watch};
pub(crate) use run::{Prune, Run};
pub(crate) use serve::{Demo, HostsFile, IdleExit, Serve, ServeTls, StartedBy, Strategy};
pub(crate) use service::{Install, ManagerKind, Scope, Service, ServiceUninstall};
pub(crate) use tls::{CertDir, Env, Issue, Kind, Renew, Shell, Stores, Tls, Trust, TrustStatus, Untrust};
pub(crate) use uninstall::Uninstall;
pub(crate) use up::{Hold, Init, Up};
pub(crate) use values::idle_exit;

use crate::commands::deployments;

/// Of this command.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names instead of ports for the servers of this machine.
#[derive(Debug, Parser)]
#[command(
    name = "mastra-router",
    version,
    after_help = "\
Environment:
  MASTRA_ROUTER_HOME        directory of the router's state, where --home is not given
  MASTRA_ROUTER_CERT_DIR    directory of the local authority, where --cert-dir is not given
  MASTRA_ROUTER_HOSTS_FILE  hosts file, in the place of the system's
  MASTRA_ROUTER_LOG         what serve and demo log: error, warn, info (default), debug or trace
  MASTRA_ROUTER_NO_START    1: no command starts the router by itself, as --no-start
  MASTRA_ROUTER_IDLE_EXIT   when a router that a command started ends by itself: 10m after its last route, or never
  MASTRA_ROUTER_<KEY>       a setting, such as MASTRA_ROUTER_PROXY_POOL_SIZE (mastra-router config show --help)
  NO_COLOR                  no colour, where it is set and not empty

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 conflict, 5 needs privilege."
)]
pub(crate) struct Cli {
    /// Directory of the router's state [default: $MASTRA_ROUTER_HOME, else ~/.mastra/router].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Print JSON (JSON Lines for streams).
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only what was asked for.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Do not start the router where none runs.
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start two sample servers behind names and show what to open.
    Demo(Demo),
    /// Run the router in the foreground.
    Serve(Serve),
    /// Start the router in the background.
    #[command(after_help = serve::START_HELP)]
    Start(Serve),
    /// Put a router with the settings of today, of this version, in the place of the one that runs; no request fails.
    #[command(after_help = daemon::RESTART_HELP)]
    Restart(Restart),
    /// Give a server a name.
    Add(Add),
    /// Run a command behind a name, for as long as it runs.
    #[command(after_help = run::RUN_HELP)]
    Run(Run),
    /// Run all servers of a project behind names, until Ctrl-C.
    #[command(after_help = up::UP_HELP)]
    Up(Up),
    /// Write a mastra-router.toml for the project that is here.
    Init(Init),
    /// Run a command for `up`, and end all of it when told, or when `up` is no more.
    #[command(hide = true)]
    Hold(Hold),
    /// End what a `run` or an `up` that was killed has left, and remove its routes.
    Prune(Prune),
    /// Change a route.
    Update(Update),
    /// Remove routes.
    Rm(Keys),
    /// List routes.
    #[command(visible_alias = "ls")]
    List(List),
    /// Show the route of a deployment.
    Get {
        /// Deployment id.
        #[arg(add = ArgValueCandidates::new(deployments))]
        deployment: String,
    },
    /// Print the URL of a route.
    Url(Key),
    /// Open a route, or the router's own page, in the browser.
    Open(Open),
    /// Check a route's target now; exit 1 when it is not healthy.
    Health(Key),
    /// Lease free ports; the router keeps them until they are given back.
    Port(Port),
    /// Follow what happens to routes.
    Watch(Watch),
    /// Keep the routes' names in the hosts file, for programs that do not find them by themselves.
    Hosts(Hosts),
    /// Look at all that the router needs, and say what is wrong and which command mends it; changes nothing.
    #[command(after_help = doctor::HELP)]
    Doctor,
    /// Have the service manager of the system run the router.
    #[command(subcommand)]
    Service(Service),
    /// Remove all that the router has ever written on this machine.
    #[command(after_help = uninstall::HELP)]
    Uninstall(Uninstall),
    /// Say what the router is doing.
    Status,
    /// Stop the router, and wait until it has.
    Stop(Stop),
    /// Show what the router in the background has logged.
    Logs(Logs),
    /// What this machine trusts of the local authority, and its certificates.
    #[command(subcommand)]
    Tls(Tls),
    /// Print exports that let curl, Node, Python, Deno and OpenSSL accept the local authority.
    #[command(after_help = tls::ENV_HELP)]
    Env(Env),
    /// Settings and where they come from.
    #[command(subcommand)]
    Config(Config),
    /// Print a script that completes this command's words in a shell.
    #[command(after_help = look::COMPLETIONS_HELP)]
    Completions(Completions),
    /// Print the manual page (mastra-router man | man -l -).
    Man(Man),
}
