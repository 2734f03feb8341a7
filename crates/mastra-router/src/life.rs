//! What is known of a route for as long as it is there, and is never saved: whether its target was ever up, what was said of
//! the command behind it, and, where somebody starts that on demand, how much the route is used.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use crate::report::CommandReport;

/// What happens with a route, and is the same for all its versions in the table until its target or its owner is another.
pub(crate) struct RouteLife {
    /// Whether the target has ever taken a connection. A request reads it where it is refused.
    was_up: AtomicBool,
    /// Whether it has taken one since a check found that nothing listens.
    listens: AtomicBool,
    report: Mutex<Arc<CommandReport>>,
    /// Of a route that wakes what is behind it.
    activity: Option<Arc<Activity>>,
}

impl RouteLife {
    /// Nothing is known. `counts` says whether the use of the route is counted.
    pub(crate) fn new(counts: bool) -> Arc<Self> {
        let activity = counts.then(Arc::default);
        Arc::new(Self {
            was_up: AtomicBool::default(),
            listens: AtomicBool::default(),
            report: Mutex::default(),
            activity,
        })
    }

    /// The same route with another target, if `moved`: what the command wrote is kept, that it ended is not, since it has
    /// moved.
    pub(crate) fn changed(&self, moved: bool, counts: bool) -> Arc<Self> {
        let mut report = self.report();
        if moved && report.ended.is_some() {
            report = Arc::new(CommandReport { ended: None, ..CommandReport::clone(&report) });
        }
        let activity = counts.then(|| self.activity.clone().unwrap_or_default());
        let was_up = AtomicBool::new(self.was_up() && !moved);
        let listens = AtomicBool::new(self.listens() && !moved);
        Arc::new(Self { was_up, listens, report: Mutex::new(report), activity })
    }

    /// Whether the target has ever taken a connection.
    pub(crate) fn was_up(&self) -> bool {
        self.was_up.load(Ordering::Relaxed)
    }

    /// The target takes connections.
    pub(crate) fn is_up(&self) {
        if !self.listens() {
            self.was_up.store(true, Ordering::Relaxed);
            self.listens.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the target has taken a connection since it was last found not to listen.
    pub(crate) fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    /// Nothing listens.
    pub(crate) fn is_down(&self) {
        self.listens.store(false, Ordering::Relaxed);
    }

    /// What was said last of the command.
    pub(crate) fn report(&self) -> Arc<CommandReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is said of it now.
    pub(crate) fn set_report(&self, report: CommandReport) {
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(report);
    }

    /// How the route is used, where that is counted.
    pub(crate) fn activity(&self) -> Option<&Arc<Activity>> {
        self.activity.as_ref()
    }
}

/// Two versions of a route are told apart by what they are, not by what happens with them.
impl std::fmt::Debug for RouteLife {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouteLife").finish_non_exhaustive()
    }
}

/// How a route is used at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteActivity {
    /// Requests that wait for the target to listen.
    pub waiting: u64,
    /// Requests that are not answered to their end, WebSockets, streams and those that wait among them.
    pub open: u64,
    /// How many requests have found that nothing listened. A page that comes back by itself asks every time.
    pub asked: u64,
    /// Since when nothing is open; `None` while something is.
    pub idle_since: Option<SystemTime>,
}

/// Counts the use of a route.
#[derive(Default)]
pub(crate) struct Activity(Mutex<Counts>);

struct Counts {
    waiting: u64,
    open: u64,
    asked: u64,
    idle_since: SystemTime,
    /// Counts the changes that a follower is told of.
    version: u64,
    followers: Vec<Waker>,
}

/// Followers that wait at one time; more are woken and come again.
const FOLLOWERS_MOST: usize = 64;

impl Default for Counts {
    fn default() -> Self {
        Self { waiting: 0, open: 0, asked: 0, idle_since: SystemTime::now(), version: 1, followers: Vec::new() }
    }
}

impl Counts {
    fn shown(&self) -> RouteActivity {
        let &Self { waiting, open, asked, idle_since, .. } = self;
        RouteActivity { waiting, open, asked, idle_since: (open == 0).then_some(idle_since) }
    }

    /// Wakes the followers for what they act on: that something begins or that nothing is left, not how much there is.
    fn tell(&mut self) {
        self.version += 1;
        self.followers.drain(..).for_each(Waker::wake);
    }
}

