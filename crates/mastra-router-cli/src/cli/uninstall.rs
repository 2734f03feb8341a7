//! Of `uninstall`.

use std::path::PathBuf;

use clap::Args;

use super::tls::CertDir;

pub(super) const HELP: &str = "\
Removes, in this order: the service, the running router, the authority from every store that trusts it, names from the hosts
file, and the files of certificates, backups and state. What is not of this router stays and is listed.
On a terminal it asks before it changes anything, unless --yes is given; without one, the command is taken as consent.

Exit codes: 0 nothing of it is left, 1 something could not be removed, 5 only privilege was missing.";

#[derive(Args, Debug)]
pub(crate) struct Uninstall {
    /// Say what would be removed, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// The hosts file [default: $MASTRA_ROUTER_HOSTS_FILE, else the system's].
    #[arg(long, value_name = "FILE")]
    pub(crate) hosts_file: Option<PathBuf>,
    /// Directory of its backups [default: ~/.mastra/hosts-backups].
    #[arg(long, value_name = "DIR")]
    pub(crate) backup_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) cert_dir: CertDir,
}
