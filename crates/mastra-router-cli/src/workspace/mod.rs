//! The packages of a JavaScript project that are servers, where no file says which.

mod members;
mod package;

use std::path::{Path, PathBuf};

pub(crate) use self::members::{Workspace, members};
pub(crate) use self::package::{Manager, Package};
use crate::failure::Failure;
use crate::project_file::{App, AppCommand, label};
use crate::repository::up_to_root;

/// The apps of the workspace that `dir` is in, else of the nearest package with a script that serves, and the directory they
/// have in common. `None` where there is neither.
///
/// # Errors
/// `CONFIG_INVALID` where a file of theirs cannot be read.
pub(crate) fn apps(dir: &Path) -> Result<Option<(PathBuf, Vec<App>)>, Failure> {
    if let Some(workspace) = Workspace::above(dir)? {
        let manager = Manager::of(&workspace.root);
        let mut apps: Vec<App> = Vec::new();
        for dir in members(&workspace)? {
            let Some(package) = Package::read(&dir)? else { continue };
            let Some(script) = package.script() else { continue };
            let Some(key) = key(&package, &dir, &workspace.root, &apps) else { continue };
            apps.push(App::new(key, AppCommand::Words(manager.run(script)), dir));
        }
        if !apps.is_empty() {
            return Ok(Some((workspace.root, apps)));
        }
    }
    for dir in up_to_root(dir) {
        let Some(package) = Package::read(dir)? else { continue };
        let Some(script) = package.script() else { return Ok(None) };
        let key = key(&package, dir, dir, &[]).unwrap_or_else(|| "app".to_owned());
        let command = AppCommand::Words(Manager::of(dir).run(script));
        return Ok(Some((dir.to_owned(), vec![App::new(key, command, dir.to_owned())])));
    }
    Ok(None)
}

/// The package's own name, unless another has it; then its path.
pub(crate) fn key(package: &Package, dir: &Path, root: &Path, others: &[App]) -> Option<String> {
    let path = dir.strip_prefix(root).unwrap_or(dir).to_string_lossy().into_owned();
    let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let candidates = [package.short_name().map(str::to_owned), folder, Some(path.clone())];
    let mut labels = candidates.into_iter().flatten().filter_map(|text| label(&text.replace(['/', '.'], "-")));
    labels.find(|key| others.iter().all(|other| other.key != *key))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            fs::create_dir(tree.0.path().join(".git")).unwrap();
            files.iter().for_each(|(name, text)| tree.write(name, text));
            tree
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn apps(&self, dir: &str) -> Vec<String> {
            let found = apps(&self.0.path().join(dir)).unwrap_or_else(|failure| panic!("{failure:?}"));
            let (_, apps) = found.unwrap_or_default();
            let shown = |app: &App| {
                let AppCommand::Words(words) = &app.command else { panic!("words") };
                let dir = app.dir.strip_prefix(self.0.path()).unwrap().display().to_string();
                format!("{} {dir}: {}", app.key, words.join(" "))
            };
            apps.iter().map(shown).collect()
        }
    }

    const DEV: &str = r#"{"scripts": {"dev": "x", "start": "y"}}"#;

    #[test]
    fn workspaces_of_pnpm() {
        let tree = Tree::new(&[
            (
                "pnpm-workspace.yaml",
                "packages:\n  - 'apps/*'\n  - \"./packages/**\"\n  - '!**/test/**'\n  - services/{a,b}/\ncatalog:\n  x: 1\n",
            ),
            ("package.json", r#"{"scripts": {"dev": "pnpm -r dev"}}"#),
            ("apps/web/package.json", r#"{"name": "@shop/web", "scripts": {"dev": "vite"}}"#),
            ("apps/web/nested/package.json", DEV),
            ("apps/api/package.json", r#"{"name": "api", "scripts": {"start": "node ."}}"#),
            ("apps/lib/package.json", r#"{"name": "lib", "scripts": {"build": "tsc"}}"#),
            ("apps/none/readme.md", ""),
            ("packages/a/b/package.json", DEV),
            ("packages/test/x/package.json", DEV),
            ("packages/node_modules/y/package.json", DEV),
            ("services/a/package.json", DEV),
            ("services/c/package.json", DEV),
            ("other/package.json", DEV),
        ]);
        let expected = [
            "api apps/api: pnpm run start",
            "web apps/web: pnpm run dev",
            "b packages/a/b: pnpm run dev",
            "a services/a: pnpm run dev",
        ];
        assert_eq!(tree.apps(""), expected);
        assert_eq!(tree.apps("apps/web"), expected, "from inside, the same");
    }

    #[test]
    fn workspaces_of_npm_yarn_and_bun() {
        for (package, lock, manager) in [
            (r#"{"workspaces": ["apps/*", "!apps/old"]}"#, "package-lock.json", "npm"),
            (r#"{"workspaces": {"packages": ["apps/*", "!apps/old"]}}"#, "yarn.lock", "yarn"),
            (r#"{"workspaces": ["apps/*", "!apps/old"]}"#, "bun.lock", "bun"),
            (r#"{"workspaces": ["apps/*", "!apps/old"], "packageManager": "pnpm@9.1.0"}"#, "x", "pnpm"),
            (r#"{"workspaces": ["apps/*", "!apps/old"]}"#, "x", "npm"),
        ] {
            let tree = Tree::new(&[
                ("package.json", package),
                (lock, ""),
                ("apps/web/package.json", DEV),
                ("apps/old/package.json", DEV),
            ]);
            assert_eq!(tree.apps("apps"), [format!("web apps/web: {manager} run dev")]);
        }
    }

    #[test]
    fn names_that_two_have() {
        let tree = Tree::new(&[
            ("package.json", r#"{"workspaces": ["*/*"]}"#),
            ("a/web/package.json", r#"{"name": "@a/web", "scripts": {"dev": "x"}}"#),
            ("b/web/package.json", r#"{"name": "@b/web", "scripts": {"dev": "x"}}"#),
        ]);
        assert_eq!(tree.apps(""), ["web a/web: npm run dev", "b-web b/web: npm run dev"]);
    }

    #[test]
    fn one_package_or_none() {
        let tree = Tree::new(&[("package.json", r#"{"name": "Shop", "scripts": {"dev": "x"}}"#), ("src/x", "")]);
        assert_eq!(tree.apps("src"), ["shop : npm run dev"]);
        tree.write("package.json", "{}");
        assert_eq!(tree.apps("src"), [""; 0]);
        for (name, text) in [
            ("package.json", "{"),
            ("pnpm-workspace.yaml", "packages: [a"),
            ("pnpm-workspace.yaml", "packages: ['{a']"),
        ] {
            tree.write(name, text);
            let failure = apps(tree.0.path()).unwrap_err();
            assert!(failure.code == "CONFIG_INVALID" && failure.message.contains(name), "{failure:?}");
        }
    }
}