impl Activity {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is now.
    pub(crate) fn now(&self) -> RouteActivity {
        self.counts().shown()
    }

    /// A request that is open for as long as the value is kept.
    pub(crate) fn open(self: &Arc<Self>) -> Open {
        let mut counts = self.counts();
        counts.open += 1;
        if counts.open == 1 {
            counts.tell();
        }
        Open(self.clone())
    }

    /// A request that waits for as long as the value is kept.
    pub(crate) fn wait(self: &Arc<Self>) -> Waiting {
        let mut counts = self.counts();
        counts.waiting += 1;
        counts.asked += 1;
        counts.tell();
        Waiting(self.clone())
    }

    /// How it is, once that is not what was told with the number `seen`; 0 for at once. What comes in between is not told:
    /// this is a state.
    pub(crate) async fn changed(&self, seen: &mut u64) -> RouteActivity {
        poll_fn(|cx| self.poll_changed(seen, cx)).await
    }

    fn poll_changed(&self, seen: &mut u64, cx: &mut Context<'_>) -> Poll<RouteActivity> {
        let mut counts = self.counts();
        if counts.version != *seen {
            *seen = counts.version;
            return Poll::Ready(counts.shown());
        }
        if !counts.followers.iter().any(|waker| waker.will_wake(cx.waker())) {
            if counts.followers.len() >= FOLLOWERS_MOST {
                counts.followers.drain(..).for_each(Waker::wake);
            }
            counts.followers.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// See [`Activity::open`].
pub(crate) struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.open -= 1;
        if counts.open == 0 {
            counts.idle_since = SystemTime::now();
            counts.tell();
        }
    }
}

/// See [`Activity::wait`].
pub(crate) struct Waiting(Arc<Activity>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.waiting -= 1;
        if counts.waiting == 0 {
            counts.tell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_is_counted_and_told() {
        let activity: Arc<Activity> = Arc::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = 0;
        let Poll::Ready(now) = activity.poll_changed(&mut seen, &mut cx) else { panic!("it is told at once") };
        assert_eq!((now.open, now.waiting, now.asked), (0, 0, 0));
        assert!(now.idle_since.is_some());
        assert!(activity.poll_changed(&mut seen, &mut cx).is_pending());
        let first = activity.open();
        assert!(activity.poll_changed(&mut seen, &mut cx).is_ready());
        let second = activity.open();
        let waiting = activity.wait();
        let Poll::Ready(now) = activity.poll_changed(&mut seen, &mut cx) else { panic!("one waits") };
        assert_eq!(now, RouteActivity { waiting: 1, open: 2, asked: 1, idle_since: None });
        drop(waiting);
        drop((first, second));
        let Poll::Ready(now) = activity.poll_changed(&mut seen, &mut cx) else { panic!("all have ended") };
        assert_eq!((now.open, now.waiting, now.asked), (0, 0, 1));
        assert!(now.idle_since.is_some());
    }

    #[test]
    fn followers_are_bounded() {
        struct Nothing;
        impl std::task::Wake for Nothing {
            fn wake(self: Arc<Self>) {}
        }
        let activity: Arc<Activity> = Arc::default();
        for _ in 0..1000 {
            let waker = Waker::from(Arc::new(Nothing));
            assert!(activity.poll_changed(&mut 1, &mut Context::from_waker(&waker)).is_pending());
        }
        assert!(activity.counts().followers.len() <= FOLLOWERS_MOST);
    }

    #[test]
    fn a_move_forgets_what_was_of_the_old_target() {
        let life = RouteLife::new(true);
        life.is_up();
        let ended = Some("exited with 1".to_owned());
        life.set_report(CommandReport { output: vec!["x".into()], ended, lease: None });
        let same = life.changed(false, true);
        assert!(same.was_up() && same.report().ended.is_some());
        let moved = life.changed(true, true);
        assert!(!moved.was_up());
        assert_eq!((moved.report().output.len(), &moved.report().ended), (1, &None));
        assert!(Arc::ptr_eq(life.activity().unwrap(), moved.activity().unwrap()), "its use goes on");
        assert!(moved.changed(false, false).activity().is_none());
    }
}
