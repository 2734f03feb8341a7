//! Removing a file or an empty directory, and nothing that somebody puts in its place meanwhile.

use std::io;
use std::path::Path;

use mastra_router::InvokingUser;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, statat, unlinkat};
use rustix::io::Errno;

/// Removes what is there by its directory, which has to belong to this user or to the one who called sudo: root must not be
/// led elsewhere by that user's programs. What is gone already is gone; a directory that is not empty stays.
///
/// # Errors
/// What the system said.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match open(parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let owner = fstat(&directory)?.st_uid;
    let own = rustix::process::geteuid().as_raw();
    if owner != own && InvokingUser::current().sudo.is_none_or(|(uid, _)| uid != owner) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its directory belongs to another user"));
    }
    let stat = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat?,
    };
    let flags = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => AtFlags::REMOVEDIR,
        FileType::RegularFile | FileType::Socket => AtFlags::empty(),
        _ => return Err(io::Error::other("it is another thing now")),
    };
    match unlinkat(&directory, name, flags) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
