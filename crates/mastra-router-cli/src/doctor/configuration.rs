//! The files and variables that a router which is started here would read.

use std::path::PathBuf;

use super::{Finding, Scene, quoted};
use crate::config::{self, ConfigFile};
use crate::project_file;

const CHECK: &str = "configuration";

/// Each of them that cannot be used, with its place.
pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let of_user = Some(config::user_file(&scene.home)).filter(|path| path.exists());
    let of_project = || std::env::current_dir().ok().and_then(|dir| project_file::nearest(&dir));
    let files: Vec<PathBuf> = of_user.into_iter().chain(scene.config.clone().or_else(of_project)).collect();
    let mut found = Vec::new();
    for path in &files {
        if let Err(failure) = ConfigFile::read(path) {
            let fix = format!("${{EDITOR:-vi}} {}", quoted(path));
            found.push(Finding::fail(CHECK, failure.code, failure.message, fix));
        }
    }
    if let Some((name, failure)) = config::check_environment() {
        found.push(Finding::fail(CHECK, failure.code, failure.message, format!("unset {name}")));
    }
    if found.is_empty() {
        let message = match &files[..] {
            [] => "no file; the defaults, and what was typed before".to_owned(),
            files => files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        };
        found.push(Finding::ok(CHECK, message));
    }
    found
}
