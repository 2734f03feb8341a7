//! Python with the packages of the end-to-end tests, in an environment of its own.
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::{Run, which};
use crate::workspace::Workspace;
use crate::{debian, terminal};

/// The environment's Python, with what `requirements` names.
pub(crate) fn find_or_install(workspace: &Workspace, requirements: &Path) -> Result<PathBuf, Failure> {
    let directory = workspace.tool("python");
    let python = directory.join("bin").join("python");
    let wanted = std::fs::read_to_string(requirements)?;
    // Written once all is there: an environment without it was left half-way, or is of older requirements.
    let installed = directory.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) && python.is_file() {
        return Ok(python);
    }
    terminal::line("installing the Python packages of the end-to-end tests");
    if which("python3").is_none() || make(&directory).is_err() {
        // Debian's Python makes environments only with this package.
        debian::install("python3-venv")?;
        make(&directory).map_err(|_| Failure::unavailable("python3 cannot make a virtual environment"))?;
    }
    let arguments = ["-m", "pip", "install", "--quiet", "--requirement", &requirements.to_string_lossy()];
    Run::new(&python, &arguments).run().map_err(|_| Failure::unavailable("pip could not install FastAPI"))?;
    std::fs::write(installed, wanted)?;
    Ok(python)
}

fn make(directory: &Path) -> Result<(), Failure> {
    Run::new("python3", &["-m", "venv", "--clear", &directory.to_string_lossy()]).run()
}
