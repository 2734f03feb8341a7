//! Copies of a hosts file as it was, a bounded number of them, and the record of a write that may be cut short.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

use super::scratch::{self, Scratch};

/// Copies that are kept of one file.
const KEPT: usize = 10;
/// What the record of a write in place is called: the name of its backup, and this.
const INTENDED: &str = ".intended";

/// The directory of backups, and which of the files in it are of one hosts file.
#[derive(Clone, Debug)]
pub(super) struct Backups {
    dir: PathBuf,
    /// Beginning of the names of this hosts file's backups; a number follows.
    prefix: String,
}

/// The directory, open. It belongs to this user, and nobody else can write to it or put another one in its place.
#[derive(Debug)]
pub(super) struct Opened<'b> {
    backups: &'b Backups,
    fd: OwnedFd,
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    name: String,
    pub(super) path: PathBuf,
}

/// A write in place that was not settled.
#[derive(Debug)]
pub(super) struct Unsettled {
    pub(super) backup: Backup,
    /// The file before.
    pub(super) old: Vec<u8>,
    /// As it was to be.
    pub(super) new: Vec<u8>,
}

impl Backups {
    /// Those of the hosts file at `file`, which is resolved.
    pub(super) fn new(dir: PathBuf, file: &Path) -> Self {
        let tag = crc32fast::hash(file.as_os_str().as_encoded_bytes());
        Self { dir, prefix: format!("hosts-{tag:08x}-") }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Opens the directory, which is made where it is missing.
    ///
    /// # Errors
    /// What the system said; and [`io::ErrorKind::Other`] for a directory that others could change.
    pub(super) fn open(&self) -> io::Result<Opened<'_>> {
        let there = |dir: &&Path| fs::symlink_metadata(dir).is_ok();
        check_place(self.dir.ancestors().skip(1).find(there).unwrap_or(Path::new("/")))?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        self.open_existing()
    }

    /// Opens the directory if it is there.
    pub(super) fn open_if_there(&self) -> io::Result<Option<Opened<'_>>> {
        match self.open_existing() {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_existing(&self) -> io::Result<Opened<'_>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.dir, flags, Mode::empty())?;
        check_place(self.dir.parent().unwrap_or(&self.dir))?;
        let meta = File::from(fd.try_clone()?).metadata()?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user"));
        }
        if meta.mode() & 0o022 != 0 {
            return Err(io::Error::other("others can write to it; chmod go-w it"));
        }
        Ok(Opened { backups: self, fd })
    }
}

impl Opened<'_> {
    /// Keeps a copy, under the next number.
    pub(super) fn keep(&self, bytes: &[u8]) -> io::Result<Backup> {
        let number = self.numbers()?.last().map_or(1, |last| last.saturating_add(1));
        let name = self.name(number);
        self.put(&name, bytes)?;
        Ok(Backup { path: self.backups.dir.join(&name), name })
    }

    /// Takes a copy back that turned out to be of no use.
    pub(super) fn forget(&self, backup: &Backup) {
        let _ = rustix::fs::unlinkat(&self.fd, &backup.name, AtFlags::empty());
    }

    /// Removes the oldest, until no more than [`KEPT`] are left.
    pub(super) fn prune(&self) {
        let numbers = self.numbers().unwrap_or_default();
        for number in numbers.iter().rev().skip(KEPT) {
            let _ = rustix::fs::unlinkat(&self.fd, self.name(*number), AtFlags::empty());
        }
    }

    /// The newest copy.
    pub(super) fn newest(&self) -> io::Result<Option<Vec<u8>>> {
        let newest = self.numbers()?.pop();
        newest.map(|number| self.get(&self.name(number))).transpose()
    }

    /// The copy at a path; `None` for what is no copy of this file in this directory.
    pub(super) fn at(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let is_here = path.parent() == Some(&self.backups.dir);
        let mut names = self.numbers()?.into_iter().map(|number| self.name(number));
        let named = |name: &String| is_here && path.file_name().is_some_and(|given| given == name.as_str());
        names.find(named).map(|name| self.get(&name)).transpose()
    }

    /// Records what the file will be, before it is written over in place.
    pub(super) fn intend(&self, backup: &Backup, new: &[u8]) -> io::Result<()> {
        self.put(&format!("{}{INTENDED}", backup.name), new)
    }

    /// The write is done, or was undone.
    pub(super) fn settle(&self, backup: &Backup) {
        let _ = rustix::fs::unlinkat(&self.fd, format!("{}{INTENDED}", backup.name), AtFlags::empty());
        scratch::sync_directory(&self.fd);
    }

    /// Writes in place that were not settled.
    pub(super) fn unsettled(&self) -> io::Result<Vec<Unsettled>> {
        let mut found = Vec::new();
        for record in scratch::names(&self.fd, &self.backups.prefix)? {
            let Some(name) = record.strip_suffix(INTENDED) else { continue };
            let backup = Backup { path: self.backups.dir.join(name), name: name.to_owned() };
            match self.get(name) {
                Ok(old) => found.push(Unsettled { backup, old, new: self.get(&record)? }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.settle(&backup),
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn name(&self, number: u64) -> String {
        format!("{}{number:06}", self.backups.prefix)
    }

    /// The numbers of the copies there are, smallest first.
    fn numbers(&self) -> io::Result<Vec<u64>> {
        let names = scratch::names(&self.fd, &self.backups.prefix)?;
        let number = |name: &String| name.strip_prefix(&self.backups.prefix)?.parse().ok();
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let scratch = Scratch::create(&self.fd, &format!(".{}", self.backups.prefix))?;
        scratch.write(bytes)?;
        scratch.move_to(name)
    }

    fn get(&self, name: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("a backup is not a regular file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// The copies of all hosts files in a directory, their records, and what of either was not finished.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let is_ours = |name: &str| {
        let Some((tag, rest)) =
            name.strip_prefix('.').unwrap_or(name).strip_prefix("hosts-").and_then(|n| n.split_once('-'))
        else {
            return false;
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let is_rest = match name.starts_with('.') {
            true => rest.split_once('-').is_some_and(|(pid, count)| is_number(pid) && is_number(count)),
            false => is_number(rest.strip_suffix(INTENDED).unwrap_or(rest)),
        };
        tag.len() == 8 && tag.bytes().all(|b| b.is_ascii_hexdigit()) && is_rest
    };
    if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let regular = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut files: Vec<PathBuf> =
        regular.filter(|entry| entry.file_name().to_str().is_some_and(is_ours)).map(|entry| entry.path()).collect();
    files.sort_unstable();
    files
}

/// Refuses a directory in which another user could put something else in the place of ours: backups are written as root,
/// most of the time.
fn check_place(parent: &Path) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    let is_safe = |meta: &Metadata| {
        let sticky = meta.mode() & 0o1000 != 0;
        (meta.uid() == own || meta.uid() == 0) && (meta.mode() & 0o022 == 0 || sticky)
    };
    for dir in fs::canonicalize(parent)?.ancestors() {
        if !is_safe(&fs::symlink_metadata(dir)?) {
            let reason = format!("{} is open to other users, who could put another in its place", dir.display());
            return Err(io::Error::other(reason));
        }
    }
    Ok(())
}
