//! One app of `up`, from its first start to its end.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::back_off::BackOff;
use super::held::{Ended, Held, Holding, Start};
use super::report::{Report, State};
use super::tail::{Tail, keep_telling};
use super::teller::{Checked, RouteKey, Teller};
use super::waking::{Parking, Waking, any_changed};
use crate::run::{LeasedPort, News, Serving};

/// Between two signals that are to be two.
const AGAIN: Duration = Duration::from_millis(50);
/// How long the router may take to say what is open, before an app is stopped that seems to be idle.
const LOOK_MOST: Duration = Duration::from_secs(2);

/// Whether all are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    InOrder,
    AtOnce,
}

/// An app and what it has to do with the others.
pub(crate) struct Supervision<'u> {
    pub(crate) at: usize,
    pub(crate) start: Start,
    pub(crate) serving: Serving<'u>,
    /// Nobody else is given its port.
    pub(crate) _port: LeasedPort,
    /// What comes of the server.
    pub(crate) news: UnboundedReceiver<News>,
    pub(crate) holding: &'u Holding<'u>,
    pub(crate) checked: watch::Receiver<Checked>,
    pub(crate) stop: watch::Receiver<Stop>,
    /// What it depends on, by name.
    pub(crate) needs: Vec<(String, watch::Receiver<Report>)>,
    /// What depends on it, and ends before it.
    pub(crate) needed_by: Vec<watch::Receiver<Report>>,
    pub(crate) report: watch::Sender<Report>,
    pub(crate) ready_since: Option<Instant>,
    pub(crate) tail: Arc<Tail>,
    /// Of an app that is started by the first request to it.
    pub(crate) waking: Option<Waking>,
}

/// How one run of the app ended.
enum Outcome {
    Asked(Box<Held>),
    Idle(Box<Held>),
    Ended(Ended),
    NotStarted(String),
}

