//! Follows the server of a run: where it listens, and whether it does.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::claim::{Answer, Claim, Held};
use super::processes::{self, Process};
use super::sockets::Listening;

/// Pause between two looks for a server that is starting, from the first to those of one that takes long.
const STARTING: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(250)];
/// Pause between two looks at one that runs.
const RUNNING: Duration = Duration::from_secs(1);
/// Pause between two looks whether the router has the route, while it tells what happens to routes.
const HELD_EVERY: Duration = Duration::from_secs(5);
/// The same while no router tells, as when it was killed.
const BACK_EVERY: Duration = Duration::from_secs(1);
/// What takes longer than this is told.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that listens nowhere after this long probably never will.
pub(crate) const NEVER: Duration = Duration::from_secs(30);
/// How long a server that is in the background may listen nowhere, as it does while it restarts.
const RESTART: Duration = Duration::from_secs(2);

/// Who is told news of a server.
type Tell<'r> = dyn FnMut(&Claim, News) + 'r;

/// What of a run is there to be looked at.
pub(crate) struct Serving<'r> {
    pub(crate) claim: Claim,
    pub(crate) name: String,
    /// The port that it was given.
    pub(crate) port: u16,
    /// What runs, for people.
    pub(crate) command: String,
    /// The process of the router, which is not of the run, even where it was started by it.
    pub(crate) router: u32,
    /// The process that everything of the run is below.
    pub(crate) top: u32,
    /// Whether it is there only once it is healthy, and not with its first answer.
    pub(crate) until_healthy: bool,
    tell: Box<Tell<'r>>,
    began: Instant,
    listening: Option<Listening>,
    has_listened: bool,
    is_announced: bool,
    told: Option<Told>,
    is_lost: bool,
}

/// What there is to tell of a server.
#[derive(Debug)]
pub(crate) enum News {
    /// It answers; where that is not how it should, why.
    Answers { port: u16, unwell: Option<String> },
    /// It listens, and has not answered HTTP when it was asked.
    Listens { port: u16 },
    /// It does not listen yet.
    Waits,
    /// It has not listened for [`NEVER`].
    WaitsLong,
    /// It listens, and has not answered HTTP for [`NEVER`].
    NoAnswer { port: u16 },
    /// Nothing can be led to the port that it listens on.
    BadPort { port: u16, why: String },
    /// The route is another's by now.
    Lost { why: String },
}

/// What was said of a server that does not listen yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Waiting,
    Never,
    NoAnswer,
}

impl<'r> Serving<'r> {
    /// `tell` is told what there is to tell of it, each once.
    pub(crate) fn new(
        claim: Claim,
        port: u16,
        command: String,
        router: u32,
        tell: impl FnMut(&Claim, News) + 'r,
    ) -> Self {
        Self {
            name: claim.route.subdomain.clone(),
            claim,
            port,
            command,
            router,
            top: std::process::id(),
            until_healthy: false,
            tell: Box::new(tell),
            began: Instant::now(),
            listening: None,
            has_listened: false,
            is_announced: false,
            told: None,
            is_lost: false,
        }
    }

    /// Follows a command that was started anew, below another process.
    pub(crate) fn begin_anew(&mut self, top: u32) {
        self.top = top;
        self.began = Instant::now();
        self.listening = None;
        (self.has_listened, self.is_announced) = (false, false);
        self.told = None;
    }

    /// Whether a server has been found.
    pub(crate) fn has_listened(&self) -> bool {
        self.has_listened
    }

