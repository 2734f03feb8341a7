//! What of a directory looks like a server, and how it is run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::project_file::{App, AppCommand};
use crate::workspace::{self, Manager, Package};

/// A server that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) key: String,
    /// What it is, for people.
    pub(super) what: String,
    pub(super) command: String,
    /// Below the project's directory; empty for itself.
    pub(super) dir: String,
}

/// Packages that say what a package is, the more telling first.
const FRAMEWORKS: [(&str, &str); 8] = [
    ("mastra", "Mastra"),
    ("@mastra/core", "Mastra"),
    ("next", "Next.js"),
    ("nuxt", "Nuxt"),
    ("astro", "Astro"),
    ("vite", "Vite"),
    ("hono", "Hono"),
    ("express", "Express"),
];
/// Where the program of a Python project is.
const PYTHON_FILES: [(&str, &str); 6] = [
    ("main.py", "main"),
    ("app.py", "app"),
    ("server.py", "server"),
    ("app/main.py", "app.main"),
    ("src/main.py", "src.main"),
    ("api/main.py", "api.main"),
];

/// The servers of the project in `root`: the packages of its workspace, itself, and the directories in it.
///
/// # Errors
/// `CONFIG_INVALID` where a file of it cannot be read.
pub(super) fn in_dir(root: &Path) -> Result<Vec<Found>, Failure> {
    let workspace = workspace::Workspace::above(root)?.filter(|workspace| workspace.root == root);
    let packages = match &workspace {
        Some(workspace) => workspace::members(workspace)?,
        None => Vec::new(),
    };
    let mut apps: Vec<App> = Vec::new();
    let mut found = Vec::new();
    let mut dirs = packages;
    // The scripts of a workspace's own package mostly run those of the others.
    if workspace.is_none() {
        dirs.push(root.to_owned());
    }
    for dir in children(root) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    let manager = Manager::of(root);
    for dir in dirs {
        let package = Package::read(&dir)?;
        let own = if workspace.is_some() { manager } else { Manager::of(&dir) };
        let Some((what, command)) =
            package.as_ref().and_then(|package| javascript(package, own, &dir)).or_else(|| python(&dir))
        else {
            continue;
        };
        let nameless = Package::default();
        let named = package.as_ref().unwrap_or(&nameless);
        let Some(key) = workspace::key(named, &dir, root, &apps) else { continue };
        let relative = dir.strip_prefix(root).unwrap_or(&dir).to_string_lossy().into_owned();
        apps.push(App::new(key.clone(), AppCommand::Shell(command.clone()), dir));
        found.push(Found { key, what, command, dir: relative });
    }
    Ok(found)
}

fn javascript(package: &Package, manager: Manager, dir: &Path) -> Option<(String, String)> {
    let framework = FRAMEWORKS.iter().find(|(name, _)| package.needs(name)).map(|(_, what)| *what);
    if let Some(script) = package.script() {
        let what = framework.unwrap_or("the package's script");
        return Some((what.to_owned(), manager.run(script).join(" ")));
    }
    let what = framework?;
    let command = match what {
        "Mastra" => "npx mastra dev".to_owned(),
        "Next.js" => "npx next dev".to_owned(),
        "Nuxt" => "npx nuxt dev".to_owned(),
        "Astro" => "npx astro dev".to_owned(),
        "Vite" => "npx vite".to_owned(),
        _ => {
            let files = package.main().into_iter().chain(["server.js", "index.js", "src/index.js", "app.js"]);
            let file = files.into_iter().find(|file| dir.join(file).is_file())?;
            format!("node {file}")
        }
    };
    Some((what.to_owned(), command))
}

