//! How long an app that crashed rests before it is started anew.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(30);
/// After this long in which it was there, a crash is the first one again.
const GOOD: Duration = Duration::from_secs(10);

/// The pauses of one app.
#[derive(Debug)]
pub(crate) struct BackOff {
    next: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl BackOff {
    /// The pause after a crash; `ready_since` is when it was there, if it was.
    pub(crate) fn pause(&mut self, ready_since: Option<Instant>, now: Instant) -> Duration {
        if ready_since.is_some_and(|since| now.saturating_duration_since(since) >= GOOD) {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(MOST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_limit_and_begins_anew_after_a_good_while() {
        let mut back_off = BackOff::default();
        let now = Instant::now();
        let mut seconds = |ready_since| back_off.pause(ready_since, now + GOOD).as_secs();
        let pauses: Vec<u64> = (0..7).map(|_| seconds(None)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(seconds(Some(now + Duration::from_secs(1))), 30, "it was there for too short a time");
        assert_eq!(seconds(Some(now)), 1);
        assert_eq!(seconds(None), 2);
    }
}
