//! What is to go, in words, and what became of it.

use std::path::PathBuf;

use mastra_router::trust::{CommandLine, Outcome as Became, StoreOutcome};

use super::inventory::{Group, Hosts};
use crate::failure::{Exit, Failure};
use crate::service::{Manager, ServiceFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Router,
    Trust,
    Hosts,
    Certificates,
    Backups,
    State,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Router => "router",
            Self::Trust => "trust",
            Self::Hosts => "hosts",
            Self::Certificates => "certificates",
            Self::Backups => "backups",
            Self::State => "state",
        }
    }
}

/// One thing that is to go.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    /// Files and directories, where it is some.
    pub(crate) paths: Vec<PathBuf>,
    /// What a person would run instead.
    pub(crate) commands: Vec<CommandLine>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It would go.
    Would,
    Removed,
    NeedsPrivilege {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) items: Vec<(Item, Outcome)>,
    /// What stays, and why.
    pub(crate) kept: Vec<(PathBuf, String)>,
}

impl Item {
    fn new(kind: Kind, what: String) -> Self {
        Self { kind, what, paths: Vec::new(), commands: Vec::new() }
    }

    pub(super) fn service(manager: &dyn Manager, files: &[ServiceFile]) -> Self {
        let paths: Vec<PathBuf> = files.iter().map(|file| file.path.clone()).chain(manager.leaves()).collect();
        let what = format!("the service of {} ({})", manager.name(), manager.scope());
        Self { paths, ..Self::new(Kind::Service, what) }
    }

    pub(super) fn router(pid: u32) -> Self {
        Self::new(Kind::Router, format!("the router (pid {pid})"))
    }

    pub(super) fn store(outcome: &StoreOutcome) -> Self {
        let what = format!("the authority in {}", outcome.store);
        Self { commands: outcome.commands.clone(), ..Self::new(Kind::Trust, what) }
    }

    pub(super) fn hosts(hosts: &Hosts) -> Self {
        let names = match hosts.names {
            _ if hosts.fault.is_some() => "our names".to_owned(),
            1 => "1 name".to_owned(),
            count => format!("{count} names"),
        };
        Self::new(Kind::Hosts, format!("{names} in {}", hosts.manager.path().display()))
    }

    pub(super) fn files(group: &Group) -> Self {
        let files = if group.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", group.files.len()) };
        let whole = group.dirs.contains(&group.root);
        let root = group.root.display();
        let what = if whole { format!("{root} ({files})") } else { format!("{files} in {root}") };
        let paths = group.files.iter().chain(&group.dirs).cloned().collect();
        Self { paths, ..Self::new(group.kind, what) }
    }
}

impl Outcome {
    pub(super) fn failed(reason: String) -> Self {
        Self::Failed { reason }
    }

    pub(super) fn of_store(outcome: &StoreOutcome) -> Self {
        match &outcome.outcome {
            Became::WouldChange => Self::Would,
            Became::Removed(_) | Became::NothingToRemove | Became::Trusted | Became::AlreadyTrusted => Self::Removed,
            Became::NeedsPrivilege => Self::NeedsPrivilege { reason: "only root may change it".to_owned() },
            Became::Unavailable { reason, .. } | Became::Failed { reason } => Self::failed(reason.clone()),
        }
    }

    pub(super) fn of_service(manager: &dyn Manager, failure: &Failure) -> Self {
        let reason = failure.message.clone();
        match failure.exit {
            Exit::Privilege => Self::NeedsPrivilege { reason },
            _ => Self::failed(format!("{reason} ({})", manager.more())),
        }
    }

    /// Whether it is still there, and is to be.
    pub(crate) fn is_left(&self) -> bool {
        matches!(self, Self::NeedsPrivilege { .. } | Self::Failed { .. })
    }
}

impl Report {
    /// Whether anything of this kind is still there.
    pub(super) fn has_left(&self, kind: Kind) -> bool {
        self.items.iter().any(|(item, outcome)| item.kind == kind && outcome.is_left())
    }
}
