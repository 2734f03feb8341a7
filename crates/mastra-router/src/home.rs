//! The directory that a router keeps its state in, and the lock that makes it one router's.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Result, RouterError};
use crate::user::InvokingUser;

/// Longest path of a Unix socket (`sun_path` of unix(7), with its end marked).
const SOCKET_PATH_MAX: usize = 107;

/// A router's state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
    /// Whether it is another user's, found by way of sudo: what root makes there, that user cannot use.
    is_anothers: bool,
}

/// Who has a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HomeHolder {
    /// Nobody.
    Nobody,
    /// A process, with its pid where it is told.
    Process(Option<u32>),
}

/// The right to be the router of a home; given up when dropped, and by the system when the process ends in any way.
#[derive(Debug)]
pub struct HomeLock {
    home: Home,
    file: File,
}

impl Home {
    /// The home at `path`, or `$MASTRA_ROUTER_HOME`, or `~/.mastra/router` of the user who is at the keyboard (under sudo,
    /// too). Nothing is created.
    pub fn resolve(path: Option<PathBuf>) -> Self {
        let given =
            path.or_else(|| std::env::var_os("MASTRA_ROUTER_HOME").filter(|v| !v.is_empty()).map(PathBuf::from));
        let (path, is_anothers) = given.map(|path| (path, false)).unwrap_or_else(|| {
            let user = InvokingUser::current();
            (user.home.join(".mastra/router"), user.sudo.is_some())
        });
        let path = std::path::absolute(&path).unwrap_or(path);
        // Without a slash at its end: with one, the system would follow a link that stands there.
        Self { path: path.components().collect(), is_anothers }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the router's control socket is.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Where the lock is.
    pub fn lock_path(&self) -> PathBuf {
        self.path.join("router.lock")
    }

    /// Who has the home. Nothing is made or written; to know it, the lock is tried, so that for a moment an attempt to take
    /// the home fails.
    ///
    /// # Errors
    /// [`RouterError::File`] where there is a lock that cannot be looked at.
    pub fn holder(&self) -> Result<HomeHolder> {
        let path = self.lock_path();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(no_follow());
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(HomeHolder::Nobody);
            }
            Err(source) => return Err(RouterError::File { action: "open", path, source }),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(HomeHolder::Nobody),
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only told to people; what counts is the lock.
                let _ = file.take(20).read_to_string(&mut pid);
                Ok(HomeHolder::Process(pid.trim().parse().ok()))
            }
            Err(TryLockError::Error(source)) => Err(RouterError::File { action: "lock", path, source }),
        }
    }

    /// Makes the directory, if need be, and takes it for this process.
    ///
    /// # Errors
    /// [`RouterError::File`] for a directory that cannot be made or that others can write to, and under sudo for one
    /// that was not given; [`RouterError::HomeInUse`].
    pub fn lock(&self) -> Result<HomeLock> {
        if self.is_anothers {
            let source = io::Error::other("it is that of the user who called sudo, who could not use it any more");
            return Err(RouterError::File { action: "use as root", path: self.path.clone(), source });
        }
        self.create()?;
        let socket = self.socket_path();
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            let source = io::Error::new(io::ErrorKind::InvalidFilename, "its path is longer than 107 bytes");
            return Err(RouterError::File { action: "create the socket", path: socket, source });
        }
        let path = self.lock_path();
        let failed = |action| {
            let path = path.clone();
            move |source| RouterError::File { action, path, source }
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow());
        let file = options.open(&path).map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only told to people; what counts is the lock.
                let _ = file.take(20).read_to_string(&mut pid);
                return Err(RouterError::HomeInUse { home: self.path.clone(), pid: pid.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
        }
        let lock = HomeLock { home: self.clone(), file };
        lock.sign().map_err(failed("write"))?;
        Ok(lock)
    }

    /// Takes the home for this process from one that hands it over: `file` is a [`HomeLock::try_clone`] of its lock, as it
    /// came over a socket. Nobody else can take the home in between; it is free once both have given it up.
    ///
    /// # Errors
    /// [`RouterError::HomeInUse`] where the file is not the lock of this home, or does not hold it.
    pub fn take_over(&self, file: File) -> Result<HomeLock> {
        let in_use = || RouterError::HomeInUse { home: self.path.clone(), pid: None };
        let path = self.lock_path();
        let failed = |source| RouterError::File { action: "use", path: path.clone(), source };
        let (named, given) = (fs::symlink_metadata(&path).map_err(failed)?, file.metadata().map_err(failed)?);
        // A copy of a descriptor that holds the lock can lock it again.
        if (named.dev(), named.ino()) != (given.dev(), given.ino()) || file.try_lock().is_err() {
            return Err(in_use());
        }
        let lock = HomeLock { home: self.clone(), file };
        lock.sign().map_err(failed)?;
        Ok(lock)
    }

    fn create(&self) -> Result<()> {
        let failed = |action: &'static str, source| Err(RouterError::File { action, path: self.path.clone(), source });
        if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(&self.path) {
            return failed("create", source);
        }
        let meta = match fs::symlink_metadata(&self.path) {
            Ok(meta) => meta,
            Err(source) => return failed("read", source),
        };
        let refuse = |reason: &str| failed("use", io::Error::other(reason));
        if meta.is_symlink() {
            return refuse("it is a symbolic link; name the directory it leads to");
        }
        if !meta.is_dir() {
            return refuse("it is no directory");
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return refuse("it belongs to another user");
        }
        if meta.mode() & 0o022 != 0 {
            return refuse("others can write to it; chmod go-w it");
        }
        Ok(())
    }
}

fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

impl HomeLock {
    /// The home that is locked.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// A copy for another process to [take over](Home::take_over).
    ///
    /// # Errors
    /// What the system said.
    pub fn try_clone(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Says whose it is, for people.
    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).seek(io::SeekFrom::Start(0))?;
        writeln!(&self.file, "{}", std::process::id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_router_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().join("home")));
        assert_eq!(home.holder().unwrap(), HomeHolder::Nobody);
        assert!(!home.path().exists(), "looking makes nothing");
        let lock = home.lock().unwrap();
        assert_eq!(home.holder().unwrap(), HomeHolder::Process(Some(std::process::id())));
        assert_eq!(fs::metadata(home.path()).unwrap().mode() & 0o777, 0o700);
        match home.lock() {
            Err(RouterError::HomeInUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        let other = home.take_over(lock.try_clone().unwrap()).unwrap();
        drop(lock);
        assert!(matches!(home.lock(), Err(RouterError::HomeInUse { .. })), "it was never free");
        drop(other);
        drop(home.lock().unwrap());
        let stranger = File::create(dir.path().join("stranger")).unwrap();
        assert!(matches!(home.take_over(stranger), Err(RouterError::HomeInUse { .. })));
    }

    #[test]
    fn homes_that_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Home::resolve(Some(file)).lock(), Err(RouterError::File { .. })));
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Home::resolve(Some(open)).lock(), Err(RouterError::File { .. })));
        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for link in [link.clone(), link.join("")] {
            assert!(Home::resolve(Some(link)).lock().unwrap_err().to_string().contains("symbolic link"));
        }
        let deep = dir.path().join("x".repeat(120));
        assert!(Home::resolve(Some(deep)).lock().unwrap_err().to_string().contains("107 bytes"));
    }
}
