//! The signals that come to `run`, with whom they came to besides.

use std::fs;
use std::io;
use std::thread;

use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::Cause;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

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
            for origin in &mut signals {
                let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
                let message = match origin.signal {
                    SIGCHLD => Received::Child,
                    SIGUSR1 | SIGUSR2 => Received::PassOn(signal),
                    _ => Received::End { signal, of_terminal: matches!(origin.cause, Cause::Kernel) },
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

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
