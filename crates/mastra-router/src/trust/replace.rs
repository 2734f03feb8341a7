//! Replacing a file in one step.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

use super::machine::RunAs;

/// Puts `content` where `path` is: readers see the old file or the new one, and a crash leaves one of the two. A link that
/// stands there is replaced, not followed. The file is given to `owner` before it gets its name.
///
/// Root that acts for a user must not be led elsewhere by that user's programs, which can put a link to another directory
/// in the place of theirs at any moment: the directory is opened once, has to be that user's, and is worked in by its
/// descriptor.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32, owner: Option<RunAs>) -> io::Result<()> {
    // Two threads of one process are two writers as well.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let directory = directory(path.parent().unwrap_or(Path::new("/")), owner)?;
    let new = format!(".{}.{}-{count}.new", name.to_string_lossy(), std::process::id());
    let new = OsStr::new(&new);
    let written = create(&directory, new)
        .and_then(|file| fill(file, content, mode, owner))
        .and_then(|()| Ok(renameat(&directory, new, &directory, name)?));
    if written.is_err() {
        // There is nothing to be said of it: why it was made has failed already.
        let _ = unlinkat(&directory, new, AtFlags::empty());
    }
    written
}

fn directory(path: &Path, owner: Option<RunAs>) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let expected = owner.map_or_else(|| rustix::process::geteuid().as_raw(), |RunAs { uid, .. }| uid);
    if opened.metadata()?.uid() != expected {
        let reason = "its directory belongs to another user";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok(opened.into())
}

/// `O_EXCL`, so that nothing that somebody put there is written through.
fn create(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(directory, name, flags, Mode::RUSR | Mode::WUSR);
    let file = match open() {
        // Of a process that died and had our number.
        Err(rustix::io::Errno::EXIST) => {
            unlinkat(directory, name, AtFlags::empty())?;
            open()?
        }
        opened => opened?,
    };
    Ok(file.into())
}

fn fill(mut file: File, content: &[u8], mode: u32, owner: Option<RunAs>) -> io::Result<()> {
    file.write_all(content)?;
    if let Some(RunAs { uid, gid }) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    // Not with the file's creation, where the umask would have a say.
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_led_out_of_the_users_directory() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root acts for others");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (own, roots) = (dir.path().join("own"), dir.path().join("roots"));
        std::fs::create_dir(&own).unwrap();
        std::fs::create_dir(&roots).unwrap();
        std::os::unix::fs::chown(&own, Some(4321), Some(4321)).unwrap();
        let user = Some(RunAs { uid: 4321, gid: 4321 });
        replace(&own.join("file"), b"1", 0o600, user).unwrap();
        assert_eq!(std::fs::metadata(own.join("file")).unwrap().uid(), 4321);
        // The user's program puts a link in the directory's place, or leads to one of root's by a directory above.
        std::fs::rename(&own, dir.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(&roots, &own).unwrap();
        assert!(replace(&own.join("file"), b"2", 0o600, user).is_err());
        assert!(replace(&roots.join("file"), b"2", 0o600, user).is_err());
        assert_eq!(std::fs::read_dir(&roots).unwrap().count(), 0);
    }
}
