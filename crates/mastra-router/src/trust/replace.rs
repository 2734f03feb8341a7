//! Replacing a file in one step.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::machine::RunAs;

/// Puts `content` where `path` is: readers see the old file or the new one, and a crash leaves one of the two. A link that
/// stands there is replaced, not followed. The file is given to `owner` before it gets its name.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32, owner: Option<RunAs>) -> io::Result<()> {
    // Two threads of one process are two writers as well.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}-{count}.new", std::process::id()));
    let written =
        create(&new).and_then(|file| fill(file, content, mode, owner)).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // There is nothing to be said of it: why it was made has failed already.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// `O_EXCL`, so that nothing that somebody put there is written through.
fn create(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match open() {
        // Of a process that died and had our number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => std::fs::remove_file(path).and_then(|()| open()),
        outcome => outcome,
    }
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
