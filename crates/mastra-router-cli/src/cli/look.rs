//! Of `open`, `config`, `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::Serve;
use crate::commands::route_names;

pub(super) const COMPLETIONS_HELP: &str = "\
  bash        echo 'source <(mastra-router completions bash)' >> ~/.bashrc
  zsh         echo 'source <(mastra-router completions zsh)' >> ~/.zshrc
  fish        mastra-router completions fish > ~/.config/fish/completions/mastra-router.fish
  powershell  mastra-router completions powershell >> $PROFILE
  elvish      eval (mastra-router completions elvish | slurp), in rc.elv

The names of routes are those of the moment.";

#[derive(Args, Debug)]
pub(crate) struct Open {
    /// Name, deployment or id of the route [default: the one that run would give the project here, else the router's own page].
    #[arg(add = ArgValueCandidates::new(route_names))]
    pub(crate) route: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Show what a router would be that is started here: from flags, variables, files and what was typed before.
    #[command(after_help = CONFIG_HELP)]
    Show(ConfigShow),
}

const CONFIG_HELP: &str = "\
From the strongest to the weakest: flags; variables, named as MASTRA_ROUTER_PROXY_POOL_SIZE for proxy.pool_size; the file of
--config, else the nearest mastra-router.toml up to the root of the git repository; config.toml in the home; what was typed
before (listen, base_domain, strategy, tls.enabled); defaults. A file that was found says nothing of lan,
allow_remote_targets, hosts and the files of tls. A router that runs keeps what it was started with.";

#[derive(Args, Debug)]
pub(crate) struct ConfigShow {
    /// Say where each value comes from.
    #[arg(long)]
    pub(crate) origin: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// Shell to write for.
    #[arg(value_enum)]
    pub(crate) shell: CompletionShell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionShell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

impl CompletionShell {
    /// The shell's name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Elvish => "elvish",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
            Self::Zsh => "zsh",
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Man {
    /// Write this page and those of all commands into a directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}
