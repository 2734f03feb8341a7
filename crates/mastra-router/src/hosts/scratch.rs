//! Files that are written beside their place and then moved there whole.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Names that may be taken before a directory is given up.
const TRIES: usize = 100;

/// A new file under a name of its own. It is locked, which is how others know that its writer lives, and it goes when it is
/// dropped without having been moved.
#[derive(Debug)]
pub(super) struct Scratch<'d> {
    dir: &'d OwnedFd,
    name: String,
    file: File,
    moved: bool,
}

impl<'d> Scratch<'d> {
    /// Makes a file, for this user alone. Those that killed processes left, under names with the same beginning, go.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn create(dir: &'d OwnedFd, prefix: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        sweep(dir, prefix);
        for _ in 0..TRIES {
            let name = format!("{prefix}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = match rustix::fs::openat(dir, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => File::from(fd),
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            };
            // Another process may have taken it for one that was left, in the moment before it was locked.
            match file.try_lock() {
                Ok(()) if holds(dir, &name, &file)? => return Ok(Self { dir, name, file, moved: false }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    let _ = rustix::fs::unlinkat(dir, &name, AtFlags::empty());
                    return Err(error);
                }
            }
        }
        Err(io::Error::other("no temporary file could be made"))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `bytes`, to the disk.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)?;
        self.file.sync_all()
    }

    /// Moves it to `name`, in the place of what may be there.
    pub(super) fn move_to(mut self, name: impl rustix::path::Arg) -> io::Result<()> {
        rustix::fs::renameat(self.dir, &self.name, self.dir, name)?;
        self.moved = true;
        sync_directory(self.dir);
        Ok(())
    }

    /// As [`Scratch::move_to`], in the place of a file that `is_expected`. Where another one turns out to have been there,
    /// that one stays, and this says false. A system that cannot exchange two files does not look once more.
    pub(super) fn move_over(mut self, name: &OsStr, is_expected: impl FnOnce(&Stat) -> bool) -> io::Result<bool> {
        if exchange(self.dir, &self.name, name).is_err() {
            return self.move_to(name).map(|()| true);
        }
        // What was there has our name now, and goes with it.
        let was = rustix::fs::statat(self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let expected = was.is_ok_and(|was| is_expected(&was));
        if !expected && let Err(error) = exchange(self.dir, &self.name, name) {
            self.moved = true;
            return Err(io::Error::other(format!("{error}; the file as it was is {} now", self.name)));
        }
        sync_directory(self.dir);
        Ok(expected)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if !self.moved {
            let _ = rustix::fs::unlinkat(self.dir, &self.name, AtFlags::empty());
        }
        // A child that is just being spawned has a copy of the descriptor, so closing it would not do.
        let _ = self.file.unlock();
    }
}

/// Makes what was done in a directory last. Where a file system has no such thing, its own care has to do.
pub(super) fn sync_directory(dir: &OwnedFd) {
    if let Err(error) = rustix::fs::fsync(dir) {
        tracing::debug!(%error, "a directory could not be synced");
    }
}

/// The names in a directory that begin with `prefix`.
pub(super) fn names(dir: &OwnedFd, prefix: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        if let Ok(name) = entry?.file_name().to_str()
            && name.starts_with(prefix)
        {
            found.push(name.to_owned());
        }
    }
    Ok(found)
}

/// Whether this name leads to this open file.
pub(super) fn holds(dir: &OwnedFd, name: impl rustix::path::Arg, file: &File) -> io::Result<bool> {
    let open = rustix::fs::fstat(file)?;
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(dir: &OwnedFd, one: &str, other: &OsStr) -> Result<(), Errno> {
    rustix::fs::renameat_with(dir, one, dir, other, rustix::fs::RenameFlags::EXCHANGE)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_dir: &OwnedFd, _one: &str, _other: &OsStr) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

fn sweep(dir: &OwnedFd, prefix: &str) {
    for name in names(dir, prefix).unwrap_or_default() {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(dir, &name, flags, Mode::empty()).map(File::from) else { continue };
        if file.metadata().is_ok_and(|meta| meta.is_file()) && file.try_lock().is_ok() {
            let _ = rustix::fs::unlinkat(dir, &name, AtFlags::empty());
        }
    }
}
