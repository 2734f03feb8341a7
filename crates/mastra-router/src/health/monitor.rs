//! The health of all routes: a snapshot of its own beside the table, and the checks that keep it.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::{FutureExt, Shared, WeakShared};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::checker::{Finding, HealthChecker};
use super::periodic;
use super::record::{CheckKind, CheckOutcome, HealthRecord};
use crate::route::{Route, RouteHealthStatus, RouteId};
use crate::table::RouteTable;

/// What a check says of a target that sleeps.
const SLEEPS: &str = "it sleeps, and starts with its first request";
/// Suspicions that may wait to be looked at. More are dropped: the periodic check comes anyway.
const SUSPECTS_MAX: usize = 256;
/// Records of routes that are gone are looked for when there are this many more than twice the routes.
const RECORDS_SPARE: usize = 64;

/// How often and how many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Time from one periodic check of a route to the next, a tenth more or less.
    pub interval: Duration,
    /// Periodic checks at one time; and as many at one time for callers of [`HealthMonitor::check`].
    pub concurrency: usize,
    /// Periodic checks a second, of all routes. Where the interval would ask for more, it is stretched: 100,000 routes
    /// must not cost the proxy its time. Default: 200, about two hundredths of a core.
    pub most_per_second: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), concurrency: 64, most_per_second: 200 }
    }
}

/// Handle to the health of all routes. Clones are the same monitor; with the last one its task ends.
#[derive(Clone)]
pub struct HealthMonitor {
    owner: Arc<Owner>,
}

/// Ends the periodic task when the last handle goes.
struct Owner {
    shared: Arc<Health>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What handles and the periodic task have in common.
pub(super) struct Health {
    pub(super) checker: HealthChecker,
    pub(super) settings: HealthSettings,
    pub(super) routes: watch::Receiver<Arc<RouteTable>>,
    pub(super) suspects: tokio::sync::Mutex<mpsc::Receiver<RouteId>>,
    suspect: mpsc::Sender<RouteId>,
    started: AtomicBool,
    on_checked: Arc<dyn Fn(CheckOutcome) + Send + Sync>,
    /// Of the checks that callers ask for.
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with the revision of the target it is about.
    records: HashMap<RouteId, (u64, HealthRecord)>,
    /// Each with its number: one that was given up must not take its successor off the list.
    flights: HashMap<(RouteId, u64), (u64, WeakShared<Flight>)>,
    next_flight: u64,
}

/// A check that is going on. Whoever waits for it drives it, so it ends when the last of them goes, and goes on when any
/// other does.
type Flight = Pin<Box<dyn Future<Output = RouteHealthStatus> + Send>>;

impl HealthMonitor {
    /// A monitor of the routes of a table. Nothing is checked before [`check`](Self::check) or [`start`](Self::start).
    ///
    /// `on_checked` is called after every check that was recorded, for one route in the order of its checks, and must not
    /// block.
    pub fn new(
        checker: HealthChecker,
        settings: HealthSettings,
        routes: watch::Receiver<Arc<RouteTable>>,
        on_checked: Arc<dyn Fn(CheckOutcome) + Send + Sync>,
    ) -> Self {
        let (suspect, suspects) = mpsc::channel(SUSPECTS_MAX);
        let shared = Arc::new(Health {
            checker,
            settings,
            routes,
            suspects: tokio::sync::Mutex::new(suspects),
            suspect,
            started: AtomicBool::new(false),
            on_checked,
            permits: Semaphore::new(settings.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            state: Mutex::default(),
        });
        Self { owner: Arc::new(Owner { shared, task: Mutex::new(None) }) }
    }

    /// What is known of a route's present target. What was found out about another one counts for nothing.
    pub fn record(&self, route: &Route) -> HealthRecord {
        self.owner.shared.record(route)
    }

    /// Checks a route's target and records the result, unless the route was moved or removed meanwhile. While the same
    /// target is being checked already, this waits for that check, whatever its kind, and returns its result.
    ///
    /// Takes no longer than the checker's timeout, also while many others wait. The connection belongs to the runtime of
    /// whoever asks first, so all callers are to be on runtimes that live as long.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the check to the others that wait for it; without any it is given up, not recorded.
    pub async fn check(&self, route: &Arc<Route>, kind: CheckKind) -> RouteHealthStatus {
        self.owner.shared.check(route, kind, Pace::Caller).await
    }

    /// Checks every route of the table from now on, about every interval, in a task of `runtime`. Does nothing while that
    /// is so already.
    pub fn start(&self, runtime: &Handle) {
        let mut task = self.owner.task();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            self.owner.shared.started.store(true, Ordering::Relaxed);
            *task = Some(runtime.spawn(periodic::run(self.owner.shared.clone())));
        }
    }

    /// Ends periodic checking; checks that nobody else waits for are given up. Does nothing where it is not going on.
    pub fn stop(&self) {
        drop(self.owner.stop());
    }

    /// As [`stop`](Self::stop), and waits until the task is gone.
    ///
    /// # Cancel safety
    /// The task ends even if this is dropped.
    pub async fn stopped(&self) {
        let task = self.owner.stop();
        if let Some(task) = task {
            // An aborted task is what was asked for.
            let _ = task.await;
        }
    }

    /// True while periodic checking goes on.
    pub fn is_started(&self) -> bool {
        self.owner.shared.started.load(Ordering::Relaxed)
    }

