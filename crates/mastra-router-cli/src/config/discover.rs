//! The project's file.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const FILE: &str = "mastra-router.toml";

/// The nearest `mastra-router.toml` of `dir` and the directories above it, up to the root of the git repository. Outside of a
/// repository only `dir` itself is looked at, and a file of another user's, but for root's, is not ours to obey.
pub(crate) fn project_file(dir: &Path) -> Option<PathBuf> {
    let root = dir.ancestors().find(|above| above.join(".git").exists()).unwrap_or(dir);
    let up_to_root = dir.ancestors().take_while(|above| above.starts_with(root));
    up_to_root.map(|above| above.join(FILE)).find(|path| is_trusted(path))
}

fn is_trusted(path: &Path) -> bool {
    let own = rustix::process::getuid().as_raw();
    path.metadata().is_ok_and(|file| file.is_file() && (file.uid() == own || file.uid() == 0))
}
