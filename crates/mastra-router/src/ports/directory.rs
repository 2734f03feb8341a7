//! The directory of leases: opened once per use, checked, and worked in by descriptor.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Result, RouterError};

/// An open directory that belongs to this user and that nobody else can write to.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory; makes it, for this user alone, where it is missing.
    ///
    /// # Errors
    /// [`RouterError::File`], also for a symbolic link and for a directory that others own or can write to.
    pub(super) fn open_or_create(path: &Path) -> Result<Self> {
        let failed = |action| move |source| RouterError::File { action, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create"))?;
        Self::open(path).map_err(failed("use"))
    }

    /// Opens the directory if it is there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
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
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file in it for reading and writing; makes it where it is missing. Never follows a symbolic link, never
    /// waits for the other end of a pipe.
    pub(super) fn open_or_create_file(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDWR | OFlags::CREATE)
    }

    /// Opens a file in it for reading.
    pub(super) fn open_file(&self, name: &str) -> io::Result<File> {
        self.open_flags(name, OFlags::RDONLY)
    }

    fn open_flags(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }

    /// Whether this name still leads to this open file.
    pub(super) fn holds(&self, name: &str, file: &File) -> io::Result<bool> {
        let open = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file from it.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }
}
