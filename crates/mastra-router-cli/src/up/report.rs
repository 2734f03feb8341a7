//! Where an app stands.

use std::time::{Duration, Instant};

/// What there is to know of an app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) state: State,
    /// Whether what depends on it may start.
    pub(crate) is_ready: bool,
    /// When it was started last, while it runs.
    pub(crate) since: Option<Instant>,
    pub(crate) restarts: u32,
    /// Where it listens.
    pub(crate) port: Option<u16>,
}

/// The state of an app.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// It is started by the first request to it.
    Asleep,
    /// It is not started before others are there.
    Waiting { others: Vec<String> },
    /// It runs, and nothing answers yet.
    Starting,
    /// The router's last check passed.
    Healthy,
    /// It listens, and speaks something else than HTTP.
    Listening,
    /// It runs, and the router's last check failed.
    Unhealthy { why: String },
    /// It ended by itself, and is started anew after this time.
    Restarting { how: String, pause: Duration },
    /// It ended with 0.
    Exited,
    /// It cannot be started.
    Failed { why: String },
    /// It is being ended.
    Stopping,
    /// It was ended.
    Stopped,
}

impl Report {
    pub(crate) fn new(state: State) -> Self {
        Self { state, is_ready: false, since: None, restarts: 0, port: None }
    }

    /// Whether nothing more comes of it.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Exited | State::Failed { .. } | State::Stopped)
    }

    /// Whether it runs, or is to: what it depends on is needed.
    pub(crate) fn is_awake(&self) -> bool {
        !self.is_over() && self.state != State::Asleep
    }
}

impl State {
    /// Its name, as programs read it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Waiting { .. } => "waiting",
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Listening => "listening",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Restarting { .. } => "restarting",
            Self::Exited => "exited",
            Self::Failed { .. } => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    /// What else there is to say of it.
    pub(crate) fn detail(&self) -> Option<String> {
        match self {
            Self::Asleep => Some("the first request starts it".to_owned()),
            // Nobody has looked yet.
            Self::Waiting { others } if others.is_empty() => None,
            Self::Waiting { others } => Some(format!("for {}", others.join(", "))),
            Self::Unhealthy { why } | Self::Failed { why } => Some(why.clone()),
            Self::Restarting { how, pause } => Some(format!("it {how}; again in {} s", pause.as_secs())),
            _ => None,
        }
    }

    /// As [`shown`](Self::shown), in a table, where one word has to do for what never changes.
    pub(crate) fn cell(&self) -> String {
        if *self == Self::Asleep { format!("○ {}", self.word()) } else { self.shown() }
    }

    /// For people: a dot for the eye, and the word.
    pub(crate) fn shown(&self) -> String {
        let dot = match self {
            Self::Healthy | Self::Listening => '●',
            Self::Unhealthy { .. } | Self::Restarting { .. } | Self::Failed { .. } => '✗',
            _ => '○',
        };
        match self.detail() {
            Some(detail) if matches!(self, Self::Waiting { .. }) => format!("{dot} waiting {detail}"),
            Some(detail) => format!("{dot} {}: {detail}", self.word()),
            None => format!("{dot} {}", self.word()),
        }
    }
}
