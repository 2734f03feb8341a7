//! The signals that come to `run`, with whom they came to besides.

use std::fs;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::{Cause, Origin};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A terminal tells everyone, and then npm, which was told as well, tells `run`, where that is all that a script of a package
/// does. Long enough for a busy machine, and shorter than a person takes to press again and mean it.
const HANDED_ON: Duration = Duration::from_millis(300);
/// `timeout` tells the command that it has started, and at once the group that this is in. Whoever looks what the first signal
/// has done before the second takes longer.
const SAID_TWICE: Duration = Duration::from_millis(1);

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Received {
    /// A child has ended.
    Child,
    /// `run` is to end.
    End {
        signal: Signal,
        /// Whether it came from the terminal, which sends it to the command as well.
        of_terminal: bool,
    },
    /// It is for the command.
    PassOn(Signal),
}

/// Signals from the moment this is made.
pub(crate) struct Signals {
    received: UnboundedReceiver<Received>,
    handle: Handle,
}

impl Signals {
    /// # Errors
    /// What the system says.
    pub(crate) fn new() -> io::Result<Self> {
        let mut wanted = vec![SIGCHLD, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2];
        // nohup has it ignored, and means it.
        if !is_ignored(SIGHUP) {
            wanted.push(SIGHUP);
        }
        let mut signals = SignalsInfo::<WithOrigin>::new(wanted)?;
        let handle = signals.handle();
        let (sender, received) = unbounded_channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let mut last: Option<Request> = None;
            for origin in &mut signals {
                let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
                let message = match origin.signal {
                    SIGCHLD => Received::Child,
                    SIGUSR1 | SIGUSR2 => Received::PassOn(signal),
                    _ => {
                        let request = Request::of(signal, &origin);
                        if last.as_ref().is_some_and(|last| request.repeats(last)) {
                            continue;
                        }
                        let of_terminal = request.sender == Sender::Terminal;
                        last = Some(request);
                        Received::End { signal, of_terminal }
                    }
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { received, handle })
    }

    pub(crate) async fn next(&mut self) -> Received {
        match self.received.recv().await {
            Some(received) => received,
            // The thread ends with this value.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// One that asks for the end.
struct Request {
    signal: Signal,
    sender: Sender,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Terminal,
    Process(i32),
}

impl Request {
    fn of(signal: Signal, origin: &Origin) -> Self {
        let sender = match origin.cause {
            Cause::Kernel => Sender::Terminal,
            _ => Sender::Process(origin.process.map_or(0, |process| process.pid)),
        };
        Self { signal, sender, at: Instant::now() }
    }

    /// Whether this says once more what `earlier` said, and does not ask for a second time.
    fn repeats(&self, earlier: &Self) -> bool {
        let within = match (earlier.sender, self.sender) {
            // Every one was pressed.
            (Sender::Terminal, Sender::Terminal) => return false,
            (Sender::Process(one), Sender::Process(other)) if one == other => SAID_TWICE,
            (Sender::Process(_), Sender::Process(_)) => return false,
            _ => HANDED_ON,
        };
        self.signal == earlier.signal && self.at.duration_since(earlier.at) < within
    }
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_again_is_no_second_request() {
        let began = Instant::now();
        let request = |signal, sender, after| Request { signal, sender, at: began + Duration::from_millis(after) };
        let (terminal, npm, other) = (Sender::Terminal, Sender::Process(1), Sender::Process(2));
        for (first, then, after, is_repeated) in [
            (terminal, npm, 20, true),
            (npm, terminal, 20, true),
            (terminal, npm, 400, false),
            (terminal, terminal, 20, false),
            (npm, npm, 0, true),
            (npm, npm, 2, false),
            (npm, other, 1, false),
        ] {
            let first = request(Signal::INT, first, 0);
            let seen = request(Signal::INT, then, after).repeats(&first);
            assert_eq!(seen, is_repeated, "{:?}, {then:?} after {after} ms", first.sender);
            assert!(!request(Signal::TERM, then, after).repeats(&first), "it asks for something else");
        }
    }
}
