//! What a router is to be, and who said so. From the weakest to the strongest: the command's defaults, what was typed the
//! last time, the user's file, the project's file or the one that is given, the environment, flags.

mod discover;
mod entries;
mod environment;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use mastra_router::{Home, LocalEdgeRouterConfig};

pub(crate) use discover::project_file;
pub(crate) use entries::{entries, strategy};
pub(crate) use file::{ConfigFile, ConfiguredRoutes, default_deployment};

use crate::failure::Failure;

/// Of the user, in the home.
const USER_FILE: &str = "config.toml";

/// Who said what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// Typed once, and saved.
    Saved,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Saved => f.write_str("typed before"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// Settings of files and of the environment, over those it was made with.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) config: LocalEdgeRouterConfig,
    pub(crate) routes: ConfiguredRoutes,
    /// Whether other machines may reach it.
    pub(crate) lan: bool,
    /// Whether routes, leases and settings are saved.
    pub(crate) save: bool,
    /// What was not heeded, in words.
    pub(crate) warnings: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

impl Configured {
    /// Reads the user's file, then `given` or, without it, the project's file, then the environment.
    ///
    /// # Errors
    /// A failure that names the file and the place in it, or the variable.
    pub(crate) fn read(config: LocalEdgeRouterConfig, given: Option<&Path>, home: &Home) -> Result<Self, Failure> {
        let mut this = Self {
            config,
            routes: ConfiguredRoutes::default(),
            lan: false,
            save: true,
            warnings: Vec::new(),
            origins: BTreeMap::new(),
        };
        let of_user = home.path().join(USER_FILE);
        if of_user.exists() {
            this.put_over(&of_user, ConfigFile::read(&of_user)?);
        }
        match given {
            Some(path) => this.put_over(path, ConfigFile::read(path)?),
            None => {
                if let Some(path) = std::env::current_dir().ok().and_then(|dir| project_file(&dir)) {
                    let (mut file, routes) = ConfigFile::read(&path)?;
                    for key in file.keep_what_a_project_may_say() {
                        this.warnings.push(format!(
                            "{}: {key} is not heeded, since the file was found and not given (--config, or {})",
                            path.display(),
                            of_user.display(),
                        ));
                    }
                    this.put_over(&path, (file, routes));
                }
            }
        }
        for (variable, file) in environment::settings()? {
            this.put(Origin::Variable(variable), &file);
        }
        Ok(this)
    }

    fn put_over(&mut self, path: &Path, (file, routes): (ConfigFile, ConfiguredRoutes)) {
        self.routes.extend(routes);
        self.put(Origin::File(path.to_owned()), &file);
    }

    fn put(&mut self, origin: Origin, file: &ConfigFile) {
        file.apply(&mut self.config);
        self.lan = file.lan.unwrap_or(self.lan);
        self.save = file.save.unwrap_or(self.save);
        for key in file.keys() {
            self.set(key, origin.clone());
        }
    }

    /// Notes who said what the setting `key` is.
    pub(crate) fn set(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    /// Who said what the setting `key` is.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}
