//! Where things are.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process;

/// The checkout and its build directory.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().ok_or_else(|| Failure::failed("the xtask crate has no parent directory"))?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(directory) => std::env::current_dir()?.join(directory),
            None => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Tools that a step installed for itself, kept between runs.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.target.join("tools").join(name)
    }

    /// A directory that exists and is empty.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let directory = self.target.join("xtask").join(name);
        if directory.exists() {
            std::fs::remove_dir_all(&directory)?;
        }
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// The command as a user gets it, whether or not it is built yet.
    pub(crate) fn release_binary(&self) -> PathBuf {
        self.target.join("release").join(format!("mastra-router{}", std::env::consts::EXE_SUFFIX))
    }

    /// A cargo command in the checkout, by the cargo that runs us.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> process::Run {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        process::Run::new(cargo, arguments).directory(&self.root)
    }
}
