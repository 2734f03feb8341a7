//! Of what changes routes and looks at them.

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use crate::commands::route_names;

#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Name of the route: `shop` answers at http://shop.localhost:3000.
    pub(crate) name: String,
    /// Where it leads: a port, host:port, or a URL with http, https, https+insecure (any certificate) or h2c (gRPC).
    pub(crate) target: String,
    /// Project the route belongs to.
    #[arg(long, default_value = "default")]
    pub(crate) project: String,
    /// Deployment the route belongs to [default: the name, with the path prefix].
    #[arg(long)]
    pub(crate) deployment: Option<String>,
    /// Wait until the target is healthy; where it is not in time, there is no route.
    #[arg(long)]
    pub(crate) wait_healthy: bool,
    #[command(flatten)]
    pub(crate) options: RouteOptions,
}

#[derive(Args, Debug)]
pub(crate) struct RouteOptions {
    /// Answer only below this path of the route's host.
    #[arg(long, value_name = "/PATH")]
    pub(crate) path_prefix: Option<String>,
    /// Forward paths with their prefix instead of without.
    #[arg(long)]
    pub(crate) keep_prefix: bool,
    /// Path of the health check.
    #[arg(long, value_name = "/PATH")]
    pub(crate) health: Option<String>,
    /// Take hosts below the route's own too.
    #[arg(long)]
    pub(crate) wildcard: bool,
    /// Whether the route's URL is https [default: as the router's].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(crate) tls: Option<bool>,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// Name, deployment or id of the route.
    #[arg(add = ArgValueCandidates::new(route_names))]
    pub(crate) route: String,
    /// New target: a port, host:port, or a URL with http, https, https+insecure or h2c.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// New name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// New project.
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Forward paths without their prefix again.
    #[arg(long, conflicts_with = "keep_prefix")]
    pub(crate) strip_prefix: bool,
    /// Switch only when the new target is healthy.
    #[arg(long)]
    pub(crate) wait_healthy: bool,
    #[command(flatten)]
    pub(crate) options: RouteOptions,
}

#[derive(Args, Debug)]
pub(crate) struct Watch {
    /// Follow the requests that are answered instead, one line each.
    #[arg(long)]
    pub(crate) requests: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Key {
    /// Name, deployment or id of the route.
    #[arg(add = ArgValueCandidates::new(route_names))]
    pub(crate) route: String,
}

#[derive(Args, Debug)]
pub(crate) struct Keys {
    /// Names, deployments or ids of the routes.
    #[arg(required = true, add = ArgValueCandidates::new(route_names))]
    pub(crate) routes: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Only routes of this project.
    #[arg(long)]
    pub(crate) project: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Port {
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) count: u16,
}
