//! What can be done to a hosts file, each as one step that is done whole or not at all.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::backups::{self, Backup, Backups, Opened, Unsettled};
use super::block::{self, Entry};
use super::change::{HostsChange, HostsEdit, HostsEntry, HostsSettings, Refused};
use super::defaults;
use super::disk::{self, Locked, Place, Way, Written, unusable};
use super::ended::Ended;
use super::name::{self, HostName};
use super::owner::HostsOwner;
use super::owner::HostsOwnerKind::{Program, Router};
use crate::error::{Result, RouterError};

/// How often to begin again where a program that knows no lock writes the file at the same time.
const TRIES: usize = 50;

/// Keeps names in a block of a hosts file, and every other byte of it as it is. All methods block, for milliseconds, or
/// while another process writes.
///
/// ```
/// use mastra_router::{HostsManager, HostsOwner, HostsSettings};
///
/// # fn main() -> mastra_router::Result<()> {
/// # let dir = tempfile::tempdir().map_err(|_| mastra_router::RouterError::Closed)?;
/// # let (file, backups) = (dir.path().join("hosts"), dir.path().join("backups"));
/// let hosts = HostsManager::new(HostsSettings {
///     path: Some(file),
///     backup_dir: Some(backups),
///     suffixes: vec!["mastra.local".to_owned()],
///     ..HostsSettings::new(HostsOwner::parse("example")?)
/// })?;
/// hosts.add(["shop.mastra.local"])?;
/// assert!(hosts.has_entry("shop.mastra.local")?);
/// hosts.remove_all()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HostsManager {
    path: PathBuf,
    backup_dir: PathBuf,
    owner: HostsOwner,
    suffixes: Vec<String>,
    addresses: Vec<IpAddr>,
    force: bool,
}

impl HostsManager {
    /// A manager of a file, which is not looked at yet.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`] for an address that is not this machine's alone.
    pub fn new(settings: HostsSettings) -> Result<Self> {
        let HostsSettings { path, backup_dir, owner, suffixes, local_ip, force } = settings;
        if !local_ip.is_loopback() {
            let reason = format!("{local_ip} is no loopback address");
            return Err(RouterError::InvalidConfig { setting: "localIp", reason });
        }
        let both = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        let addresses = if both.contains(&local_ip) { both.to_vec() } else { vec![local_ip] };
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        Ok(Self {
            path: absolute(path.unwrap_or_else(defaults::path)),
            backup_dir: absolute(backup_dir.unwrap_or_else(defaults::backup_dir)),
            owner,
            suffixes,
            addresses,
            force,
        })
    }

    /// The hosts file, as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of backups.
    pub fn backup_dir(&self) -> &Path {
        &self.backup_dir
    }

    /// The backups in a directory, of whatever hosts file, and what of them was not finished. Links are none. Blocks.
    pub fn backup_files(backup_dir: &Path) -> Vec<PathBuf> {
        backups::files(backup_dir)
    }

    /// Whose entries this one writes.
    pub fn owner(&self) -> &HostsOwner {
        &self.owner
    }

    /// The entries of our block, of all owners, by name.
    ///
    /// # Errors
    /// [`RouterError::HostsFile`], [`RouterError::HostsDenied`].
    pub fn entries(&self) -> Result<Vec<HostsEntry>> {
        let place = Place::find(&self.path)?;
        let content = place.read()?.unwrap_or_default();
        let public = |Entry { name, owner, address }| HostsEntry { name: name.to_string(), address, owner };
        Ok(block::entries(&content).map_err(self.fault())?.into_iter().map(public).collect())
    }

    /// Whether a name stands in our block, whoever's it is.
    ///
    /// # Errors
    /// As [`HostsManager::entries`].
    pub fn has_entry(&self, name: &str) -> Result<bool> {
        Ok(self.entries()?.iter().any(|entry| entry.name.eq_ignore_ascii_case(name)))
    }

