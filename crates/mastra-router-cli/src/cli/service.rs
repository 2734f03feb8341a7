//! Of `service`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::serve::Serve;

const INSTALL_HELP: &str = "\
It takes what serve takes, and the service runs serve with that. Done again, it changes what is different.
--system (systemd, by sudo) opens ports 80 and 443, or those of --listen, for a router that runs as you.";

#[derive(Debug, Subcommand)]
pub(crate) enum Service {
    /// Have the system's service manager run the router, from now on and after each login or start.
    #[command(after_help = INSTALL_HELP)]
    Install(Box<Install>),
    /// Say whether there is a service, and whether it runs.
    Status(Scope),
    /// Stop the service and remove its files.
    Uninstall(ServiceUninstall),
}

/// Which service is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Scope {
    /// The service of the whole machine instead of the one of this user.
    #[arg(long)]
    pub(crate) system: bool,
    /// Service manager [default: this system's].
    #[arg(long, value_enum)]
    pub(crate) manager: Option<ManagerKind>,
    /// Directory of its files.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) unit_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManagerKind {
    /// Linux.
    Systemd,
    /// macOS.
    Launchd,
    /// Windows.
    TaskScheduler,
}

#[derive(Args, Debug)]
pub(crate) struct Install {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Print the files and the commands, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Args, Debug)]
pub(crate) struct ServiceUninstall {
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
