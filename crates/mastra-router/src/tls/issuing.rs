//! Minting, keeping and renewing certificates of the local authority.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use rustls::ServerConfig;

use super::authority::{self, Authority, AuthorityInfo};
use super::directory::{Access, Directory, Stamp, refused};
use super::issued::{self, IssuedFiles};
use super::leaf::Leaf;
use super::leaf_name::LeafName;
use super::look::{self, CertificateInfo, Summary};
use super::serving::Serving;
use super::settings::TlsSettings;
use super::validity::{Validity, seconds};
use crate::error::{Result, RouterError};

/// Certificates that are served, each with its key in one file.
pub(super) const LEAVES: &str = "leaves";
pub(super) const ISSUE_LOCK: &str = "issue.lock";
/// A renewal that failed is tried again after this many seconds.
const RENEW_AGAIN: i64 = 60;

pub(super) struct Issuing {
    settings: TlsSettings,
    directory: Directory,
    leaves: Directory,
    serving: Serving,
    state: RwLock<State>,
    minted: AtomicU64,
    /// Second in which the authority's file was last looked at.
    looked: AtomicI64,
}

struct State {
    authority: Arc<Authority>,
    /// What the authority issued; never that of another.
    held: HashMap<LeafName, Held>,
    /// A file of the authority that was found unfit, so that it is read and spoken of once.
    unusable: Option<Stamp>,
}

struct Held {
    config: Arc<ServerConfig>,
    validity: Validity,
    renew_at: i64,
}

/// What is held for a name.
pub(super) enum AtHand {
    Nothing,
    Fresh(Arc<ServerConfig>),
    /// It can be served, and another one should be made.
    Due(Arc<ServerConfig>),
}

impl Issuing {
    pub(super) fn open(settings: TlsSettings) -> Result<Self> {
        let directory = Directory::open(&settings.cert_dir)?;
        let leaves = directory.subdirectory(LEAVES)?;
        let authority = Authority::open(&directory, &settings)?;
        let serving = Serving::new().map_err(|error| refused("serve from", directory.path(), error))?;
        let looked = AtomicI64::new(seconds(settings.now()));
        let state = RwLock::new(State { authority: Arc::new(authority), held: HashMap::new(), unusable: None });
        let issuing = Self { settings, directory, leaves, serving, state, minted: AtomicU64::new(0), looked };
        issuing.sweep();
        Ok(issuing)
    }

    pub(super) fn at_hand(&self, name: &LeafName, now: SystemTime) -> AtHand {
        let state = self.read();
        match state.held.get(name) {
            Some(held) if held.validity.is_over(now) => AtHand::Nothing,
            Some(held) if seconds(now) > held.renew_at => AtHand::Due(held.config.clone()),
            Some(held) => AtHand::Fresh(held.config.clone()),
            None => AtHand::Nothing,
        }
    }

    /// Takes the certificate from the cache or mints it, and holds it. Blocks.
    pub(super) fn make(&self, name: &LeafName) -> Option<Arc<ServerConfig>> {
        self.follow_authority();
        let authority = self.read().authority.clone();
        match self.leaf(name, &authority) {
            Ok(leaf) => {
                let config = self.serving.with(leaf.certified.clone());
                let held = Held { config: config.clone(), validity: leaf.validity, renew_at: leaf.renew_at };
                let mut state = self.write();
                if Arc::ptr_eq(&state.authority, &authority) {
                    state.held.insert(name.clone(), held);
                }
                Some(config)
            }
            Err(reason) => {
                tracing::warn!(%name, reason, "no certificate could be made");
                if let Some(held) = self.write().held.get_mut(name) {
                    held.renew_at = seconds(self.settings.now()) + RENEW_AGAIN;
                }
                None
            }
        }
    }

