//! The directory of certificates. Every file in it is written whole, beside its place, and then moved there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Result, RouterError};

/// Far more than a key with a long chain.
const FILE_MAX: u64 = 1 << 20;
/// What a file is called until it is whole. Only a process that was killed leaves one.
pub(super) const UNFINISHED: &str = ".unfinished-";
/// Writing takes milliseconds: after this nobody is at it any more.
const UNFINISHED_FOR: Duration = Duration::from_secs(60);

/// Who may read a file.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// This user alone, from the moment the file exists.
    Secret,
    /// Everyone who gets as far as the directory.
    Public,
}

/// A directory that belongs to this user, and that nobody else can read or write.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

/// Tells whether a file is still the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where there is no such file. Links are followed: a user's own files may be links.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self {
            inode: meta.ino(),
            length: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

impl Directory {
    /// Opens the directory, and makes it where it is missing.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // Without a slash at its end: with one, the system would follow a link that stands there.
        let directory = Self { path: path.components().collect() };
        directory.create()?;
        Ok(directory)
    }

    /// The directory if it is there, as it is, for a look.
    pub(super) fn at(path: &Path) -> Option<Self> {
        path.is_dir().then(|| Self { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A directory in this one, under the same rules.
    pub(super) fn subdirectory(&self, name: &str) -> Result<Self> {
        Self::open(&self.path_of(name))
    }

    fn create(&self) -> Result<()> {
        let failed = |action| move |source| refused(action, &self.path, source);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(failed("create"))?;
        let meta = fs::symlink_metadata(&self.path).map_err(failed("read"))?;
        let unfit = if meta.is_symlink() {
            "it is a symbolic link; name the directory it leads to"
        } else if !meta.is_dir() {
            "it is no directory"
        } else if meta.uid() != rustix::process::geteuid().as_raw() {
            "it belongs to another user"
        } else if meta.mode() & 0o022 != 0 {
            "others can write to it; chmod go-rwx it"
        } else if meta.mode() & 0o077 != 0 {
            // Made by hand, with the usual mode. What others could do in it so far was to read.
            return fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700)).map_err(failed("chmod"));
        } else {
            return Ok(());
        };
        Err(refused("use", &self.path, unfit))
    }

    /// Keeps other processes from doing the same work, until the file is dropped.
    pub(super) fn lock(&self, name: &str) -> Result<File> {
        let path = self.path_of(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
        let file = options.open(&path).map_err(|error| refused("open", &path, error))?;
        file.lock().map_err(|error| refused("lock", &path, error))?;
        Ok(file)
    }

    /// As [`Self::lock`], beside others who look; where nobody ever locked it, there is nobody to wait for. Makes no file.
    pub(super) fn lock_to_look(&self, name: &str) -> Result<Option<File>> {
        let path = self.path_of(name);
        match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => {
                let file = opened.map_err(|error| refused("open", &path, error))?;
                file.lock_shared().map_err(|error| refused("lock", &path, error))?;
                Ok(Some(file))
            }
        }
    }

    /// What a file holds; `None` where there is none. Bytes that are no text are replaced, and then make no sense.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path_of(name);
        let failed = |error| refused("read", &path, error);
        let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        read_text(file).map(Some).map_err(failed)
    }

    /// Puts a file in its place, whole or not at all. A computer that loses power may lose it.
    pub(super) fn write(&self, name: &str, text: &str, access: Access) -> Result<()> {
        self.put(name, text, access, |_| Ok(()))
    }

    /// As [`Self::write`], and on the disk once it returns.
    pub(super) fn write_durably(&self, name: &str, text: &str, access: Access) -> Result<()> {
        self.put(name, text, access, File::sync_all)?;
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(|error| refused("write", &self.path, error))
    }

    fn put(&self, name: &str, text: &str, access: Access, sync: fn(&File) -> io::Result<()>) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.path_of(&format!("{UNFINISHED}{}-{count}", std::process::id()));
        let path = self.path_of(name);
        if !self.path.is_dir() {
            // It was deleted meanwhile.
            self.create()?;
        }
        let written = write_new(&unfinished, text, access, sync).and_then(|()| fs::rename(&unfinished, &path));
        written.map_err(|error| {
            // It may not have come to be.
            let _ = fs::remove_file(&unfinished);
            refused("write", &path, error)
        })
    }

    /// Takes rights to read from others, where a file has such; true where it had.
    pub(super) fn make_secret(&self, name: &str) -> bool {
        let path = self.path_of(name);
        let open_to_others = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o077 != 0);
        open_to_others && fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).is_ok()
    }

    pub(super) fn rename(&self, name: &str, to: &str) -> Result<()> {
        let path = self.path_of(name);
        fs::rename(&path, self.path_of(to)).map_err(|error| refused("rename", &path, error))
    }

    /// Removes a file; false where there was none.
    pub(super) fn remove(&self, name: &str) -> Result<bool> {
        let path = self.path_of(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            removed => removed.map(|()| true).map_err(|error| refused("remove", &path, error)),
        }
    }

    /// Names of the files with this ending, in order; none where the directory was deleted.
    pub(super) fn names(&self, ending: &str) -> Result<Vec<String>> {
        let failed = |error| refused("read", &self.path, error);
        let mut names = Vec::new();
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(
                name.to_str().filter(|name| name.ends_with(ending) && !name.starts_with('.')).map(str::to_owned),
            );
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes what processes that were killed had not finished.
    pub(super) fn sweep(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let unfinished = entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED));
            let age = || entry.metadata().ok()?.modified().ok()?.elapsed().ok();
            if unfinished && age().is_some_and(|age| age > UNFINISHED_FOR) {
                // Another process may have been first.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The text of a file that is not too long for one with a certificate or a key.
pub(super) fn read_text(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_new(path: &Path, text: &str, access: Access, sync: fn(&File) -> io::Result<()>) -> io::Result<()> {
    let mode = match access {
        Access::Secret => 0o600,
        Access::Public => 0o644,
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    sync(&file)
}

fn no_follow() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or_default()
}

pub(super) fn refused(action: &'static str, path: &Path, reason: impl ToString) -> RouterError {
    RouterError::Certificate { action, path: path.to_owned(), reason: reason.to_string() }
}
