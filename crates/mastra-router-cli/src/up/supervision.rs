//! One app of `up`, from its first start to its end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mastra_router::{RouteInfo, RouteStatus};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use super::back_off::BackOff;
use super::held::{Ended, Held, Holding, Start};
use super::report::{Report, State};
use super::screen::Message;
use crate::run::{LeasedPort, News, Serving};

/// Between two signals that are to be two.
const AGAIN: Duration = Duration::from_millis(50);

/// Whether all are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    No,
    InOrder,
    AtOnce,
}

/// What the router says of routes.
#[derive(Debug)]
pub(crate) struct Checked {
    /// When it was asked.
    pub(crate) at: Instant,
    /// By their names and prefixes.
    routes: HashMap<(String, Option<String>), (RouteStatus, Option<String>)>,
}

impl Checked {
    pub(crate) fn new(at: Instant, routes: Vec<RouteInfo>) -> Self {
        let entry = |r: RouteInfo| ((r.subdomain, r.path_prefix), (r.status, r.last_error));
        Self { at, routes: routes.into_iter().map(entry).collect() }
    }
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
}

/// How one run of the app ended.
enum Outcome {
    Asked(Box<Held>),
    Ended(Ended),
    NotStarted(String),
}

impl Supervision<'_> {
    /// Starts the app when what it needs is there, and again when it crashes, until it is to end.
    pub(crate) async fn run(mut self) {
        let last = self.until_over().await;
        self.serving.claim.end().await;
        self.set(|report| *report = Report { restarts: report.restarts, ..Report::new(last) });
    }

    async fn until_over(&mut self) -> State {
        if let Err(over) = self.until_needs_are_there().await {
            return over;
        }
        let mut back_off = BackOff::default();
        loop {
            let ended = match self.once().await {
                Outcome::Asked(held) => {
                    self.end(Some(*held)).await;
                    return State::Stopped;
                }
                Outcome::NotStarted(why) => return State::Failed { why },
                Outcome::Ended(ended) => ended,
            };
            let how = match ended {
                Ended::Code(0) => return State::Exited,
                // As shells have it: what is not there now is not there in a second.
                Ended::Code(126) => return State::Failed { why: "its command cannot be executed".to_owned() },
                Ended::Code(127) => return State::Failed { why: "its command was not found".to_owned() },
                Ended::Code(code @ 129..=192) => format!("was ended by signal {}", code - 128),
                Ended::Code(code) => format!("ended with exit code {code}"),
                Ended::Killed(signal) => format!("was ended by signal {signal}"),
            };
            let pause = back_off.pause(self.ready_since.take(), Instant::now());
            self.set(|report| {
                *report = Report { restarts: report.restarts + 1, ..Report::new(State::Restarting { how, pause }) };
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked(&mut self.stop, Stop::InOrder) => {
                    self.end(None).await;
                    return State::Stopped;
                }
            }
        }
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
            let changes = self.needs.iter_mut().map(|(_, need)| Box::pin(need.changed()));
            tokio::select! {
                _ = futures_util::future::select_all(changes) => {}
                () = asked(&mut self.stop, Stop::InOrder) => return Err(State::Stopped),
            }
        }
    }

    /// Runs it once, to its end or until it is to end.
    async fn once(&mut self) -> Outcome {
        // The requests that wake an app would be waited for here, where its `wake` says so; today all are started at once.
        let mut held = match Held::start(self.at, &self.start, self.holding) {
            Ok(held) => held,
            Err(error) => return Outcome::NotStarted(error.to_string()),
        };
        self.serving.begin_anew(held.pid);
        while self.news.try_recv().is_ok() {}
        let since = Some(Instant::now());
        self.set(|report| *report = Report { since, restarts: report.restarts, ..Report::new(State::Starting) });
        // Its `hold` ends when nothing of it is left.
        let (_never, goes_on) = watch::channel(false);
        let key = {
            let route = &self.serving.claim.route;
            (route.subdomain.clone(), route.path_prefix.clone())
        };
        let Self { serving, news, checked, stop, report, holding, at, ready_since, .. } = self;
        let teller = Teller { report, holding, at: *at };
        // What was asked for before says nothing of what runs now.
        let mut known_at = Instant::now();
        let mut following = std::pin::pin!(serving.follow(goes_on));
        let ended = loop {
            tokio::select! {
                ended = held.ended() => break ended,
                () = &mut following => {}
                Some(news) = news.recv() => {
                    known_at = Instant::now();
                    teller.news(news);
                    if teller.report.borrow().is_ready {
                        ready_since.get_or_insert_with(Instant::now);
                    }
                }
                Ok(()) = checked.changed() => {
                    let checked = checked.borrow_and_update();
                    if checked.at > known_at {
                        teller.checked(&checked, &key);
                    }
                }
                () = asked(stop, Stop::InOrder) => return Outcome::Asked(Box::new(held)),
            }
        };
        held.finish(ended, self.holding.home).await;
        Outcome::Ended(ended)
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
        let Some(mut held) = held else { return };
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

/// Returns when all are to end, at least like this.
async fn asked(stop: &mut watch::Receiver<Stop>, how: Stop) {
    if stop.wait_for(|stop| *stop >= how).await.is_err() {
        std::future::pending().await
    }
}

/// Tells the others and the screen where an app stands.
struct Teller<'a> {
    report: &'a watch::Sender<Report>,
    holding: &'a Holding<'a>,
    at: usize,
}

impl Teller<'_> {
    fn set(&self, change: impl FnOnce(&mut Report)) {
        let before = self.report.borrow().clone();
        let mut now = before.clone();
        change(&mut now);
        if now != before {
            self.report.send_replace(now.clone());
            let _ = self.holding.sink.messages.send(Message::State { app: self.at, report: now });
        }
    }

    fn note(&self, text: String) {
        let _ = self.holding.sink.messages.send(Message::Note { app: Some(self.at), text });
    }

    fn news(&self, news: News) {
        match news {
            News::Answers { port, unwell } => self.set(|report| {
                report.port = Some(port);
                report.is_ready = true;
                report.state = unwell.map_or(State::Healthy, |why| State::Unhealthy { why });
            }),
            News::Listens { port } => self.set(|report| {
                report.port = Some(port);
                report.is_ready = true;
                report.state = State::Listening;
            }),
            News::Waits => {}
            News::WaitsLong => self.note(format!(
                "nothing listens after {} seconds; still waiting. Does it take its port another way than by PORT? In the \
                 command, {{port}} stands for it.",
                crate::run::NEVER.as_secs()
            )),
            News::NoAnswer { port } => self.note(format!("port {port} does not answer HTTP")),
            News::BadPort { port, why } => self.note(format!("port {port} cannot be routed to: {why}")),
            News::Lost { why } => self.note(format!("the route is lost: {why}. It goes on without.")),
        }
    }

    /// What the router says of a server that is there.
    fn checked(&self, all: &Checked, key: &(String, Option<String>)) {
        let Some((status, error)) = all.routes.get(key) else { return };
        self.set(|report| match (status, &report.state) {
            (RouteStatus::Active, State::Listening | State::Unhealthy { .. }) => report.state = State::Healthy,
            (RouteStatus::Unhealthy | RouteStatus::Error, State::Healthy | State::Unhealthy { .. }) => {
                let why = error.clone().unwrap_or_else(|| "its check failed".to_owned());
                report.state = State::Unhealthy { why };
            }
            _ => {}
        });
    }
}