    fn leaf(&self, name: &LeafName, authority: &Authority) -> Result<Leaf, String> {
        let file = format!("{}.pem", name.file_stem());
        let provider = self.serving.provider();
        match self.leaves.read(&file) {
            Ok(Some(text)) => match Leaf::load(&text, name, authority, &self.settings, provider) {
                Ok(leaf) => return Ok(leaf),
                Err(reason) => tracing::debug!(%name, reason, "the cached certificate is replaced"),
            },
            Ok(None) => {}
            Err(error) => tracing::debug!(%name, %error, "the cached certificate is replaced"),
        }
        let leaf = self.mint(name, authority)?;
        if let Err(error) = self.leaves.write(&file, &leaf.pem(), Access::Secret) {
            // It can be served all the same; it will be made again after a restart.
            tracing::warn!(%name, %error, "a certificate is not cached");
        }
        Ok(leaf)
    }

    fn mint(&self, name: &LeafName, authority: &Authority) -> Result<Leaf, String> {
        if !name.is_permitted_by(&authority.constraints) {
            return Err(format!("the local authority is constrained to {}", authority.constraints));
        }
        let leaf = Leaf::mint(name, authority, &self.settings, self.serving.provider())?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        Ok(leaf)
    }

    /// Certificates that were minted since it was opened.
    pub(super) fn minted(&self) -> u64 {
        self.minted.load(Ordering::Relaxed)
    }