impl Supervision<'_> {
    /// Starts the app when it is wanted and what it needs is there, and again when it crashes, until it is to end.
    pub(crate) async fn run(mut self) {
        let telling = keep_telling(self.tail.clone(), self.serving.claim.told());
        let last = tokio::select! {
            last = self.until_over() => last,
            never = telling => match never {},
        };
        self.serving.claim.end().await;
        self.set(|report| *report = Report { restarts: report.restarts, ..Report::new(last) });
    }

    async fn until_over(&mut self) -> State {
        let mut back_off = BackOff::default();
        loop {
            let awake = async {
                self.until_wanted().await?;
                self.until_needs_are_there().await?;
                self.until_asleep(&mut back_off).await
            };
            if let Err(over) = awake.await {
                return over;
            }
        }
    }

    /// Sleeps, where requests wake it.
    ///
    /// # Errors
    /// The state in which the app ends instead.
    async fn until_wanted(&mut self) -> Result<(), State> {
        let Self { serving, stop, report, holding, at, needed_by, waking, .. } = self;
        let Some(waking) = waking else { return Ok(()) };
        let mut is_told = false;
        while !waking.is_wanted(needed_by) {
            if !std::mem::replace(&mut is_told, true) {
                let restarts = report.borrow().restarts;
                Teller { report, holding, at: *at }.say(Report { restarts, ..Report::new(State::Asleep) });
            }
            tokio::select! {
                () = waking.usage.changed() => {}
                () = any_changed(needed_by.iter_mut()) => {}
                () = serving.keep() => {}
                () = asked(stop, Stop::InOrder) => {
                    self.end(None).await;
                    return Err(State::Stopped);
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// The state in which the app ends instead.
    async fn until_needs_are_there(&mut self) -> Result<(), State> {
        loop {
            let mut missing = Vec::new();
            for (name, need) in &mut self.needs {
                let now = need.borrow_and_update().clone();
                match now.state {
                    State::Failed { .. } => return Err(State::Failed { why: format!("{name} has failed") }),
                    // A task that is done is what was waited for.
                    State::Exited => {}
                    _ if now.is_ready => {}
                    _ => missing.push(name.clone()),
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            self.set(|report| report.state = State::Waiting { others: missing });
            tokio::select! {
                () = any_changed(self.needs.iter_mut().map(|(_, need)| need)) => {}
                () = self.serving.keep() => {}
                () = asked(&mut self.stop, Stop::InOrder) => return Err(State::Stopped),
            }
        }
    }

    /// Runs it, again and again where it crashes, until it sleeps.
    ///
    /// # Errors
    /// The state in which the app ends instead.
    async fn until_asleep(&mut self, back_off: &mut BackOff) -> Result<(), State> {
        loop {
            let (how, on_page) = match self.once().await {
                Outcome::Asked(held) => {
                    self.end(Some(*held)).await;
                    return Err(State::Stopped);
                }
                Outcome::Idle(held) => {
                    self.put_to_sleep(*held).await;
                    return Ok(());
                }
                Outcome::NotStarted(why) if self.waking.is_none() => return Err(State::Failed { why }),
                Outcome::NotStarted(why) => {
                    (format!("could not be started: {why}"), format!("could not be started: {why}"))
                }
                Outcome::Ended(Ended::Code(0)) if self.waking.is_none() => return Err(State::Exited),
                Outcome::Ended(Ended::Code(0)) if self.ready_since.is_some() => {
                    self.ready_since = None;
                    self.rest().await;
                    return Ok(());
                }
                Outcome::Ended(ended) => match (failed_for_good(ended), &self.waking) {
                    (Some(why), None) => return Err(State::Failed { why: why.to_owned() }),
                    // Whoever asks for it is to be told, and may mend it.
                    _ => words(ended),
                },
            };
            let pause = back_off.pause(self.ready_since.take(), Instant::now());
            self.serving.lead_home().await;
            self.tail.ended(format!("{on_page} (it is started again after {} s)", pause.as_secs())).await;
            self.set(|report| {
                *report = Report { restarts: report.restarts + 1, ..Report::new(State::Restarting { how, pause }) };
            });
            if self.is_asked_to_end_within(pause).await {
                self.end(None).await;
                return Err(State::Stopped);
            }
            if self.waking.as_mut().is_some_and(|waking| waking.is_idle(&self.needed_by)) {
                // Nobody has seen it fail for long: the next request is to see it start.
                self.rest().await;
                return Ok(());
            }
        }
    }

    async fn is_asked_to_end_within(&mut self, pause: Duration) -> bool {
        let Self { serving, stop, waking, .. } = self;
        let use_of_it = async {
            match waking {
                Some(waking) => loop {
                    waking.usage.changed().await;
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => false,
            () = asked(stop, Stop::InOrder) => true,
            () = serving.keep() => false,
            () = use_of_it => false,
        }
    }

    /// Runs it once, to its end or until it is to end.
    async fn once(&mut self) -> Outcome {
        self.tail.begins().await;
        let mut held = match Held::start(self.at, &self.start, &self.tail, self.holding) {
            Ok(held) => held,
            Err(error) => return Outcome::NotStarted(error.to_string()),
        };
        self.serving.begin_anew(held.pid);
        while self.news.try_recv().is_ok() {}
        if let Some(waking) = &mut self.waking {
            waking.begins();
        }
        let since = Some(Instant::now());
        self.set(|report| *report = Report { since, restarts: report.restarts, ..Report::new(State::Starting) });
        loop {
            match self.follow(held).await {
                Outcome::Idle(idle) if !self.is_left_alone().await => held = *idle,
                outcome => return outcome,
            }
        }
    }

    /// Follows what runs, to its end or until it is to end.
    async fn follow(&mut self, mut held: Held) -> Outcome {
        // Its `hold` ends when nothing of it is left.
        let (_never, goes_on) = watch::channel(false);
        let key: RouteKey = {
            let route = &self.serving.claim.route;
            (route.subdomain.clone(), route.path_prefix.clone())
        };
        let Self { serving, news, checked, stop, report, holding, at, ready_since, tail, waking, needed_by, .. } = self;
        let teller = Teller { report, holding, at: *at };
        // What was found before says nothing of what runs now.
        let mut known_at = SystemTime::now();
        let mut following = std::pin::pin!(serving.follow(goes_on));
        let own = report.subscribe();
        let mut idle = std::pin::pin!(async {
            match waking {
                Some(waking) => waking.until_idle(needed_by, own).await,
                None => std::future::pending().await,
            }
        });
        let ended = loop {
            tokio::select! {
                ended = held.ended() => break ended,
                () = &mut following => {}
                Some(news) = news.recv() => {
                    known_at = SystemTime::now();
                    teller.news(news);
                    if teller.report.borrow().is_ready {
                        ready_since.get_or_insert_with(Instant::now);
                        tail.is_there();
                    }
                }
                Ok(()) = checked.changed() => teller.checked(&checked.borrow_and_update(), &key, known_at),
                () = asked(stop, Stop::InOrder) => return Outcome::Asked(Box::new(held)),
                () = &mut idle => return Outcome::Idle(Box::new(held)),
            }
        };
        held.finish(ended, self.holding.home).await;
        Outcome::Ended(ended)
    }

    /// Has requests wait in the router from now on, and says whether none is with the app. Where one is, all is as before.
    async fn is_left_alone(&mut self) -> bool {
        let Some(waking) = &mut self.waking else { return false };
        let claim = &mut self.serving.claim;
        // Who asks from now on asks for the next start.
        waking.usage.heed();
        let port = claim.route.target.port();
        let parking = Parking::new();
        if let Some(parking) = &parking
            && claim.lead_to(parking.port).await.is_ok()
        {
            // What had come before is open by now.
            let looked = tokio::time::timeout(LOOK_MOST, waking.usage.look()).await;
            if looked.is_err() || waking.usage.is_served() {
                let _ = claim.lead_to(port).await;
                return false;
            }
        }
        waking.parking = parking;
        true
    }

    /// Ends what is not used, and keeps its name.
    async fn put_to_sleep(&mut self, held: Held) {
        self.ready_since = None;
        self.set(|report| *report = Report { restarts: report.restarts, ..Report::new(State::Stopping) });
        self.end_held(held).await;
        self.rest().await;
    }

    /// Nothing runs, and who asks next waits for a start.
    async fn rest(&mut self) {
        self.tail.rests().await;
        self.serving.lead_home().await;
        if let Some(waking) = &mut self.waking {
            waking.parking = None;
        }
        self.serving.claim.check().await;
    }

    /// Ends it, after what depends on it.
    async fn end(&mut self, held: Option<Held>) {
        self.set(|report| report.state = State::Stopping);
        for other in &mut self.needed_by {
            tokio::select! {
                _ = other.wait_for(Report::is_over) => {}
                () = asked(&mut self.stop, Stop::AtOnce) => break,
            }
        }
        // First, so that nobody comes any more and no stream keeps the server.
        self.serving.claim.end().await;
        if let Some(held) = held {
            self.end_held(held).await;
        }
    }

    async fn end_held(&mut self, mut held: Held) {
        held.ask_to_end();
        let ended = tokio::select! {
            ended = held.ended() => ended,
            () = asked(&mut self.stop, Stop::AtOnce) => {
                // One that is on its way and another may come as one.
                loop {
                    held.ask_to_end();
                    if let Ok(ended) = tokio::time::timeout(AGAIN, held.ended()).await {
                        break ended;
                    }
                }
            }
        };
        let rest = held.finish(ended, self.holding.home);
        tokio::select! {
            () = rest => {}
            () = asked(&mut self.stop, Stop::AtOnce) => {}
        }
    }

    fn set(&self, change: impl FnOnce(&mut Report)) {
        Teller { report: &self.report, holding: self.holding, at: self.at }.set(change);
    }
}

/// As shells have it: what is not there now is not there in a second.
fn failed_for_good(ended: Ended) -> Option<&'static str> {
    match ended {
        Ended::Code(126) => Some("its command cannot be executed"),
        Ended::Code(127) => Some("its command was not found"),
        _ => None,
    }
}

/// How it ended, for who reads the logs and for who asked for the app.
fn words(ended: Ended) -> (String, String) {
    let signal = match ended {
        Ended::Code(code @ 129..=192) => code - 128,
        Ended::Code(code) => return (format!("ended with exit code {code}"), format!("exited with {code}")),
        Ended::Killed(signal) => signal,
    };
    let text = format!("was ended by signal {signal}");
    (text.clone(), text)
}

/// Returns when all are to end, at least like this.
async fn asked(stop: &mut watch::Receiver<Stop>, how: Stop) {
    if stop.wait_for(|stop| *stop >= how).await.is_err() {
        std::future::pending().await
    }
}
