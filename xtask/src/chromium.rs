//! The browser of the end-to-end tests.
use std::path::PathBuf;

use crate::debian;
use crate::failure::Failure;
use crate::process::which;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A Chromium on this machine: the one that `CHROMIUM` names, else one in PATH, else Debian's.
pub(crate) fn find_or_install() -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return Ok(PathBuf::from(named));
    }
    if let Some(found) = installed() {
        return Ok(found);
    }
    debian::install("chromium")?;
    installed().ok_or_else(|| Failure::unavailable("chromium was installed but is not in PATH"))
}

fn installed() -> Option<PathBuf> {
    NAMES.iter().find_map(|name| which(name))
}
