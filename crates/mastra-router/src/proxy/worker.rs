//! A thread that accepts connections and serves them, with a runtime, a view of the routes and a pool of its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::Instant;

use super::Shared;
use super::client;
use super::upstream::is_out_of_descriptors;
use crate::table::RouteTable;

/// How long accepting rests after an error: descriptors come back as connections end, and asking at once is a busy loop.
const REST_FIRST: Duration = Duration::from_millis(10);
const REST_MOST: Duration = Duration::from_secs(1);

/// How long a client waits for a place before idle connections are closed for it.
const SHED_EVERY: Duration = Duration::from_millis(250);

struct View {
    reader: watch::Receiver<Arc<RouteTable>>,
    table: Arc<RouteTable>,
    generation: u64,
}

thread_local! {
    static VIEW: RefCell<Option<View>> = const { RefCell::new(None) };
    static STOPPING: Cell<Stopping> = const { Cell::new(Stopping::Not) };
    /// Counts the times that idle connections were asked to make room.
    static SHED: Cell<u64> = const { Cell::new(0) };
    /// The tasks of this thread's connections, to be woken when draining begins. Slots are used again.
    static TRACKED: RefCell<(Vec<Option<Waker>>, Vec<usize>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Gives `read` the table as it is now, and a number that is another for every table.
///
/// Whether there is a new one is a look at an atomic number; the lock behind it is taken only when there is.
pub(crate) fn with_table<R>(read: impl FnOnce(&RouteTable, u64) -> R) -> R {
    VIEW.with(|view| {
        let mut view = view.borrow_mut();
        let Some(view) = view.as_mut() else { return read(&RouteTable::default(), 0) };
        if view.reader.has_changed().unwrap_or(false) {
            view.table = view.reader.borrow_and_update().clone();
            view.generation += 1;
        }
        read(&view.table, view.generation)
    })
}

/// How a proxy is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// Connections without an exchange at once, others within the drain timeout.
    Drain,
    /// Another proxy has the listeners; exchanges may take this long.
    HandOver(Duration),
}

/// What that means for connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Not,
    /// Who has not been told that its connection ends may still send a request.
    AfterOneMore,
    Now,
}

/// How long a connection without a request is kept in a hand-over. A client that uses it again does within this, or is
/// used to find it closed.
const IDLE_IN_HAND_OVER: Duration = Duration::from_secs(5);

/// Whether the connections of this thread are to end after the exchange they are in.
pub(crate) fn is_draining() -> bool {
    STOPPING.get() != Stopping::Not
}

/// Whether those of them that are in none are to end now.
pub(crate) fn closes_idle() -> bool {
    STOPPING.get() == Stopping::Now
}

/// Counts a connection for as long as it is kept, and wakes it when draining begins.
pub(crate) struct Tracked(usize);

pub(crate) fn track(waker: &Waker) -> Tracked {
    TRACKED.with_borrow_mut(|(slots, free)| {
        let slot = free.pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        if let Some(place) = slots.get_mut(slot) {
            *place = Some(waker.clone());
        }
        Tracked(slot)
    })
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // Fails when the thread ends, and with it everything that was tracked.
        let _ = TRACKED.try_with(|tracked| {
            let (slots, free) = &mut *tracked.borrow_mut();
            if let Some(place) = slots.get_mut(self.0) {
                *place = None;
            }
            free.push(self.0);
        });
    }
}

fn tracked() -> usize {
    TRACKED.with_borrow(|(slots, free)| slots.len() - free.len())
}

/// How often idle connections were asked to make room: one that sees the number change while it has nothing to do, ends.
pub(crate) fn times_shed() -> u64 {
    SHED.get()
}

fn shed_idle() {
    SHED.set(SHED.get() + 1);
    wake_all();
}

fn set_stopping(stopping: Stopping) {
    STOPPING.set(stopping);
    wake_all();
}

fn wake_all() {
    let wakers: Vec<Waker> = TRACKED.with_borrow(|(slots, _)| slots.iter().flatten().cloned().collect());
    wakers.iter().for_each(Waker::wake_by_ref);
}

/// What a worker is given.
pub(crate) struct Worker {
    pub(crate) listeners: Vec<std::net::TcpListener>,
    pub(crate) reader: watch::Receiver<Arc<RouteTable>>,
    pub(crate) shared: Arc<Shared>,
    /// Places for connections, of all workers.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<Stop>,
    /// Changes when streams of a route that was cut are to end.
    pub(crate) cut: watch::Receiver<()>,
}

