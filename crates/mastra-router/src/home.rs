//! The directory that a router keeps its state in, and the lock that makes it one router's.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Result, RouterError};

/// Longest path of a Unix socket (`sun_path` of unix(7), with its end marked).
const SOCKET_PATH_MAX: usize = 107;

/// A router's state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

/// The right to be the router of a home; given up when dropped, and by the system when the process ends in any way.
#[derive(Debug)]
pub struct HomeLock {
    home: Home,
    _file: File,
}

impl Home {
    /// The home at `path`, or `$MASTRA_ROUTER_HOME`, or `~/.mastra/router` of the user who is at the keyboard (under sudo,
    /// too). Nothing is created.
    pub fn resolve(path: Option<PathBuf>) -> Self {
        let path = path
            .or_else(|| std::env::var_os("MASTRA_ROUTER_HOME").filter(|v| !v.is_empty()).map(PathBuf::from))
            .unwrap_or_else(|| InvokingUser::current().home.join(".mastra/router"));
        let path = std::path::absolute(&path).unwrap_or(path);
        // Without a slash at its end: with one, the system would follow a link that stands there.
        Self { path: path.components().collect() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the router's control socket is.
    pub fn socket_path(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Makes the directory, if need be, and takes it for this process.
    ///
    /// # Errors
    /// [`RouterError::File`] for a directory that cannot be made or that others can write to, [`RouterError::HomeInUse`].
    pub fn lock(&self) -> Result<HomeLock> {
        self.create()?;
        let socket = self.socket_path();
        if socket.as_os_str().len() > SOCKET_PATH_MAX {
            let source = io::Error::new(io::ErrorKind::InvalidFilename, "its path is longer than 107 bytes");
            return Err(RouterError::File { action: "create the socket", path: socket, source });
        }
        let path = self.path.join("router.lock");
        let failed = |action| {
            let path = path.clone();
            move |source| RouterError::File { action, path, source }
        };
        let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
        let mut file = options.open(&path).map_err(failed("open"))?;
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
        file.set_len(0).map_err(failed("write"))?;
        writeln!(file, "{}", std::process::id()).map_err(failed("write"))?;
        Ok(HomeLock { home: self.clone(), _file: file })
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

impl HomeLock {
    /// The home that is locked.
    pub fn home(&self) -> &Home {
        &self.home
    }
}

/// The user who is at the keyboard: the one who called sudo, else the one the process belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvokingUser {
    /// The home directory.
    pub home: PathBuf,
    /// Under sudo, the ids of the user and of the user's group: whom files in the home have to belong to.
    pub sudo: Option<(u32, u32)>,
}

impl InvokingUser {
    /// Whoever it is for this process.
    pub fn current() -> Self {
        let sudo = std::env::var("SUDO_UID").ok().filter(|uid| uid != "0" && rustix::process::geteuid().is_root());
        sudo.and_then(|uid| passwd_entry(&fs::read_to_string("/etc/passwd").ok()?, &uid))
            .unwrap_or_else(|| Self { home: std::env::home_dir().unwrap_or_else(std::env::temp_dir), sudo: None })
    }
}

fn passwd_entry(passwd: &str, uid: &str) -> Option<InvokingUser> {
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|f| f.get(2) == Some(&uid))?;
    let home = entry.get(5).filter(|home| home.starts_with('/')).map(PathBuf::from)?;
    Some(InvokingUser { home, sudo: Some((uid.parse().ok()?, entry.get(3)?.parse().ok()?)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_router_a_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::resolve(Some(dir.path().join("home")));
        let lock = home.lock().unwrap();
        assert_eq!(fs::metadata(home.path()).unwrap().mode() & 0o777, 0o700);
        match home.lock() {
            Err(RouterError::HomeInUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        home.lock().unwrap();
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

    #[test]
    fn the_invoking_users_home() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n";
        let ann = InvokingUser { home: "/home/ann".into(), sudo: Some((1000, 1000)) };
        assert_eq!(passwd_entry(passwd, "1000"), Some(ann));
        assert_eq!(passwd_entry(passwd, "1001"), None);
    }
}