    /// [`HostsEdit::Add`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`].
    pub fn add<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Result<HostsChange> {
        self.apply(&HostsEdit::Add(names.into_iter().map(Into::into).collect()))
    }

    /// [`HostsEdit::Set`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`].
    pub fn set<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Result<HostsChange> {
        self.apply(&HostsEdit::Set(names.into_iter().map(Into::into).collect()))
    }

    /// [`HostsEdit::Remove`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`].
    pub fn remove<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Result<HostsChange> {
        self.apply(&HostsEdit::Remove(names.into_iter().map(Into::into).collect()))
    }

    /// [`HostsEdit::RemoveAll`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`].
    pub fn remove_all(&self) -> Result<HostsChange> {
        self.apply(&HostsEdit::RemoveAll)
    }

    /// [`HostsEdit::Clean`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`].
    pub fn clean(&self) -> Result<HostsChange> {
        self.apply(&HostsEdit::Clean)
    }

    /// [`HostsEdit::Restore`].
    ///
    /// # Errors
    /// As [`HostsManager::apply`]; and where there is no backup.
    pub fn restore(&self) -> Result<HostsChange> {
        self.apply(&HostsEdit::Restore)
    }

    /// Says what a change would do, and does nothing.
    ///
    /// # Errors
    /// As [`HostsManager::apply`], but for those of writing.
    pub fn preview(&self, edit: &HostsEdit) -> Result<HostsChange> {
        let place = Place::find(&self.path)?;
        let old = place.read()?.unwrap_or_default();
        let backups = self.backups(&place);
        let (new, refused) = self.plan(&old, edit, &backups)?;
        let path = self.path.to_string_lossy();
        let (old_text, new_text) = (String::from_utf8_lossy(&old), String::from_utf8_lossy(&new));
        let diff = TextDiff::from_lines(&*old_text, &*new_text).unified_diff().header(&path, &path).to_string();
        Ok(HostsChange { changed: new != old, refused, diff, ..HostsChange::default() })
    }

    /// Makes a change: the whole of it, or where it fails nothing.
    ///
    /// # Errors
    /// [`RouterError::HostsName`] and [`RouterError::HostsTaken`] for names, [`RouterError::HostsFile`] for a file that
    /// cannot be read, understood or written, [`RouterError::HostsDenied`] where this user may not.
    pub fn apply(&self, edit: &HostsEdit) -> Result<HostsChange> {
        let mut made = false;
        for _ in 0..TRIES {
            let place = Place::find(&self.path)?;
            let backups = self.backups(&place);
            let Some(mut locked) = place.lock()? else {
                let (new, refused) = self.plan(&[], edit, &backups)?;
                if new.is_empty() {
                    return Ok(HostsChange { refused, ..HostsChange::default() });
                }
                place.create()?;
                made = true;
                continue;
            };
            if Self::recover(&locked, &backups)? {
                continue;
            }
            match self.change(&mut locked, edit, &backups, made) {
                Ok(Some(change)) => return Ok(change),
                Ok(None) => {}
                Err(error) => {
                    if made {
                        place.discard(locked);
                    }
                    return Err(error);
                }
            }
        }
        Err(unusable(&self.path, "another program keeps changing it"))
    }

