//! When which route is checked next. Pure: the time is given, nothing waits here.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::route::RouteId;

/// A route whose target keeps refusing is checked early no more often than this.
const SUSPECT_PAUSE: Duration = Duration::from_secs(1);

/// The next check of every route, each about every interval.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    most_per_second: u32,
    slots: HashMap<RouteId, Slot>,
    /// Earliest first. An entry that is not its slot's `due` was overtaken and is skipped.
    queue: BinaryHeap<Reverse<(Instant, RouteId)>>,
    random: u64,
}

#[derive(Debug)]
struct Slot {
    due: Instant,
    last_start: Option<Instant>,
    running: bool,
}

impl Schedule {
    pub(super) fn new(interval: Duration, most_per_second: u32) -> Self {
        // Spreading checks protects nothing, so the randomness of the standard library's hasher is enough.
        let random = RandomState::new().hash_one("schedule") | 1;
        Self { interval, most_per_second, slots: HashMap::new(), queue: BinaryHeap::new(), random }
    }

    /// Adds a route. Its first check lies anywhere within an interval, so that routes added together are not checked
    /// together.
    pub(super) fn add(&mut self, id: &RouteId, now: Instant) {
        if !self.slots.contains_key(id) {
            let due = now + self.pace().mul_f64(self.fraction());
            self.slots.insert(id.clone(), Slot { due, last_start: None, running: false });
            self.queue.push(Reverse((due, id.clone())));
        }
    }

    pub(super) fn remove(&mut self, id: &RouteId) {
        self.slots.remove(id);
    }

    /// Removes the routes that `is_there` denies.
    pub(super) fn retain(&mut self, is_there: impl Fn(&RouteId) -> bool) {
        self.slots.retain(|id, _| is_there(id));
        self.queue.retain(|Reverse((_, id))| is_there(id));
    }

    /// Number of routes.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// When the next check is due.
    pub(super) fn next_due(&mut self) -> Option<Instant> {
        loop {
            let Reverse((due, id)) = self.queue.peek()?;
            if self.slots.get(id).is_some_and(|slot| slot.due == *due && !slot.running) {
                return Some(*due);
            }
            self.queue.pop();
        }
    }

