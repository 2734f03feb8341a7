//! What a check has found.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    /// A dot for the eye; the word says it.
    pub(crate) fn shown(self) -> &'static str {
        match self {
            Self::Ok => "● ok  ",
            Self::Warn => "○ warn",
            Self::Fail => "✗ fail",
        }
    }
}

/// One fact about the machine, and the one command that mends it where it is none to live with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: &'static str,
    pub(crate) status: Status,
    pub(crate) message: String,
    pub(crate) fix: Option<String>,
    /// Stable; none where all is well.
    pub(crate) code: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, message: message.into(), fix: None, code: None }
    }

    pub(crate) fn warn(
        check: &'static str,
        code: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { check, status: Status::Warn, message: message.into(), fix: Some(fix.into()), code: Some(code.into()) }
    }

    pub(crate) fn fail(
        check: &'static str,
        code: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { status: Status::Fail, ..Self::warn(check, code, message, fix) }
    }
}
