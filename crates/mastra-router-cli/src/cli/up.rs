//! Of `up` and `init`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::duration;

pub(super) const UP_HELP: &str = "\
The apps are those of [apps.NAME] in the nearest mastra-router.toml, up to the root of the git repository; where there are
none, the packages of the pnpm, npm, yarn or bun workspace that have a dev or start script, or the package here.

Each app runs as by mastra-router run, after what it depends on, and is told the URL of every other: API_URL is that of api.
One that crashes is started again, after 1 s and later after up to 30; one that ends with 0 is not.
One with wake = true is started by the first request to it, and stopped when nothing was asked of it for its idle time (15m).
Ctrl-C ends all, each before what it depends on; twice, at once.

Exit codes: 130 after Ctrl-C, 143 after SIGTERM; where all have ended by themselves 0, or 1 where one failed for good; 2 the
file is not valid, 3 there is no such app or nothing to run, 4 a name or a port is taken.";

#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Apps to run, with what they depend on [default: all]; a first one that ends with .toml or has a slash is the file.
    #[arg(value_name = "APP")]
    pub(crate) apps: Vec<String>,
    /// The file [default: the nearest mastra-router.toml].
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Take names over from whoever has them.
    #[arg(long)]
    pub(crate) force: bool,
    /// How long an app may take to end before all that it has started is told to, and then to be killed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Print what would be written, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the JSON schema of the file instead.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) schema: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Hold {
    /// The process of the router, which is left alone.
    #[arg(long)]
    pub(crate) router: u32,
    #[arg(long, value_parser = duration)]
    pub(crate) grace: Duration,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}
