//! Keeps the hosts file in step with the routes: after every change, and again where that failed.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::change::{HostsChange, HostsEdit};
use super::manager::HostsManager;
use crate::config::HostsMode;
use crate::error::{Result, RouterError};
use crate::name::{BaseDomain, RouteName};
use crate::table::RouteTable;

/// Pause before the file is tried again, after a first failure and at most.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(60);

/// A task that writes the names of all routes to the hosts file. When it is stopped or dropped, they go again.
pub struct HostsFollower {
    /// Counts those who wait for the file; the task looks at the routes anew for each.
    asked: Arc<watch::Sender<u64>>,
    outcome: watch::Receiver<Outcome>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
    base: BaseDomain,
}

/// What the last write came to.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// The count of [`HostsFollower::asked`] before the routes were read that were written.
    answered: u64,
    /// Why nothing could be written.
    failed: Option<Arc<RouterError>>,
    /// Why single names were left out.
    refused: Arc<HashMap<String, RouterError>>,
}

impl HostsFollower {
    /// Follows the routes of a table, in a task of `runtime`. The first write comes at once, and replaces what a router of
    /// the same owner left that was killed.
    ///
    /// The mode only decides how a failure is told: with [`HostsMode::Required`] whoever registers the route hears of it
    /// by [`HostsFollower::written`], else the log does.
    pub fn start(
        runtime: &Handle,
        routes: watch::Receiver<Arc<RouteTable>>,
        base: BaseDomain,
        mode: HostsMode,
        manager: HostsManager,
    ) -> Self {
        let asked = Arc::new(watch::Sender::new(0));
        let (publish, outcome) = watch::channel(Outcome::default());
        let (stop, stopping) = watch::channel(false);
        let work = Work { routes, base: base.clone(), mode, manager, asked: asked.subscribe(), publish, said: None };
        let task = Mutex::new(Some(runtime.spawn(work.run(stopping))));
        Self { asked, outcome, stop, task, base }
    }

    /// Waits until the routes as they are now have been written, or could not be.
    ///
    /// # Errors
    /// [`RouterError::HostsFile`] or [`RouterError::HostsDenied`] for the file; [`RouterError::HostsName`] or
    /// [`RouterError::HostsTaken`] for this name, whatever happened to others; [`RouterError::Closed`] after a stop.
    ///
    /// # Cancel safety
    /// Dropping the future ends the waiting, not the write.
    pub async fn written(&self, name: &RouteName) -> Result<()> {
        let outcome = self.attempted().await.ok_or(RouterError::Closed)?;
        let host = host(name, &self.base);
        match (outcome.failed.as_deref(), outcome.refused.get(&host)) {
            (Some(error), _) | (None, Some(error)) => Err(again(error)),
            (None, None) => Ok(()),
        }
    }

    /// Waits until the routes as they are now have been written, or could not be, whatever came of it.
    ///
    /// # Cancel safety
    /// As [`written`](Self::written).
    pub async fn tried(&self) {
        let _ = self.attempted().await;
    }

    /// What came of the next attempt; `None` after a stop.
    async fn attempted(&self) -> Option<Outcome> {
        let mut ticket = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            ticket = *asked;
        });
        let mut outcomes = self.outcome.clone();
        let outcome = outcomes.wait_for(|outcome| outcome.answered >= ticket).await;
        outcome.ok().map(|outcome| outcome.clone())
    }

    /// Ends and leaves the names in the file, for another process of the same owner. A write that is going on may still end.
    pub fn leave(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Removes the names and ends; a write that is going on is finished first. Whoever calls it again waits for the same.
    ///
    /// # Cancel safety
    /// The task ends even if this is dropped.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        // The task has the sender until its end.
        let mut outcomes = self.outcome.clone();
        while outcomes.changed().await.is_ok() {}
    }
}

impl fmt::Debug for HostsFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostsFollower").field("base", &self.base).finish_non_exhaustive()
    }
}

/// What the task works with.
struct Work {
    routes: watch::Receiver<Arc<RouteTable>>,
    base: BaseDomain,
    mode: HostsMode,
    manager: HostsManager,
    asked: watch::Receiver<u64>,
    publish: watch::Sender<Outcome>,
    /// The failure that was told last, so that trying again tells nothing new.
    said: Option<String>,
}

