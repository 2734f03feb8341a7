//! Where a command is run, and what its server is called when nobody says.

use std::fs;
use std::path::{Path, PathBuf};

use mastra_router::{RouteName, RouterError};

use crate::failure::Failure;
use crate::project_file::{BranchTemplate, ProjectFile, label};
use crate::repository::{Repository, up_to_root};

/// What the directory of a command says of its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    /// The directory that the project's servers have in common: that of its repository, or of its package.
    pub(crate) dir: PathBuf,
    /// The name of its server.
    pub(crate) name: String,
    /// The same in every work tree.
    pub(crate) plain_name: String,
    branch: Option<String>,
    template: BranchTemplate,
}

impl Project {
    /// The project of `dir`, as its file says.
    ///
    /// # Errors
    /// Where there is a file that is not valid.
    pub(crate) fn described(dir: &Path) -> Result<Self, Failure> {
        let file = ProjectFile::above(dir)?;
        let name = file.as_ref().and_then(|file| file.name_in(dir)).map(str::to_owned);
        Ok(Self::of(dir, name, file.map(|file| file.branch).unwrap_or_default()))
    }

    /// The project of `dir`, whose server is called `named` where somebody says so.
    pub(crate) fn of(dir: &Path, named: Option<String>, template: BranchTemplate) -> Self {
        let git = Repository::above(dir);
        let top = git.as_ref().map(|git| git.top.as_path());
        let package = package(dir);
        let root = git.as_ref().map_or(dir, |git| &git.root);
        let folder = |dir: &Path| dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let candidates = [package.as_ref().map(|(_, name)| name.clone()), folder(root), folder(dir)];
        let found = || candidates.into_iter().flatten().find_map(|text| label(&text));
        let plain_name = named.or_else(found).unwrap_or_else(|| "app".to_owned());
        let dir = top.map(Path::to_owned).or(package.map(|(dir, _)| dir)).unwrap_or_else(|| dir.to_owned());
        let branch = git.and_then(|git| git.branch);
        Self { dir, name: template.apply(branch.as_deref(), &plain_name), plain_name, branch, template }
    }

    /// What another server of the project is called in this work tree.
    pub(crate) fn name_of(&self, name: &str) -> String {
        self.template.apply(self.branch.as_deref(), name)
    }

    /// The name that was typed, or the project's.
    ///
    /// # Errors
    /// [`RouterError::InvalidName`].
    pub(crate) fn name(&self, given: Option<&str>) -> Result<String, RouterError> {
        RouteName::parse(given.unwrap_or(&self.name)).map(|name| name.as_str().to_owned())
    }
}

/// The nearest package that has a name: its directory, and its name without the scope.
fn package(dir: &Path) -> Option<(PathBuf, String)> {
    up_to_root(dir).find_map(|dir| {
        let text = fs::read_to_string(dir.join("package.json")).ok()?;
        Some((dir.to_owned(), package_name(&text)?))
    })
}

fn package_name(text: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(text).ok()?;
    let name = package.get("name")?.as_str()?;
    let name = name.rsplit('/').next().unwrap_or(name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(dir: &Path) -> Project {
        Project::of(dir, None, BranchTemplate::default())
    }

    fn write(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn where_a_name_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("Plain App/src")).unwrap();
        assert_eq!(project(&path("Plain App")).name, "plain-app");
        assert_eq!(project(&path("Plain App/src")).name, "src", "nothing says that the folder above is of it");
        fs::create_dir_all(path("repo/.git")).unwrap();
        fs::create_dir_all(path("repo/src")).unwrap();
        let found = project(&path("repo/src"));
        assert_eq!((found.name.as_str(), found.dir), ("repo", path("repo")));
        write(path("repo/web/package.json"), "{\"name\": \"@acme/Shop\"}");
        fs::create_dir_all(path("repo/web/src/deep")).unwrap();
        let found = project(&path("repo/web/src/deep"));
        assert_eq!((found.name.as_str(), found.dir), ("shop", path("repo")));
        for bad in ["{", "[]", "{\"name\": 1}", "{\"name\": \"\"}", "{\"name\": \"@acme/\"}"] {
            write(path("repo/web/package.json"), bad);
            assert_eq!(project(&path("repo/web")).name, "repo", "{bad}");
        }
        assert_eq!(project(Path::new("/")).name, "app");
    }

    #[test]
    fn a_linked_work_tree_has_its_branch_before_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let linked = path("shop/.git/worktrees/shop-fix");
        write(linked.join("HEAD"), "ref: refs/heads/fix/ui\n");
        write(path("shop-fix/.git"), &format!("gitdir: {}\n", linked.display()));
        let found = project(&path("shop-fix"));
        assert_eq!((found.name.as_str(), found.dir), ("fix-ui.shop", path("shop-fix")));
        write(path("shop-fix/package.json"), "{\"name\": \"store\"}");
        assert_eq!(project(&path("shop-fix")).name, "fix-ui.store");
        write(linked.join("HEAD"), "0123456789abcdef0123456789abcdef01234567\n");
        assert_eq!(project(&path("shop-fix")).name, "shop-fix.store");
        // A submodule is no linked work tree.
        write(path("shop/.git/modules/lib/HEAD"), "ref: refs/heads/main\n");
        write(path("shop/lib/.git"), "gitdir: ../.git/modules/lib\n");
        assert_eq!(project(&path("shop/lib")).name, "lib");
        let long = "x".repeat(100);
        write(linked.join("HEAD"), &format!("ref: refs/heads/{long}\n"));
        let name = project(&path("shop-fix")).name;
        assert!(RouteName::parse(&name).is_ok() && name.ends_with(".store"), "{name}");
    }
}
