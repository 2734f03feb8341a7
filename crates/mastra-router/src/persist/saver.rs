//! Follows the table and keeps what is saved the same as it.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::record::{Change, RouteRecord};
use super::store::{Snapshot, Store};
use crate::error::{Result, RouterError};
use crate::route::{Route, RouteOrigin};
use crate::table::{RouteChange, RouteTable};

/// Rows of failures that are remembered, for callers that have not asked yet. They ask at once, so one would nearly do.
const FAILURES_KEPT: usize = 1_000;

/// Takes back what was done to routes since a table that was saved, and returns the version of the last table that is
/// taken back with it.
pub(crate) type UndoRoutes = Box<dyn Fn(&RouteTable) -> u64 + Send>;

/// Saves what registered routes there are, and which ports are leased, on a thread of its own. All changes that come while
/// one is being written are written together.
#[derive(Debug)]
pub(crate) struct Saver {
    file: PathBuf,
    leases: Arc<watch::Sender<Leases>>,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The ports to be saved.
#[derive(Clone, Debug, Default)]
struct Leases {
    ports: BTreeSet<u16>,
    version: u64,
}

/// How far the saving is.
#[derive(Debug, Default)]
struct Progress {
    routes: Outcomes,
    ports: Outcomes,
    ended: bool,
}

/// What became of the versions of a thing.
#[derive(Debug, Default)]
struct Outcomes {
    /// The last version that was dealt with. It and all before are saved, unless they failed.
    done: u64,
    failures: VecDeque<Failure>,
}

/// Versions that were taken back, since they could not be saved.
#[derive(Debug)]
struct Failure {
    first: u64,
    last: u64,
    kind: io::ErrorKind,
    reason: String,
}

impl Saver {
    /// Starts to save what is different from `saved`, which is what `store` holds: these ports, and the table.
    ///
    /// # Errors
    /// [`RouterError::Thread`].
    pub(crate) fn start(
        store: Store,
        saved: Snapshot,
        ports: BTreeSet<u16>,
        table: watch::Receiver<Arc<RouteTable>>,
        undo: UndoRoutes,
    ) -> Result<Self> {
        let file = store.file();
        let leases = Arc::new(watch::Sender::new(Leases { ports, version: 0 }));
        let (progress, outcome) = watch::channel(Progress::default());
        let (stop, stopped) = watch::channel(false);
        let routes = saved.table.iter().filter(|route| route.origin == RouteOrigin::Registered).count();
        let live = routes + saved.ports.len();
        let follower = Follower { store, live, saved, table, leases: leases.clone(), undo, progress };
        let failed = |source| RouterError::Thread { source };
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("mastra-router-save".to_owned())
            .spawn(move || runtime.block_on(follower.run(stopped)))
            .map_err(failed)?;
        Ok(Self { file, leases, progress: outcome, stop, thread: Mutex::new(Some(thread)) })
    }

    /// The file that holds the saved state.
    pub(crate) fn file(&self) -> &PathBuf {
        &self.file
    }

    /// Returns once the changes up to this version of the table are on disk. Dropping it changes nothing: they are saved,
    /// or taken back, all the same.
    ///
    /// # Errors
    /// [`RouterError::File`] where they could not be saved and were taken back, [`RouterError::Closed`] where the saving
    /// has ended.
    pub(crate) async fn saved(&self, version: u64) -> Result<()> {
        self.outcome(version, |progress| &progress.routes).await
    }

    /// Has a port saved as leased; [`ports_saved`](Self::ports_saved) takes what is returned.
    pub(crate) fn lease(&self, port: u16) -> u64 {
        self.change_ports(|ports| _ = ports.insert(port))
    }

    /// Has a port saved as leased no more; [`ports_saved`](Self::ports_saved) takes what is returned.
    pub(crate) fn release(&self, port: u16) -> u64 {
        self.change_ports(|ports| _ = ports.remove(&port))
    }

    /// As [`saved`](Self::saved), for ports.
    ///
    /// # Errors
    /// As [`saved`](Self::saved).
    pub(crate) async fn ports_saved(&self, version: u64) -> Result<()> {
        self.outcome(version, |progress| &progress.ports).await
    }

    /// Saves what is not yet, and ends. Nothing that happens to the table later is saved.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let mut progress = self.progress.clone();
        // An error says that the thread is gone, too.
        let _ = progress.wait_for(|progress| progress.ended).await;
        self.join();
    }

    fn join(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }

    fn change_ports(&self, change: impl FnOnce(&mut BTreeSet<u16>)) -> u64 {
        let mut version = 0;
        self.leases.send_modify(|leases| {
            change(&mut leases.ports);
            leases.version += 1;
            version = leases.version;
        });
        version
    }

