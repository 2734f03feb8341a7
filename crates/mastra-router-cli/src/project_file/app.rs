//! An app that `up` runs: valid, wherever it was written.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mastra_router::{RouteConfig, RouteName, RouteSpec};

use super::tables::{AppTable, AppTables, CommandValue};
use crate::cli::{IdleExit, idle_exit};
use crate::config::{Source, default_deployment};
use crate::failure::Failure;

/// How long an app that was woken runs on unused, where its file does not say.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// What is run, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App {
    /// What it is called in the file, in the logs and in the variables of others.
    pub(crate) key: String,
    /// The name of its route, without a branch.
    pub(crate) name: String,
    pub(crate) command: AppCommand,
    pub(crate) dir: PathBuf,
    pub(crate) path_prefix: Option<String>,
    pub(crate) strip_prefix: Option<bool>,
    pub(crate) port: Option<u16>,
    pub(crate) health: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Apps that are to be there before it is started.
    pub(crate) depends_on: Vec<Dependency>,
    /// Whether it is started by the first request to it, and not before.
    pub(crate) wake: bool,
    /// How long an app that was woken runs on while nothing is asked of it; `None` for ever.
    pub(crate) idle: Option<Duration>,
}

/// An app that another one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Its key.
    pub(crate) key: String,
    /// Where that is written: a file, a line and a column.
    pub(crate) place: String,
}

/// A command, with or without a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppCommand {
    Shell(String),
    Words(Vec<String>),
}

impl App {
    /// One that is run in `dir`, of which nothing else is said.
    pub(crate) fn new(key: String, command: AppCommand, dir: PathBuf) -> Self {
        Self {
            name: key.clone(),
            key,
            command,
            dir,
            path_prefix: None,
            strip_prefix: None,
            port: None,
            health: None,
            env: Vec::new(),
            depends_on: Vec::new(),
            wake: false,
            idle: Some(IDLE),
        }
    }

    /// The variable by which others are told where it is.
    pub(crate) fn url_variable(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        format!("{}_URL", self.key.chars().map(letter).collect::<String>())
    }

    /// Its route, where it is called `name` and listens on `port`.
    pub(crate) fn route(&self, name: &str, project: &str, port: u16) -> RouteConfig {
        let deployment = default_deployment(name, self.path_prefix.as_deref());
        RouteConfig {
            path_prefix: self.path_prefix.clone(),
            strip_prefix: self.strip_prefix,
            wake: self.wake,
            health_path: self.health.clone(),
            ..RouteConfig::new(deployment, project, name, "localhost", port)
        }
    }
}

/// The apps of a file in `root`, in the order in which they are written.
///
/// # Errors
/// The first that is wrong with one of them, with its place.
pub(super) fn read(tables: AppTables, root: &Path, source: &Source) -> Result<Vec<App>, Failure> {
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_key(|(_, table)| table.span().start);
    let mut apps: Vec<App> = Vec::new();
    let mut ports: HashMap<u16, String> = HashMap::new();
    for (key, table) in tables {
        let (start, table) = (table.span().start, table.into_inner());
        let port = table.port.as_ref().map(|port| port.span().start);
        let app = app(key, start, table, root, source)?;
        if let Some(port) = app.port
            && let Some(other) = ports.insert(port, app.key.clone())
        {
            return Err(source.invalid(start, &format!("apps.{}: {other} has port {port} already", app.key)));
        }
        if app.port == Some(0) {
            return Err(source.invalid(port.unwrap_or(start), "a port is a number from 1 to 65535"));
        }
        for other in &apps {
            let same = |what: &str| {
                Err(source.invalid(start, &format!("apps.{}: it has the {what} of apps.{}", app.key, other.key)))
            };
            if (&other.name, &other.path_prefix) == (&app.name, &app.path_prefix) {
                return same("name and the path prefix");
            }
            if other.url_variable() == app.url_variable() {
                return same("variable");
            }
        }
        apps.push(app);
    }
    Ok(apps)
}

fn app(key: String, start: usize, table: AppTable, root: &Path, source: &Source) -> Result<App, Failure> {
    let at_start = |failure: Failure| source.placed(start, failure);
    RouteName::parse(&key).map_err(|error| at_start(error.into()))?;
    let command_at = table.command.span().start;
    let command = match table.command.into_inner() {
        CommandValue::Text(text) if text.trim().is_empty() => None,
        CommandValue::Text(text) if text.contains('\0') => None,
        CommandValue::Text(text) => Some(AppCommand::Shell(text)),
        CommandValue::Words(words) if words.first().is_none_or(String::is_empty) => None,
        CommandValue::Words(words) if words.iter().any(|word| word.contains('\0')) => None,
        CommandValue::Words(words) => Some(AppCommand::Words(words)),
    };
    let command = command.ok_or_else(|| source.invalid(command_at, "there is nothing to run in it"))?;
    let mut app = App::new(key, command, root.to_owned());
    if let Some(dir) = table.dir {
        let (at, dir) = (dir.span().start, root.join(dir.into_inner()));
        if !dir.is_dir() {
            return Err(source.invalid(at, &format!("{} is no directory", dir.display())));
        }
        app.dir = dir.canonicalize().unwrap_or(dir);
    }
    let given = table.name.map(|name| (name.span().start, name.into_inner()));
    let (name_at, name) = given.unwrap_or((start, app.key.clone()));
    let name = RouteName::parse(&name).map_err(|error| source.placed(name_at, error.into()))?;
    app.name = name.as_str().to_owned();
    for (name, value) in table.env {
        let (at, name) = (name.span().start, name.into_inner());
        let value = value.text();
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(source.invalid(at, &format!("{name:?} cannot be a variable with this value")));
        }
        app.env.push((name, value));
    }
    let field = |field: &Option<toml::Spanned<String>>| field.as_ref().map_or(start, |text| text.span().start);
    let places = [field(&table.health), field(&table.path_prefix)];
    app.health = table.health.map(toml::Spanned::into_inner);
    app.path_prefix = table.path_prefix.map(toml::Spanned::into_inner);
    app.strip_prefix = table.strip_prefix;
    app.port = table.port.map(toml::Spanned::into_inner);
    let dependency =
        |key: toml::Spanned<String>| Dependency { place: source.at(key.span().start), key: key.into_inner() };
    app.depends_on = table.depends_on.into_iter().map(dependency).collect();
    app.wake = table.wake;
    if let Some(text) = table.idle {
        app.idle = match idle_exit(text.get_ref()) {
            Ok(IdleExit::Never) => None,
            Ok(IdleExit::After(time)) => Some(time),
            Err(why) => return Err(source.invalid(text.span().start, &why)),
        };
    }
    // What is wrong with a health path is wrong without a prefix too.
    let only_health = App { path_prefix: None, ..app.clone() };
    for (app, place) in [only_health, app.clone()].iter().zip(places) {
        RouteSpec::parse(&app.route(&app.name, "default", 1)).map_err(|error| source.placed(place, error.into()))?;
    }
    Ok(app)
}
