//! A `package.json`, and what runs its scripts.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// A `package.json` that was read.
#[derive(Debug, Default)]
pub(crate) struct Package(Value);

impl Package {
    /// The package in `dir`, if there is one.
    ///
    /// # Errors
    /// `CONFIG_INVALID` for one that is not JSON.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Failure> {
        let file = dir.join("package.json");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => return Ok(None),
            Err(error) => return Err(unreadable(&file, &error.to_string())),
        };
        let value = serde_json::from_str(text.trim_start_matches('\u{feff}'));
        value.map(|value| Some(Self(value))).map_err(|error| unreadable(&file, &error.to_string()))
    }

    /// Its name without the scope.
    pub(crate) fn short_name(&self) -> Option<&str> {
        self.0.get("name")?.as_str()?.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// The name of the script that serves.
    pub(crate) fn script(&self) -> Option<&'static str> {
        let scripts = self.0.get("scripts")?;
        ["dev", "start"].into_iter().find(|name| scripts.get(name).is_some_and(Value::is_string))
    }

    /// The patterns of its workspaces.
    pub(super) fn workspaces(&self) -> Option<Vec<String>> {
        let field = self.0.get("workspaces")?;
        let patterns = field.as_array().or_else(|| field.get("packages")?.as_array())?;
        Some(patterns.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Whether it depends on this package.
    pub(crate) fn needs(&self, name: &str) -> bool {
        ["dependencies", "devDependencies"]
            .iter()
            .any(|field| self.0.get(field).is_some_and(|all| all.get(name).is_some()))
    }

    /// The file that is its program.
    pub(crate) fn main(&self) -> Option<&str> {
        self.0.get("main")?.as_str()
    }

    fn manager(&self) -> Option<Manager> {
        let name = self.0.get("packageManager")?.as_str()?.split('@').next()?;
        Manager::ALL.into_iter().find(|manager| manager.program() == name)
    }
}

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

impl Manager {
    const ALL: [Self; 4] = [Self::Npm, Self::Pnpm, Self::Yarn, Self::Bun];

    /// That of the project in `root`, by its `packageManager`, else by its lock file.
    pub(crate) fn of(root: &Path) -> Self {
        let written = Package::read(root).ok().flatten().and_then(|package| package.manager());
        let locks = [
            ("pnpm-lock.yaml", Self::Pnpm),
            ("pnpm-workspace.yaml", Self::Pnpm),
            ("yarn.lock", Self::Yarn),
            ("bun.lock", Self::Bun),
            ("bun.lockb", Self::Bun),
        ];
        let locked = || locks.into_iter().find(|(file, _)| root.join(file).exists()).map(|(_, manager)| manager);
        written.or_else(locked).unwrap_or(Self::Npm)
    }

    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    /// The command that runs a script.
    pub(crate) fn run(self, script: &str) -> Vec<String> {
        [self.program(), "run", script].map(str::to_owned).to_vec()
    }
}

pub(super) fn unreadable(file: &Path, error: &str) -> Failure {
    Failure::usage("CONFIG_INVALID", format!("{}: {error}", file.display()), Some("correct the file".to_owned()))
}
