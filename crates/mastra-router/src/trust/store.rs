//! One store of trusted certificates, and the order in which it is looked at, changed and looked at again.

use std::collections::BTreeSet;
use std::fmt;

use super::certificate::{CaCertificate, Fingerprint, LABEL};
use super::command::{CommandLine, ToolError};

/// The kinds of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StoreKind {
    /// Of the system: what most programs look at.
    System,
    /// Of browsers on Linux, and of Firefox everywhere.
    Nss,
    /// Of Java machines.
    Java,
}

impl StoreKind {
    /// Every kind, in the order they are worked on: what the system's tools do may reach Java's store too.
    pub const ALL: [Self; 3] = [Self::System, Self::Nss, Self::Java];

    /// `system`, `nss`, `java`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Nss => "nss",
            Self::Java => "java",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether stores are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Apply,
    /// They are looked at, and what would be done is said.
    DryRun,
}

/// What a store holds of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// It trusts the authority.
    Trusted,
    /// It does not.
    NotTrusted,
    /// It trusts another authority of our name only: an older one, or another user's.
    Stale(Vec<Fingerprint>),
    /// It cannot be looked at.
    Unavailable {
        /// Why.
        reason: String,
        /// The command that would change that.
        remedy: Option<CommandLine>,
    },
}

/// A store and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReport {
    /// Its name for people: `Firefox default-release`.
    pub store: String,
    /// Its kind.
    pub kind: StoreKind,
    /// What it holds.
    pub state: StoreState,
    /// Other authorities of our name that it trusts, whether or not it trusts this one.
    pub others: Vec<Fingerprint>,
    /// What a person would run to have it trust the authority; empty where it does.
    pub commands: Vec<CommandLine>,
}

/// What became of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It trusts the authority now; this was looked up.
    Trusted,
    /// It did so before.
    AlreadyTrusted,
    /// These certificates are gone; this was looked up.
    Removed(Vec<Fingerprint>),
    /// It held none of them.
    NothingToRemove,
    /// A dry run: it would be changed.
    WouldChange,
    /// Only its owner may change it. Nothing was changed.
    NeedsPrivilege,
    /// It cannot be used. Nothing was changed.
    Unavailable {
        /// Why.
        reason: String,
        /// The command that would change that.
        remedy: Option<CommandLine>,
    },
    /// It was tried and did not succeed.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A store and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOutcome {
    /// Its name for people.
    pub store: String,
    /// Its kind.
    pub kind: StoreKind,
    /// What became of it.
    pub outcome: Outcome,
    /// What a person would run to have it done; empty where nothing is left to do.
    pub commands: Vec<CommandLine>,
}

/// A certificate of ours in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) fingerprint: Fingerprint,
    /// What the store calls it: a path, a nickname, an alias.
    pub(super) handle: String,
    /// Whether the store trusts it for web servers.
    pub(super) trusted: bool,
}

/// Why a store was not changed.
#[derive(Debug)]
pub(super) enum Refusal {
    NeedsPrivilege,
    Unavailable { reason: String, remedy: Option<CommandLine> },
    Failed(String),
}