    /// Tells that a target refused a connection, or takes them again: its route's next periodic check comes at once, though not within a second
    /// of the last one. Never blocks; may be lost; does nothing while periodic checking is off.
    pub fn suspect(&self, id: &RouteId) {
        if self.is_started() {
            let _ = self.owner.shared.suspect.try_send(id.clone());
        }
    }
}

impl fmt::Debug for HealthMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.owner.shared;
        f.debug_struct("HealthMonitor")
            .field("checker", &shared.checker)
            .field("settings", &shared.settings)
            .finish_non_exhaustive()
    }
}

impl Owner {
    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) -> Option<JoinHandle<()>> {
        let mut task = self.task();
        self.shared.started.store(false, Ordering::Relaxed);
        let task = task.take()?;
        task.abort();
        Some(task)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What bounds the number of checks at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Callers share permits.
    Caller,
    /// The periodic task counts its own checks, so that waiting callers do not hold it up.
    Periodic,
}

impl Health {
    fn record(&self, route: &Route) -> HealthRecord {
        match self.state().records.get(&route.id) {
            Some((revision, record)) if *revision == route.target_revision => record.clone(),
            _ => HealthRecord::default(),
        }
    }

    /// Drops what is known of a route that is gone.
    pub(super) fn forget(&self, id: &RouteId) {
        self.state().records.remove(id);
    }

    pub(super) async fn check(self: &Arc<Self>, route: &Arc<Route>, kind: CheckKind, pace: Pace) -> RouteHealthStatus {
        self.flight(route, kind, pace).await
    }

    /// The check of this target that is going on, or a new one.
    fn flight(self: &Arc<Self>, route: &Arc<Route>, kind: CheckKind, pace: Pace) -> Shared<Flight> {
        let key = (route.id.clone(), route.target_revision);
        let mut state = self.state();
        if let Some(flight) = state.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        let number = state.next_flight;
        state.next_flight += 1;
        let landing = Landing { health: self.clone(), key: key.clone(), number };
        let (health, route) = (self.clone(), route.clone());
        let flight: Flight = Box::pin(async move {
            let Finding { health: mut found, refused } = health.find_out(&route, pace).await;
            let sleeps = route.spec.wake && refused;
            if sleeps {
                found.error = Some(SLEEPS.to_owned());
            }
            // Before the landing, so that results are stored in the order of the checks.
            health.store(&route, kind, &found, sleeps);
            drop(landing);
            found
        });
        let flight = flight.shared();
        if let Some(weak) = flight.downgrade() {
            state.flights.insert(key, (number, weak));
        }
        flight
    }

    async fn find_out(&self, route: &Route, pace: Pace) -> Finding {
        let start = Instant::now();
        let _permit = match pace {
            Pace::Periodic => None,
            // The wait is part of the check's time: no caller waits longer than the timeout.
            Pace::Caller => match tokio::time::timeout(self.checker.timeout(), self.permits.acquire()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return Finding { health: self.checker.timed_out(start), refused: false },
            },
        };
        self.checker.check_since(start, &route.spec.target, route.spec.health_path.as_ref()).await
    }

    fn store(&self, route: &Arc<Route>, kind: CheckKind, health: &RouteHealthStatus, sleeps: bool) {
        if health.status_code.is_some() {
            route.life.is_up();
        } else if sleeps {
            route.life.is_down();
        }
        let table = self.routes.borrow().clone();
        if table.get(route.id.as_str()).is_none_or(|now| now.target_revision != route.target_revision) {
            return;
        }
        let mut state = self.state();
        if state.records.len() > 2 * table.len() + RECORDS_SPARE {
            state.records.retain(|id, _| table.get(id.as_str()).is_some());
        }
        let before = match state.records.get(&route.id) {
            // A later revision has been checked since the table was read.
            Some((revision, _)) if *revision > route.target_revision => return,
            Some((revision, record)) if *revision == route.target_revision => record.clone(),
            _ => HealthRecord::default(),
        };
        let record = if sleeps {
            HealthRecord::asleep(SystemTime::now())
        } else {
            before.after(kind, health, SystemTime::now(), |f| self.checker.should_mark_unhealthy(f))
        };
        state.records.insert(route.id.clone(), (route.target_revision, record.clone()));
        drop(state);
        let outcome =
            CheckOutcome { route: route.clone(), kind, before: before.status, record, health: health.clone() };
        (self.on_checked)(outcome);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the list when it ends or is given up.
struct Landing {
    health: Arc<Health>,
    key: (RouteId, u64),
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.health.state();
        if state.flights.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            state.flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RouteRegistry;
    use crate::route::{HealthPath, RouteConfig, RouteSpec};

    #[test]
    fn routes_that_come_and_go_leave_no_records() {
        let registry = RouteRegistry::new(true);
        let path = HealthPath::parse("/").unwrap().unwrap();
        let checker = HealthChecker::new(path, Duration::from_secs(1), 3);
        let monitor = HealthMonitor::new(checker, HealthSettings::default(), registry.reader(), Arc::new(|_| {}));
        let health = &monitor.owner.shared;
        let add = |i: u32| {
            let spec = RouteSpec::parse(&RouteConfig::new(format!("d{i}"), "p", format!("n{i}"), "localhost", 1));
            let route = registry.add(spec.unwrap()).unwrap();
            health.store(&route, CheckKind::First, &RouteHealthStatus { healthy: true, ..Default::default() }, false);
            route
        };
        let kept = add(0);
        for i in 1..1000 {
            registry.remove(add(i).id.as_str()).unwrap();
            assert!(health.state().records.len() <= 2 * 2 + RECORDS_SPARE + 1);
        }
        assert_eq!(monitor.record(&kept).status, crate::route::RouteStatus::Active);
    }
}