    /// Whether nobody has looked at the authority's file in this second; whoever is told so has to.
    pub(super) fn is_look_due(&self, now: SystemTime) -> bool {
        let (now, looked) = (seconds(now), self.looked.load(Ordering::Relaxed));
        now != looked && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Takes over the authority that is on the disk now: another process may have replaced it. One that ends while it is in
    /// use is replaced here. Blocks.
    pub(super) fn follow_authority(&self) {
        let current = self.read().authority.clone();
        if !self.follow_file(&current) && current.validity.is_over(self.settings.now()) {
            self.take_over(&current, Authority::open(&self.directory, &self.settings), None);
        }
    }

    /// Takes over the authority of the file, if that is another one; false where it is not. Writes nothing.
    fn follow_file(&self, current: &Arc<Authority>) -> bool {
        let unusable = self.read().unusable;
        let Some(newer) = current.newer(&self.directory).filter(|newer| Some(*newer) != unusable) else { return false };
        let found = Authority::read(&self.directory).and_then(|read| {
            read.ok_or("it is gone")
                .flatten()
                .map_err(|reason| refused("use", &self.directory.path_of(authority::AUTHORITY), reason))
        });
        self.take_over(current, found, Some(newer));
        true
    }

    fn take_over(&self, current: &Arc<Authority>, found: Result<Authority>, newer: Option<Stamp>) {
        let found = found.and_then(|found| found.check_domains(&self.directory, &self.settings).map(|()| found));
        let mut state = self.write();
        match found {
            // Another thread may have been first.
            Ok(_) if !Arc::ptr_eq(&state.authority, current) => {}
            Ok(authority) => *state = State { authority: Arc::new(authority), held: HashMap::new(), unusable: None },
            Err(error) => {
                tracing::warn!(%error, "the local authority was changed and cannot be used; the one before is kept");
                state.unusable = newer;
            }
        }
    }

    pub(super) fn authority(&self) -> AuthorityInfo {
        self.read().authority.info(&self.directory)
    }

    /// Mints a certificate for use elsewhere, and writes it and its key to two files. Blocks.
    pub(super) fn issue(&self, name: &str) -> Result<IssuedFiles> {
        let name = parsed(name)?;
        self.follow_authority();
        let authority = self.read().authority.clone();
        if !name.is_permitted_by(&authority.constraints) {
            return Err(RouterError::CaConstraints {
                authority: self.directory.path_of(authority::CERTIFICATE),
                name: name.to_string(),
                permitted: authority.constraints.to_string(),
                remedy: "choose a name at or below one of these".to_owned(),
            });
        }
        let leaf = self
            .mint(&name, &authority)
            .map_err(|reason| refused("make", &self.directory.path_of(&format!("{}.crt", name.file_stem())), reason))?;
        // Files of two that issue the same name at once would not belong together.
        let _lock = self.directory.lock(ISSUE_LOCK)?;
        issued::write(&self.directory, &name, leaf, self.settings.now())
    }

    /// What was issued for a name, where it is of use still. Blocks; writes nothing.
    pub(super) fn issued(&self, name: &str) -> Result<Option<IssuedFiles>> {
        let name = parsed(name)?;
        let current = self.read().authority.clone();
        self.follow_file(&current);
        let authority = self.read().authority.clone();
        let _lock = self.directory.lock_to_look(ISSUE_LOCK)?;
        let loaded = issued::load(&self.directory, &name, &authority, &self.settings, &self.serving);
        Ok(loaded.inspect_err(|reason| tracing::debug!(%name, reason, "nothing usable was issued before")).ok())
    }

    /// What is in the directory, by name of file. Blocks.
    pub(super) fn list(&self) -> Result<Vec<CertificateInfo>> {
        look::certificates(&self.directory, Some(&self.leaves))
    }

    /// Removes what is kept for a name; false where there was nothing. Blocks.
    pub(super) fn delete(&self, name: &str) -> Result<bool> {
        let name = parsed(name)?;
        let stem = name.file_stem();
        let _lock = self.directory.lock(ISSUE_LOCK)?;
        let mut removed = issued::remove(&self.directory, &stem);
        removed.push(self.leaves.remove(&format!("{stem}.pem")));
        self.write().held.remove(&name);
        Ok(removed.into_iter().collect::<Result<Vec<bool>>>()?.contains(&true))
    }

    /// Removes all that was issued or cached, and says for which names. What cannot be removed stops nothing else; the first
    /// such file is the error. Blocks.
    pub(super) fn clear(&self) -> Result<Vec<String>> {
        let _lock = self.directory.lock(ISSUE_LOCK)?;
        let mut removed = Vec::new();
        let called = |text: Option<String>, stem: &str| {
            text.as_deref()
                .and_then(Summary::read)
                .map_or_else(|| LeafName::shown_of_stem(stem), |summary| summary.name)
        };
        let cached = self.leaves.names(".pem").unwrap_or_else(|error| {
            removed.push((String::new(), Err(error)));
            Vec::new()
        });
        for file in cached {
            let name = called(self.leaves.read(&file).ok().flatten(), file.trim_end_matches(".pem"));
            removed.push((name, self.leaves.remove(&file)));
        }
        let constraints = self.read().authority.constraints.clone();
        let is_ours = |text: Option<String>, stem: &str, has_meta| match text.as_deref().and_then(Summary::read) {
            Some(summary) => summary.is_of_local_authority(),
            None => {
                has_meta
                    || LeafName::parse(&LeafName::shown_of_stem(stem))
                        .is_ok_and(|name| name.is_permitted_by(&constraints))
            }
        };
        for stem in issued::stems(&self.directory, is_ours)? {
            let name = called(self.directory.read(&format!("{stem}.crt")).ok().flatten(), &stem);
            removed.extend(issued::remove(&self.directory, &stem).into_iter().map(|outcome| (name.clone(), outcome)));
        }
        self.write().held.clear();
        let mut names = BTreeSet::new();
        for (name, outcome) in removed {
            if outcome? {
                names.insert(name);
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Forgets certificates that have no route any more; their files stay for when it is back.
    pub(super) fn retain(&self, most: usize, is_wanted: impl Fn(&LeafName) -> bool) {
        if self.read().held.len() > 2 * most {
            self.write().held.retain(|name, _| is_wanted(name));
        }
    }

    /// Removes files that nobody will use: unfinished, expired, or of an authority that is gone.
    fn sweep(&self) {
        self.directory.sweep();
        self.leaves.sweep();
        let authority = self.read().authority.clone();
        let now = self.settings.now();
        for file in self.leaves.names(".pem").unwrap_or_default() {
            let text = self.leaves.read(&file).ok().flatten();
            let summary = text.as_deref().and_then(Summary::read);
            let is_of_use = summary.is_some_and(|s| !s.validity.is_over(now) && s.issuer == authority.subject);
            if !is_of_use {
                // What cannot be removed is not served either.
                let _ = self.leaves.remove(&file);
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parsed(name: &str) -> Result<LeafName> {
    LeafName::parse(name).map_err(|reason| RouterError::InvalidField { field: "name", value: name.to_owned(), reason })
}
