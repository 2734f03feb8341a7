//! Why a command failed, and the exit code that says so.

use std::io;

use mastra_router::RouterError;

/// A failure with a stable code, a text, and the one thing to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) exit: Exit,
}

/// Exit codes, as `--help` documents them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    Privilege = 5,
    /// As shells have it: a command that cannot be executed, and one that there is not.
    NotExecutable = 126,
    CommandNotFound = 127,
}

impl Failure {
    /// A failure of what was typed or written in a file.
    pub(crate) fn usage(code: &str, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint, exit: Exit::Usage }
    }

    /// Any other failure of the command's own.
    pub(crate) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: None, exit: Exit::Failed }
    }
}

impl From<RouterError> for Failure {
    fn from(error: RouterError) -> Self {
        let denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        let exit = match (&error, error.code()) {
            (RouterError::Listen { source, .. } | RouterError::File { source, .. }, _) if denied(source) => {
                Exit::Privilege
            }
            (_, "HOSTS_DENIED") => Exit::Privilege,
            (_, "ROUTE_NOT_FOUND") => Exit::NotFound,
            (_, "ROUTE_EXISTS" | "ROUTE_CONFLICT" | "PORT_IN_USE" | "HOME_IN_USE" | "HOSTS_TAKEN") => Exit::Conflict,
            (_, "INVALID_NAME" | "INVALID_TARGET" | "INVALID_FIELD" | "INVALID_CONFIG" | "HOSTS_NAME") => Exit::Usage,
            _ => Exit::Failed,
        };
        Self { code: error.code().to_owned(), message: error.to_string(), hint: error.hint(), exit }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed("IO_ERROR", error.to_string())
    }
}
