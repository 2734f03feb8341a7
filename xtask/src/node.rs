//! Node and npm, for the example application and the end-to-end tests.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::{self, Run, which};
use crate::workspace::Workspace;
use crate::{debian, terminal};

/// What Mastra needs.
const OLDEST: (u32, u32) = (22, 13);
/// What npm's `node` package gives where the machine's Node is older.
const OURS: &str = "24.21.0";

/// A Node that is new enough, and the PATH that makes every child use it.
#[derive(Debug)]
pub(crate) struct Node {
    program: PathBuf,
    path: OsString,
}

impl Node {
    pub(crate) fn find_or_install(workspace: &Workspace) -> Result<Self, Failure> {
        if let Some(program) = which("node").filter(|program| new_enough(program)) {
            need_npm()?;
            return Ok(Self { program, path: process::path_with(&[]) });
        }
        Self::of_npm(workspace, OURS)
    }

    /// Exactly this version, as npm's `node` package gives it.
    pub(crate) fn of_npm(workspace: &Workspace, version: &str) -> Result<Self, Failure> {
        let directory = workspace.tool(&format!("node-{version}"));
        let bin = directory.join("node_modules").join("node").join("bin");
        let node = Self { program: bin.join("node"), path: process::path_with(&[&bin]) };
        let is_there = |node: &Self| node.version().is_some_and(|found| found == version);
        if !is_there(&node) {
            need_npm()?;
            terminal::line(&format!("installing Node {version} from npm"));
            std::fs::create_dir_all(&directory)?;
            std::fs::write(directory.join("package.json"), "{\"private\":true}\n")?;
            let arguments = ["install", "--no-audit", "--no-fund", &format!("node@{version}")];
            Run::new("npm", &arguments)
                .directory(&directory)
                .run()
                .map_err(|_| Failure::unavailable(format!("npm could not install Node {version}")))?;
        }
        if !is_there(&node) {
            return Err(Failure::unavailable(format!("Node {version} was installed from npm but does not run")));
        }
        Ok(node)
    }

    /// As it says itself, without the `v`.
    pub(crate) fn version(&self) -> Option<String> {
        Some(Run::new(&self.program, &["--version"]).read()?.strip_prefix('v')?.to_owned())
    }

    /// Runs npm with this Node.
    pub(crate) fn npm(&self, directory: &Path, arguments: &[&str]) -> Result<(), Failure> {
        Run::new("npm", arguments).directory(directory).env("PATH", &self.path).run()
    }

    pub(crate) fn run(&self, directory: &Path, arguments: &[OsString]) -> Run {
        Run::new(&self.program, arguments).directory(directory).env("PATH", &self.path)
    }

    /// Installs the packages of a directory, unless that was done since what names them last changed: the lock file, or
    /// `package.json` with exact versions where npm cannot make a lock file that it reads again (as for Mastra's
    /// platform packages).
    pub(crate) fn install_packages(&self, directory: &Path) -> Result<(), Failure> {
        let lock = directory.join("package-lock.json");
        let (named, arguments) = if lock.is_file() {
            (lock, ["ci", "--no-audit", "--no-fund"].as_slice())
        } else {
            (directory.join("package.json"), ["install", "--no-package-lock", "--no-audit", "--no-fund"].as_slice())
        };
        // npm writes this file when it is done.
        let installed = directory.join("node_modules").join(".package-lock.json");
        if newer(&installed, &named) {
            return Ok(());
        }
        terminal::line(&format!("npm {} in {}", arguments.first().unwrap_or(&""), directory.display()));
        Run::new("npm", arguments)
            .directory(directory)
            .env("PATH", &self.path)
            .run()
            .map_err(|_| Failure::unavailable(format!("npm could not install the packages of {}", directory.display())))
    }
}

fn need_npm() -> Result<(), Failure> {
    if which("npm").is_some() { Ok(()) } else { debian::install("npm") }
}

fn new_enough(program: &Path) -> bool {
    Run::new(program, &["--version"]).read().and_then(|version| parse_version(&version)).is_some_and(|it| it >= OLDEST)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn newer(one: &Path, other: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    matches!((changed(one), changed(other)), (Some(one), Some(other)) if one >= other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse_version("v22.13.0"), Some((22, 13)));
        assert!(parse_version("v9.99.0") < Some(OLDEST));
        assert!(parse_version("v22.9.0") < Some(OLDEST));
        assert!(parse_version("v24.1.0") > Some(OLDEST));
        assert_eq!(parse_version("24"), None);
    }
}
