//! What is shown of all apps: one thread writes, so that no line is torn, and so that a terminal which is held up keeps
//! nobody from ending anything.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use mastra_router::control::wire::time;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::clean::{Keep, clean};
use super::live::Live;
use super::report::{Report, State};
use crate::output::Output;

/// The table tells how long apps run.
const TICK: Duration = Duration::from_secs(1);
/// Colours of names, which are none of those that states have.
const COLORS: [&str; 6] = ["36", "35", "34", "96", "95", "94"];

/// Something to show.
#[derive(Debug)]
pub(crate) enum Message {
    Log(Log),
    State {
        app: usize,
        report: Report,
    },
    /// All apps are there.
    Ready,
    /// Something to tell a person, of one app or of all.
    Note {
        app: Option<usize>,
        text: String,
    },
}

/// A line of an app.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) app: usize,
    pub(crate) stream: Stream,
    pub(crate) line: Vec<u8>,
    /// Its share of what may be under way, given back when it is shown.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

/// Where an app wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// An app, as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) key: String,
    pub(crate) url: String,
    pub(super) color: &'static str,
}

/// The apps as they are shown: each with a colour that is the same the next time.
pub(crate) fn shown(apps: impl IntoIterator<Item = (String, String)>) -> Vec<Shown> {
    let mut used = [false; COLORS.len()];
    let choose = |(key, url): (String, String)| {
        let first = usize::try_from(crate::run::stable_hash(key.as_bytes()) % COLORS.len() as u64).unwrap_or_default();
        // One that another has is taken only where all are.
        let free = (0..COLORS.len()).map(|step| (first + step) % COLORS.len()).find(|at| used.get(*at) == Some(&false));
        let at = free.unwrap_or(first);
        if let Some(slot) = used.get_mut(at) {
            *slot = true;
        }
        Shown { key, url, color: COLORS.get(at).copied().unwrap_or("36") }
    };
    apps.into_iter().map(choose).collect()
}

/// The thread that shows.
pub(crate) struct Screen {
    done: oneshot::Receiver<()>,
}

