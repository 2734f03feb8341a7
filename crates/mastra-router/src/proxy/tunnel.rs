//! Two connections that speak their own protocol.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http1::{BodyLength, Buffer, Io, Limits, Relay, RelayError};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::connection::{Client, ClientIo};

/// Carries bytes both ways until both sides have ended, or one has failed. `head` goes to the client first; what either
/// side sent early is in the buffers.
pub(crate) async fn run<S: ClientIo>(
    client: &mut Client<S>,
    mut upstream: TcpStream,
    mut answer: Option<Buffer>,
    head: Vec<u8>,
    limits: &Limits,
) {
    let mut down = Direction::new(head, limits);
    let mut up = Direction::new(Vec::new(), limits);
    poll_fn(|cx| {
        let down = down.poll(&mut upstream, &mut answer, &mut client.io, cx);
        let up = up.poll(&mut client.io, &mut client.input, &mut upstream, cx);
        match (down, up) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    })
    .await;
}

struct Direction {
    relay: Relay,
    relayed: bool,
    over: bool,
}

impl Direction {
    fn new(head: Vec<u8>, limits: &Limits) -> Self {
        let relay = Relay::new(head, BodyLength::UntilClose, BodyLength::UntilClose, limits);
        Self { relay, relayed: false, over: false }
    }

    /// Carries until the source ends, and passes the end on.
    fn poll<A: Io, B: Io>(
        &mut self,
        source: &mut A,
        buffer: &mut Option<Buffer>,
        destination: &mut B,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        if !self.relayed {
            ready!(self.relay.poll(source, buffer, destination, cx))?;
            self.relayed = true;
        }
        if !self.over {
            ready!(AsyncWrite::poll_shutdown(Pin::new(destination), cx)).map_err(RelayError::Destination)?;
            self.over = true;
        }
        Poll::Ready(Ok(()))
    }
}
