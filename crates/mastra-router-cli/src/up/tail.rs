//! The last lines of an app and how it ended, as the router shows them to whoever asks for the app while it is not there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mastra_router::{CommandReport, RouteLease, RouterControl};
use tokio::sync::watch;

use super::clean::{Keep, clean};
use crate::run::Told;

/// What the router keeps at the most.
const LINES: usize = 20;
/// It keeps less of a line. A report is below its limit for a body whatever is in them.
const LINE_MOST: usize = 1 << 10;
/// A line of megabytes is not cleaned for what nobody sees.
const READ_MOST: usize = 16 << 10;
/// Between two reports of an app that writes on and on: a page that waits for one that starts asks as often, and one that
/// is there is asked for what it has written only where it ends.
const STARTING: Duration = Duration::from_millis(200);
const RUNNING: Duration = Duration::from_secs(2);
/// Pause after a report that did not come through.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a start may wait for the router to know of it.
const TELL_MOST: Duration = Duration::from_secs(2);

/// What there is to say of an app.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    words: Mutex<Words>,
    written: watch::Sender<Written>,
    /// The last change that the router knows of.
    told: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Words {
    lines: VecDeque<String>,
    ended: Option<String>,
}

/// Changes, by their numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    last: u64,
    /// The last one that is told without a pause.
    urgent: u64,
    is_there: bool,
}

impl Tail {
    /// A line that it has written.
    pub(crate) fn line(&self, line: &[u8]) {
        let mut text = clean(line.get(..READ_MOST).unwrap_or(line), Keep::Text);
        text.truncate(LINE_MOST);
        let text = String::from_utf8_lossy(&text).into_owned();
        {
            let mut words = self.words();
            if words.lines.len() == LINES {
                words.lines.pop_front();
            }
            words.lines.push_back(text);
        }
        self.written.send_modify(|written| written.last += 1);
    }

    /// It is about to be started: what it wrote before is over. Returns when the router knows, or does not answer.
    pub(crate) async fn begins(&self) {
        self.words().lines.clear();
        self.is(None).await;
    }

    /// It does not run, and may be started. Returns as [`begins`](Self::begins).
    pub(crate) async fn rests(&self) {
        self.is(None).await;
    }

    /// It has ended, and nobody is to wait for it. Returns as [`begins`](Self::begins).
    pub(crate) async fn ended(&self, how: String) {
        self.is(Some(how)).await;
    }

    /// It answers.
    pub(crate) fn is_there(&self) {
        self.written.send_modify(|written| written.is_there = true);
    }

    async fn is(&self, ended: Option<String>) {
        self.words().ended = ended;
        let mut number = 0;
        self.written.send_modify(|written| {
            written.last += 1;
            (written.urgent, written.is_there) = (written.last, false);
            number = written.last;
        });
        let mut told = self.told.subscribe();
        let _ = tokio::time::timeout(TELL_MOST, told.wait_for(|told| *told >= number)).await;
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, lease: &RouteLease) -> CommandReport {
        let words = self.words();
        CommandReport {
            output: words.lines.iter().cloned().collect(),
            ended: words.ended.clone(),
            lease: Some(lease.clone()),
        }
    }
}

/// Tells the router what there is to say, and all of it anew to one that does not know.
pub(crate) async fn keep_telling(tail: Arc<Tail>, told: Told) -> Infallible {
    let Told { client, lease, mut standing } = told;
    let mut written = tail.written.subscribe();
    let mut known = 0;
    loop {
        tokio::select! {
            _ = written.wait_for(|written| written.last > known) => {}
            // Another route, or another router: nothing is known there.
            Ok(()) = standing.changed() => {}
        }
        let now = *written.borrow_and_update();
        let id = standing.borrow_and_update().route_id.clone();
        match client.report_command(&id, tail.report(&lease)).await {
            Err(error) if error.code() != "ROUTE_NOT_FOUND" => {}
            // Where the route is lost there is nobody to tell, until there is another.
            Ok(()) | Err(_) => {
                known = now.last;
                tail.told.send_replace(known);
            }
        }
        let pause = match (known == now.last, now.is_there) {
            (false, _) => AGAIN,
            (true, false) => STARTING,
            (true, true) => RUNNING,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = written.wait_for(|written| written.urgent > now.last) => {}
            Ok(()) = standing.changed() => standing.mark_changed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mastra_router::control::wire::ReportJson;

    use super::*;

    #[test]
    fn a_report_is_small_whatever_was_written() {
        // The control socket takes no more.
        const BODY_MOST: usize = 64 << 10;
        for line in ["\"\\".repeat(9000), "\u{1}".repeat(9000), "\t".repeat(9000), "ü→".repeat(9000)]
            .map(String::into_bytes)
            .into_iter()
            .chain([vec![0xff; 9000], b"\x1b[31mred ".repeat(9000)])
        {
            let tail = Tail::default();
            (0..LINES + 5).for_each(|_| tail.line(&line));
            let report = tail.report(&RouteLease::of_this_process());
            assert_eq!(report.output.len(), LINES);
            let size = serde_json::to_vec(&ReportJson::from(report)).unwrap().len();
            assert!(size < BODY_MOST, "{size} of {:?}", String::from_utf8_lossy(&line[..20]));
        }
    }
}
