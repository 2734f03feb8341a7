//! Whose directories are used: under sudo, those of the user who called it.

use std::fs;
use std::path::PathBuf;

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

/// Where certificates are, unless another directory is given.
pub fn default_cert_dir() -> PathBuf {
    InvokingUser::current().home.join(".mastra/certs")
}

/// All routers of a user share their leases, so the directory does not depend on a router's home.
pub fn default_lease_dir() -> PathBuf {
    InvokingUser::current().home.join(".mastra/router/ports")
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
    fn the_invoking_users_home() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann,,,:/home/ann:/bin/bash\n";
        let ann = InvokingUser { home: "/home/ann".into(), sudo: Some((1000, 1000)) };
        assert_eq!(passwd_entry(passwd, "1000"), Some(ann));
        assert_eq!(passwd_entry(passwd, "1001"), None);
    }
}
