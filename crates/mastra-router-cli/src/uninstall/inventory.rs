//! All that is of this router on the machine. Looking changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use mastra_router::trust::{CaCertificate, Fingerprint, Mode, Outcome as Became, StoreKind, StoreOutcome, TrustStores};
use mastra_router::{
    Home, HostsEdit, HostsManager, HostsOwner, HostsSettings, InvokingUser, LeaseFile, PortManager, SavedState,
    TlsManager, default_lease_dir,
};

use super::plan::{Kind, Outcome, Report};
use crate::cli::{Scope, Uninstall};
use crate::commands::authority::{Place, unhinted};
use crate::commands::daemon::answering;
use crate::config::user_file;
use crate::daemon::{door, log};
use crate::failure::Failure;
use crate::service::{self, Manager, ServiceFile};

/// Files of one kind, below one directory.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) root: PathBuf,
    pub(super) files: Vec<PathBuf>,
    /// Directories that are empty then, the deepest first.
    pub(super) dirs: Vec<PathBuf>,
}

/// The names in a hosts file.
#[derive(Debug)]
pub(super) struct Hosts {
    pub(super) manager: HostsManager,
    pub(super) names: usize,
    /// Why they cannot be removed.
    pub(super) fault: Option<String>,
}

/// What there is.
pub(crate) struct Inventory {
    pub(super) services: Vec<(Box<dyn Manager>, Vec<ServiceFile>)>,
    /// The pid of the router that runs.
    pub(super) router: Option<u32>,
    /// Whether the home is a router's.
    pub(super) is_home: bool,
    /// Stores that hold an authority of ours, as a dry run has it.
    pub(super) stores: Vec<StoreOutcome>,
    pub(super) hosts: Option<Hosts>,
    pub(super) groups: Vec<Group>,
    /// Directories above them, which go where they are empty.
    pub(super) parents: Vec<PathBuf>,
    pub(super) kept: Vec<(PathBuf, String)>,
    /// The configuration of the user.
    of_user: PathBuf,
    place: Place,
    kinds: Vec<StoreKind>,
}

impl Inventory {
    /// Looks for all of it.
    ///
    /// # Errors
    /// Where a record cannot be read, without which something would be left behind.
    pub(crate) async fn look(args: &Uninstall, home: &Home) -> Result<Self, Failure> {
        let user = InvokingUser::current();
        let mut services = Vec::new();
        for system in [false, true] {
            let scope = Scope { system, ..Scope::default() };
            // A manager that has no services of the machine has none of ours; a file of somebody else is not ours.
            let Ok(manager) = service::manager(&scope, home) else { continue };
            let files = service::installed(&*manager).unwrap_or_default();
            if !files.is_empty() {
                services.push((manager, files));
            }
        }
        let place = Place::of(&args.cert_dir);
        let settings = HostsSettings {
            path: args.hosts_file.clone(),
            backup_dir: args.backup_dir.clone(),
            ..HostsSettings::new(HostsOwner::of_home(home.path()))
        };
        let manager = HostsManager::new(settings)?;
        let mut backup_dirs = BTreeSet::from([manager.backup_dir().to_owned()]);
        if args.backup_dir.is_none() {
            // Under sudo, root's and the user's.
            backup_dirs.insert(user.home.join(".mastra/hosts-backups"));
        }
        // Neither what is no directory nor a link to one has a record of ours.
        let has_certs = is_directory(&place.cert_dir);
        let recorded = match has_certs {
            true => TrustStores::recorded_kinds(&place.cert_dir).map_err(unhinted)?,
            false => BTreeSet::new(),
        };
        let mut kinds = vec![StoreKind::System, StoreKind::Nss];
        kinds.extend(recorded.iter().copied().filter(|kind| *kind == StoreKind::Java));
        let mut inventory = Self {
            services,
            router: answering(home).await.map(|router| router.pid),
            is_home: is_home(home),
            stores: Vec::new(),
            hosts: hosts(manager),
            groups: Vec::new(),
            parents: Vec::new(),
            kept: Vec::new(),
            of_user: user_file(home),
            place,
            kinds,
        };
        // One that cannot be looked at is of interest where something was put there.
        let left = |outcome: &StoreOutcome| match outcome.outcome {
            Became::NothingToRemove => false,
            Became::Unavailable { .. } => recorded.contains(&outcome.kind),
            _ => true,
        };
        if has_certs {
            inventory.stores = inventory.untrust(Mode::DryRun)?;
        }
        inventory.stores.retain(left);
        let cert_dir = inventory.place.cert_dir.clone();
        inventory.add(Kind::Certificates, &cert_dir, |dir| [TlsManager::files(dir), TrustStores::files(dir)].concat());
        for dir in backup_dirs {
            inventory.add(Kind::Backups, &dir, HostsManager::backup_files);
        }
        let lease_dir = default_lease_dir();
        let (is_home, router) = (inventory.is_home, inventory.router);
        inventory.add(Kind::State, home.path(), |_| if is_home { files_of(home, router) } else { Vec::new() });
        if lease_dir.parent() != Some(home.path()) || !is_home {
            inventory.add(Kind::State, &lease_dir, |dir| leases(dir, router));
        }
        inventory.parents = [user.home.join(".mastra/router"), user.home.join(".mastra")].into();
        if user.sudo.is_some() {
            inventory.parents.extend(std::env::home_dir().map(|home| home.join(".mastra")));
        }
        Ok(inventory)
    }

