//! Which authorities were ever put into a store of this machine, so that those which were replaced can be taken out too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::certificate::Fingerprint;
use super::machine::RunAs;
use super::replace::replace;
use super::store::StoreKind;
use crate::error::{Result, RouterError};

/// The file, in the directory of the authority: a kind of store and a fingerprint a line.
const FILE: &str = "trusted";

#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    owner: Option<RunAs>,
}

impl Record {
    pub(super) fn new(cert_dir: &Path, owner: Option<RunAs>) -> Self {
        Self { path: cert_dir.join(FILE), owner }
    }

    /// What is written there; nothing where there is no file.
    pub(super) fn read(&self) -> Result<BTreeSet<(StoreKind, Fingerprint)>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.lines().filter_map(parse).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(source) => Err(RouterError::File { action: "read", path: self.path.clone(), source }),
        }
    }

    /// Before a store is changed, so that nothing is trusted that is not written down.
    pub(super) fn add(&self, kinds: &BTreeSet<StoreKind>, fingerprint: Fingerprint) -> Result<()> {
        self.change(|lines| lines.extend(kinds.iter().map(|kind| (*kind, fingerprint))))
    }

    /// After every store of these kinds was seen to be without them.
    pub(super) fn remove(&self, kinds: &BTreeSet<StoreKind>, fingerprints: &BTreeSet<Fingerprint>) -> Result<()> {
        self.change(|lines| lines.retain(|(kind, line)| !kinds.contains(kind) || !fingerprints.contains(line)))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<(StoreKind, Fingerprint)>)) -> Result<()> {
        let before = self.read()?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(());
        }
        let mut text = String::new();
        for (kind, fingerprint) in after {
            let _ = writeln!(text, "{kind} {}", fingerprint.hex());
        }
        replace(&self.path, text.as_bytes(), 0o600, self.owner).map_err(|source| RouterError::File {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

/// Whether the record of any directory has this name.
pub(super) fn is_name(name: &str) -> bool {
    name == FILE
}

/// Whether a file is a record, which every line of it says.
pub(super) fn is_one(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.lines().all(|line| parse(line).is_some()))
}

fn parse(line: &str) -> Option<(StoreKind, Fingerprint)> {
    let (kind, fingerprint) = line.split_once(' ')?;
    let kind = StoreKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    Some((kind, Fingerprint::parse(fingerprint)?))
}
