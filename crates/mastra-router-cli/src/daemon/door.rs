//! A second socket in the home, for what concerns the process and not its routes: what it was started with, that it is to
//! stay, and that another one takes its place. One line of JSON is asked, one is answered.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use mastra_router::{Home, LocalEdgeRouter};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::origin::Origin;
use crate::cli::IdleExit;

/// A line is a command line and a few variables.
const LINE_MAX: u64 = 1024 * 1024;
/// Whoever asks is on this machine and has its question ready.
const ASK_MOST: Duration = Duration::from_secs(5);

/// Where the door of a home is.
pub(crate) fn path(home: &Home) -> PathBuf {
    home.path().join("daemon.sock")
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Question {
    /// What the process is.
    Describe,
    /// Not to end by itself.
    Stay,
    /// To make room for whoever asks; what is open may take this long.
    HandOver { drain_ms: u64 },
}

/// What a router in a process of its own says of this process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) pid: u32,
    pub(crate) origin: Option<Origin>,
    /// `serve`, `start` or `command`.
    pub(crate) started_by: String,
    /// Clients of the proxy.
    pub(crate) connections: usize,
}

/// Somebody who wants our place.
pub(crate) struct Successor {
    pub(crate) stream: BufReader<UnixStream>,
    pub(crate) drain: Duration,
}

/// An open door. It closes when dropped.
pub(crate) struct Door {
    task: JoinHandle<()>,
    path: PathBuf,
    pub(crate) successors: mpsc::Receiver<Successor>,
    pub(crate) idle_exit: watch::Receiver<IdleExit>,
}

/// What is answered from.
struct Keeper {
    router: LocalEdgeRouter,
    origin: Option<Origin>,
    started_by: String,
    idle_exit: watch::Sender<IdleExit>,
    successors: mpsc::Sender<Successor>,
}

impl Door {
    /// Opens the door of a home that is ours, in the place of one that is open.
    ///
    /// # Errors
    /// What the system said.
    pub(crate) fn open(
        home: &Home,
        router: LocalEdgeRouter,
        origin: Option<Origin>,
        started_by: &str,
        idle_exit: IdleExit,
    ) -> io::Result<Self> {
        let path = path(home);
        // Under another name first: at no moment is there none to be found.
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, &path)?;
        let (ask, successors) = mpsc::channel(1);
        let idle_exit = watch::Sender::new(idle_exit);
        let setting = idle_exit.subscribe();
        let started_by = started_by.to_owned();
        let keeper = Keeper { router, origin, started_by, idle_exit, successors: ask };
        let task = tokio::spawn(keeper.keep(listener));
        Ok(Self { task, path, successors, idle_exit: setting })
    }

    /// Closes it and leaves its place to the one that was opened there.
    pub(crate) fn leave(mut self) {
        self.path = PathBuf::new();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Keeper {
    async fn keep(mut self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                // One after the other: who has nothing to say is not waited for long.
                Ok((stream, _)) => {
                    if let Ok(Err(error)) = tokio::time::timeout(ASK_MOST, self.answer(stream)).await {
                        tracing::debug!(%error, "a question was not answered");
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn answer(&mut self, stream: UnixStream) -> io::Result<()> {
        of_own_user(&stream)?;
        let mut stream = BufReader::new(stream);
        let line = read_line(&mut stream).await?;
        match serde_json::from_str(&line)? {
            Question::Describe => {}
            Question::Stay => {
                self.idle_exit.send_replace(IdleExit::Never);
                self.started_by = "start".to_owned();
            }
            Question::HandOver { drain_ms } => {
                // Where there is one already, this one is told by the end of its connection.
                let _ = self.successors.try_send(Successor { stream, drain: Duration::from_millis(drain_ms) });
                return Ok(());
            }
        }
        let description = Description {
            pid: std::process::id(),
            origin: self.origin.clone(),
            started_by: self.started_by.clone(),
            connections: self.router.connections(),
        };
        write_line(&mut stream, &description).await
    }
}

/// Asks the process of the router in `home`.
///
/// # Errors
/// What the system said; also where nobody answers in time, or not in a form that is known.
pub(crate) async fn ask(home: &Home, question: &Question) -> io::Result<Description> {
    let asked = async {
        let mut stream = connect(home).await?;
        write_line(&mut stream, question).await?;
        Ok(serde_json::from_str(&read_line(&mut stream).await?)?)
    };
    tokio::time::timeout(ASK_MOST, asked).await?
}

/// A connection to the door of a home.
pub(super) async fn connect(home: &Home) -> io::Result<BufReader<UnixStream>> {
    let stream = UnixStream::connect(path(home)).await?;
    // Its answers are run as a command line.
    of_own_user(&stream)?;
    Ok(BufReader::new(stream))
}

fn of_own_user(stream: &UnixStream) -> io::Result<()> {
    match stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user's")),
    }
}

pub(super) async fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.take(LINE_MAX).read_line(&mut line).await?;
    if line.ends_with('\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(super) async fn write_line(stream: &mut BufReader<UnixStream>, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await
}