    /// The change, on a file that is locked; `None` where somebody else changed it meanwhile.
    fn change(
        &self,
        locked: &mut Locked<'_>,
        edit: &HostsEdit,
        backups: &Backups,
        made: bool,
    ) -> Result<Option<HostsChange>> {
        let (new, refused) = self.plan(&locked.content, edit, backups)?;
        if new == locked.content {
            return Ok(Some(HostsChange { refused, ..HostsChange::default() }));
        }
        if !matches!(edit, HostsEdit::Restore | HostsEdit::RestoreFrom(_)) {
            self.check_outside(&locked.content, &new)?;
        }
        let mut way = locked.way()?;
        let no_backup = |error| unusable(backups.path(), format!("no backup can be kept there: {error}"));
        let opened = backups.open().map_err(no_backup)?;
        // A file that was not there before has nothing to go back to.
        let is_new = made && locked.content.is_empty();
        let backup = if is_new { None } else { Some(opened.keep(&locked.content).map_err(no_backup)?) };
        loop {
            if let (Way::InPlace(_), Some(backup)) = (&way, &backup) {
                opened.intend(backup, &new).map_err(no_backup)?;
            }
            let outcome = locked.write(way, &new);
            if outcome.is_err() && !locked.is_as_before() {
                // Not even the old content could be put back. The backup and the record of the write are what there is.
                return outcome.map(|_| None);
            }
            if let Some(backup) = &backup {
                opened.settle(backup);
            }
            match &outcome {
                Ok(Written::Yes) => opened.prune(),
                Ok(Written::Refused) => {}
                Ok(Written::Overtaken) | Err(_) => forget(&opened, &backup),
            }
            match outcome? {
                Written::Yes => {
                    let backup = backup.map(|backup| backup.path);
                    return Ok(Some(HostsChange { changed: true, backup, refused, ..HostsChange::default() }));
                }
                Written::Overtaken => return Ok(None),
                Written::Refused => way = locked.in_place().inspect_err(|_| forget(&opened, &backup))?,
            }
        }
    }

    /// What the file is to be, and which names cannot stand in it.
    fn plan(&self, old: &[u8], edit: &HostsEdit, backups: &Backups) -> Result<(Vec<u8>, Refused)> {
        let mut refused = Vec::new();
        let new = match edit {
            HostsEdit::Add(names) => {
                let names = self.accept_all(old, names)?;
                self.with(old, &names, |entry, ended| ended.has(entry) && names.contains(&entry.name))
            }
            HostsEdit::Set(names) => {
                let names = self.accept_all(old, names)?;
                let goes = |entry: &Entry, ended: &Ended| ended.has(entry) && names.contains(&entry.name);
                self.with(old, &names, |entry, ended| self.is_own(entry) || goes(entry, ended))
            }
            HostsEdit::Sync(names) => {
                let accepted;
                (accepted, refused) = self.accept(old, names)?;
                self.with(old, &accepted, |entry, ended| self.is_own(entry) || ended.has_of(Router, entry))
            }
            HostsEdit::Remove(names) => self.with(old, &BTreeSet::new(), |entry, ended| {
                (self.is_own(entry) || entry.owner.is_none() || ended.has(entry))
                    && names.iter().any(|name| entry.name.as_str().eq_ignore_ascii_case(name))
            }),
            HostsEdit::RemoveAll => {
                let is_program = self.owner.process_kind() == Some(Program);
                self.with(old, &BTreeSet::new(), |entry, ended| {
                    self.is_own(entry) || (is_program && ended.has_of(Program, entry))
                })
            }
            HostsEdit::Clean => block::without_block(old),
            HostsEdit::Restore => Ok(self.backup(backups, None)?),
            HostsEdit::RestoreFrom(path) => Ok(self.backup(backups, Some(path))?),
        };
        Ok((new.map_err(self.fault())?, refused))
    }

    /// The file without the entries that go, and with ours for these names.
    fn with(
        &self,
        old: &[u8],
        names: &BTreeSet<HostName>,
        goes: impl Fn(&Entry, &Ended) -> bool,
    ) -> Result<Vec<u8>, block::Fault> {
        block::with_entries(old, |entries| {
            let ended = Ended::among(entries);
            let stay = entries.iter().filter(|entry| !goes(entry, &ended));
            stay.cloned().chain(self.of(names)).collect()
        })
    }

    fn is_own(&self, entry: &Entry) -> bool {
        entry.owner.as_ref() == Some(&self.owner)
    }

