//! The hosts file on the disk: found, locked, read, and written so that it is whole at any moment.
//!
//! The lock is on the file itself. It is the one thing that all who write it have in common: root and others, and a
//! container and its host where the file is mounted into it; and nothing is left behind in `/etc`. Anybody who can read
//! the file can lock it, so nobody waits for the lock for ever.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::metadata;
use super::scratch::{self, Scratch};
use crate::error::{Result, RouterError};

/// A longer file is not one that people keep by hand, nor one of the long lists that block advertisements.
const FILE_MAX: u64 = 64 << 20;
/// How long to wait for the lock. A write takes milliseconds, or seconds on a disk that is busy.
const LOCK_MOST: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(3);

/// Where a hosts file is, links followed.
#[derive(Debug)]
pub(super) struct Place {
    /// The real file, for people and for system calls that need no more.
    pub(super) path: PathBuf,
    dir: OwnedFd,
    name: OsString,
}

/// A hosts file that is open and locked, with its content.
#[derive(Debug)]
pub(super) struct Locked<'p> {
    place: &'p Place,
    file: File,
    stat: Stat,
    pub(super) content: Vec<u8>,
}

/// How a file is written.
#[derive(Debug)]
pub(super) enum Way<'p> {
    /// A new file takes its place.
    Replace(Scratch<'p>),
    /// Over the old content: a bind mount, a hard link, or a directory that cannot be written to.
    InPlace(File),
}

/// What became of an attempt to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Yes,
    /// Somebody who does not heed our lock changed the file meanwhile; nothing was written.
    Overtaken,
    /// The file cannot be replaced, as where it is a mount; nothing was written.
    Refused,
}