    /// Takes every authority that is known out of every store.
    pub(super) fn untrust(&self, mode: Mode) -> Result<Vec<StoreOutcome>, Failure> {
        let dir = &self.place.cert_dir;
        let ca = CaCertificate::read(&dir.join("ca.pem")).ok();
        // Those that were replaced may have been trusted too.
        let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let replaced = names.filter(|path| path.to_string_lossy().contains("/ca.pem.replaced-"));
        let mut also: Vec<Fingerprint> =
            replaced.filter_map(|path| Some(CaCertificate::read(&path).ok()?.fingerprint)).collect();
        let signing = TlsManager::read_authority(dir).ok().flatten();
        also.extend(signing.and_then(|authority| Fingerprint::parse(&authority.fingerprint)));
        self.place.stores(&self.kinds).untrust(ca.as_ref(), &also, mode).map_err(unhinted)
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.router.is_none()
            && self.stores.is_empty()
            && self.hosts.is_none()
            && self.groups.is_empty()
    }

    /// The files of ours in a directory, and what of it is then empty.
    fn add(&mut self, kind: Kind, root: &Path, files: impl FnOnce(&Path) -> Vec<PathBuf>) {
        let meta = match fs::symlink_metadata(root) {
            Ok(meta) if meta.is_symlink() => {
                return self.kept.push((root.to_owned(), "it is a symbolic link, which is not followed".to_owned()));
            }
            Ok(meta) => meta,
            Err(_) => return,
        };
        if !meta.is_dir() {
            return;
        }
        let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = files(root).into_iter().partition(|path| is_directory(path));
        let mut group = Group { kind, root: root.to_owned(), files, dirs: Vec::new() };
        let mut known = dirs;
        known.push(root.to_owned());
        known.sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        // One that was made and never written to has no file that would say whose it is, but its name.
        let defaults = [".mastra/certs", ".mastra/hosts-backups", ".mastra/router", ".mastra/router/ports"];
        let is_ours = !group.files.is_empty() || defaults.iter().any(|ours| root.ends_with(ours));
        for dir in known {
            let others: Vec<PathBuf> = entries(&dir).into_iter().filter(|path| !group.has(path)).collect();
            if others.is_empty() && is_ours {
                group.dirs.push(dir);
            } else if is_ours {
                let others = others.into_iter().filter(|path| !known_dir(path, root));
                self.kept.extend(others.map(|path| {
                    let is_held =
                        PortManager::lease_files(&dir).iter().any(|lease| lease.path == path && lease.is_held);
                    let reason = match () {
                        () if is_held => "a process has leased this port",
                        // No command writes it.
                        () if path == self.of_user => "you wrote it, and only you can say whether it is of use",
                        () => "it is not of mastra-router",
                    };
                    (path, reason.to_owned())
                }));
            }
        }
        if !group.files.is_empty() || !group.dirs.is_empty() {
            self.groups.push(group);
        }
    }
}

/// A directory of ours that stays since something in it does is told by that.
fn known_dir(path: &Path, root: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.parent() == Some(root) && is_directory(path) && ["run", "ports", "leaves"].contains(&name)
}

impl Group {
    fn has(&self, path: &Path) -> bool {
        self.files.iter().chain(&self.dirs).any(|ours| ours == path)
    }

