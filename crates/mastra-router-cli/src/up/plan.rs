//! What `up` is to run: the apps of a file, else those of a workspace.

use std::path::{Path, PathBuf};

use crate::cli::Up;
use crate::failure::{Exit, Failure};
use crate::project_file::{App, BranchTemplate, ProjectFile, ordered};
use crate::run::Project;
use crate::workspace;

/// What is run.
pub(crate) struct Plan {
    pub(crate) project: Project,
    /// Each after what it depends on.
    pub(crate) apps: Vec<App>,
    /// The others of the project, whose URLs are told where they run already.
    pub(crate) others: Vec<App>,
}

impl Plan {
    /// # Errors
    /// Where there is nothing to run, or something wrong with it.
    pub(crate) fn read(args: &Up, dir: &Path) -> Result<Self, Failure> {
        let (file, wanted) = split(args);
        let file = match file {
            Some(path) => Some(ProjectFile::read(&path)?),
            None => ProjectFile::above(dir)?,
        };
        let (root, apps, branch) = match file {
            Some(file) if !file.apps.is_empty() => (file.root, file.apps, file.branch),
            file => {
                let branch = file.map(|file| file.branch).unwrap_or_default();
                let Some((root, apps)) = workspace::apps(dir)? else { return Err(nothing(dir)) };
                (root, apps, branch)
            }
        };
        Self::of(&root, apps, branch, &wanted)
    }

    fn of(root: &Path, all: Vec<App>, branch: BranchTemplate, wanted: &[String]) -> Result<Self, Failure> {
        let apps = ordered(all.clone(), wanted)?;
        let others = all.into_iter().filter(|app| apps.iter().all(|other| other.key != app.key)).collect();
        Ok(Self { project: Project::of(root, None, branch), apps, others })
    }
}

/// The file that is named, and the apps: a first word that ends with `.toml` or leads somewhere is a file.
fn split(args: &Up) -> (Option<PathBuf>, Vec<String>) {
    let is_file = |word: &String| word.ends_with(".toml") || word.contains('/');
    match args.apps.split_first() {
        Some((first, rest)) if args.file.is_none() && is_file(first) => (Some(first.into()), rest.to_vec()),
        _ => (args.file.clone(), args.apps.clone()),
    }
}

fn nothing(dir: &Path) -> Failure {
    Failure {
        code: "NO_APPS".to_owned(),
        message: format!(
            "nothing says what to run in {}: no mastra-router.toml with [apps.NAME], no workspace, and no package.json with \
             a dev or start script",
            dir.display()
        ),
        hint: Some("mastra-router init".to_owned()),
        exit: Exit::NotFound,
    }
}