    /// Takes the route whose check is due by `now`, if there is one. It is not due again before
    /// [`finished`](Self::finished).
    pub(super) fn take_due(&mut self, now: Instant) -> Option<RouteId> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, id)) = self.queue.pop()?;
        let slot = self.slots.get_mut(&id)?;
        slot.running = true;
        slot.last_start = Some(now);
        Some(id)
    }

    /// Plans a route's next check, an interval after the start of the one that has ended; a tenth more or less, so that
    /// routes do not fall into step.
    pub(super) fn finished(&mut self, id: &RouteId, now: Instant) {
        let jittered = self.pace().mul_f64(0.9 + 0.2 * self.fraction());
        if let Some(slot) = self.slots.get_mut(id) {
            slot.running = false;
            slot.due = (slot.last_start.unwrap_or(now) + jittered).max(now);
            self.queue.push(Reverse((slot.due, id.clone())));
        }
    }

    /// Time from one check of a route to the next: the interval, or longer where so many routes in one interval would be
    /// more checks a second than are allowed.
    fn pace(&self) -> Duration {
        let least = self.slots.len() as f64 / f64::from(self.most_per_second.max(1));
        self.interval.max(Duration::from_secs_f64(least))
    }

    /// Brings the next check of a route forward.
    pub(super) fn suspect(&mut self, id: &RouteId, now: Instant) {
        let Some(slot) = self.slots.get_mut(id).filter(|slot| !slot.running) else { return };
        let earliest = slot.last_start.map_or(now, |start| (start + SUSPECT_PAUSE).max(now));
        if earliest < slot.due {
            slot.due = earliest;
            self.queue.push(Reverse((earliest, id.clone())));
        }
    }

    /// From 0 up to, not including, 1 (xorshift).
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn ids(count: u32) -> Vec<RouteId> {
        (0..count).map(|i| RouteId::from(format!("route_{i:08x}").as_str())).collect()
    }

    fn take_all(schedule: &mut Schedule, now: Instant) -> usize {
        std::iter::from_fn(|| schedule.take_due(now)).count()
    }

    #[test]
    fn first_checks_are_spread_over_an_interval() {
        let begin = Instant::now();
        let mut schedule = Schedule::new(INTERVAL, u32::MAX);
        for id in ids(10_000) {
            schedule.add(&id, begin);
        }
        for second in 1..=30 {
            let taken = take_all(&mut schedule, begin + Duration::from_secs(second));
            assert!((200..=480).contains(&taken), "{taken} checks in second {second}");
        }
        assert_eq!(schedule.next_due(), None, "all are running");
    }

    #[test]
    fn a_route_is_checked_about_every_interval_and_never_overlaps_itself() {
        let mut schedule = Schedule::new(INTERVAL, u32::MAX);
        let id = &ids(1)[0];
        let mut now = Instant::now();
        schedule.add(id, now);
        schedule.add(id, now);
        let mut gaps = std::collections::BTreeSet::new();
        for _ in 0..100 {
            now = schedule.next_due().unwrap();
            assert_eq!(schedule.take_due(now).as_ref(), Some(id));
            assert_eq!(schedule.take_due(now + 10 * INTERVAL), None, "it is running");
            schedule.suspect(id, now);
            assert_eq!(schedule.next_due(), None, "it is running");
            schedule.finished(id, now + Duration::from_secs(1));
            let gap = schedule.next_due().unwrap() - now;
            assert!(gap >= INTERVAL.mul_f64(0.9) && gap <= INTERVAL.mul_f64(1.1), "{gap:?}");
            gaps.insert(gap.as_millis() / 1000);
        }
        assert!(gaps.len() >= 4, "jitter: {gaps:?}");
        let late = now + 5 * INTERVAL;
        now = schedule.next_due().unwrap();
        schedule.take_due(now).unwrap();
        schedule.finished(id, late);
        assert_eq!(schedule.next_due(), Some(late), "a check that outlasts the interval is followed by the next");
    }

    #[test]
    fn a_suspect_is_checked_at_once_and_once_a_second() {
        let mut schedule = Schedule::new(INTERVAL, u32::MAX);
        let id = &ids(1)[0];
        let begin = Instant::now();
        schedule.add(id, begin);
        schedule.suspect(id, begin);
        assert_eq!(schedule.take_due(begin).as_ref(), Some(id));
        schedule.finished(id, begin);
        for _ in 0..1000 {
            schedule.suspect(id, begin);
        }
        assert_eq!(schedule.next_due(), Some(begin + SUSPECT_PAUSE));
        assert_eq!(take_all(&mut schedule, begin + SUSPECT_PAUSE), 1);
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut schedule = Schedule::new(INTERVAL, u32::MAX);
        let now = Instant::now();
        for id in ids(100) {
            schedule.add(&id, now);
            schedule.remove(&id);
            schedule.finished(&id, now);
            schedule.suspect(&id, now);
        }
        assert_eq!(schedule.next_due(), None);
        assert!(schedule.queue.is_empty() && schedule.slots.is_empty());
    }

    #[test]
    fn many_routes_stretch_the_interval() {
        let mut schedule = Schedule::new(Duration::from_secs(1), 100);
        let start = Instant::now();
        let ids: Vec<RouteId> = (0..1000).map(|i| RouteId::from(format!("r{i}").as_str())).collect();
        ids.iter().for_each(|id| schedule.add(id, start));
        let later = start + Duration::from_secs(20);
        while let Some(id) = schedule.take_due(later) {
            schedule.finished(&id, later);
            // Next to be due after nine seconds at the earliest: a thousand routes at a hundred a second, less a tenth.
            let due = schedule.slots[&id].due;
            assert!(due >= later + Duration::from_secs(9), "{:?}", due - later);
        }
    }
}
