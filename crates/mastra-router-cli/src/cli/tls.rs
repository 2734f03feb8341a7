//! Of `tls` and `env`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mastra_router::BaseDomain;
use mastra_router::trust::Fingerprint;

use super::values::{domain, fingerprint};
use crate::config::Places;

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

impl Tls {
    /// Where the authority is, as it was typed.
    pub(crate) fn cert_dir(&mut self) -> &mut CertDir {
        match self {
            Self::Trust(Trust { cert_dir, .. })
            | Self::Untrust(Untrust { cert_dir, .. })
            | Self::Status(TrustStatus { cert_dir, .. })
            | Self::Issue(Issue { cert_dir, .. })
            | Self::Renew(Renew { cert_dir, .. }) => cert_dir,
        }
    }
}

const TRUST_HELP: &str = "\
On a terminal it asks before it changes anything, unless --yes is given; without one, the command is taken as consent.
Without --only: the stores of the system and of browsers.

Exit codes: 0 every store trusts it, 1 a store failed or its tool is missing, 3 there is no authority or no store,
5 only privilege was missing.";

const UNTRUST_HELP: &str = "\
Removes certificates by fingerprint: the authority's, those recorded when they were trusted, and --fingerprint.
Without --only: the stores of the system and of browsers, and others that the record names.

Exit codes: 0 no store holds them (any more), 1 a store failed or its tool is missing, 5 only privilege was missing.";

pub(super) const ENV_HELP: &str = "\
Use it as:  eval \"$(mastra-router env)\"   or   mastra-router env | source   (fish)

SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE replace all other roots, so they name a file that holds those too:
the system's, or those of the file that the variable names already.";

/// Where the authority is.
#[derive(Args, Debug)]
pub(crate) struct CertDir {
    /// Directory of the authority [default: $MASTRA_ROUTER_CERT_DIR, else tls.cert_dir of the home's config.toml, else
    /// ~/.mastra/certs].
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
}

impl CertDir {
    /// Takes that of the user's file where none was typed.
    pub(crate) fn or(&mut self, places: Places) {
        self.cert_dir = self.cert_dir.take().or(places.cert_dir);
    }
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
