//! Saved state in the router: what was saved is put back before anything follows the table, and a change is
//! acknowledged once it is saved.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;

use super::admission::check_saved;
use super::{Inner, LocalEdgeRouter};
use crate::config::LocalEdgeRouterConfig;
use crate::error::Result;
use crate::event::RouterEvent;
use crate::health::HealthMonitor;
use crate::persist::{Opened, Saver, Snapshot, Store, UndoRoutes};
use crate::ports::PortManager;
use crate::registry::{Reverted, RouteRegistry};
use crate::route::{Route, RouteOrigin};
use crate::target::TargetHost;
use crate::url::PublicUrls;

/// How long a start waits for the names of saved targets. A name service answers within milliseconds, or is not there.
const NAMES_MOST: Duration = Duration::from_secs(1);
/// Names that are asked for at one time: each takes a thread of the runtime.
const NAMES_AT_ONCE: usize = 16;
/// Pauses before names that did not resolve are asked for again, doubling from the one to the other.
const NAMES_AGAIN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// The saved side of a router.
pub(super) struct Saving {
    pub(super) saver: Saver,
    warnings: Vec<String>,
    /// Routes registered before this one come from the file.
    first_new: u64,
    /// Ports that were leased before this router started. Nobody of this run has asked for them.
    earlier_leases: Mutex<BTreeSet<u16>>,
    /// Ports that are being given back.
    releasing: Arc<Mutex<BTreeSet<u16>>>,
    resolving: Mutex<Option<AbortHandle>>,
}

/// What was put back, before it is followed.
pub(super) struct Restored {
    store: Store,
    saved: Snapshot,
    leased: BTreeSet<u16>,
    warnings: Vec<String>,
    first_new: u64,
}

impl Restored {
    /// Puts back the routes and leases saved in `dir`. What cannot be is named in the warnings, and then the file is kept
    /// under another name: it is no reason not to start.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(super) fn from(
        dir: &Path,
        config: &LocalEdgeRouterConfig,
        registry: &RouteRegistry,
        manager: &PortManager,
    ) -> Result<Self> {
        let Opened { mut store, routes, ports, mut warnings, unfit } = Store::open(dir)?;
        let first_new = routes.last().map_or(0, |route| route.sequence + 1);
        let mut left_out: Vec<String> = unfit.iter().map(|why| format!("a saved route was left out: {why}")).collect();
        let mut servable = Vec::with_capacity(routes.len());
        for route in routes {
            match check_saved(config, &route.spec) {
                Ok(()) => servable.push(route),
                Err(error) => left_out.push(omitted(&route, &error)),
            }
        }
        for (route, error) in registry.restore(servable) {
            left_out.push(omitted(&route, &error));
        }
        let saved = Snapshot { table: registry.table(), ports };
        // Once these are followed, that they have gone is written down.
        for route in saved.table.iter() {
            if let Some(lease) = route.spec.lease.as_deref().filter(|lease| lease.has_ended()) {
                registry.end_lease(route.id.as_str(), lease);
            }
        }
        if !left_out.is_empty() {
            let kept = store.put_aside(&saved)?;
            warnings.append(&mut left_out);
            warnings.push(format!("the file with all routes is kept as {}", kept.display()));
        }
        let mut leased = BTreeSet::new();
        for &port in &saved.ports {
            match manager.take_again(port) {
                Ok(true) => _ = leased.insert(port),
                Ok(false) => warnings.push(format!("port {port} is not leased again: another router leased it")),
                Err(error) => warnings.push(format!("port {port} is not leased again: {error}")),
            }
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self { store, saved, leased, warnings, first_new })
    }

    /// Follows the table from now on.
    pub(super) fn follow(self, registry: &RouteRegistry, undo: UndoRoutes) -> Result<Saving> {
        let saver = Saver::start(self.store, self.saved, self.leased.clone(), registry.reader(), undo)?;
        Ok(Saving {
            saver,
            warnings: self.warnings,
            first_new: self.first_new,
            earlier_leases: Mutex::new(self.leased),
            releasing: Arc::default(),
            resolving: Mutex::default(),
        })
    }
}

fn omitted(route: &Route, error: &crate::error::RouterError) -> String {
    format!("the saved route {} of deployment {} was left out: {error}", route.spec.name, route.spec.deployment_id)
}

/// Takes back what could not be saved, and says so.
pub(super) fn undo(
    registry: Arc<RouteRegistry>,
    urls: Arc<PublicUrls>,
    health: HealthMonitor,
    events: broadcast::Sender<RouterEvent>,
) -> UndoRoutes {
    Box::new(move |saved| {
        let (reverted, version) = registry.revert_to(saved);
        for Reverted { was, became } in reverted {
            let info = |route: &Route| urls.info(route, health.record(route));
            let event = match (&was, &became) {
                (Some(old), Some(_)) => RouterEvent::Updated(info(old)),
                (Some(old), None) => RouterEvent::Registered(info(old)),
                (None, Some(new)) => RouterEvent::Removed(info(new)),
                (None, None) => continue,
            };
            let _ = events.send(event);
        }
        version
    })
}

