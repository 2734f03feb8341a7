//! Of `serve`, `start` and `demo`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mastra_router::HostsMode;
use serde::Deserialize;

use super::values::{address, duration, idle_exit};
use crate::config::Chosen;

pub(super) const START_HELP: &str = "\
It takes what serve takes, and returns when the router serves. One that runs already is left as it is.
It logs to router.log in the home (mastra-router logs), and ends with mastra-router stop.";

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML) [default: the nearest mastra-router.toml up to the root of the git repository].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Look for no mastra-router.toml.
    #[arg(long, conflicts_with = "config")]
    pub(crate) no_project_file: bool,
    /// Address to listen on, may be repeated; port 0 is any free one [default: 127.0.0.1:3000 and [::1]:3000].
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Allow addresses that other machines can reach.
    #[arg(long)]
    pub(crate) lan: bool,
    /// Threads that forward requests [default: one a core, four at most].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Domain that routes live under [default: localhost].
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) base_domain: Option<String>,
    /// How routes are reached [default: reverse-proxy].
    #[arg(long, value_enum)]
    pub(crate) strategy: Option<Strategy>,
    /// Neither load nor save routes, leases and settings.
    #[arg(long)]
    pub(crate) no_save: bool,
    /// Keep the routes' names in the hosts file [default: off].
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) hosts: Option<HostsFile>,
    /// End after this time without a route and without a client of the control socket: 10m, or never [default: never].
    #[arg(long, value_name = "TIME", value_parser = idle_exit)]
    pub(crate) idle_exit: Option<IdleExit>,
    #[command(flatten)]
    pub(crate) tls: ServeTls,
    /// Be the router in the background that this started.
    #[arg(long, value_enum, hide = true, require_equals = true)]
    pub(crate) background: Option<StartedBy>,
    /// Take the place of the router that runs, which has this time for what is open.
    #[arg(long, hide = true, require_equals = true, value_parser = duration)]
    pub(crate) take_over: Option<Duration>,
}

impl Serve {
    /// The file that is heeded besides the user's.
    pub(crate) fn chosen(&self) -> Chosen<'_> {
        match &self.config {
            Some(path) => Chosen::Given(path),
            None if self.no_project_file => Chosen::None,
            None => Chosen::OfProject,
        }
    }

    /// The same for a router that no project's directory has to do with.
    pub(crate) fn chosen_for_all(&self) -> Chosen<'_> {
        self.config.as_deref().map_or(Chosen::None, Chosen::Given)
    }
}

/// What started a router in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartedBy {
    /// Somebody who wants it to stay.
    Start,
    /// A command that needed one.
    Command,
}

/// When a router that is of no use ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdleExit {
    Never,
    After(Duration),
}

/// Whether names are kept in the hosts file.
#[derive(Clone, Copy, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HostsFile {
    /// They are not.
    Off,
    /// They are; where that fails it is reported, and routes work without.
    BestEffort,
    /// They are, and a route whose name cannot be written is refused.
    Required,
}

impl From<HostsFile> for HostsMode {
    fn from(mode: HostsFile) -> Self {
        match mode {
            HostsFile::Off => Self::Off,
            HostsFile::BestEffort => Self::BestEffort,
            HostsFile::Required => Self::Required,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ServeTls {
    /// Serve HTTPS, and make every route's URL https, with certificates of a local authority.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) tls: Option<bool>,
    /// Certificate to serve instead of issued ones (PEM, with its chain); goes with --key and means --tls.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Key of --cert (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Directory of the authority and its certificates [default: $MASTRA_ROUTER_CERT_DIR, else ~/.mastra/certs].
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Send plain HTTP requests for https routes to their https URL.
    #[arg(long)]
    pub(crate) redirect_http: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Strategy {
    PortMapping,
    ReverseProxy,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Address to listen on, may be repeated [default: port 3000 on 127.0.0.1 and ::1, or any free one].
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,
}
