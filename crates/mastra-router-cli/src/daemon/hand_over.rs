//! One process takes another's place as the router of a home.
//!
//! The new one asks, gets copies of the home's lock and of the listening sockets, and says that it is prepared. Then the
//! old one closes the control socket and gives up what it saves, still serving, and says so. The new one starts on what it
//! was given, and says that it serves. Only then does the old one accept no more. The lock is held by one or both at every
//! moment, the sockets listen at every moment, and where the new one fails the old one has all it needs to go on.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use mastra_router::Home;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, BufReader, Interest};
use tokio::net::UnixStream;

use super::door::{self, Question, Successor, read_line, write_line};
use crate::failure::Failure;

/// Descriptors in one message; the system takes 253.
const AT_ONCE: usize = 64;
/// Nothing is inherited by what this process may start.
#[cfg(target_os = "linux")]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const RECEIVE: RecvFlags = RecvFlags::empty();
/// How long a new router may take to read its settings.
const PREPARE_MOST: Duration = Duration::from_secs(30);
/// How long the old router may take to save what is not saved yet.
const RELEASE_MOST: Duration = Duration::from_secs(60);
/// How long the new router may take to start on what it was given.
const START_MOST: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    Prepared,
    Released,
    Serving,
}

/// What a router that makes room gives.
pub(crate) struct Given {
    pub(crate) lock: File,
    pub(crate) listeners: Vec<TcpListener>,
}

/// The old router, seen from the new one. The old one cuts its rest short when this is dropped.
pub(crate) struct Predecessor(BufReader<UnixStream>);

impl Predecessor {
    /// Asks the router of `home` for its place.
    ///
    /// # Errors
    /// `RESTART_FAILED`.
    pub(crate) async fn ask(home: &Home, drain: Duration) -> Result<(Self, Given), Failure> {
        let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        let asked = async {
            let mut stream = door::connect(home).await?;
            write_line(&mut stream, &Question::HandOver { drain_ms }).await?;
            let mut received = receive(stream.get_ref()).await?.into_iter();
            let lock = received.next().ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok::<_, io::Error>((
                Self(stream),
                Given { lock: lock.into(), listeners: received.map(Into::into).collect() },
            ))
        };
        within(PREPARE_MOST, asked).await.map_err(|error| failed("the router that runs does not make room", &error))
    }

    /// Says that all is well so far. When this returns, the home and what is saved in it are ours.
    ///
    /// # Errors
    /// `RESTART_FAILED`.
    pub(crate) async fn prepared(&mut self) -> Result<(), Failure> {
        let released = async {
            write_line(&mut self.0, &Step::Prepared).await?;
            expect(&mut self.0, Step::Released).await
        };
        within(RELEASE_MOST, released).await.map_err(|error| failed("the router that runs gave nothing up", &error))
    }

    /// Says that we serve.
    ///
    /// # Errors
    /// `RESTART_FAILED`: then the old one has gone on, since we took too long.
    pub(crate) async fn serving(&mut self) -> Result<(), Failure> {
        let said = write_line(&mut self.0, &Step::Serving).await;
        said.map_err(|error| failed("the router that ran has gone on", &error))
    }
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::failed("RESTART_FAILED", format!("{what}: {error}"))
}

impl Successor {
    /// Gives the new router what it needs, and returns when it has found that its settings can be used.
    ///
    /// # Errors
    /// What the system said, or that the new one has gone; then nothing has changed.
    pub(crate) async fn prepare(&mut self, given: Given) -> io::Result<()> {
        let prepared = async {
            let Given { lock, listeners } = &given;
            let descriptors: Vec<BorrowedFd<'_>> =
                std::iter::once(lock.as_fd()).chain(listeners.iter().map(AsFd::as_fd)).collect();
            send(self.stream.get_ref(), &descriptors).await?;
            expect(&mut self.stream, Step::Prepared).await
        };
        within(PREPARE_MOST, prepared).await
    }

    /// Says that all is given up, and returns when the new one serves.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(crate) async fn serves(&mut self) -> io::Result<()> {
        let serves = async {
            write_line(&mut self.stream, &Step::Released).await?;
            expect(&mut self.stream, Step::Serving).await
        };
        within(START_MOST, serves).await
    }

    /// Ends when the new one has ended.
    pub(crate) async fn gone(&mut self) {
        while self.stream.read_u8().await.is_ok() {}
    }
}

async fn within<T>(most: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(most, what).await?
}

async fn expect(stream: &mut BufReader<UnixStream>, step: Step) -> io::Result<()> {
    let said: Step = serde_json::from_str(&read_line(stream).await?)?;
    if said == step { Ok(()) } else { Err(io::Error::other(format!("{said:?} came, and not {step:?}"))) }
}

/// Sends copies of descriptors, each message with the number that still follow it.
async fn send(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut left = descriptors.len();
    for some in descriptors.chunks(AT_ONCE) {
        left -= some.len();
        let follow = u16::try_from(left).map_err(io::Error::other)?.to_be_bytes();
        let message = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(some));
            // Two bytes fit into a socket that is empty, so they are sent at once or not at all.
            Ok(rustix::net::sendmsg(stream, &[IoSlice::new(&follow)], &mut control, SendFlags::NOSIGNAL)?)
        };
        stream.async_io(Interest::WRITABLE, message).await?;
    }
    Ok(())
}

/// Receives what [`send`] sends.
async fn receive(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut received = Vec::new();
    loop {
        let mut follow = [0; 2];
        let message = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut into = [IoSliceMut::new(&mut follow)];
            let got = rustix::net::recvmsg(stream, &mut into, &mut control, RECEIVE)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    received.extend(descriptors);
                }
            }
            Ok(got.bytes)
        };
        if stream.async_io(Interest::READABLE, message).await? < follow.len() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"));
        }
        if u16::from_be_bytes(follow) == 0 {
            return Ok(received);
        }
    }
}
