//! Why a step did not succeed.
use std::fmt;

/// A step either ran and failed, or could not run on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It ran, and something was wrong.
    Failed(String),
    /// Something it needs is missing and could not be installed.
    Unavailable(String),
}

impl Failure {
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Failed(why.into())
    }

    pub(crate) fn unavailable(what: impl Into<String>) -> Self {
        Self::Unavailable(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Unavailable(what) => write!(f, "cannot run here: {what}"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
