//! What is known of a route's health, and how a check changes it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::route::{Route, RouteHealthStatus, RouteStatus};

/// What checks have found out about a route's present target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRecord {
    /// Where the route stands.
    pub status: RouteStatus,
    /// Failed checks in a row; a failed first check is not among them.
    pub failures: u32,
    /// When the last check ended.
    pub last_check: Option<SystemTime>,
    /// How long the last check took.
    pub last_latency: Option<Duration>,
    /// Why the last check failed; `None` where it passed.
    pub last_error: Option<String>,
    /// Whether the target of a route that wakes it did not listen. That is no failure: it starts with its first request.
    pub sleeping: bool,
}

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// The check that belongs to a registration or a move: the server may still be starting, so a failure is not counted.
    First,
    /// Any other: as many failures as the threshold says make the route unhealthy.
    Counted,
}

/// A check that was recorded.
#[derive(Clone, Debug)]
pub struct CheckOutcome {
    /// The route as it was when the check began.
    pub route: Arc<Route>,
    /// What the check was for.
    pub kind: CheckKind,
    /// The status before.
    pub before: RouteStatus,
    /// The record now.
    pub record: HealthRecord,
    /// What the check found.
    pub health: RouteHealthStatus,
}

impl Default for HealthRecord {
    /// Nothing is known: pending, no failures.
    fn default() -> Self {
        Self {
            status: RouteStatus::Pending,
            failures: 0,
            last_check: None,
            last_latency: None,
            last_error: None,
            sleeping: false,
        }
    }
}

impl HealthRecord {
    /// This record after a check that ended at `now`. `too_many` says whether so many failures make a route unhealthy.
    #[must_use]
    pub(super) fn after(
        &self,
        kind: CheckKind,
        health: &RouteHealthStatus,
        now: SystemTime,
        too_many: impl FnOnce(u32) -> bool,
    ) -> Self {
        let (status, failures) = match (kind, health.healthy) {
            (_, true) => (RouteStatus::Active, 0),
            (CheckKind::First, false) => (RouteStatus::Pending, self.failures),
            (CheckKind::Counted, false) => {
                let failures = self.failures.saturating_add(1);
                (if too_many(failures) { RouteStatus::Unhealthy } else { self.status }, failures)
            }
        };
        let last_error = health.error.clone().filter(|_| !health.healthy);
        let sleeping = false;
        Self { status, failures, last_check: Some(now), last_latency: health.latency, last_error, sleeping }
    }

    /// The record of a target that sleeps, after a check that ended at `now`.
    #[must_use]
    pub(super) fn asleep(now: SystemTime) -> Self {
        Self { last_check: Some(now), sleeping: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_move_as_the_seed_moves_them() {
        use CheckKind::{Counted, First};
        use RouteStatus::{Active, Pending, Unhealthy};
        let table: [&[(CheckKind, bool, RouteStatus, u32)]; 5] = [
            &[(First, true, Active, 0), (Counted, false, Active, 1), (Counted, false, Active, 2)],
            &[(First, false, Pending, 0), (Counted, false, Pending, 1), (Counted, true, Active, 0)],
            &[(First, false, Pending, 0), (Counted, false, Pending, 1), (Counted, false, Pending, 2)],
            &[
                (First, true, Active, 0),
                (Counted, false, Active, 1),
                (Counted, false, Active, 2),
                (Counted, false, Unhealthy, 3),
                (Counted, false, Unhealthy, 4),
                (Counted, true, Active, 0),
                (Counted, false, Active, 1),
            ],
            &[(Counted, false, Pending, 1), (First, true, Active, 0), (First, false, Pending, 0)],
        ];
        for (row, steps) in table.iter().enumerate() {
            let mut record = HealthRecord::default();
            for (step, &(kind, healthy, status, failures)) in steps.iter().enumerate() {
                let error = (!healthy).then(|| "no".to_owned());
                let health = RouteHealthStatus { healthy, error: error.clone(), ..Default::default() };
                record = record.after(kind, &health, SystemTime::now(), |f| f >= 3);
                assert_eq!((record.status, record.failures), (status, failures), "row {row}, step {step}");
                assert_eq!(record.last_error, error);
            }
        }
    }
}
