//! Which entries are those of processes that have ended.

use std::collections::{BTreeMap, BTreeSet};

use super::block::Entry;
use super::owner::{HostsOwner, HostsOwnerKind};

/// The owners of a block that are processes which have ended. Each is looked at once.
pub(super) struct Ended(BTreeMap<HostsOwner, HostsOwnerKind>);

impl Ended {
    pub(super) fn among(entries: &BTreeSet<Entry>) -> Self {
        let owners: BTreeSet<&HostsOwner> = entries.iter().filter_map(|entry| entry.owner.as_ref()).collect();
        let ended = owners.into_iter().filter(|owner| owner.has_ended());
        Self(ended.filter_map(|owner| Some((owner.clone(), owner.process_kind()?))).collect())
    }

    /// Whether the entry is one of theirs.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.kind(entry).is_some()
    }

    /// Whether the entry is one of those of this kind.
    pub(super) fn has_of(&self, kind: HostsOwnerKind, entry: &Entry) -> bool {
        self.kind(entry) == Some(kind)
    }

    fn kind(&self, entry: &Entry) -> Option<HostsOwnerKind> {
        self.0.get(entry.owner.as_ref()?).copied()
    }
}