    async fn outcome(&self, version: u64, of: impl Fn(&Progress) -> &Outcomes) -> Result<()> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| of(progress).done >= version || progress.ended).await;
        let progress = reached.map_err(|_| RouterError::Closed)?;
        let outcomes = of(&progress);
        if outcomes.done < version {
            return Err(RouterError::Closed);
        }
        match outcomes.failures.iter().rev().find(|f| (f.first..=f.last).contains(&version)) {
            Some(failure) => {
                let source = io::Error::new(failure.kind, failure.reason.clone());
                Err(RouterError::File { action: "save to", path: self.file.clone(), source })
            }
            None => Ok(()),
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        // So that the state can be opened again as soon as its router is gone. It takes as long as a write does.
        self.join();
    }
}

/// The thread's side.
struct Follower {
    store: Store,
    /// Records that `saved` takes.
    live: usize,
    saved: Snapshot,
    table: watch::Receiver<Arc<RouteTable>>,
    leases: Arc<watch::Sender<Leases>>,
    undo: UndoRoutes,
    progress: watch::Sender<Progress>,
}

impl Follower {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut leased = self.leases.subscribe();
        loop {
            let last = *stop.borrow_and_update();
            let (table, leases) = (self.table.borrow_and_update().clone(), leased.borrow_and_update().clone());
            self.apply(&table, &leases);
            if last {
                break;
            }
            // Whichever of them is gone, nothing can come any more.
            let more = tokio::select! {
                more = self.table.changed() => more,
                more = leased.changed() => more,
                more = stop.changed() => more,
            };
            if more.is_err() {
                break;
            }
        }
        let Self { store, progress, .. } = self;
        // Whoever waits for the end may open the state at once.
        drop(store);
        progress.send_modify(|progress| progress.ended = true);
    }

    /// Makes what is saved the same as this, whatever it was before; called again, it does nothing.
    fn apply(&mut self, table: &Arc<RouteTable>, leases: &Leases) {
        let (changes, live) = self.changes(table, leases);
        let snapshot = Snapshot { table: table.clone(), ports: leases.ports.clone() };
        let written = if changes.is_empty() { Ok(()) } else { self.store.add(&changes, &snapshot) };
        match written {
            Ok(()) => {
                self.saved = snapshot;
                self.live = live;
                self.progress.send_modify(|progress| {
                    progress.routes.done = table.version();
                    progress.ports.done = leases.version;
                });
                // After it was told that it is saved.
                self.store.tidy(self.live, &self.saved);
            }
            Err(error) => self.take_back(&error),
        }
    }

    /// What is different from what is saved, and how many records there will be.
    fn changes(&self, table: &RouteTable, leases: &Leases) -> (Vec<Change>, usize) {
        let registered = |route: &Route| route.origin == RouteOrigin::Registered;
        let mut live = self.live;
        let mut changes = Vec::new();
        for change in table.changes_since(&self.saved.table) {
            match change {
                RouteChange::Added(new) if registered(new) => {
                    live += 1;
                    changes.push(Change::Put(RouteRecord::from(&**new)));
                }
                RouteChange::Updated { old, new } if registered(new) => {
                    let record = RouteRecord::from(&**new);
                    // Not all of a route is saved.
                    if record != RouteRecord::from(&**old) {
                        changes.push(Change::Put(record));
                    }
                }
                RouteChange::Removed(old) if registered(old) => {
                    live -= 1;
                    changes.push(Change::Remove(old.id.to_string()));
                }
                _ => {}
            }
        }
        for port in leases.ports.difference(&self.saved.ports) {
            live += 1;
            changes.push(Change::Lease(*port));
        }
        for port in self.saved.ports.difference(&leases.ports) {
            live -= 1;
            changes.push(Change::Release(*port));
        }
        (changes, live)
    }

    /// Undoes what could not be saved, which is all that has happened since what is: who asked for it is told that it
    /// failed, and then it must not be there.
    fn take_back(&self, error: &io::Error) {
        tracing::error!("cannot save to {}: {error}; changes are taken back", self.store.file().display());
        let table = (self.undo)(&self.saved.table);
        let mut leases = 0;
        // Nobody is woken for nothing: the thread would wake itself, and go round for as long as the disk is full.
        self.leases.send_if_modified(|wanted| {
            leases = wanted.version;
            let differ = wanted.ports != self.saved.ports;
            wanted.ports.clone_from(&self.saved.ports);
            differ
        });
        self.progress.send_modify(|progress| {
            progress.routes.fail_to(table, error);
            progress.ports.fail_to(leases, error);
        });
    }
}

impl Outcomes {
    fn fail_to(&mut self, last: u64, error: &io::Error) {
        if last <= self.done {
            return;
        }
        let failure = Failure { first: self.done + 1, last, kind: error.kind(), reason: error.to_string() };
        self.done = last;
        self.failures.push_back(failure);
        if self.failures.len() > FAILURES_KEPT {
            self.failures.pop_front();
        }
    }
}
