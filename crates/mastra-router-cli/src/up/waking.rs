//! When an app that requests wake is to run, and when it has run for long enough.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::sync::watch;

use super::report::Report;
use super::usage::Usage;

/// A page that waits for the app comes back within this, and is not to find it stopped again.
const SETTLE: Duration = Duration::from_secs(1);
/// One that has not come up is given up after this long without a request, and not after the time that may be short.
const START_MOST: Duration = Duration::from_secs(60);
/// Attempts to find a port that is free on both loopback addresses.
const ATTEMPTS: usize = 8;

/// The use of an app, by requests and by other apps.
pub(crate) struct Waking {
    pub(crate) usage: Usage,
    /// How long it runs on unused; `None` for ever.
    idle: Option<Duration>,
    /// When it was last seen to be needed by an app that runs.
    needed_at: Instant,
    began: Instant,
    ready_at: Option<Instant>,
    /// Where its route leads while it is being stopped.
    pub(crate) parking: Option<Parking>,
}

impl Waking {
    pub(crate) fn new(usage: Usage, idle: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { usage, idle, needed_at: now, began: now, ready_at: None, parking: None }
    }

    /// It is started.
    pub(crate) fn begins(&mut self) {
        (self.began, self.ready_at) = (Instant::now(), None);
    }

    /// Whether a request, or an app that runs, wants it.
    pub(crate) fn is_wanted(&self, needed_by: &[watch::Receiver<Report>]) -> bool {
        self.usage.is_asked() || is_needed(needed_by)
    }

    /// Returns once it has been of no use for long enough. Cancel safe.
    pub(crate) async fn until_idle(
        &mut self,
        needed_by: &mut [watch::Receiver<Report>],
        mut own: watch::Receiver<Report>,
    ) {
        loop {
            if own.borrow_and_update().is_ready && self.ready_at.is_none() {
                self.ready_at = Some(Instant::now());
                // Whoever waited for it is answered.
                self.usage.heed();
            }
            let end = self.end(needed_by);
            let end = async {
                match end {
                    Some(end) => tokio::time::sleep_until(end.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = end => return,
                () = self.usage.changed() => {}
                () = any_changed(needed_by.iter_mut()) => {}
                Ok(()) = own.changed() => {}
            }
        }
    }

    /// Whether it has been of no use for long enough.
    pub(crate) fn is_idle(&mut self, needed_by: &[watch::Receiver<Report>]) -> bool {
        self.end(needed_by).is_some_and(|end| end <= Instant::now())
    }

    /// When it will have been of no use for long enough, if nothing comes; `None` while it is of use.
    fn end(&mut self, needed_by: &[watch::Receiver<Report>]) -> Option<Instant> {
        if is_needed(needed_by) {
            self.needed_at = Instant::now();
            return None;
        }
        let end = self.usage.idle_since()?.max(self.needed_at).checked_add(self.idle?)?;
        Some(end.max(match self.ready_at {
            Some(ready) => ready + SETTLE,
            None => self.began + START_MOST,
        }))
    }
}

fn is_needed(needed_by: &[watch::Receiver<Report>]) -> bool {
    needed_by.iter().any(|other| other.borrow().is_awake())
}

/// Returns when one of these is another than it was when it was looked at last.
pub(crate) async fn any_changed<'r>(reports: impl IntoIterator<Item = &'r mut watch::Receiver<Report>>) {
    let changed = |report: &'r mut watch::Receiver<Report>| {
        Box::pin(async move {
            // What is over changes no more.
            if report.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    };
    let changes: Vec<_> = reports.into_iter().map(changed).collect();
    if changes.is_empty() {
        return std::future::pending().await;
    }
    futures_util::future::select_all(changes).await;
}

/// A port of both loopback addresses that refuses connections, and that nobody else can listen on. A route leads there while
/// its app is being stopped: who comes then waits in the router for the app's next start, and does not meet the end of this one.
pub(crate) struct Parking {
    pub(crate) port: u16,
    _sockets: (TcpSocket, Option<TcpSocket>),
}

impl Parking {
    /// `None` where there is no such port.
    pub(crate) fn new() -> Option<Self> {
        for _ in 0..ATTEMPTS {
            let v4 = TcpSocket::new_v4().ok()?;
            v4.bind((Ipv4Addr::LOCALHOST, 0).into()).ok()?;
            let port = v4.local_addr().ok()?.port();
            // A machine without IPv6 refuses that address anyway.
            let v6 = TcpSocket::new_v6().ok();
            match v6.as_ref().map(|v6| v6.bind((Ipv6Addr::LOCALHOST, port).into())) {
                Some(Err(error)) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                _ => return Some(Self { port, _sockets: (v4, v6) }),
            }
        }
        None
    }
}