impl Saving {
    /// Whether a configured route goes before this one.
    pub(super) fn gives_way(&self, route: &Route) -> bool {
        route.origin == RouteOrigin::Registered && route.sequence < self.first_new
    }

    /// A port that was leased before this router started, and that nothing speaks for any more: no route leads to it, and
    /// nobody listens. It is spoken for from now on.
    pub(super) fn forgotten_lease(&self, routed: &BTreeSet<u16>, manager: &PortManager) -> Option<u16> {
        let mut earlier = self.earlier_leases.lock().unwrap_or_else(PoisonError::into_inner);
        let is_forgotten = |port: &u16| manager.is_of_range(*port) && !routed.contains(port) && manager.is_idle(*port);
        let port = earlier.iter().copied().find(is_forgotten)?;
        earlier.remove(&port);
        Some(port)
    }

    /// The right to give a port back, for as long as the value is kept: of several who want to at once, one has it, since
    /// the port may be leased anew as soon as it was given back. Whoever leases it then is not of an earlier run.
    pub(super) fn begin_release(&self, port: u16) -> Option<Releasing> {
        let begun = self.releasing.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        begun.then(|| Releasing { all: self.releasing.clone(), port })
    }

    /// A port of an earlier run that was given back is of no earlier run any more.
    pub(super) fn released(&self, port: u16) {
        self.earlier_leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }

    /// Ends what runs, once everything is saved.
    pub(super) async fn stop(&self) {
        if let Some(task) = self.resolving.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        self.saver.stop().await;
    }
}

/// See [`Saving::begin_release`].
pub(super) struct Releasing {
    all: Arc<Mutex<BTreeSet<u16>>>,
    port: u16,
}

impl Drop for Releasing {
    fn drop(&mut self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.port);
    }
}

impl LocalEdgeRouter {
    /// The file that routes and leases are saved in; `None` where nothing is saved.
    pub fn state_file(&self) -> Option<PathBuf> {
        self.inner.saving.as_ref().map(|saving| saving.saver.file().clone())
    }

    /// What of the saved state could not be put back when this router was made, in sentences for people.
    pub fn warnings(&self) -> &[String] {
        self.inner.saving.as_ref().map_or(&[], |saving| &saving.warnings)
    }

    /// Resolves the names of saved targets, whose addresses are not saved. One that does not resolve is asked for again
    /// until it does; meanwhile its route is there and answers as one whose target does not listen.
    pub(super) async fn resolve_saved(&self) {
        let Some(saving) = &self.inner.saving else { return };
        if self.inner.unresolved().is_empty() {
            return;
        }
        let (done, first_round) = oneshot::channel();
        let task = tokio::spawn(resolve_until_done(Arc::downgrade(&self.inner), done)).abort_handle();
        let before = saving.resolving.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(before) = before {
            before.abort();
        }
        // Later is soon enough where it takes long.
        let _ = tokio::time::timeout(NAMES_MOST, first_round).await;
    }
}

async fn resolve_until_done(router: Weak<Inner>, first_round: oneshot::Sender<()>) {
    let mut first_round = Some(first_round);
    let [mut pause, most] = NAMES_AGAIN;
    loop {
        let Some(inner) = router.upgrade() else { return };
        let all = inner.unresolved();
        stream::iter(&all)
            .for_each_concurrent(NAMES_AT_ONCE, |route| inner.resolve_again(route, first_round.is_some()))
            .await;
        if let Some(first_round) = first_round.take() {
            let _ = first_round.send(());
        }
        if inner.unresolved().is_empty() {
            return;
        }
        drop(inner);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(most);
    }
}

impl Inner {
    /// Returns once the changes up to this version of the table are saved, where anything is.
    pub(super) async fn saved(&self, version: u64) -> Result<()> {
        match &self.saving {
            Some(saving) => saving.saver.saved(version).await,
            None => Ok(()),
        }
    }

    fn unresolved(&self) -> Vec<Arc<Route>> {
        let named = |route: &&Arc<Route>| matches!(route.spec.target.host(), TargetHost::Name { pinned, .. } if pinned.is_empty());
        self.registry.table().iter().filter(named).cloned().collect()
    }

    async fn resolve_again(&self, route: &Route, say: bool) {
        match self.resolve(route.spec.target.clone()).await {
            Ok(target) => {
                // Where the route has gone, or leads elsewhere by now, there is nothing to do.
                let _ = self.registry.update(route.id.as_str(), |spec| {
                    let mut spec = spec.clone();
                    if spec.target == route.spec.target {
                        spec.target = target;
                    }
                    Ok(spec)
                });
            }
            Err(error) if say => tracing::warn!("the saved route {} leads nowhere yet: {error}", route.spec.name),
            Err(_) => {}
        }
    }
}
