//! Two connections that speak their own protocol.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use http1::{BodyLength, Buffer, Limits, Relay, RelayError};
use tokio::io::AsyncWrite;

use super::client::Downstream;
use super::upstream::UpstreamIo;

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides have said that they are done.
    Both,
    /// The client's side broke.
    Client,
    /// The upstream's side broke.
    Upstream,
}

/// Carries bytes both ways until both sides have ended, or one has failed. `down` has the head that goes to the client
/// first, if one does; what either side sent early is in the buffers.
pub(crate) async fn run<D: Downstream>(
    client: &mut D,
    upstream: &mut UpstreamIo,
    mut answer: Option<Buffer>,
    mut down: Relay,
    limits: &Limits,
) -> Ended {
    let mut up = Relay::new(Vec::new(), BodyLength::UntilClose, BodyLength::UntilClose, limits);
    let (mut down_at, mut up_at) = (Stage::Relaying, Stage::Relaying);
    poll_fn(|cx| {
        let downwards = down_at.poll(|stage| match stage {
            Stage::Relaying => client.poll_download(&mut down, upstream, &mut answer, cx),
            _ => client.poll_shutdown(cx).map_err(RelayError::Destination),
        });
        match downwards {
            Poll::Ready(Err(RelayError::Destination(_))) => return Poll::Ready(Ended::Client),
            Poll::Ready(Err(_)) => return Poll::Ready(Ended::Upstream),
            _ => {}
        }
        let upwards = up_at.poll(|stage| match stage {
            Stage::Relaying => client.poll_upload(&mut up, upstream, cx),
            _ => Pin::new(&mut *upstream).poll_shutdown(cx).map_err(RelayError::Destination),
        });
        match (downwards, upwards) {
            (_, Poll::Ready(Err(RelayError::Destination(_)))) => Poll::Ready(Ended::Upstream),
            (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Client),
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(Ended::Both),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Where one direction is.
#[derive(Clone, Copy)]
enum Stage {
    Relaying,
    /// The source has ended, and the destination is to be told.
    Ending,
    Over,
}

impl Stage {
    fn poll(&mut self, mut poll: impl FnMut(Stage) -> Poll<Result<(), RelayError>>) -> Poll<Result<(), RelayError>> {
        loop {
            match self {
                Self::Over => return Poll::Ready(Ok(())),
                Self::Relaying => {
                    ready!(poll(*self))?;
                    *self = Self::Ending;
                }
                Self::Ending => {
                    ready!(poll(*self))?;
                    *self = Self::Over;
                }
            }
        }
    }
}