/// A project of uvicorn, FastAPI, Flask or Django, by what it requires.
fn python(dir: &Path) -> Option<(String, String)> {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let required = format!("{}\n{}", read("pyproject.toml"), read("requirements.txt")).to_lowercase();
    let has = |name: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        required.split(|c| !is_part(c)).any(|word| word == name)
    };
    let runner = if dir.join("uv.lock").exists() {
        "uv run "
    } else if dir.join("poetry.lock").exists() {
        "poetry run "
    } else {
        ""
    };
    if dir.join("manage.py").is_file() && has("django") {
        return Some(("Django".to_owned(), format!("{runner}python manage.py runserver")));
    }
    if has("flask") {
        return Some(("Flask".to_owned(), format!("{runner}flask run")));
    }
    let what = ["fastapi", "uvicorn", "starlette"].into_iter().find(|name| has(name))?;
    // The module and the variable that uvicorn is told.
    let program = PYTHON_FILES.iter().find_map(|(file, module)| {
        let text = fs::read_to_string(dir.join(file)).ok()?;
        let assigned = |line: &str| {
            let (name, value) = line.split_once('=')?;
            let is_app = value.trim_start().starts_with("FastAPI(") || value.trim_start().starts_with("Starlette(");
            let name = name.split(':').next().unwrap_or_default().trim();
            (is_app && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then(|| name.to_owned())
        };
        Some(format!("{module}:{}", text.lines().find_map(assigned).unwrap_or_else(|| "app".to_owned())))
    });
    let what = if what == "fastapi" { "FastAPI" } else { "uvicorn" };
    Some((what.to_owned(), format!("{runner}uvicorn {} --reload", program.unwrap_or_else(|| "main:app".to_owned()))))
}

/// The directories in `root`, in order, without those that tools make.
fn children(root: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 8] = ["node_modules", "dist", "build", "target", "venv", "vendor", "__pycache__", "out"];
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    let is_ours = |dir: &PathBuf| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        !name.starts_with('.') && !NOT_OURS.contains(&name.as_ref())
    };
    let mut dirs: Vec<PathBuf> = dirs.filter(is_ours).collect();
    dirs.sort();
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("shop");
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = in_dir(&root).unwrap_or_else(|failure| panic!("{failure:?}"));
        found.iter().map(|f| format!("{} {} [{}] {}", f.key, f.what, f.dir, f.command)).collect()
    }

    #[test]
    fn javascript() {
        let with = |name: &str, rest: &str| format!(r#"{{"dependencies": {{"{name}": "1"}}{rest}}}"#);
        for (name, what, command) in [
            ("mastra", "Mastra", "npx mastra dev"),
            ("vite", "Vite", "npx vite"),
            ("next", "Next.js", "npx next dev"),
            ("hono", "Hono", "node src/index.js"),
            ("express", "Express", "node src/index.js"),
        ] {
            let files = [("package.json", with(name, "")), ("src/index.js", String::new())];
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            assert_eq!(found(&files), [format!("shop {what} [] {command}")], "{name}");
            let scripted = with(name, r#", "name": "@x/own", "scripts": {"dev": "x"}"#);
            assert_eq!(
                found(&[("package.json", &scripted), ("yarn.lock", "")]),
                [format!("own {what} [] yarn run dev")]
            );
        }
        assert_eq!(found(&[("package.json", r#"{"dependencies": {"lodash": "1"}}"#)]), [""; 0]);
    }

    #[test]
    fn python_projects() {
        for (files, expected) in [
            (
                &[("requirements.txt", "fastapi==0.1\nuvicorn[standard]\n"), ("main.py", "api: FastAPI = FastAPI(\n")]
                    [..],
                "FastAPI [] uvicorn main:api --reload",
            ),
            (
                &[
                    ("pyproject.toml", "dependencies = [\"uvicorn>=1\"]"),
                    ("uv.lock", ""),
                    ("app/main.py", "app = make()"),
                ],
                "uvicorn [] uv run uvicorn app.main:app --reload",
            ),
            (&[("requirements.txt", "Flask\n")], "Flask [] flask run"),
            (&[("requirements.txt", "django\n"), ("manage.py", "")], "Django [] python manage.py runserver"),
        ] {
            assert_eq!(found(files), [format!("shop {expected}")]);
        }
        assert_eq!(found(&[("requirements.txt", "fastapi-users-not\n")]), [""; 0]);
    }

    #[test]
    fn several() {
        let dev = r#"{"scripts": {"dev": "x"}}"#;
        assert_eq!(
            found(&[
                ("web/package.json", dev),
                ("api/requirements.txt", "fastapi"),
                ("node_modules/x/package.json", dev)
            ]),
            ["api FastAPI [api] uvicorn main:app --reload", "web the package's script [web] npm run dev"]
        );
        assert_eq!(
            found(&[
                ("pnpm-workspace.yaml", "packages: ['apps/*']"),
                ("package.json", dev),
                ("apps/web/package.json", dev),
                ("worker/pyproject.toml", "uvicorn"),
            ]),
            ["web the package's script [apps/web] pnpm run dev", "worker uvicorn [worker] uvicorn main:app --reload"]
        );
    }
}