impl Screen {
    /// Shows what comes until all senders are gone.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(crate) fn start(
        apps: Vec<Shown>,
        mut messages: UnboundedReceiver<Message>,
        output: Output,
    ) -> std::io::Result<Self> {
        let (ended, done) = oneshot::channel();
        let (sender, receiver) = channel();
        // The queue of the tasks has no wait with a limit.
        thread::Builder::new().name("messages".to_owned()).spawn(move || {
            while let Some(message) = messages.blocking_recv() {
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
        thread::Builder::new().name("screen".to_owned()).spawn(move || {
            let live = (output.is_terminal && !output.json && !output.quiet).then(|| Live::new(&apps));
            let width = apps.iter().map(|app| app.key.chars().count()).max().unwrap_or_default();
            Writer { apps, output, live, width }.write_all(&receiver);
            let _ = ended.send(());
        })?;
        Ok(Self { done })
    }

    /// Waits until all is shown, for a while.
    pub(crate) async fn finished(self, most: Duration) {
        let _ = tokio::time::timeout(most, self.done).await;
    }
}

struct Writer {
    apps: Vec<Shown>,
    output: Output,
    /// The table, on a terminal.
    live: Option<Live>,
    width: usize,
}

impl Writer {
    fn write_all(mut self, messages: &Receiver<Message>) {
        loop {
            let first =
                if self.live.is_some() { messages.recv_timeout(TICK) } else { messages.recv().map_err(Into::into) };
            let mut out = Vec::new();
            let is_over = match first {
                Ok(message) => {
                    self.show(message, &mut out);
                    // What is there already is written in one go, so that the table is drawn once.
                    while out.len() < 64 << 10
                        && let Ok(message) = messages.try_recv()
                    {
                        self.show(message, &mut out);
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => true,
            };
            if let Some(live) = &mut self.live {
                out = live.drawn_below(&out, &self.apps, self.output.color, is_over);
            }
            self.output.bytes(&out);
            if is_over {
                return;
            }
        }
    }

    fn show(&mut self, message: Message, out: &mut Vec<u8>) {
        match message {
            Message::Log(log) => self.log(&log, out),
            Message::State { app, report } => self.state(app, report, out),
            Message::Ready if self.output.json => self.output.json(&json!({ "event": "ready", "at": now() })),
            Message::Ready => self.tell(None, "all apps are there; Ctrl-C ends them", out),
            Message::Note { app, text } if self.output.json => {
                let app = app.and_then(|at| self.apps.get(at)).map(|app| app.key.as_str());
                self.output.json(&json!({ "event": "note", "app": app, "message": text, "at": now() }));
            }
            Message::Note { app, text } => self.tell(app, &text, out),
        }
    }

    fn log(&self, log: &Log, out: &mut Vec<u8>) {
        let Some(app) = self.apps.get(log.app) else { return };
        if self.output.json {
            let stream = if log.stream == Stream::Stdout { "stdout" } else { "stderr" };
            let line = String::from_utf8_lossy(&log.line);
            self.output.json(&json!({ "event": "log", "app": app.key, "stream": stream, "line": line, "at": now() }));
            return;
        }
        let keep = match (self.output.is_terminal, self.output.color) {
            (true, true) => Keep::Colors,
            (true, false) => Keep::Text,
            _ => Keep::Bytes,
        };
        out.extend_from_slice(self.prefix(Some(app)).as_bytes());
        out.extend_from_slice(&clean(&log.line, keep));
        out.push(b'\n');
    }

    fn state(&mut self, at: usize, report: Report, out: &mut Vec<u8>) {
        let Some(app) = self.apps.get(at) else { return };
        if self.output.json {
            self.output.json(&json!({
                "event": "state",
                "app": app.key,
                "state": report.state.word(),
                "detail": report.state.detail(),
                "url": app.url,
                "port": report.port,
                "restarts": report.restarts,
                "at": now(),
            }));
            return;
        }
        let text = match (&report.state, report.port) {
            (State::Healthy | State::Listening | State::Unhealthy { .. }, Some(port)) => {
                format!("{}  {} → localhost:{port}", report.state.shown(), app.url)
            }
            (State::Asleep, _) => format!("{}  {}", report.state.shown(), app.url),
            (state, _) => state.shown(),
        };
        match &mut self.live {
            Some(live) => {
                // The table shows the rest, and forgets it.
                let is_to_stay =
                    matches!(report.state, State::Restarting { .. } | State::Failed { .. } | State::Exited);
                live.set(at, report);
                if is_to_stay {
                    self.tell(Some(at), &text, out);
                }
            }
            None => self.tell(Some(at), &text, out),
        }
    }

    /// To a person: among the logs on a terminal, else on stderr.
    fn tell(&self, at: Option<usize>, text: &str, out: &mut Vec<u8>) {
        let app = at.and_then(|at| self.apps.get(at));
        if self.live.is_some() {
            out.extend_from_slice(self.prefix(app).as_bytes());
            out.extend_from_slice(&clean(text.as_bytes(), Keep::Text));
            out.push(b'\n');
            return;
        }
        // What was written before comes first, where both lead to one file.
        self.output.bytes(&std::mem::take(out));
        match app {
            Some(app) => self.output.say(&format!("{:width$}  {text}", app.key, width = self.width)),
            None => self.output.say(text),
        }
    }

    fn prefix(&self, app: Option<&Shown>) -> String {
        let (key, color) = app.map_or(("", "2"), |app| (app.key.as_str(), app.color));
        let width = self.width;
        if self.output.color && self.output.is_terminal {
            format!("\u{1b}[{color}m{key:width$} |\u{1b}[0m ")
        } else {
            format!("{key:width$} | ")
        }
    }
}

fn now() -> String {
    time(SystemTime::now())
}
