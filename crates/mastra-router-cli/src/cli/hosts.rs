//! Of `hosts`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
