//! What a file is beside its bytes: owner, mode, and labels.

use std::fs::File;
use std::io;

use rustix::fs::{Gid, Mode, Stat, Uid};

/// Gives `to` the owner, the extended attributes (access lists, a SELinux label) and the mode of `from`.
///
/// # Errors
/// What the system said of the first that cannot be given.
pub(super) fn copy(from: &File, stat: &Stat, to: &File) -> io::Result<()> {
    let new = rustix::fs::fstat(to)?;
    if (new.st_uid, new.st_gid) != (stat.st_uid, stat.st_gid) {
        rustix::fs::fchown(to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    attributes::copy(from, to)?;
    // Last: a change of the owner takes bits of the mode away.
    Ok(rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode))?)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod attributes {
    use std::ffi::CStr;
    use std::fs::File;
    use std::io;

    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
    use rustix::io::Errno;

    /// Longest list of names, and longest value, that Linux has.
    const MOST: usize = 64 << 10;

    pub(super) fn copy(from: &File, to: &File) -> io::Result<()> {
        let mut names = vec![0_u8; MOST];
        let length = match flistxattr(from, names.as_mut_slice()) {
            Ok(length) => length,
            Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for name in names.get(..length).unwrap_or_default().split_inclusive(|b| *b == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            let value = value(from, name)?;
            // A new file has its directory's label already, which is the same one, most of the time.
            if value != self::value(to, name).unwrap_or_default() {
                fsetxattr(to, name, &value, XattrFlags::empty())?;
            }
        }
        Ok(())
    }

    fn value(file: &File, name: &CStr) -> Result<Vec<u8>, Errno> {
        let mut value = vec![0_u8; MOST];
        let length = fgetxattr(file, name, value.as_mut_slice())?;
        value.truncate(length);
        Ok(value)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod attributes {
    pub(super) fn copy(_from: &std::fs::File, _to: &std::fs::File) -> std::io::Result<()> {
        Ok(())
    }
}
