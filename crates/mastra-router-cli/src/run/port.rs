//! The port of a server: its own for as long as it runs, and the same the next time.

use std::fs;
use std::path::PathBuf;

use mastra_router::{Home, PortManager, PortRange, RouterError, default_lease_dir, port_holder};

use super::stable_hash::stable_hash;
use crate::failure::{Exit, Failure};

/// Few programs have a port here by themselves, systems give none of these to connections, and they are enough for
/// everything that a machine runs.
const RANGE: PortRange = PortRange { start: 20_000, end: 22_999 };

/// A port that nobody else is given, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct LeasedPort {
    pub(crate) number: u16,
    _lease: PortManager,
    /// Where it is to be remembered; one that was asked for is not.
    memory: Option<Memory>,
}

/// The file that remembers the port of a server.
#[derive(Debug)]
struct Memory(PathBuf);

impl LeasedPort {
    /// The port that was asked for, or the one that this server had, or a free one.
    ///
    /// # Errors
    /// `PORT_IN_USE` for one that was asked for; [`RouterError::NoPortAvailable`] and [`RouterError::File`].
    pub(crate) fn take(home: &Home, project: &str, name: &str, asked: Option<u16>) -> Result<Self, Failure> {
        let leases = |dir| PortManager::new(RANGE, dir).with_label(format!("run {name}"));
        match Self::take_of(leases(default_lease_dir()), home, project, name, asked) {
            // The directory is in the user's own home, which a container may give nobody the right to write to. Among those
            // of this router, each has a port of its own all the same.
            Err(Taken::NoLeases(_)) => {
                Self::take_of(leases(home.path().join("ports")), home, project, name, asked).map_err(Failure::from)
            }
            taken => taken.map_err(Failure::from),
        }
    }

    fn take_of(lease: PortManager, home: &Home, project: &str, name: &str, asked: Option<u16>) -> Result<Self, Taken> {
        if let Some(port) = asked {
            return if lease.reserve(port)? {
                Ok(Self { number: port, _lease: lease, memory: None })
            } else {
                Err(Taken::Refused(in_use(port)))
            };
        }
        let key = stable_hash(format!("{project}\0{name}").as_bytes());
        let memory = Memory(home.path().join("run").join(format!("{key:016x}")));
        let remembered = memory.recall();
        // Spread, so that what is started after this does not take the port before it comes back.
        let size = u64::from(RANGE.end - RANGE.start) + 1;
        let offset = u16::try_from(key % size).unwrap_or_default();
        let first = RANGE.start + offset;
        for port in remembered.into_iter().chain(first..=RANGE.end).chain(RANGE.start..first) {
            if lease.reserve(port)? {
                return Ok(Self { number: port, _lease: lease, memory: Some(memory) });
            }
        }
        // With every port, and who holds it.
        Err(lease.allocate().err().unwrap_or(RouterError::Closed).into())
    }

    /// Has the server given this port the next time too: once its name is its own, since another may run under it.
    pub(crate) fn remember(&self) {
        if let Some(memory) = self.memory.as_ref().filter(|memory| memory.recall() != Some(self.number)) {
            memory.keep(self.number);
        }
    }
}

/// Why there is no port.
enum Taken {
    /// The directory of the leases cannot be used.
    NoLeases(RouterError),
    Refused(Failure),
}

impl From<RouterError> for Taken {
    fn from(error: RouterError) -> Self {
        match error {
            RouterError::File { .. } => Self::NoLeases(error),
            error => Self::Refused(error.into()),
        }
    }
}

impl From<Taken> for Failure {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::NoLeases(error) => error.into(),
            Taken::Refused(failure) => failure,
        }
    }
}

fn in_use(port: u16) -> Failure {
    let holder = port_holder(port).map(|holder| format!(" by {holder}")).unwrap_or_default();
    Failure {
        code: "PORT_IN_USE".to_owned(),
        message: format!("port {port} is taken{holder}"),
        hint: Some("leave --port out for a free one".to_owned()),
        exit: Exit::Conflict,
    }
}

impl Memory {
    fn recall(&self) -> Option<u16> {
        let port = fs::read_to_string(&self.0).ok()?.trim().parse().ok()?;
        (RANGE.start..=RANGE.end).contains(&port).then_some(port)
    }

    /// Where that cannot be written down, the next port is another one: no reason not to run.
    fn keep(&self, port: u16) {
        let Some(dir) = self.0.parent() else { return };
        let _ = fs::create_dir(dir);
        let new = self.0.with_extension(format!("new-{}", std::process::id()));
        let written = fs::write(&new, format!("{port}\n")).and_then(|()| fs::rename(&new, &self.0));
        if written.is_err() {
            let _ = fs::remove_file(new);
        }
    }
}
