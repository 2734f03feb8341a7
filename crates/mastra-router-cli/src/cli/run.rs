//! Of `run` and `prune`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;

pub(super) const RUN_HELP: &str = "\
The command is told its port by PORT and UVICORN_PORT, by options where it is known to need them (Vite, Astro, Angular, Next,
Nuxt, uvicorn, python -m http.server and others, also behind npx, pnpm and npm run), and where {port} stands in it. The port
is the same the next time, where it is free. Where the command listens on another port, the route leads there.

Without a name: that of package.json, else of the git repository, else of the folder; in a linked git work tree with the
branch before it, as fix-ui.shop.

Ctrl-C ends the command and all that it has started; twice, at once.
Exit codes: that of the command, 128 and the signal's number where a signal ended it; 127 there is no such command, 126 it
cannot be executed; 4 the name or the port is taken.";

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// Name of the route [default: see below].
    pub(crate) name: Option<String>,
    /// Port for the command [default: a free one, the same each time].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Path of the health check.
    #[arg(long, value_name = "/PATH")]
    pub(crate) health: Option<String>,
    /// Take the name over from whoever has it.
    #[arg(long)]
    pub(crate) force: bool,
    /// Add no options to the command.
    #[arg(long)]
    pub(crate) as_is: bool,
    /// How long the command may take to end before all that it has started is told to, and then to be killed.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(crate) grace: Duration,
    /// Project the route belongs to.
    #[arg(long, default_value = "default")]
    pub(crate) project: String,
    /// The command, after two hyphens.
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
