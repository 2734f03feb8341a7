//! How long a connection may have nothing to do.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer that is set anew for each request without being registered anew: when it fires too early, it is put off.
pub(crate) struct IdleTimer {
    sleep: Option<Pin<Box<Sleep>>>,
    after: Duration,
    since: Instant,
}

impl IdleTimer {
    pub(crate) fn new(after: Duration) -> Self {
        Self { sleep: None, after, since: Instant::now() }
    }

    pub(crate) fn restart(mut self: Pin<&mut Self>) {
        self.since = Instant::now();
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    pub(crate) fn poll_over(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let end = self.since + self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