    pub(super) fn add(&mut self, path: Option<PathBuf>) {
        if let Some(path) = path.filter(|path| path.parent() == Some(&self.root) && !self.has(path)) {
            self.files.push(path);
        }
    }

    /// What a person is told that stays.
    pub(super) fn roots(&self) -> impl Iterator<Item = PathBuf> + use<> {
        std::iter::once(self.root.clone())
    }

    /// Why it has to stay, by what became of others.
    pub(super) fn kept_while(&self, report: &Report) -> Option<&'static str> {
        match self.kind {
            Kind::Certificates if report.has_left(Kind::Trust) => {
                Some("kept until its authority is out of every store, which takes what is written there")
            }
            Kind::Backups if report.has_left(Kind::Hosts) => Some("kept until the hosts file is without our names"),
            _ => None,
        }
    }
}

impl Hosts {
    /// What is likely to become of it.
    pub(super) fn expected(&self) -> Outcome {
        if let Some(fault) = &self.fault {
            return Outcome::failed(fault.clone());
        }
        let writable = rustix::fs::access(self.manager.path(), rustix::fs::Access::WRITE_OK).is_ok();
        if writable { Outcome::Would } else { Outcome::NeedsPrivilege { reason: "only root may write it".to_owned() } }
    }
}

fn hosts(manager: HostsManager) -> Option<Hosts> {
    match manager.preview(&HostsEdit::Clean) {
        Ok(change) if !change.changed => None,
        Ok(_) => {
            let entries = manager.entries().unwrap_or_default();
            let names: BTreeSet<String> = entries.into_iter().map(|entry| entry.name).collect();
            Some(Hosts { manager, names: names.len(), fault: None })
        }
        Err(error) => Some(Hosts { manager, names: 0, fault: Some(error.to_string()) }),
    }
}

/// Whether a router has ever had this home: by its lock, in which there is nothing but a pid, or by its journal. Names alone
/// do not say it: `settings.json` is a name of many.
fn is_home(home: &Home) -> bool {
    let text = |path: PathBuf| {
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() < 1 << 20);
        if is_file { fs::read(path).ok() } else { None }
    };
    let lock = text(home.lock_path());
    let is_lock = lock.is_some_and(|lock| lock.len() <= 20 && lock.trim_ascii().iter().all(u8::is_ascii_digit));
    is_lock && home.path().parent().is_some()
}

/// The files of a home, and then the directories that are its own.
fn files_of(home: &Home, router: Option<u32>) -> Vec<PathBuf> {
    let dir = home.path();
    let is = |path: &PathBuf, kind: fn(&fs::FileType) -> bool| {
        fs::symlink_metadata(path).is_ok_and(|meta| kind(&meta.file_type()))
    };
    let door = door::path(home);
    let sockets = [home.socket_path(), door.with_extension("new"), door];
    let mut files: Vec<PathBuf> = sockets.into_iter().filter(|path| is(path, FileTypeExt::is_socket)).collect();
    let log = log::path(home);
    let plain = log::all(&log).chain([home.lock_path()]);
    files.extend(plain.filter(|path| is(path, fs::FileType::is_file)));
    files.extend(SavedState::files(dir));
    // What `run` remembers.
    let run = dir.join("run");
    if is(&run, fs::FileType::is_dir) {
        let is_memory = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            is(path, fs::FileType::is_file) && stem.len() == 16 && stem.bytes().all(|b| b.is_ascii_hexdigit())
        };
        files.extend(entries(&run).into_iter().filter(is_memory));
        files.push(run);
    }
    let ports = default_lease_dir();
    if ports.parent() == Some(dir) && is(&ports, fs::FileType::is_dir) {
        files.extend(leases(&ports, router));
        files.push(ports);
    }
    files
}

/// The leases that nobody holds when the router has ended: those of others stay.
fn leases(dir: &Path, router: Option<u32>) -> Vec<PathBuf> {
    let ends = |lease: &LeaseFile| !lease.is_held || (router.is_some() && lease.pid == router);
    PortManager::lease_files(dir).into_iter().filter(ends).map(|lease| lease.path).collect()
}

/// The leases that somebody holds.
pub(super) fn held_leases() -> Vec<PathBuf> {
    let held = PortManager::lease_files(&default_lease_dir()).into_iter().filter(|lease| lease.is_held);
    held.map(|lease| lease.path).collect()
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort_unstable();
    found
}
