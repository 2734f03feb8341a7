//! How far a project goes: to the root of its git repository.

use std::fs;
use std::path::{Path, PathBuf};

/// `dir` and the directories above it, to the root of its repository. Without one only itself: nothing says where the project
/// ends, and what is further up may be anybody's.
pub(crate) fn up_to_root(dir: &Path) -> impl Iterator<Item = &Path> {
    let top = Repository::above(dir).map_or_else(|| dir.to_owned(), |found| found.top);
    dir.ancestors().take_while(move |above| above.starts_with(&top))
}

/// The same for a file that says by its name that it is ours, and so where the project is: without a repository it is looked
/// for in every directory above.
pub(crate) fn up_to_root_or_top(dir: &Path) -> impl Iterator<Item = &Path> {
    let top = Repository::above(dir).map(|found| found.top);
    dir.ancestors().take_while(move |above| top.as_ref().is_none_or(|top| above.starts_with(top)))
}

/// A git repository, or a work tree of one.
pub(crate) struct Repository {
    /// Its directory.
    pub(crate) top: PathBuf,
    /// The directory of the repository it belongs to: another one, where it is a linked one.
    pub(crate) root: PathBuf,
    /// What is checked out in a linked one.
    pub(crate) branch: Option<String>,
}

impl Repository {
    /// That of `dir`: the nearest directory at or above it that has a `.git`.
    pub(crate) fn above(dir: &Path) -> Option<Self> {
        dir.ancestors().find_map(|top| {
            let git = top.join(".git");
            let found = fs::metadata(&git).ok()?;
            let main = Self { top: top.to_owned(), root: top.to_owned(), branch: None };
            if found.is_dir() {
                return Some(main);
            }
            Some(Self::linked(top, &git).unwrap_or(main))
        })
    }

    /// A linked work tree, whose `.git` is a file that names a directory in the repository. A submodule's does too, and is
    /// a repository of its own.
    fn linked(top: &Path, git: &Path) -> Option<Self> {
        let text = fs::read_to_string(git).ok()?;
        let dir = top.join(text.lines().next()?.strip_prefix("gitdir:")?.trim());
        if dir.parent()?.file_name()? != "worktrees" {
            return None;
        }
        let head = fs::read_to_string(dir.join("HEAD")).ok()?;
        let branch = match head.trim().strip_prefix("ref: refs/heads/") {
            Some(branch) => branch.to_owned(),
            // A commit is checked out; then the work tree's own name says more.
            None => dir.file_name()?.to_string_lossy().into_owned(),
        };
        // `…/shop/.git/worktrees/fix`, or `…/shop.git/worktrees/fix` of a bare one.
        let common = dir.parent()?.parent()?;
        let root = match common.file_name()?.to_string_lossy().as_ref() {
            ".git" => common.parent()?.to_owned(),
            bare => common.with_file_name(bare.strip_suffix(".git").unwrap_or(bare)),
        };
        Some(Self { top: top.to_owned(), root, branch: Some(branch) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_the_root_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("repo/a/b");
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(up_to_root(&deep).collect::<Vec<_>>(), [deep.as_path()], "nothing says that more is of it");
        assert!(up_to_root_or_top(&deep).eq(deep.ancestors()));
        fs::create_dir(dir.path().join("repo/.git")).unwrap();
        let names = |dir: &Path| -> Vec<String> {
            up_to_root(dir).map(|dir| dir.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&deep), ["b", "a", "repo"]);
        assert_eq!(names(&dir.path().join("repo")), ["repo"]);
        // A work tree's, or a submodule's, is a file.
        fs::write(dir.path().join("repo/a/.git"), "gitdir: elsewhere\n").unwrap();
        assert_eq!(names(&deep), ["b", "a"]);
        assert!(up_to_root_or_top(&deep).eq(up_to_root(&deep)));
    }
}