    /// Our entries for these names.
    fn of(&self, names: &BTreeSet<HostName>) -> BTreeSet<Entry> {
        let entry = |name: &HostName, address: &IpAddr| Entry {
            name: name.clone(),
            owner: Some(self.owner.clone()),
            address: *address,
        };
        names.iter().flat_map(|name| self.addresses.iter().map(move |address| entry(name, address))).collect()
    }

    fn accept_all(&self, old: &[u8], names: &[String]) -> Result<BTreeSet<HostName>> {
        match self.accept(old, names)? {
            (accepted, refused) if refused.is_empty() => Ok(accepted),
            (_, refused) => Err(refused.into_iter().next().map_or(RouterError::Closed, |(_, error)| error)),
        }
    }

    /// The one check of names, at the last moment before they are written.
    fn accept(&self, old: &[u8], names: &[String]) -> Result<(BTreeSet<HostName>, Refused)> {
        let machine = name::machine_name();
        let (mut accepted, mut refused) = (BTreeSet::new(), Vec::new());
        for name in names {
            match HostName::parse_ours(name, &self.suffixes, &machine) {
                Ok(parsed) => drop(accepted.insert(parsed)),
                Err(reason) => refused.push((name.clone(), RouterError::HostsName { name: name.clone(), reason })),
            }
        }
        if !self.force {
            let asked = accepted.clone();
            for (name, (line, address)) in block::taken(old, asked.iter(), &self.addresses).map_err(self.fault())? {
                accepted.retain(|accepted| accepted.as_str() != name);
                let path = self.path.clone();
                refused.push((name.to_owned(), RouterError::HostsTaken { name: name.to_owned(), path, line, address }));
            }
        }
        Ok((accepted, refused))
    }

    /// What stands in the newest backup of this file, or in that one.
    fn backup(&self, backups: &Backups, path: Option<&Path>) -> Result<Vec<u8>> {
        let unread = |error| unusable(backups.path(), format!("its backups cannot be read: {error}"));
        let found = match (backups.open_if_there().map_err(unread)?, path) {
            (None, _) => None,
            (Some(opened), None) => opened.newest().map_err(unread)?,
            (Some(opened), Some(path)) => opened.at(path).map_err(unread)?,
        };
        let what = path.map_or_else(|| "there".to_owned(), |path| path.display().to_string());
        let missing = || unusable(backups.path(), format!("{what} is no backup of {} in it", self.path.display()));
        found.ok_or_else(missing)
    }

    /// Refuses to write what loses a byte that is not ours: a mistake of this program must not cost a line.
    fn check_outside(&self, old: &[u8], new: &[u8]) -> Result<()> {
        let outside = |file| block::without_block(file).map_err(self.fault());
        if outside(old)? == outside(new)? {
            return Ok(());
        }
        Err(unusable(&self.path, "the change would reach beyond our block; nothing was written"))
    }

    /// Puts the file back where a process was killed while it wrote in place. True where something was done.
    fn recover(locked: &Locked<'_>, backups: &Backups) -> Result<bool> {
        // Whoever may not use the directory has not written there.
        let Ok(Some(opened)) = backups.open_if_there() else { return Ok(false) };
        let unsettled = opened.unsettled().unwrap_or_default();
        for Unsettled { backup, old, new } in &unsettled {
            if disk::is_cut_short(&locked.content, old, new) {
                locked.put_back(old)?;
            }
            opened.settle(backup);
        }
        Ok(!unsettled.is_empty())
    }

    fn backups(&self, place: &Place) -> Backups {
        Backups::new(self.backup_dir.clone(), &place.path)
    }

    fn fault(&self) -> impl Fn(block::Fault) -> RouterError + '_ {
        |block::Fault { line, reason }| RouterError::HostsFile {
            path: self.path.clone(),
            line: Some(line),
            reason: reason.to_owned(),
        }
    }
}

fn forget(opened: &Opened<'_>, backup: &Option<Backup>) {
    if let Some(backup) = backup {
        opened.forget(backup);
    }
}
