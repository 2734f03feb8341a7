//! Places on the machine that the user's file names, for the commands that are no router and use them too.

use std::path::PathBuf;

use mastra_router::{Home, InvokingUser, default_cert_dir};

use super::{ConfigFile, environment, user_file};
use crate::failure::Failure;

/// What is not said is left to whoever uses it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) hosts_file: Option<PathBuf>,
    pub(crate) backup_dir: Option<PathBuf>,
}

impl Places {
    /// Those of the user's file, where no variable says otherwise. Under sudo none: a program of the user could lead what
    /// root writes elsewhere, so they are named on the command line then.
    ///
    /// # Errors
    /// A failure that names the file and the place in it.
    pub(crate) fn of_user(home: &Home) -> Result<Self, Failure> {
        let file = user_file(home);
        if InvokingUser::current().sudo.is_some() || !file.exists() {
            return Ok(Self::default());
        }
        let (file, _) = ConfigFile::read(&file)?;
        let unset = |key: &str| std::env::var_os(environment::variable(key)).is_none_or(|value| value.is_empty());
        let (tls, hosts) = (file.tls, file.hosts);
        Ok(Self {
            cert_dir: tls.cert_dir.filter(|_| unset("tls.cert_dir")),
            hosts_file: hosts.path.filter(|_| unset("hosts.path")),
            backup_dir: hosts.backup_dir.filter(|_| unset("hosts.backup_dir")),
        })
    }
}

/// The directory of the authority: the variable's, else that of the user's file, else the default.
pub(crate) fn cert_dir(home: &Home) -> PathBuf {
    let of_variable = || std::env::var_os(environment::variable("tls.cert_dir")).filter(|dir| !dir.is_empty());
    let of_user = Places::of_user(home).ok().and_then(|places| places.cert_dir);
    let dir = of_user.or_else(|| of_variable().map(PathBuf::from)).unwrap_or_else(default_cert_dir);
    std::path::absolute(&dir).unwrap_or(dir)
}