impl From<ToolError> for Refusal {
    fn from(error: ToolError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// How certificates of ours are told from all others.
#[derive(Clone, Debug, Default)]
pub(super) struct Ours {
    /// Those whose fingerprint we know.
    pub(super) known: BTreeSet<Fingerprint>,
    /// The common name of the present authority.
    pub(super) common_name: Option<String>,
    /// Whether root acts for a user. The record of what is known is that user's, and may name any certificate of the
    /// system: only what also has a label of ours is ours then.
    pub(super) for_user: bool,
}

impl Ours {
    /// Whether a store's name for a certificate is one that we give.
    pub(super) fn labelled(name: &str) -> bool {
        name.strip_prefix(LABEL).is_some_and(|rest| rest.starts_with('-'))
    }

    /// Whether a certificate that has this name in its store is ours.
    pub(super) fn holds(&self, label: &str, fingerprint: Fingerprint) -> bool {
        Self::labelled(label) || !self.for_user && self.known.contains(&fingerprint)
    }

    /// Whether a certificate without a name in its store can be ours.
    pub(super) fn is(&self, fingerprint: Fingerprint, common_name: Option<&str>) -> bool {
        let named = common_name.is_some_and(|name| !name.is_empty() && self.common_name.as_deref() == Some(name));
        named || self.known.contains(&fingerprint)
    }
}

/// A place that certificates are put into. What each does is small; the order is below, and is the same for all.
pub(super) trait Store: fmt::Debug {
    fn name(&self) -> String;
    fn kind(&self) -> StoreKind;
    /// The certificates of ours in it.
    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal>;
    /// Why it could not be changed, as far as that can be told without trying.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal>;
    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal>;
    /// What a person would run instead of `add`.
    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine>;
    /// What a person would run instead of `remove`.
    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine>;
}

pub(super) fn report(store: &dyn Store, ca: &CaCertificate, ours: &Ours) -> StoreReport {
    let (state, others) = match store.look(ours) {
        Ok(entries) => {
            let mut others: Vec<Fingerprint> = trusted(&entries).filter(|f| *f != ca.fingerprint).collect();
            others.dedup();
            let state = match trusted(&entries).any(|f| f == ca.fingerprint) {
                true => StoreState::Trusted,
                false if others.is_empty() => StoreState::NotTrusted,
                false => StoreState::Stale(others.clone()),
            };
            (state, others)
        }
        Err(Refusal::Unavailable { reason, remedy }) => (StoreState::Unavailable { reason, remedy }, Vec::new()),
        Err(Refusal::Failed(reason)) => (StoreState::Unavailable { reason, remedy: None }, Vec::new()),
        Err(Refusal::NeedsPrivilege) => {
            (StoreState::Unavailable { reason: "only root may look at it".to_owned(), remedy: None }, Vec::new())
        }
    };
    let commands = match &state {
        StoreState::Trusted => Vec::new(),
        StoreState::Unavailable { remedy, .. } => remedy.iter().cloned().collect(),
        StoreState::NotTrusted | StoreState::Stale(_) => store.adding(ca),
    };
    StoreReport { store: store.name(), kind: store.kind(), state, others, commands }
}

pub(super) fn trust(store: &dyn Store, ca: &CaCertificate, ours: &Ours, mode: Mode) -> StoreOutcome {
    let outcome = match try_to_trust(store, ca, ours, mode) {
        Ok(outcome) => outcome,
        Err(refusal) => refused(refusal),
    };
    let commands = left_to_do(&outcome, || store.adding(ca));
    StoreOutcome { store: store.name(), kind: store.kind(), outcome, commands }
}

/// Removes the certificates with these fingerprints, and no other.
pub(super) fn untrust(store: &dyn Store, which: &BTreeSet<Fingerprint>, ours: &Ours, mode: Mode) -> StoreOutcome {
    let mut entries = Vec::new();
    let outcome = match try_to_untrust(store, which, ours, mode, &mut entries) {
        Ok(outcome) => outcome,
        Err(refusal) => refused(refusal),
    };
    let commands = left_to_do(&outcome, || if entries.is_empty() { Vec::new() } else { store.removing(&entries) });
    StoreOutcome { store: store.name(), kind: store.kind(), outcome, commands }
}

fn try_to_trust(store: &dyn Store, ca: &CaCertificate, ours: &Ours, mode: Mode) -> Result<Outcome, Refusal> {
    let has = |entries: &[Entry]| trusted(entries).any(|f| f == ca.fingerprint);
    let before = store.look(ours)?;
    if has(&before) {
        return Ok(Outcome::AlreadyTrusted);
    }
    store.check()?;
    if mode == Mode::DryRun {
        return Ok(Outcome::WouldChange);
    }
    let added = store.add(ca);
    let after = store.look(ours)?;
    match added {
        Ok(()) if has(&after) => Ok(Outcome::Trusted),
        Ok(()) => Err(Refusal::Failed("its tool reported success, but it does not trust the authority".to_owned())),
        Err(refusal) => {
            // What an attempt left half done is taken back: certutil adds before it finds that it may not trust.
            let left = |e: &&Entry| e.fingerprint == ca.fingerprint && !before.contains(e);
            let left: Vec<Entry> = after.iter().filter(left).cloned().collect();
            if !left.is_empty() {
                // What counts is why it was not added, which may well be why this fails too.
                let _ = store.remove(&left);
            }
            Err(refusal)
        }
    }
}

fn try_to_untrust(
    store: &dyn Store,
    which: &BTreeSet<Fingerprint>,
    ours: &Ours,
    mode: Mode,
    entries: &mut Vec<Entry>,
) -> Result<Outcome, Refusal> {
    let find = || -> Result<Vec<Entry>, Refusal> {
        Ok(store.look(ours)?.into_iter().filter(|entry| which.contains(&entry.fingerprint)).collect())
    };
    *entries = find()?;
    if entries.is_empty() {
        return Ok(Outcome::NothingToRemove);
    }
    store.check()?;
    if mode == Mode::DryRun {
        return Ok(Outcome::WouldChange);
    }
    store.remove(entries)?;
    if find()?.is_empty() {
        let gone: BTreeSet<Fingerprint> = entries.iter().map(|entry| entry.fingerprint).collect();
        Ok(Outcome::Removed(gone.into_iter().collect()))
    } else {
        Err(Refusal::Failed("its tool reported success, but the certificate is still there".to_owned()))
    }
}

fn trusted(entries: &[Entry]) -> impl Iterator<Item = Fingerprint> {
    entries.iter().filter(|entry| entry.trusted).map(|entry| entry.fingerprint)
}

fn refused(refusal: Refusal) -> Outcome {
    match refusal {
        Refusal::NeedsPrivilege => Outcome::NeedsPrivilege,
        Refusal::Unavailable { reason, remedy } => Outcome::Unavailable { reason, remedy },
        Refusal::Failed(reason) => Outcome::Failed { reason },
    }
}

fn left_to_do(outcome: &Outcome, by_hand: impl FnOnce() -> Vec<CommandLine>) -> Vec<CommandLine> {
    match outcome {
        Outcome::Trusted | Outcome::AlreadyTrusted | Outcome::Removed(_) | Outcome::NothingToRemove => Vec::new(),
        Outcome::Unavailable { remedy, .. } => remedy.iter().cloned().collect(),
        Outcome::WouldChange | Outcome::NeedsPrivilege | Outcome::Failed { .. } => by_hand(),
    }
}
