//! Of what looks after the router in the background.

use std::time::Duration;

use clap::Args;

use super::values::duration;

pub(super) const RESTART_HELP: &str = "\
The new router takes over the sockets, routes, leased ports and flags of the old one. The old one finishes what is open,
streams and WebSockets too, for as long as --drain says. Where the new one cannot start, the old one goes on.
Addresses stay; to change them, stop the router and start it. Where none runs, one is started.";

#[derive(Args, Debug)]
pub(crate) struct Restart {
    /// How long the old router may take for what is open.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) drain: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Stop {
    /// How long to wait for its end.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Go on with what is logged from now on.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// How many lines.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) lines: usize,
}
