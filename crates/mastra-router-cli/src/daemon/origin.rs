//! How this process was started, so that the one that takes its place can be started the same way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Flags that say how a process was started, and not what router it is.
const OWN: [&str; 2] = ["--background", "--take-over"];
const IDLE_EXIT: &str = "--idle-exit";

/// The command line and what it meant where it was typed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    args: Vec<String>,
    dir: PathBuf,
    env: BTreeMap<String, String>,
}

impl Origin {
    /// Of this process. To be asked before the working directory is changed; `None` where something is no text.
    pub(crate) fn of_this_process() -> Option<Self> {
        let args = std::env::args_os().skip(1).map(|arg| arg.into_string().ok()).collect::<Option<_>>()?;
        let meant = |name: &str| name == "HOME" || name.starts_with("MASTRA_ROUTER_");
        let env =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Some(Self { args, dir: std::env::current_dir().ok()?, env: env.filter(|(name, _)| meant(name)).collect() })
    }

    /// Whether a command started it because it needed one.
    pub(crate) fn is_of_command(&self) -> bool {
        self.args.iter().any(|arg| arg == "--background=command")
    }

    /// The path that a flag was given, from where the command was typed.
    pub(crate) fn path_of(&self, flag: &str) -> Option<PathBuf> {
        let mut args = self.args.iter();
        let value = args.find_map(|arg| match arg.strip_prefix(flag) {
            Some("") => Some(None),
            Some(rest) => rest.strip_prefix('=').map(Some),
            None => None,
        })?;
        value.or_else(|| args.next().map(String::as_str)).map(|path| self.dir.join(path))
    }

    /// The same command line with `more`, and without what it was to end by itself where it is to stay.
    pub(crate) fn command(&self, stays: bool, more: &[String]) -> std::io::Result<std::process::Command> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        let mut args = self.args.iter().peekable();
        while let Some(arg) = args.next() {
            let is = |flag: &str| arg == flag || arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='));
            if OWN.into_iter().any(is) {
                continue;
            }
            if stays && is(IDLE_EXIT) {
                if arg == IDLE_EXIT {
                    args.next();
                }
                continue;
            }
            command.arg(arg);
        }
        let here = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MASTRA_ROUTER_"));
        here.for_each(|(name, _)| _ = command.env_remove(name));
        command.args(more).envs(&self.env).current_dir(&self.dir);
        Ok(command)
    }
}
