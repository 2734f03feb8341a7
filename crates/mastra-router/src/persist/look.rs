//! A look at what is saved, for people: nothing is locked, put aside, mended or made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::journal::{self, Fault, Tail};
use super::rewriting::NEW;
use super::settings::{self, SavedSettings};
use super::store::{JOURNAL, LOCK};
use crate::error::{Result, RouterError};

/// What is saved in a directory, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Routes that are saved.
    pub routes: usize,
    /// Settings that somebody gave by hand.
    pub settings: SavedSettings,
    /// What cannot be read, in sentences for people. The next start keeps such files under another name.
    pub damaged: Vec<String>,
    /// Files that were kept under another name.
    pub kept: Vec<PathBuf>,
    /// Files that a process which was killed had not finished, or that one writes at this moment.
    pub unfinished: Vec<PathBuf>,
}

impl SavedState {
    /// Looks at a directory; one that is not there holds nothing. Blocks, and reads the whole journal.
    ///
    /// # Errors
    /// [`RouterError::File`] where a file cannot be read.
    pub fn look(dir: &Path) -> Result<Self> {
        let mut state = Self::default();
        if let Some(bytes) = read(dir, JOURNAL)? {
            let path = dir.join(JOURNAL);
            let path = path.display();
            match journal::read(&bytes) {
                Ok(contents) => {
                    state.routes = contents.routes.len();
                    if contents.tail == Tail::Damaged {
                        state.damaged.push(format!("{path} is damaged in its last line"));
                    }
                }
                Err(Fault::Newer) => state.damaged.push(format!("{path} was written by a newer version")),
                Err(Fault::Damaged { line }) => state.damaged.push(format!("{path} is damaged in line {line}")),
            }
        }
        if let Some(bytes) = read(dir, settings::FILE)? {
            match SavedSettings::parse(&bytes) {
                Some(settings) => state.settings = settings,
                None => {
                    state.damaged.push(format!("{} cannot be used as settings", dir.join(settings::FILE).display()));
                }
            }
        }
        for (name, path) in names(dir) {
            if is_kept(&name) {
                state.kept.push(path);
            } else if name == NEW || name == settings::NEW {
                state.unfinished.push(path);
            }
        }
        Ok(state)
    }

    /// The files that routers have saved in a directory, those that were kept and those that were not finished among them.
    pub fn files(dir: &Path) -> Vec<PathBuf> {
        let known = [JOURNAL, LOCK, NEW, settings::FILE, settings::NEW];
        names(dir)
            .into_iter()
            .filter(|(name, _)| known.contains(&name.as_str()) || is_kept(name))
            .map(|(_, path)| path)
            .collect()
    }
}

/// Whether a file of ours was kept under this name, which ends with the moment that happened.
fn is_kept(name: &str) -> bool {
    let rest = [JOURNAL, settings::FILE].iter().find_map(|file| name.strip_prefix(file));
    let moment = rest.and_then(|rest| rest.strip_prefix(".corrupt-").or_else(|| rest.strip_prefix(".newer-")));
    moment.is_some_and(|moment| moment.len() >= 16 && moment.starts_with(|c: char| c.is_ascii_digit()))
}

/// The regular files in a directory, in order; links are none.
fn names(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<_> =
        files.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    names.sort_unstable();
    names
}

fn read(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    let path = dir.join(name);
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let bytes = opened.and_then(|mut file: File| {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match bytes {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(RouterError::File { action: "read", path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::{Store, tests::snapshot};
    use super::*;

    #[test]
    fn looking_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(SavedState::look(&dir.path().join("absent")).unwrap(), SavedState::default());
        let mut store = Store::open(dir.path()).unwrap().store;
        store.put_aside(&snapshot(0..3)).unwrap();
        drop(store);
        let settings = SavedSettings { tls: Some(true), ..SavedSettings::default() };
        settings.save(dir.path()).unwrap();
        let state = SavedState::look(dir.path()).unwrap();
        assert_eq!((state.routes, state.kept.len(), state.damaged.len()), (3, 1, 0));
        assert_eq!(state.settings, settings);
        fs::write(dir.path().join(settings::FILE), "{").unwrap();
        let journal = dir.path().join(JOURNAL);
        let text = fs::read_to_string(&journal).unwrap().replacen("\"port\"", "\"tort\"", 1);
        fs::write(&journal, &text).unwrap();
        fs::write(dir.path().join(NEW), "").unwrap();
        fs::write(dir.path().join("settings.json.corrupted"), "a person's").unwrap();
        let state = SavedState::look(dir.path()).unwrap();
        assert_eq!((state.damaged.len(), state.unfinished.len(), state.kept.len()), (2, 1, 1), "{state:?}");
        assert_eq!(fs::read_to_string(&journal).unwrap(), text);
        // The lock, the journal and the one kept, the settings, and what was not finished.
        assert_eq!(SavedState::files(dir.path()).len(), 5);
    }
}
