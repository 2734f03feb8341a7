//! The npm package: built, compared with the declarations that are committed, and tested under every Node it is for.
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::node::Node;
use crate::terminal;
use crate::workspace::Workspace;

const PACKAGE: &str = "crates/mastra-router-node";
/// Besides the one that end-to-end tests run under.
const OTHERS: &[&str] = &["20.20.2", "22.23.3"];

/// Builds the package and runs its tests.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let package = workspace.path(PACKAGE);
    let node = Node::find_or_install(workspace)?;
    node.install_packages(&package)?;
    // One of its tests puts a real application behind the package.
    node.install_packages(&workspace.path("examples/mastra-agent"))?;
    let committed = declarations(&package)?;
    node.npm(&package, &["run", "build"])?;
    unchanged(&committed, &declarations(&package)?)?;
    test(workspace, &package, &node)?;
    for version in OTHERS {
        test(workspace, &package, &Node::of_npm(workspace, version)?)?;
    }
    Ok(())
}

fn test(workspace: &Workspace, package: &Path, node: &Node) -> Result<(), Failure> {
    terminal::line(&format!("the package's tests under Node {}", node.version().unwrap_or_default()));
    let mut arguments = vec![OsString::from("--test"), "--test-reporter=spec".into()];
    arguments.extend(files(&package.join("test"), ".test.mjs")?.into_iter().map(OsString::from));
    node.run(package, &arguments).env("MASTRA_ROUTER_BIN", workspace.release_binary()).run()
}

/// The interface, by file: what TypeScript programs see, and what the addon gives.
fn declarations(package: &Path) -> Result<BTreeMap<PathBuf, String>, Failure> {
    let mut found = files(&package.join("dist"), "ts")?;
    found.push(package.join("native.d.cts"));
    let read = |path: PathBuf| Ok((path.clone(), std::fs::read_to_string(path).unwrap_or_default()));
    found.into_iter().map(read).collect()
}

fn unchanged(committed: &BTreeMap<PathBuf, String>, built: &BTreeMap<PathBuf, String>) -> Result<(), Failure> {
    let paths = committed.keys().chain(built.keys());
    let changed: Vec<String> =
        paths.filter(|path| committed.get(*path) != built.get(*path)).map(|path| path.display().to_string()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let list = changed.join(", ");
    Err(Failure::failed(format!("the committed declarations are not what the build makes, commit them: {list}")))
}

/// The files below a directory whose names end so, in order.
fn files(directory: &Path, end: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    if !directory.is_dir() {
        return Ok(found);
    }
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, end)?);
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let of = |text: &str| BTreeMap::from([(PathBuf::from("dist/index.d.ts"), text.to_owned())]);
        assert_eq!(unchanged(&of("a"), &of("a")), Ok(()));
        let failures = [
            unchanged(&of("a"), &of("b")),
            unchanged(&of("a"), &BTreeMap::new()),
            unchanged(&BTreeMap::new(), &of("b")),
        ];
        for failure in failures {
            assert!(failure.unwrap_err().to_string().contains("dist/index.d.ts"));
        }
    }
}
