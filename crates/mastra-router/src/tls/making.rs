//! One making for all who ask for the same thing, on threads that may block.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

/// Threads that make things at one time. What is made takes a fraction of a millisecond of computing and a small file;
/// more threads would take the processor from those that serve.
const WORKERS: usize = 2;

type Make<K, V> = dyn Fn(&K) -> Option<V> + Send + Sync;
/// `None` while it is being made.
type Outcome<V> = Option<Option<V>>;

/// Makes values by key, each once however many ask for it at a time, on the blocking threads of a runtime. Those who wait
/// may do so in any runtime.
pub(super) struct Making<K, V> {
    runtime: Handle,
    make: Box<Make<K, V>>,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    under_way: HashMap<K, watch::Receiver<Outcome<V>>>,
    waiting: VecDeque<(K, watch::Sender<Outcome<V>>)>,
    workers: usize,
}

impl<K, V> Making<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(runtime: Handle, make: impl Fn(&K) -> Option<V> + Send + Sync + 'static) -> Arc<Self> {
        let state = State { under_way: HashMap::new(), waiting: VecDeque::new(), workers: 0 };
        Arc::new(Self { runtime, make: Box::new(make), state: Mutex::new(state) })
    }

    /// What is made of `key`; or what `at_hand` finds, which is asked while no making of it can end unseen.
    ///
    /// # Cancel safety
    /// The making goes on for others.
    pub(super) async fn made(self: &Arc<Self>, key: &K, at_hand: impl FnOnce() -> Option<V>) -> Option<V> {
        let mut outcome = match self.begin(key, at_hand) {
            Ok(value) => return Some(value),
            Err(outcome) => outcome,
        };
        let made = outcome.wait_for(Option::is_some).await;
        made.ok().and_then(|outcome| outcome.clone().flatten())
    }

    /// Begins a making that nobody waits for, unless it is under way.
    pub(super) fn start(self: &Arc<Self>, key: &K) {
        let _ = self.begin(key, || None);
    }

    fn begin(self: &Arc<Self>, key: &K, at_hand: impl FnOnce() -> Option<V>) -> Result<V, watch::Receiver<Outcome<V>>> {
        let receiver = {
            let mut state = self.state();
            if let Some(outcome) = state.under_way.get(key) {
                return Err(outcome.clone());
            }
            if let Some(value) = at_hand() {
                return Ok(value);
            }
            let (sender, receiver) = watch::channel(None);
            state.under_way.insert(key.clone(), receiver.clone());
            state.waiting.push_back((key.clone(), sender));
            if state.workers == WORKERS {
                return Err(receiver);
            }
            state.workers += 1;
            receiver
        };
        // Not under the lock: a runtime that has been shut down drops the worker at once.
        let worker = Worker { making: self.clone(), current: None, is_done: false };
        self.runtime.spawn_blocking(move || worker.run());
        Err(receiver)
    }
}

impl<K, V> Making<K, V> {
    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker<K, V>
where
    K: Clone + Eq + Hash,
{
    making: Arc<Making<K, V>>,
    /// What it is making.
    current: Option<(K, watch::Sender<Outcome<V>>)>,
    is_done: bool,
}

impl<K, V> Worker<K, V>
where
    K: Clone + Eq + Hash,
{
    fn run(mut self) {
        while let Some(key) = self.next() {
            let outcome = (self.making.make)(&key);
            self.making.state().under_way.remove(&key);
            if let Some((_, sender)) = self.current.take() {
                // Nobody may be waiting any more.
                let _ = sender.send(Some(outcome));
            }
        }
    }

    /// Ends in the same step in which it finds nothing, so that what comes after it starts a worker of its own.
    fn next(&mut self) -> Option<K> {
        let mut state = self.making.state();
        self.current = state.waiting.pop_front();
        if self.current.is_none() {
            state.workers -= 1;
            self.is_done = true;
        }
        self.current.as_ref().map(|(key, _)| key.clone())
    }
}

/// A making that panicked, or a runtime that was shut down, leaves no one waiting for good: senders that are dropped end the
/// wait, with nothing. They go last, so that whoever asks again then begins anew.
impl<K, V> Drop for Worker<K, V>
where
    K: Clone + Eq + Hash,
{
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.making.state();
        state.workers -= 1;
        if let Some((key, _)) = &self.current {
            state.under_way.remove(key);
        }
        if state.workers == 0 {
            state.waiting.clear();
            state.under_way.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn many_ask_and_one_is_made() {
        let count = Arc::new(AtomicUsize::new(0));
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let making = {
            let count = count.clone();
            Making::new(Handle::current(), move |key: &u32| {
                let _ = gate.lock().unwrap().recv();
                count.fetch_add(1, Ordering::Relaxed);
                Some(key * 2)
            })
        };
        let waiting = Arc::new(AtomicUsize::new(0));
        let asked: Vec<_> = (0..100)
            .map(|_| {
                let (making, waiting) = (making.clone(), waiting.clone());
                tokio::spawn(async move {
                    let mut made = pin!(making.made(&21, || None));
                    let is_waiting = poll_fn(|cx| Poll::Ready(made.as_mut().poll(cx).is_pending())).await;
                    assert!(is_waiting, "the gate is shut");
                    waiting.fetch_add(1, Ordering::Relaxed);
                    made.await
                })
            })
            .collect();
        let given_up = making.clone();
        tokio::select! {
            biased;
            _ = given_up.made(&21, || None) => panic!("the gate is shut"),
            () = std::future::ready(()) => {}
        }
        // One that came after the making would have another made.
        while waiting.load(Ordering::Relaxed) < asked.len() {
            tokio::task::yield_now().await;
        }
        open.send(()).unwrap();
        for asked in asked {
            assert_eq!(asked.await.unwrap(), Some(42));
        }
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(making.made(&7, || Some(1)).await, Some(1), "what is at hand is not made");
        drop(open);
        assert_eq!(making.made(&7, || None).await, Some(14));
    }

    #[tokio::test]
    async fn a_panic_is_nothing_and_can_be_asked_again() {
        let count = AtomicUsize::new(0);
        let making = Making::new(Handle::current(), move |_: &u32| {
            assert!(count.fetch_add(1, Ordering::Relaxed) > 0, "the first one fails");
            Some(1)
        });
        assert_eq!(making.made(&1, || None).await, None);
        assert_eq!(making.made(&1, || None).await, Some(1));
    }

    #[test]
    fn nothing_is_waited_for_in_a_runtime_that_was_shut_down() {
        let other = tokio::runtime::Runtime::new().unwrap();
        let making = Making::new(other.handle().clone(), |_: &u32| Some(1));
        other.shutdown_background();
        let waiting = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            assert_eq!(waiting.block_on(making.made(&1, || None)), None);
        }
    }
}
