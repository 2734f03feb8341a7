//! The end-to-end tests: Node's test runner, a real browser, real applications, the release binary.
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::node::Node;
use crate::workspace::Workspace;
use crate::{chromium, python, terminal, test};

/// Builds the command and runs the tests against it.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    test::build(workspace)?;
    run_built(workspace)
}

/// Runs the tests against the command as it was built.
pub(crate) fn run_built(workspace: &Workspace) -> Result<(), Failure> {
    let binary = workspace.release_binary();
    if !binary.is_file() {
        return Err(Failure::failed(format!("{} is not built", binary.display())));
    }
    let node = Node::find_or_install(workspace)?;
    let chromium = chromium::find_or_install()?;
    let (tests, example) = (workspace.path("e2e"), workspace.path("examples/mastra-agent"));
    node.install_packages(&tests)?;
    node.install_packages(&example)?;
    // Without it, the one project that is written in Python is skipped, and says so.
    let python = match python::find_or_install(workspace, &tests.join("requirements.txt")) {
        Ok(python) => python.into_os_string(),
        Err(failure) => {
            terminal::line(&failure.to_string());
            OsString::new()
        }
    };
    // One file at a time: two Mastra builds at once starve each other on a small machine.
    let mut arguments = vec![OsString::from("--test"), "--test-concurrency=1".into(), "--test-reporter=spec".into()];
    arguments.extend(test_files(&tests)?.into_iter().map(OsString::from));
    node.run(&tests, &arguments)
        .env("MASTRA_ROUTER_BIN", binary)
        .env("CHROMIUM", chromium)
        .env("E2E_PYTHON", python)
        .env("E2E_SCRATCH", workspace.scratch("e2e")?)
        .run()
}

fn test_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(Failure::failed("e2e/ holds no *.test.mjs")) } else { Ok(files) }
}
