//! The task that checks all routes over and over.

use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::monitor::{Health, Pace};
use super::record::CheckKind;
use super::schedule::Schedule;
use crate::table::RouteTable;

/// Plans of routes that are gone are looked for when there are this many more than twice the routes.
const PLANS_SPARE: usize = 64;

/// Checks routes until it is dropped. One task for all: it sleeps until a check is due, ends, or is asked for, or the
/// table changes.
pub(super) async fn run(health: Arc<Health>) {
    // The run before this one may still be going away; it gives the receiver free when it has.
    let mut suspects = health.suspects.lock().await;
    let mut routes = health.routes.clone();
    let mut routes_end = false;
    let mut plan =
        Plan { schedule: Schedule::new(health.settings.interval, health.settings.most_per_second), newest: None };
    let mut running = FuturesUnordered::new();
    loop {
        let table = routes.borrow_and_update().clone();
        plan.take_up(&table);
        while running.len() < health.settings.concurrency.max(1)
            && let Some(id) = plan.schedule.take_due(Instant::now())
        {
            let Some(route) = table.get(id.as_str()).cloned() else {
                plan.schedule.remove(&id);
                health.forget(&id);
                continue;
            };
            let health = health.clone();
            running.push(async move {
                health.check(&route, CheckKind::Counted, Pace::Periodic).await;
                id
            });
        }
        let room = running.len() < health.settings.concurrency.max(1);
        let due = plan.schedule.next_due().filter(|_| room);
        tokio::select! {
            changed = routes.changed(), if !routes_end => routes_end = changed.is_err(),
            Some(id) = suspects.recv() => plan.schedule.suspect(&id, Instant::now()),
            Some(id) = running.next(), if !running.is_empty() => plan.schedule.finished(&id, Instant::now()),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
        }
    }
}

struct Plan {
    schedule: Schedule,
    /// The newest route that was planned. Newer ones stand at the end of the table, so a change of a large table is
    /// taken up without looking at all of it; what was removed is noticed when it is due.
    newest: Option<u64>,
}

impl Plan {
    fn take_up(&mut self, table: &RouteTable) {
        let now = Instant::now();
        let newest = self.newest;
        for route in table.iter().rev().take_while(|route| newest.is_none_or(|newest| route.sequence > newest)) {
            self.newest = self.newest.max(Some(route.sequence));
            self.schedule.add(&route.id, now);
        }
        if self.schedule.len() > 2 * table.len() + PLANS_SPARE {
            self.schedule.retain(|id| table.get(id.as_str()).is_some());
        }
    }
}