    /// Follows the server, and returns when there is none any more, after the command has ended.
    ///
    /// Dropping it loses nothing that is not found again.
    pub(crate) async fn follow(&mut self, mut command_ended: watch::Receiver<bool>) {
        let [mut pause, slowest] = STARTING;
        let mut silent_since: Option<Instant> = None;
        let mut held_at = Instant::now();
        let mut may_be_lost = false;
        loop {
            let ended = *command_ended.borrow_and_update();
            let steady = self.is_announced && self.listening.is_some_and(|l| l.port == self.port && l.goes_on());
            if !steady {
                let processes = self.processes();
                self.listening = Listening::of(&processes, self.port);
                if ended && processes.is_empty() {
                    return;
                }
            }
            match self.listening {
                Some(listening) => {
                    silent_since = None;
                    self.has_listened = true;
                    self.serve(listening.port).await;
                }
                None if ended && self.has_listened => _ = silent_since.get_or_insert_with(Instant::now),
                None => {}
            }
            if silent_since.is_some_and(|since| since.elapsed() >= RESTART) {
                return;
            }
            if !self.is_announced {
                self.tell_of_waiting();
            }
            let look_every = if self.claim.is_told() { HELD_EVERY } else { BACK_EVERY };
            if may_be_lost || held_at.elapsed() >= look_every {
                may_be_lost = false;
                self.keep_route().await;
                held_at = Instant::now();
            }
            let rest = if self.is_announced && silent_since.is_none() { RUNNING } else { pause };
            pause = (pause * 2).min(slowest);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // A sender that has gone says nothing new.
                Ok(()) = command_ended.changed() => {}
                () = self.claim.may_be_lost(), if !self.is_lost => may_be_lost = true,
            }
        }
    }

    /// Keeps the route while nothing runs behind it; never returns. Dropping it loses nothing that is not found again.
    pub(crate) async fn keep(&mut self) {
        loop {
            if self.is_lost {
                return std::future::pending().await;
            }
            if self.claim.is_told() {
                self.claim.may_be_lost().await;
            } else {
                tokio::time::sleep(BACK_EVERY).await;
            }
            self.keep_route().await;
        }
    }

    /// Leads the route to the port that its server is given, where another was found.
    pub(crate) async fn lead_home(&mut self) {
        if !self.is_lost && self.claim.route.target.port() != self.port {
            // Where no router answers, the server is found where it listens.
            let _ = self.claim.lead_to(self.port).await;
        }
    }

    fn processes(&self) -> Vec<Process> {
        processes::without(processes::below_pid(self.top), self.router)
    }

    async fn serve(&mut self, port: u16) {
        if self.is_lost {
            return;
        }
        if self.claim.route.target.port() != port
            && let Err(error) = self.claim.lead_to(port).await
        {
            // What is wrong with the route is found out soon; what is wrong with the port has to be said.
            if error.code() == "INVALID_TARGET" && self.told != Some(Told::Never) {
                self.told = Some(Told::Never);
                (self.tell)(&self.claim, News::BadPort { port, why: error.to_string() });
            }
            return;
        }
        if self.is_announced {
            return;
        }
        let unwell = match self.claim.answers().await {
            Answer::Healthy => None,
            Answer::Unwell(why) if !self.until_healthy => Some(why),
            Answer::None if !self.until_healthy => return (self.tell)(&self.claim, News::Listens { port }),
            Answer::Unwell(_) | Answer::None => return,
        };
        self.is_announced = true;
        (self.tell)(&self.claim, News::Answers { port, unwell });
    }

    fn tell_of_waiting(&mut self) {
        let waited = self.began.elapsed();
        let next = match self.listening {
            Some(_) if waited >= NEVER => Told::NoAnswer,
            None if waited >= NEVER => Told::Never,
            _ if waited >= PATIENCE => Told::Waiting,
            _ => return,
        };
        if self.told.is_some_and(|told| told >= next) {
            return;
        }
        self.told = Some(next);
        let port = self.listening.map_or(self.port, |listening| listening.port);
        let news = match next {
            Told::Waiting => News::Waits,
            Told::Never => News::WaitsLong,
            Told::NoAnswer => News::NoAnswer { port },
        };
        (self.tell)(&self.claim, news);
    }

    /// A router that was started anew without saved routes is told of this one; one that was told otherwise is heeded.
    async fn keep_route(&mut self) {
        if self.is_lost {
            return;
        }
        match self.claim.held().await {
            Ok(Held::Forgotten) => {
                if let Err(failure) = self.claim.take_again().await
                    && failure.code != "ROUTER_UNREACHABLE"
                {
                    self.lose(&failure.message);
                }
            }
            Ok(Held::Lost(why)) => self.lose(&why),
            // One that does not answer may come back.
            Ok(Held::Yes) | Err(_) => {}
        }
    }

    fn lose(&mut self, why: &str) {
        self.is_lost = true;
        self.claim.listen_no_more();
        (self.tell)(&self.claim, News::Lost { why: why.to_owned() });
    }
}
