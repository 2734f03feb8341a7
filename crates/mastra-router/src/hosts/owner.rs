//! Who an entry of a hosts file belongs to.

use std::fmt;
use std::path::Path;

use sha1::{Digest, Sha1};

use crate::error::{Result, RouterError};

/// Longest token.
const LENGTH_MAX: usize = 64;

/// Owner of entries in a hosts file: a token of letters, digits, `-`, `_` and `.` that stands in the comment of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostsOwner(Box<str>);

impl HostsOwner {
    /// Reads a token.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`] where it is empty, longer than 64 characters or has others than those.
    pub fn parse(token: &str) -> Result<Self> {
        let refuse = |reason| Err(RouterError::InvalidField { field: "owner", value: token.to_owned(), reason });
        if token.is_empty() || token.len() > LENGTH_MAX {
            return refuse("it has to have 1 to 64 characters");
        }
        if !token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return refuse("only letters, digits, '-', '_' and '.' can stand in it");
        }
        Ok(Self(token.into()))
    }

    /// The owner that the router of this home is, in this process and in the next: what a router that was killed left
    /// behind is its successor's.
    pub fn of_home(home: &Path) -> Self {
        let digest = Sha1::digest(home.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("router-{hex}").into())
    }

    /// The token.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostsOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        assert!(HostsOwner::parse("router-1.a_B").is_ok());
        for bad in ["", "a b", "a\n", "a#b", "ü", "a\t", &"x".repeat(65)] {
            assert!(HostsOwner::parse(bad).is_err(), "{bad:?}");
        }
        let of = |path: &str| HostsOwner::of_home(Path::new(path));
        assert_eq!(of("/home/ann/.mastra/router"), of("/home/ann/.mastra/router"));
        assert_ne!(of("/home/ann/.mastra/router"), of("/home/ben/.mastra/router"));
        assert_eq!(HostsOwner::parse(of("/x").as_str()).unwrap(), of("/x"));
    }
}
