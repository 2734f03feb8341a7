//! What a router is to be, and who said so. From the weakest to the strongest: the command's defaults, what was typed the
//! last time, the user's file, the project's file or the one that is given, the environment, flags.

mod entries;
mod environment;
mod file;
mod keys;
mod places;
mod routes;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use mastra_router::{Home, LocalEdgeRouterConfig};

pub(crate) use entries::{entries, strategy};
pub(crate) use environment::{check as check_environment, variable};
pub(crate) use file::ConfigFile;
pub(crate) use keys::KEYS;
pub(crate) use places::{Places, cert_dir};
pub(crate) use routes::{ConfiguredRoutes, default_deployment};
pub(crate) use source::{Source, nearest};

use keys::Said;

use crate::failure::Failure;
use crate::project_file;

/// Of the user, in the home.
const USER_FILE: &str = "config.toml";

/// The user's own file.
pub(crate) fn user_file(home: &Home) -> PathBuf {
    home.path().join(USER_FILE)
}

/// Who said what a setting is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// Typed once, and saved.
    Saved,
    /// A line of a file.
    File(PathBuf, usize),
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
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
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

/// Reads a file that nobody named.
fn read(path: &Path) -> Result<(ConfigFile, ConfiguredRoutes), Failure> {
    ConfigFile::read(path).map_err(|failure| match failure.code.as_str() {
        "CONFIG_UNREADABLE" => Failure { hint: Some(format!("ls -ld {}", path.display())), ..failure },
        _ => failure,
    })
}

/// The key of a setting that the library names as programs do.
pub(crate) fn key_of(setting: &str) -> &'static str {
    match setting {
        "baseDomain" => "base_domain",
        "portRange" => "port_range",
        "healthCheck.path" => "health.path",
        "healthCheck.intervalMs" => "health.interval",
        "healthCheck.timeoutMs" => "health.timeout",
        "healthCheck.failureThreshold" => "health.failure_threshold",
        "threads" => "threads",
        "maxConnections" => "proxy.max_connections",
        "tls.validityDays" => "tls.validity_days",
        "tls.cert" => "tls.cert",
        _ => "",
    }
}

/// Which file counts besides the user's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chosen<'p> {
    /// This one.
    Given(&'p Path),
    /// The project's that the directory belongs to.
    OfProject,
    /// None: the router is for all projects, and whose directory this is is by chance.
    None,
}

impl Configured {
    /// Reads the user's file, then the one that was chosen, then the environment.
    ///
    /// # Errors
    /// A failure that names the file and the place in it, or the variable.
    pub(crate) fn read(config: LocalEdgeRouterConfig, chosen: Chosen, home: &Home) -> Result<Self, Failure> {
        let mut this = Self {
            config,
            routes: ConfiguredRoutes::default(),
            lan: false,
            save: true,
            warnings: Vec::new(),
            origins: BTreeMap::new(),
        };
        let of_user = user_file(home);
        if of_user.exists() {
            this.put_over(&of_user, read(&of_user)?);
        }
        match chosen {
            Chosen::Given(path) => this.put_over(path, ConfigFile::read(path)?),
            Chosen::OfProject => {
                if let Some(path) = std::env::current_dir().ok().and_then(|dir| project_file::nearest(&dir)) {
                    this.put_project_over(&path, &of_user)?;
                }
            }
            Chosen::None => {}
        }
        this.put(|said| Origin::Variable(variable(said.key)), &environment::settings()?);
        this.warnings.extend(environment::unknown());
        Ok(this)
    }

    /// What a file may say that was found and not given.
    fn put_project_over(&mut self, path: &Path, of_user: &Path) -> Result<(), Failure> {
        let given = format!("serve --config {}", path.display());
        if !project_file::is_ours(path) {
            self.warnings.push(format!("{} is another user's, and not heeded ({given} does)", path.display()));
            return Ok(());
        }
        let (mut file, routes) = read(path)?;
        for said in file.keep_what_a_project_may_say() {
            self.warnings.push(format!(
                "{}:{}: {} is not heeded, since nobody named the file: {given}, or write it in {}",
                path.display(),
                said.line,
                said.key,
                of_user.display(),
            ));
        }
        self.put_over(path, (file, routes));
        Ok(())
    }

    fn put_over(&mut self, path: &Path, (file, routes): (ConfigFile, ConfiguredRoutes)) {
        self.routes.extend(routes);
        self.put(|said| Origin::File(path.to_owned(), said.line), &file);
    }

    fn put(&mut self, origin: impl Fn(&Said) -> Origin, file: &ConfigFile) {
        file.apply(&mut self.config);
        self.lan = file.lan.unwrap_or(self.lan);
        self.save = file.save.unwrap_or(self.save);
        for said in file.said() {
            self.set(said.key, origin(said));
            // Who brings a certificate wants it served.
            if said.key == "tls.cert" && !file.says("tls.enabled") {
                self.set("tls.enabled", origin(said));
            }
        }
    }

    /// Notes who said what the setting `key` is.
    pub(crate) fn set(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    /// `failure` of a setting, with the line of a file or the variable that says it.
    pub(crate) fn placed(&self, key: &str, mut failure: Failure) -> Failure {
        if let origin @ (Origin::File(..) | Origin::Variable(_)) = self.origin(key) {
            failure.message = format!("{origin}: {}", failure.message);
        }
        failure
    }

    /// Who said what the setting `key` is.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.origins.get(key).unwrap_or(&Origin::Default)
    }
}
