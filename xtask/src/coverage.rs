//! Line coverage of the Rust tests, by cargo-llvm-cov.
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::{self, Run, which};
use crate::workspace::Workspace;
use crate::{debian, terminal};

/// Per cent of lines.
const FLOOR: &str = "85";
/// Tools of the compiler's own LLVM major version can read what it writes; older ones cannot.
const COMPILER_VERSION_LINE: &str = "LLVM version: ";

/// Runs the tests instrumented and prints each file's coverage and the total.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let llvm = Llvm::find_or_install()?;
    debian::install_store_tools();
    let tools = workspace.tool("cargo-llvm-cov");
    if which("cargo-llvm-cov").is_none() && !tools.join("bin").join("cargo-llvm-cov").is_file() {
        terminal::line("installing cargo-llvm-cov from crates.io");
        let root = tools.to_string_lossy();
        workspace
            .cargo(&["install", "cargo-llvm-cov", "--locked", "--root", &root])
            .run()
            .map_err(|_| Failure::unavailable("cargo-llvm-cov is not installed and could not be"))?;
    }
    let cargo = |arguments: &[&str]| {
        workspace
            .cargo(arguments)
            .env("PATH", process::path_with(&[&tools.join("bin")]))
            .env("LLVM_COV", &llvm.cov)
            .env("LLVM_PROFDATA", &llvm.profdata)
    };
    cargo(&["llvm-cov", "--no-report", "--workspace", "--exclude", "xtask"]).run()?;
    // Tests and benchmarks are not the product.
    let ignored = "/tests/|/benches/|/fuzz/";
    cargo(&["llvm-cov", "report", "--ignore-filename-regex", ignored, "--fail-under-lines", FLOOR]).run().map_err(
        |_| Failure::failed(format!("less than {FLOOR} % of the lines are covered, or no report could be made")),
    )
}

/// The two LLVM tools that read a coverage profile.
struct Llvm {
    cov: PathBuf,
    profdata: PathBuf,
}

impl Llvm {
    /// rustup's own (`llvm-tools`), else Debian's of the compiler's LLVM version.
    fn find_or_install() -> Result<Self, Failure> {
        if let Some(own) = compiler_directory().and_then(|directory| Self::in_directory(&directory)) {
            return Ok(own);
        }
        let major = compiler_major().ok_or_else(|| Failure::unavailable("`rustc -vV` names no LLVM version"))?;
        let directory = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
        if let Some(installed) = Self::in_directory(&directory) {
            return Ok(installed);
        }
        debian::install(&format!("llvm-{major}"))?;
        Self::in_directory(&directory)
            .ok_or_else(|| Failure::unavailable(format!("llvm-{major} holds no llvm-cov in {}", directory.display())))
    }

    fn in_directory(directory: &Path) -> Option<Self> {
        let (cov, profdata) = (directory.join("llvm-cov"), directory.join("llvm-profdata"));
        (cov.is_file() && profdata.is_file()).then_some(Self { cov, profdata })
    }
}

fn compiler_directory() -> Option<PathBuf> {
    let libraries = Run::new("rustc", &["--print", "target-libdir"]).read()?;
    Some(Path::new(&libraries).parent()?.join("bin"))
}

fn compiler_major() -> Option<u32> {
    major(&Run::new("rustc", &["-vV"]).read()?)
}

fn major(versions: &str) -> Option<u32> {
    let line = versions.lines().find_map(|line| line.strip_prefix(COMPILER_VERSION_LINE))?;
    line.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_its_llvm() {
        assert_eq!(major("rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(major("rustc 1.95.0\n"), None);
    }
}
