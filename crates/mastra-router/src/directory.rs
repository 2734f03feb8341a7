//! A directory of the router's own: opened once per use, checked, and worked in by descriptor.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Result, RouterError};

/// Refuses a directory that anybody could put another in the place of: one below a directory that all users can write to,
/// unless that is sticky, as /tmp is. It need not be there yet. Who owns the directories above is not asked: those of a
/// container are often a stranger's, and what is opened in the end is checked by itself.
///
/// # Errors
/// [`RouterError::File`] with the directory at fault.
pub(crate) fn refuse_open_ancestors(path: &Path) -> Result<()> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let above = path.ancestors().skip(1).find_map(|above| std::fs::canonicalize(above).ok());
    for above in above.iter().flat_map(|above| above.ancestors()) {
        let Ok(meta) = std::fs::metadata(above) else { continue };
        if meta.mode() & 0o1002 == 0o002 {
            let reason = "every user can write to it, and so replace what is below it; chmod o-w it";
            let source = io::Error::new(io::ErrorKind::PermissionDenied, reason);
            return Err(RouterError::File { action: "keep state below", path: above.to_owned(), source });
        }
    }
    Ok(())
}

/// An open directory that belongs to this user and that nobody else can write to.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory; makes it, for this user alone, where it is missing.
    ///
    /// # Errors
    /// [`RouterError::File`], also for a symbolic link and for a directory that others own or can write to.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self> {
        let failed = |action| move |source| RouterError::File { action, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create"))?;
        Self::open(path).map_err(failed("use"))
    }

    /// Opens the directory if it is there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let refused = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            // Which of the two a symbolic link is, differs between systems.
            Err(Errno::LOOP | Errno::NOTDIR) => return refused("it is a symbolic link, or not a directory"),
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return refused("it belongs to another user");
        }
        if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
            return refused("other users can write to it");
        }
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Path of a file in it, for people.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file in it for reading and writing; makes it where it is missing. Never follows a symbolic link, never
    /// waits for the other end of a pipe.
    pub(crate) fn open_or_create_file(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a file in it for reading.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDONLY)
    }

    fn open_flags(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }

    /// Whether this name still leads to this open file.
    pub(crate) fn holds(&self, name: &str, file: &File) -> io::Result<bool> {
        let open = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a file that is not there yet, for reading and writing.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file in it for reading and writing; `None` where there is none.
    ///
    /// # Errors
    /// What the system said; also for a file of another user, for a symbolic link and for what is no file.
    pub(crate) fn open_own_file(&self, name: &str) -> io::Result<Option<File>> {
        let refused = |reason| Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        match self.open_flags(name, OFlags::RDWR) {
            Ok(file) if rustix::fs::fstat(&file)?.st_uid != rustix::process::geteuid().as_raw() => {
                refused("it belongs to another user")
            }
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => refused("it is a symbolic link"),
            Err(error) => Err(error),
        }
    }

    /// Whether anything has this name.
    pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file another name, and takes that name from whatever had it, in one step.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives a file a second name.
    pub(crate) fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?)
    }

    /// Returns once the names in it are on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Removes a file from it.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }
}