impl Work {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut pause = RETRY_FIRST;
        loop {
            // In this order: the routes of whoever has asked by now are in the table already.
            let answered = *self.asked.borrow_and_update();
            let table = self.routes.borrow_and_update().clone();
            let outcome = self.apply(&table, answered).await;
            self.tell(&outcome);
            // Somebody may mend the file, or take the line away that is in the way of a name.
            let incomplete = outcome.failed.is_some() || !outcome.refused.is_empty();
            let retry = incomplete.then(|| Instant::now() + pause);
            pause = if retry.is_some() { RETRY_MOST.min(pause * 2) } else { RETRY_FIRST };
            self.publish.send_replace(outcome);
            tokio::select! {
                // The handle or the registry being gone is an end as well.
                _ = stopping.wait_for(|stop| *stop) => break,
                changed = self.routes.changed() => if changed.is_err() { break },
                asked = self.asked.changed() => if asked.is_err() { break },
                () = sleep_until(retry) => {}
            }
        }
        // As any other change, it takes out what routers left that were killed.
        if let Err(error) = self.edit(HostsEdit::Sync(Vec::new())).await {
            tracing::warn!(%error, "names of this router are left in the hosts file");
        }
    }

    /// Makes the file say what this table says. Start-up, a change, a retry and the recovery from a crash are all this.
    async fn apply(&self, table: &RouteTable, answered: u64) -> Outcome {
        let names = table.iter().map(|route| host(&route.spec.name, &self.base)).collect();
        match self.edit(HostsEdit::Sync(names)).await {
            Ok(change) => {
                let refused = Arc::new(change.refused.into_iter().collect());
                Outcome { answered, failed: None, refused }
            }
            Err(error) => Outcome { answered, failed: Some(Arc::new(error)), refused: Arc::default() },
        }
    }

    /// On a thread that may block, and to its end, whoever waits for it.
    async fn edit(&self, edit: HostsEdit) -> Result<HostsChange> {
        let manager = self.manager.clone();
        let done = tokio::task::spawn_blocking(move || manager.apply(&edit)).await;
        done.map_err(|error| RouterError::Thread { source: std::io::Error::other(error) })?
    }

    fn tell(&mut self, outcome: &Outcome) {
        let mut refused: Vec<String> = outcome.refused.values().map(ToString::to_string).collect();
        refused.sort_unstable();
        let said = outcome.failed.iter().map(ToString::to_string).chain(refused).collect::<Vec<_>>().join("; ");
        if said.is_empty() {
            if self.said.take().is_some() {
                tracing::info!("the hosts file has all names again");
            }
        } else if self.said.as_ref() != Some(&said) {
            let hint = outcome.failed.as_ref().and_then(|error| error.hint()).unwrap_or_default();
            match self.mode {
                HostsMode::Required => tracing::error!(hint, "hosts file: {said}"),
                HostsMode::Off | HostsMode::BestEffort => tracing::warn!(hint, "hosts file: {said}"),
            }
            self.said = Some(said);
        }
    }
}

/// The host that a route answers at.
fn host(name: &RouteName, base: &BaseDomain) -> String {
    format!("{name}.{base}")
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The same error for another one who waits; those of a hosts file hold nothing that cannot be said twice.
fn again(error: &RouterError) -> RouterError {
    match error {
        RouterError::HostsDenied { path, action } => RouterError::HostsDenied { path: path.clone(), action },
        RouterError::HostsFile { path, line, reason } => {
            RouterError::HostsFile { path: path.clone(), line: *line, reason: reason.clone() }
        }
        RouterError::HostsName { name, reason } => {
            RouterError::HostsName { name: name.clone(), reason: reason.clone() }
        }
        RouterError::HostsTaken { name, path, line, address } => {
            let (name, path, address) = (name.clone(), path.clone(), address.clone());
            RouterError::HostsTaken { name, path, line: *line, address }
        }
        other => RouterError::Thread { source: std::io::Error::other(other.to_string()) },
    }
}
