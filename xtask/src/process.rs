//! Running other programs.
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// A program about to be run. Its output goes where ours goes, as it comes.
#[derive(Debug)]
pub(crate) struct Run {
    program: OsString,
    command: Command,
    shown: String,
}

impl Run {
    pub(crate) fn new<S: AsRef<OsStr>>(program: impl Into<OsString>, arguments: &[S]) -> Self {
        let program = program.into();
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null());
        let mut shown = Path::new(&program).file_stem().unwrap_or(&program).to_string_lossy().into_owned();
        for argument in arguments {
            shown.push(' ');
            shown.push_str(&argument.as_ref().to_string_lossy());
        }
        Self { program, command, shown }
    }

    pub(crate) fn directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        let status = self.command.status().map_err(|error| not_started(&self.program, &error))?;
        if status.success() { Ok(()) } else { Err(Failure::failed(format!("`{}` failed, {status}", self.shown))) }
    }

    /// Runs it silently and gives its stdout, or nothing where it failed or is not there.
    pub(crate) fn read(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

/// Looks a program up in PATH.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// PATH with `first` before everything else.
pub(crate) fn path_with(first: &[&Path]) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = first.iter().map(|directory| directory.to_path_buf()).chain(std::env::split_paths(&old));
    std::env::join_paths(all).unwrap_or(old)
}

fn not_started(program: &OsStr, error: &std::io::Error) -> Failure {
    Failure::unavailable(format!("{}: {error}", program.to_string_lossy()))
}