impl Worker {
    /// Serves until it is told to stop and its connections have ended, or their time has.
    ///
    /// # Errors
    /// When the runtime cannot be made or a listener cannot be given to it.
    pub(crate) fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let ended = runtime.block_on(self.serve());
        // Drops every task that is left, and with it its sockets.
        drop(runtime);
        ended
    }

    async fn serve(mut self) -> io::Result<()> {
        let table = self.reader.borrow_and_update().clone();
        VIEW.set(Some(View { reader: self.reader, table, generation: 1 }));
        STOPPING.set(Stopping::Not);
        let mut accepting = Vec::new();
        for listener in self.listeners {
            let listener = TcpListener::from_std(listener)?;
            accepting.push(tokio::spawn(accept(listener, self.shared.clone(), self.places.clone())));
        }
        loop {
            tokio::select! {
                // An error means that the handle is gone, which asks for the same.
                _ = self.stop.wait_for(|stop| *stop != Stop::No) => break,
                Ok(()) = self.cut.changed() => wake_all(),
            }
        }
        for task in &accepting {
            task.abort();
        }
        for task in accepting {
            // Waits until the listener is closed.
            let _ = task.await;
        }
        drain(self.stop, self.shared.config.drain_timeout).await;
        Ok(())
    }
}

/// Waits until the connections of this thread have ended, or their time is over.
async fn drain(stop: watch::Receiver<Stop>, timeout: Duration) {
    let began = Instant::now();
    let mut ending: Option<Instant> = None;
    while tracked() > 0 {
        match (*stop.borrow(), ending) {
            (Stop::HandOver(drain), _) if began.elapsed() < drain => {
                let idle_over = began.elapsed() >= IDLE_IN_HAND_OVER;
                let stopping = if idle_over { Stopping::Now } else { Stopping::AfterOneMore };
                if STOPPING.get() != stopping {
                    set_stopping(stopping);
                }
            }
            (Stop::HandOver(_), _) => return,
            (_, None) => {
                set_stopping(Stopping::Now);
                ending = Some(Instant::now());
            }
            (_, Some(ending)) if ending.elapsed() >= timeout => return,
            _ => {}
        }
        // A look now and then, and only while stopping, is simpler than a signal on the path of every connection.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, places: Arc<Semaphore>) {
    let Ok(local) = listener.local_addr() else { return };
    let mut rest = REST_FIRST;
    loop {
        match listener.accept().await {
            Ok((io, peer)) => {
                rest = REST_FIRST;
                let _ = io.set_nodelay(true);
                // Taken only now: a listener that held a place while nobody comes would keep it from the other listeners.
                if let Ok(place) = places.clone().try_acquire_owned() {
                    tokio::spawn(serve(io, peer, local, shared.clone(), place));
                    continue;
                }
                // Those behind this one wait in the system's queue. It has a task of its own already: when the proxy is told
                // to stop this loop ends, and the connection is served nevertheless.
                let (shared, places) = (shared.clone(), places.clone());
                let (taken, has_place) = oneshot::channel();
                tokio::spawn(async move {
                    let _counted = poll_fn(|context| Poll::Ready(track(context.waker()))).await;
                    if let Ok(place) = place(&places).await {
                        let _ = taken.send(());
                        serve(io, peer, local, shared, place).await;
                    }
                });
                let _ = has_place.await;
            }
            // The client was gone before it was accepted.
            Err(error) if is_clients(&error) => {}
            Err(error) => {
                if rest == REST_FIRST {
                    let descriptors = is_out_of_descriptors(&error);
                    tracing::warn!(%error, descriptors, "cannot accept connections; trying again");
                }
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(REST_MOST);
            }
        }
    }
}

/// A place for a connection. While there is none, connections wait in the system's queue, and those that have nothing to
/// do give theirs up.
async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, AcquireError> {
    loop {
        if let Ok(place) = tokio::time::timeout(SHED_EVERY, places.clone().acquire_owned()).await {
            return place;
        }
        shed_idle();
    }
}

async fn serve(io: TcpStream, peer: SocketAddr, local: SocketAddr, shared: Arc<Shared>, _place: OwnedSemaphorePermit) {
    client::serve(io, peer, local, shared).await;
}

fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