impl Place {
    /// Finds the file; it need not be there, but its directory has to be.
    ///
    /// # Errors
    /// [`RouterError::HostsFile`], [`RouterError::HostsDenied`].
    pub(super) fn find(path: &Path) -> Result<Self> {
        let failed = |error: io::Error| denied_or(path, "read", error);
        let real = match std::fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A plain file there has been made since.
                if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink()) {
                    return Err(unusable(path, "it is a symbolic link to a file that does not exist"));
                }
                let parent = path.parent().unwrap_or(Path::new("/"));
                let name = path.file_name().ok_or_else(|| unusable(path, "it is no file"))?;
                let parent = std::fs::canonicalize(parent).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => unusable(path, "its directory does not exist"),
                    _ => failed(error),
                })?;
                parent.join(name)
            }
            Err(error) => return Err(failed(error)),
        };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(unusable(path, "it is no file"));
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        Ok(Self { name: name.to_owned(), path: real, dir })
    }

    /// Reads the file as it is at some moment; `None` where it is missing.
    ///
    /// # Errors
    /// As [`Place::find`]. Nothing but a missing file is taken for one.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>> {
        match self.open(OFlags::RDONLY) {
            Ok(file) => self.content(&file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(denied_or(&self.path, "read", error)),
        }
    }

    /// Opens, locks and reads the file; `None` where it is missing. Waits for others who hold the lock.
    ///
    /// # Errors
    /// As [`Place::read`]; and where the lock is held for too long.
    pub(super) fn lock(&self) -> Result<Option<Locked<'_>>> {
        let failed = |error: io::Error| denied_or(&self.path, "read", error);
        let since = Instant::now();
        loop {
            let file = match self.open(OFlags::RDONLY) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            match file.try_lock() {
                // Another file may have taken its place before it was locked.
                Ok(()) if scratch::holds(&self.dir, &self.name, &file).map_err(failed)? => {
                    let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
                    let content = self.content(&file)?;
                    return Ok(Some(Locked { place: self, file, stat, content }));
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if since.elapsed() < LOCK_MOST => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(unusable(&self.path, "another process has kept it locked for 30 seconds"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// Makes the file, empty, unless it is there by now.
    pub(super) fn create(&self) -> Result<()> {
        let mode = Mode::from_raw_mode(0o644);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.dir, &self.name, flags, mode) {
            // Everyone has to be able to read it, whatever root's umask is.
            Ok(fd) => rustix::fs::fchmod(fd, mode).map_err(|error| denied_or(&self.path, "write", error.into())),
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(denied_or(&self.path, "write", error.into())),
        }
    }

    /// Takes back an empty file that was made here.
    pub(super) fn discard(&self, made: Locked<'_>) {
        if made.content.is_empty() && made.is_current().unwrap_or(false) {
            let _ = rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
    }

    fn open(&self, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.dir, &self.name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }

    fn content(&self, mut file: &File) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        let read = file.by_ref().take(FILE_MAX + 1).read_to_end(&mut content);
        read.map_err(|error| denied_or(&self.path, "read", error))?;
        if content.len() as u64 > FILE_MAX {
            Err(unusable(&self.path, "it is longer than 64 MiB"))
        } else {
            Ok(content)
        }
    }

    /// Name of the files beside it that are to take its place.
    fn scratch_prefix(&self) -> String {
        format!(".{}.mastra-router-", self.name.to_string_lossy())
    }
}

impl<'p> Locked<'p> {
    /// Finds out how the file can be written, and whether at all, before anything is done.
    ///
    /// # Errors
    /// [`RouterError::HostsDenied`], [`RouterError::HostsFile`].
    pub(super) fn way(&self) -> Result<Way<'p>> {
        // Another name of a hard link would keep the old content.
        if self.stat.st_nlink > 1 {
            return self.in_place();
        }
        match Scratch::create(&self.place.dir, &self.place.scratch_prefix()) {
            Ok(scratch) => match metadata::copy(&self.file, &self.stat, scratch.file()) {
                Ok(()) => Ok(Way::Replace(scratch)),
                // Whose owner or label cannot be given to another file, keeps them where it is.
                Err(error) => {
                    tracing::debug!(%error, "the hosts file is written in place");
                    self.in_place()
                }
            },
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                self.in_place()
            }
            Err(error) => Err(denied_or(&self.place.path, "write", error)),
        }
    }

    /// The way that works on mounts.
    pub(super) fn in_place(&self) -> Result<Way<'p>> {
        let file = self.place.open(OFlags::RDWR).map_err(|error| denied_or(&self.place.path, "write", error))?;
        Ok(Way::InPlace(file))
    }

    /// Writes the file. Where that fails, it is what it was before.
    ///
    /// # Errors
    /// [`RouterError::HostsFile`], [`RouterError::HostsDenied`].
    pub(super) fn write(&self, way: Way<'p>, new: &[u8]) -> Result<Written> {
        let failed = |error: io::Error| denied_or(&self.place.path, "write", error);
        match way {
            Way::Replace(scratch) => {
                scratch.write(new).map_err(failed)?;
                if !self.is_current().map_err(failed)? {
                    return Ok(Written::Overtaken);
                }
                // The exchange itself is a change of the file that is moved away, so its ctime says nothing.
                let state = |s: &Stat| (s.st_dev, s.st_ino, s.st_size, s.st_mtime, s.st_mtime_nsec);
                match scratch.move_over(&self.place.name, |was| state(was) == state(&self.stat)) {
                    Ok(true) => Ok(Written::Yes),
                    Ok(false) => Ok(Written::Overtaken),
                    Err(error) => match Errno::from_io_error(&error) {
                        Some(Errno::BUSY | Errno::XDEV | Errno::PERM | Errno::ACCESS) => Ok(Written::Refused),
                        _ => Err(failed(error)),
                    },
                }
            }
            Way::InPlace(file) => {
                if !self.is_current().map_err(failed)? {
                    return Ok(Written::Overtaken);
                }
                match overwrite(&file, &self.content, new) {
                    Ok(()) => Ok(Written::Yes),
                    Err(error) => match overwrite(&file, b"", &self.content) {
                        Ok(()) => Err(failed(error)),
                        Err(undone) => {
                            Err(unusable(&self.place.path, format!("{error}; and putting it back: {undone}")))
                        }
                    },
                }
            }
        }
    }

    /// Puts back what a write that was cut short has broken.
    ///
    /// # Errors
    /// As [`Locked::write`].
    pub(super) fn put_back(&self, old: &[u8]) -> Result<()> {
        let failed = |error: io::Error| denied_or(&self.place.path, "write", error);
        let file = self.place.open(OFlags::RDWR).map_err(failed)?;
        overwrite(&file, b"", old).map_err(failed)
    }

    /// Whether it holds what it held when it was read; after a write that failed.
    pub(super) fn is_as_before(&self) -> bool {
        self.place.read().is_ok_and(|now| now.as_ref() == Some(&self.content))
    }

    /// Whether the file is still the one that was read, unchanged.
    fn is_current(&self) -> io::Result<bool> {
        let now = match rustix::fs::statat(&self.place.dir, &self.place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) => now,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let state =
            |s: &Stat| (s.st_dev, s.st_ino, s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
        Ok(state(&now) == state(&self.stat))
    }
}

/// Writes what differs. What both have in common at the beginning, as the lines before our block, is never touched.
fn overwrite(file: &File, old: &[u8], new: &[u8]) -> io::Result<()> {
    let same = common_prefix(old, new);
    file.write_all_at(new.get(same..).unwrap_or_default(), same as u64)?;
    file.set_len(new.len() as u64)?;
    file.sync_all()
}

/// Whether `now` is what a write of `new` over `old` leaves that was cut short.
pub(super) fn is_cut_short(now: &[u8], old: &[u8], new: &[u8]) -> bool {
    if now == old || now == new || now.len() < old.len().min(new.len()) {
        return false;
    }
    let written = common_prefix(now, new);
    let rest_is_old = now.len() == old.len() && now.get(written..) == old.get(written..);
    // A machine that lost its power may have given the file its length and not its bytes.
    let has_holes = now.contains(&0) && !old.contains(&0);
    written == now.len() || rest_is_old || has_holes
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

pub(super) fn unusable(path: &Path, reason: impl ToString) -> RouterError {
    RouterError::HostsFile { path: path.to_owned(), line: None, reason: reason.to_string() }
}

/// What the system said. Root is not told to become root.
pub(super) fn denied_or(path: &Path, action: &'static str, error: io::Error) -> RouterError {
    match error.kind() {
        io::ErrorKind::PermissionDenied if !rustix::process::geteuid().is_root() => {
            RouterError::HostsDenied { path: path.to_owned(), action }
        }
        io::ErrorKind::PermissionDenied => unusable(
            path,
            format!("this system does not let root {action} it ({error}); is it immutable? lsattr tells"),
        ),
        _ => unusable(path, format!("cannot {action} it: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever moment a write in place is cut at, it is known; and a file that somebody else wrote is not taken for it.
        #[test]
        fn a_cut_write_is_known(before in "[a-c\n]{0,8}", old in "[d-f\n]{0,12}", new in "[d-f\n]{0,12}", cut in 0_usize..40) {
            let (old, new) = (format!("{before}{old}").into_bytes(), format!("{before}{new}").into_bytes());
            let same = common_prefix(&old, &new);
            let mut now = old.clone();
            let written = (same + cut).min(new.len());
            let end = written.max(now.len());
            now.resize(end, 0);
            now[same..written].copy_from_slice(&new[same..written]);
            let known = is_cut_short(&now, &old, &new);
            proptest::prop_assert_eq!(known, now != old && now != new);
            proptest::prop_assert!(!is_cut_short(&[&old[..], b"10.0.0.1 mine\n"].concat(), &old, &new));
        }
    }
}
