//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mastra_router::trust::Fingerprint;
use mastra_router::{BaseDomain, HostsMode};
use serde::Deserialize;

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
    #[command(after_help = START_HELP)]
    Start(Serve),
    /// Put a router with the settings of today, of this version, in the place of the one that runs; no request fails.
    #[command(after_help = RESTART_HELP)]
    Restart(Restart),
    /// Give a server a name.
    Add(Add),
    /// Run a command behind a name, for as long as it runs.
    #[command(after_help = RUN_HELP)]
    Run(Run),
    /// End what a `run` that was killed has left, and remove its routes.
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
        deployment: String,
    },
    /// Print the URL of a route.
    Url(Key),
    /// Check a route's target now; exit 1 when it is not healthy.
    Health(Key),
    /// Lease free ports; the router keeps them until they are given back.
    Port(Port),
    /// Follow what happens to routes.
    Watch(Watch),
    /// Keep the routes' names in the hosts file, for programs that do not find them by themselves.
    Hosts(Hosts),
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
    #[command(after_help = ENV_HELP)]
    Env(Env),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tls {
    /// Have the system and the browsers trust the local authority.
    #[command(after_help = TRUST_HELP)]
    Trust(Trust),
    /// Take the local authority, and those it replaced, out of every store.
    #[command(after_help = UNTRUST_HELP)]
    Untrust(Untrust),
    /// Show the local authority, and which stores trust it.
    Status(TrustStatus),
    /// Make a certificate for a name, to be used in another server.
    Issue(Issue),
    /// Replace the local authority by a new one, which then has to be trusted again.
    Renew(Renew),
}

const START_HELP: &str = "\
It takes what serve takes, and returns when the router serves. One that runs already is left as it is.
It logs to router.log in the home (mastra-router logs), and ends with mastra-router stop.";

const RESTART_HELP: &str = "\
The new router takes over the sockets, routes, leased ports and flags of the old one. The old one finishes what is open,
streams and WebSockets too, for as long as --drain says. Where the new one cannot start, the old one goes on.
Addresses stay; to change them, stop the router and start it. Where none runs, one is started.";

const TRUST_HELP: &str = "\
On a terminal it asks before it changes anything, unless --yes is given; without one, the command is taken as consent.
Without --only: the stores of the system and of browsers.

Exit codes: 0 every store trusts it, 1 a store failed or its tool is missing, 3 there is no authority or no store,
5 only privilege was missing.";

const UNTRUST_HELP: &str = "\
Removes certificates by fingerprint: the authority's, those recorded when they were trusted, and --fingerprint.
Without --only: the stores of the system and of browsers, and others that the record names.

Exit codes: 0 no store holds them (any more), 1 a store failed or its tool is missing, 5 only privilege was missing.";

const ENV_HELP: &str = "\
Use it as:  eval \"$(mastra-router env)\"   or   mastra-router env | source   (fish)

SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE replace all other roots, so they name a file that holds those too:
the system's, or those of the file that the variable names already.";

/// Where the authority is.
#[derive(Args, Debug)]
pub(crate) struct CertDir {
    /// Directory of the authority [default: $MASTRA_ROUTER_CERT_DIR, else ~/.mastra/certs].
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Stores {
    /// Only stores of these kinds.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND")]
    pub(crate) only: Vec<Kind>,
    /// The stores of Java too.
    #[arg(long)]
    pub(crate) java: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The system's: what most programs look at.
    System,
    /// Firefox, and Chrome on Linux.
    Nss,
    /// Java.
    Java,
}

#[derive(Args, Debug)]
pub(crate) struct Trust {
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Domain that an authority made now vouches for, beside localhost and test; may be repeated.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) base_domain: Vec<BaseDomain>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

fn domain(text: &str) -> Result<BaseDomain, String> {
    BaseDomain::parse(text).map_err(|error| error.to_string())
}

#[derive(Args, Debug)]
pub(crate) struct Renew {
    /// Domain that the new authority vouches for, beside those of the old one; may be repeated.
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub(crate) base_domain: Vec<BaseDomain>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

#[derive(Args, Debug)]
pub(crate) struct Untrust {
    #[command(flatten)]
    pub(crate) stores: Stores,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Taken for symmetry with trust: nothing is asked.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// SHA-256 of another authority of this router, as `tls status` shows it; may be repeated.
    #[arg(long, value_name = "SHA256", value_parser = fingerprint)]
    pub(crate) fingerprint: Vec<Fingerprint>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

#[derive(Args, Debug)]
pub(crate) struct TrustStatus {
    #[command(flatten)]
    pub(crate) stores: Stores,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

#[derive(Args, Debug)]
pub(crate) struct Issue {
    /// Host name the certificate is for.
    pub(crate) name: String,
    /// Directory it is copied to.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

#[derive(Args, Debug)]
pub(crate) struct Env {
    /// Shell to write for [default: by $SHELL].
    #[arg(long, value_enum)]
    pub(crate) shell: Option<Shell>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Sh,
    Fish,
    Powershell,
}

fn fingerprint(text: &str) -> Result<Fingerprint, &'static str> {
    Fingerprint::parse(text).ok_or("it takes a SHA-256: 64 hexadecimal digits, with or without colons")
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Address to listen on, may be repeated [default: port 3000 on 127.0.0.1 and ::1, or any free one].
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    pub(crate) listen: Vec<SocketAddr>,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
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

/// As it is typed and set.
pub(crate) fn idle_exit(text: &str) -> Result<IdleExit, String> {
    match text {
        "never" => Ok(IdleExit::Never),
        text => duration(text).map(IdleExit::After),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("it takes a time, such as 30s or 10m: {error}"))
}

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
    #[arg(long, value_name = "DIR", env = "MASTRA_ROUTER_CERT_DIR", hide_env = true)]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Send plain HTTP requests for https routes to their https URL.
    #[arg(long)]
    pub(crate) redirect_http: bool,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it takes an address and a port: 127.0.0.1:3000 or [::1]:3000")
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Strategy {
    PortMapping,
    ReverseProxy,
}

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

const RUN_HELP: &str = "\
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
    pub(crate) route: String,
}

#[derive(Args, Debug)]
pub(crate) struct Keys {
    /// Names, deployments or ids of the routes.
    #[arg(required = true)]
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

#[derive(Args, Debug)]
pub(crate) struct Hosts {
    #[command(subcommand)]
    pub(crate) command: HostsCommand,
    /// Show the change as a unified diff, and make none.
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// The hosts file [default: $MASTRA_ROUTER_HOSTS_FILE, else the system's].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) hosts_file: Option<PathBuf>,
    /// Directory of its backups [default: ~/.mastra/hosts-backups].
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) backup_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum HostsCommand {
    /// Make the names of the running router's routes the ones in the file.
    Sync {
        /// Write names too that the file gives another address.
        #[arg(long)]
        force: bool,
        /// Believe the router that this is its domain, may be repeated; needed for domains that the network may know.
        #[arg(long, value_name = "DOMAIN")]
        allow: Vec<String>,
    },
    /// List the names of all routers.
    List,
    /// Remove the names of all routers.
    Clean,
    /// Put the newest backup back.
    Restore,
}
