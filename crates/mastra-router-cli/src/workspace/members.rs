//! Workspaces: which directories belong to one.

use std::fs;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use yaml_rust2::YamlLoader;

use super::package::{Package, unreadable};
use crate::failure::Failure;
use crate::repository::up_to_root;

const PNPM_FILE: &str = "pnpm-workspace.yaml";
/// Deeper than any project has packages.
const DEPTH_MAX: usize = 12;

/// A workspace and the patterns of its packages' directories.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    patterns: Vec<String>,
    /// The file that has them.
    file: PathBuf,
}

impl Workspace {
    /// The nearest one at or above `dir`, not above the root of its repository.
    ///
    /// # Errors
    /// `CONFIG_INVALID` where a file cannot be read.
    pub(crate) fn above(dir: &Path) -> Result<Option<Self>, Failure> {
        for root in up_to_root(dir) {
            let root = root.to_owned();
            let file = root.join(PNPM_FILE);
            if let Ok(text) = fs::read_to_string(&file) {
                let patterns = of_pnpm(&text).map_err(|error| unreadable(&file, &error))?;
                return Ok(Some(Self { root, patterns, file }));
            }
            let file = root.join("package.json");
            if let Some(patterns) = Package::read(&root)?.and_then(|package| package.workspaces()) {
                return Ok(Some(Self { root, patterns, file }));
            }
        }
        Ok(None)
    }
}

fn of_pnpm(text: &str) -> Result<Vec<String>, String> {
    let documents = YamlLoader::load_from_str(text).map_err(|error| error.to_string())?;
    let packages = documents.first().and_then(|document| document["packages"].as_vec());
    let patterns = packages.into_iter().flatten().filter_map(|pattern| pattern.as_str());
    Ok(patterns.map(str::to_owned).collect())
}

/// The directories of its packages, in order.
///
/// # Errors
/// `CONFIG_INVALID` for a pattern that is none.
pub(crate) fn members(workspace: &Workspace) -> Result<Vec<PathBuf>, Failure> {
    let compile = |negated: bool| {
        set(workspace.patterns.iter().filter_map(|pattern| match pattern.strip_prefix('!') {
            Some(pattern) => negated.then_some(pattern),
            None => (!negated).then_some(pattern.as_str()),
        }))
        .map_err(|error| unreadable(&workspace.file, &error.to_string()))
    };
    let (wanted, unwanted) = (compile(false)?, compile(true)?);
    let mut found = Vec::new();
    walk(&workspace.root, DEPTH_MAX, &mut |dir| {
        let path = dir.strip_prefix(&workspace.root).unwrap_or(dir);
        // What is below everything that is unwanted is written with a slash at the end.
        if wanted.is_match(path) && !unwanted.is_match(path) && !unwanted.is_match(path.join("")) {
            found.push(dir.to_owned());
        }
    });
    Ok(found)
}

fn set<'p>(patterns: impl Iterator<Item = &'p str>) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern).trim_end_matches('/');
        set.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    set.build()
}

/// Every directory below `dir` that may be a package's, in the order of names.
fn walk(dir: &Path, depth: usize, see: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    // Links are not followed: they may lead in a circle.
    let dirs = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<_> = dirs.map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        if name == "node_modules" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let dir = dir.join(name);
        see(&dir);
        if depth > 0 {
            walk(&dir, depth - 1, see);
        }
    }
}
