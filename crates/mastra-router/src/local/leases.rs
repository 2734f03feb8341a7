//! Routes that are leased to a process: each goes when its process has ended.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Inner, LocalEdgeRouter};
use crate::error::Result;
use crate::event::RouterEvent;
use crate::lease::RouteLease;
use crate::route::Route;
use crate::table::RouteTable;

/// Pause between two looks at the processes: whoever looks for the name of a server that has ended is told soon.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The task that looks whether they run.
#[derive(Default)]
pub(super) struct Leases(Mutex<Option<AbortHandle>>);

impl Leases {
    pub(super) fn stop(&self) {
        if let Some(task) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        self.stop();
    }
}

impl LocalEdgeRouter {
    /// Has routes removed whose processes have ended, from now on. Doing it again does nothing.
    pub(super) fn watch_leases(&self) {
        let mut task = self.inner.leases.0.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            let watching = watch_leases(Arc::downgrade(&self.inner), self.inner.registry.reader());
            *task = Some(tokio::spawn(watching).abort_handle());
        }
    }

    pub(super) async fn end_route_lease(&self, route_id: &str, lease: &RouteLease) -> Result<bool> {
        let Some((route, version)) = self.inner.registry.end_lease(route_id, lease) else {
            self.inner.saved(self.inner.registry.table().version()).await?;
            return Ok(false);
        };
        self.inner.ended(&route).await;
        self.inner.saved(version).await?;
        Ok(true)
    }
}

/// Nothing is done while no route is leased.
async fn watch_leases(router: Weak<Inner>, mut routes: watch::Receiver<Arc<RouteTable>>) {
    loop {
        let table = routes.borrow_and_update().clone();
        let leased: Vec<Arc<Route>> = table.iter().filter(|route| route.spec.lease.is_some()).cloned().collect();
        drop(table);
        if leased.is_empty() {
            if routes.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(inner) = router.upgrade() else { return };
        for route in leased {
            let Some(lease) = route.spec.lease.as_deref().filter(|lease| lease.has_ended()) else { continue };
            // It may be another's by now.
            if let Some((route, _)) = inner.registry.end_lease(route.id.as_str(), lease) {
                inner.ended(&route).await;
            }
        }
        drop(inner);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Inner {
    /// Ends the streams that are open through a route.
    pub(super) async fn cut(&self, route: &Route) {
        if let Some(proxy) = &*self.proxy.lock().await {
            proxy.cut(route);
        }
    }

    /// What belongs to the end of a lease, once its route is out of the table.
    async fn ended(&self, route: &Route) {
        self.cut(route).await;
        if self.config.log_routes {
            tracing::info!("[LocalEdgeRouter] Lease ended: {}", route.spec.name);
        }
        let _ = self.events.send(RouterEvent::Removed(self.info(route)));
    }
}
