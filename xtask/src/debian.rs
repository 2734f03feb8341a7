//! Debian's and Ubuntu's packages, for those who may install them.
use std::path::Path;

use crate::failure::Failure;
use crate::process::{Run, which};
use crate::terminal;

/// Installs a package, where this is Debian or Ubuntu and we are root.
pub(crate) fn install(package: &str) -> Result<(), Failure> {
    if which("apt-get").is_none() {
        return Err(Failure::unavailable(format!("{package} is not installed, and there is no apt-get to get it")));
    }
    if Run::new("id", &["-u"]).read().as_deref() != Some("0") {
        return Err(Failure::unavailable(format!("{package} is not installed: sudo apt-get install {package}")));
    }
    terminal::line(&format!("installing {package}"));
    if apt_get(&["install", "-y", "--no-install-recommends", package]).is_ok() {
        return Ok(());
    }
    // A new machine has no package lists, or old ones.
    apt_get(&["update"])
        .and_then(|()| apt_get(&["install", "-y", "--no-install-recommends", package]))
        .map_err(|_| Failure::unavailable(format!("apt-get could not install {package}")))
}

/// Tools of trust stores, each with its package. Tests that find one missing skip themselves, or fail in CI.
const STORE_TOOLS: [(&str, &str); 3] =
    [("certutil", "libnss3-tools"), ("openssl", "openssl"), ("update-ca-certificates", "ca-certificates")];

/// Installs what the tests of trust stores use, where that is possible.
pub(crate) fn install_store_tools() {
    let missing = |tool: &&(&str, &str)| which(tool.0).is_none() && !Path::new("/usr/sbin").join(tool.0).is_file();
    for (_, package) in STORE_TOOLS.iter().filter(missing) {
        if let Err(failure) = install(package) {
            terminal::line(&failure.to_string());
        }
    }
}

fn apt_get(arguments: &[&str]) -> Result<(), Failure> {
    Run::new("apt-get", arguments).env("DEBIAN_FRONTEND", "noninteractive").run()
}
