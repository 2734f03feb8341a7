//! All stores of a machine at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::anchors::Anchors;
use super::browsers::databases;
use super::bundle;
use super::certificate::{CaCertificate, Fingerprint};
use super::java::Keystore;
use super::keychain::Keychain;
use super::machine::{Machine, Platform};
use super::record::{self, Record};
use super::store::{self, Mode, Ours, Outcome, Store, StoreKind, StoreOutcome, StoreReport};
use super::unknown::Unknown;
use super::windows::WindowsRoots;
use crate::error::Result;

/// The stores of a machine that were asked for, and the record of what was put into them.
///
/// Calls block: they run the tools of the system, one after the other.
#[derive(Debug)]
pub struct TrustStores {
    stores: Vec<Box<dyn Store>>,
    record: Record,
    for_user: bool,
}

impl TrustStores {
    /// Finds the stores of these kinds. `cert_dir` is the directory of the authority, where the record is. Nothing is
    /// changed.
    pub fn find(machine: &Machine, cert_dir: &Path, kinds: &[StoreKind]) -> Self {
        let record = Record::new(cert_dir, machine.run_as);
        let mut stores: Vec<Box<dyn Store>> = Vec::new();
        if kinds.contains(&StoreKind::System) {
            system(machine, &mut stores);
        }
        if kinds.contains(&StoreKind::Nss) {
            databases(machine).into_iter().for_each(|database| stores.push(Box::new(database)));
        }
        if kinds.contains(&StoreKind::Java) {
            Keystore::find(machine).into_iter().for_each(|keystore| stores.push(Box::new(keystore)));
        }
        Self { stores, record, for_user: machine.run_as.is_some() }
    }

    /// The kinds of stores that an authority of this directory was ever put into and not seen to be gone from.
    ///
    /// # Errors
    /// [`RouterError::File`](crate::RouterError::File) for a record that cannot be read.
    pub fn recorded_kinds(cert_dir: &Path) -> Result<BTreeSet<StoreKind>> {
        Ok(Record::new(cert_dir, None).read()?.into_iter().map(|(kind, _)| kind).collect())
    }

    /// The files that trusting has written beside the authority: the record, and what `env` exports.
    pub fn files(cert_dir: &Path) -> Vec<PathBuf> {
        let is_ours = |entry: &std::fs::DirEntry| {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else {
                return false;
            };
            // One that was not finished has the name of the file that it was to be, and what made it.
            let new = name.strip_prefix('.').and_then(|name| name.strip_suffix(".new"));
            match new.and_then(|new| new.rsplit_once('.')) {
                Some((name, _)) => record::is_name(name) || bundle::is_name(name),
                None => {
                    (record::is_name(name) && record::is_one(&entry.path()))
                        || (bundle::is_name(name) && bundle::is_one(&entry.path()))
                }
            }
        };
        let entries = std::fs::read_dir(cert_dir).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.filter(is_ours).map(|entry| entry.path()).collect();
        files.sort_unstable();
        files
    }

    /// Whether no store was found.
    pub fn is_empty(&self) -> bool {
        self.stores.is_empty()
    }

    /// What each store holds of the authority.
    ///
    /// # Errors
    /// [`RouterError::File`](crate::RouterError::File) for a record that cannot be read.
    pub fn status(&self, ca: &CaCertificate) -> Result<Vec<StoreReport>> {
        let ours = self.ours(Some(ca), &[])?;
        Ok(self.stores.iter().map(|store| store::report(&**store, ca, &ours)).collect())
    }

    /// Has each store trust the authority. A store that fails does not stop the others.
    ///
    /// # Errors
    /// Before any store is changed: [`RouterError::AuthorityUnusable`](crate::RouterError::AuthorityUnusable) for an
    /// authority that no machine should trust, [`RouterError::File`](crate::RouterError::File) for a record that cannot be
    /// written.
    pub fn trust(&self, ca: &CaCertificate, mode: Mode) -> Result<Vec<StoreOutcome>> {
        ca.check_fit_to_trust(SystemTime::now())?;
        let ours = self.ours(Some(ca), &[])?;
        if mode == Mode::Apply {
            self.record.add(&self.stores.iter().map(|store| store.kind()).collect(), ca.fingerprint)?;
        }
        Ok(self.stores.iter().map(|store| store::trust(&**store, ca, &ours, mode)).collect())
    }

    /// Takes the authority, those before it that are in the record, and those with the fingerprints of `also` out of each
    /// store. No other certificate is touched.
    ///
    /// # Errors
    /// [`RouterError::File`](crate::RouterError::File) for a record that cannot be read or written.
    pub fn untrust(&self, ca: Option<&CaCertificate>, also: &[Fingerprint], mode: Mode) -> Result<Vec<StoreOutcome>> {
        let ours = self.ours(ca, also)?;
        let outcomes: Vec<StoreOutcome> =
            self.stores.iter().map(|store| store::untrust(&**store, &ours.known, &ours, mode)).collect();
        if mode == Mode::Apply {
            let gone =
                |outcome: &StoreOutcome| matches!(outcome.outcome, Outcome::Removed(_) | Outcome::NothingToRemove);
            let mut kinds: BTreeSet<StoreKind> = outcomes.iter().map(|outcome| outcome.kind).collect();
            kinds.retain(|kind| outcomes.iter().filter(|o| o.kind == *kind).all(gone));
            self.record.remove(&kinds, &ours.known)?;
        }
        Ok(outcomes)
    }

    fn ours(&self, ca: Option<&CaCertificate>, also: &[Fingerprint]) -> Result<Ours> {
        let mut known: BTreeSet<Fingerprint> = self.record.read()?.into_iter().map(|(_, line)| line).collect();
        known.extend(also);
        known.extend(ca.map(|ca| ca.fingerprint));
        Ok(Ours { known, common_name: ca.map(|ca| ca.common_name.clone()), for_user: self.for_user })
    }
}

fn system(machine: &Machine, stores: &mut Vec<Box<dyn Store>>) {
    match machine.platform {
        Platform::MacOs => stores.push(Box::new(Keychain { machine: machine.clone() })),
        Platform::Windows => stores.push(Box::new(WindowsRoots { machine: machine.clone() })),
        Platform::Linux | Platform::Wsl => {
            match Anchors::find(machine) {
                Some(anchors) => stores.push(Box::new(anchors)),
                None => stores.push(Box::new(Unknown { machine: machine.clone() })),
            }
            if machine.platform == Platform::Wsl {
                stores.push(Box::new(WindowsRoots { machine: machine.clone() }));
            }
        }
    }
}
