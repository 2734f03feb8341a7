//! The log of a router in the background: a file that never grows beyond its size, and a few that came before it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mastra_router::{Home, RouterError};
use rustix::fs::OFlags;
use tracing_subscriber::fmt::MakeWriter;

const NAME: &str = "router.log";
/// What an editor opens at once; a router without faults writes it in months.
const SIZE_MAX: u64 = 1024 * 1024;
/// Files that are kept beside the one that is written.
const KEPT: u32 = 3;

/// Where the log of a home is.
pub(crate) fn path(home: &Home) -> PathBuf {
    home.path().join(NAME)
}

/// The file `n` turns ago; 0 is the one that is written.
pub(crate) fn earlier(path: &Path, n: u32) -> PathBuf {
    match n {
        0 => path.to_owned(),
        n => path.with_file_name(format!("{NAME}.{n}")),
    }
}

/// Oldest first.
pub(crate) fn all(path: &Path) -> impl Iterator<Item = PathBuf> {
    (0..=KEPT).rev().map(|n| earlier(path, n))
}

/// The log as it is written. Clones write to the same file.
#[derive(Clone)]
pub(crate) struct Log {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
}

struct Inner {
    file: File,
    /// Whether what is written to stderr, as the text of a panic, is to be found here too.
    has_stderr: bool,
}

impl Log {
    /// Opens the log of a home that is ours.
    ///
    /// # Errors
    /// [`RouterError::File`].
    pub(crate) fn open(home: &Home) -> Result<Self, RouterError> {
        let path = path(home);
        let failed = |source| RouterError::File { action: "log to", path: path.clone(), source };
        let file = open(&path).map_err(failed)?;
        Ok(Self { inner: Arc::new(Mutex::new(Inner { file, has_stderr: false })), path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Has stderr, and stdout, lead here from now on.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn take_stderr(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::stdio::dup2_stderr(&inner.file)?;
        inner.has_stderr = true;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

impl Inner {
    /// Begins a new file where this one is full. Where that fails it grows on, which is better than no log.
    fn turn_if_full(&mut self, path: &Path, more: u64) -> io::Result<()> {
        let full = self.file.metadata()?;
        if full.len() == 0 || full.len() + more <= SIZE_MAX {
            return Ok(());
        }
        // A router that takes our place logs here too, and may have been first.
        let is_ours = std::fs::symlink_metadata(path).is_ok_and(|named| named.ino() == full.ino());
        if is_ours {
            for n in (0..KEPT).rev() {
                match std::fs::rename(earlier(path, n), earlier(path, n + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        self.file = open(path)?;
        if self.has_stderr {
            rustix::stdio::dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

/// One write to the log.
pub(crate) struct Line<'l>(&'l Log);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = inner.turn_if_full(&self.0.path, bytes.len() as u64);
        inner.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'l> MakeWriter<'l> for Log {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().to_owned()));
        let log = Log::open(&home).unwrap();
        let line = vec![b'x'; 300 * 1024];
        for turn in 0..16_u8 {
            let mut line = line.clone();
            line.insert(0, turn);
            log.make_writer().write_all(&line).unwrap();
        }
        let first_bytes: Vec<u8> = all(log.path()).map(|path| std::fs::read(path).unwrap()[0]).collect();
        assert_eq!(first_bytes, [6, 9, 12, 15], "three lines fit into each; the first two files are gone");
        assert!(all(log.path()).all(|path| std::fs::metadata(path).unwrap().len() <= SIZE_MAX));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
        let mode = std::fs::metadata(log.path()).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join(NAME)).unwrap();
        assert!(Log::open(&Home::resolve(Some(dir.path().to_owned()))).is_err());
        assert!(!dir.path().join("elsewhere").exists());
    }
}
