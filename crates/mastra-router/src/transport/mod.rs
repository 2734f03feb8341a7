//! Connections to targets, each in what its target speaks, all of them used like an HTTP/1.1 connection.

mod h2c;
mod tls;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use http1::Source;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) use h2c::{Connection as H2cConnection, SEND_BUFFER, fields_of_lines, poll_room};
pub use tls::TargetTls;
pub(crate) use tls::poll_readable;

use crate::target::{Target, TargetScheme};

/// A connection to a target. What is written is HTTP/1.1, and so is what is read.
pub(crate) enum Connection {
    /// As it is.
    Tcp(TcpStream),
    /// Within TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// As a stream of an HTTP/2 connection.
    H2c(Box<h2c::Stream>),
}

impl Connection {
    /// Speaks to `target` over a connection that was just made.
    ///
    /// # Errors
    /// What went wrong; for a certificate that is not trusted it is a [`rustls::Error`] inside.
    pub(crate) async fn begin(io: TcpStream, target: &Target, tls: &TargetTls) -> io::Result<Self> {
        match target.scheme() {
            TargetScheme::Http => Ok(Self::Tcp(io)),
            TargetScheme::Https | TargetScheme::HttpsUnverified => {
                Ok(Self::Tls(Box::new(tls.connect(io, target).await?)))
            }
            TargetScheme::H2c => Ok(H2cConnection::begin(io).await?.stream()),
        }
    }

    /// False where the other side has closed, or has said something that nobody asked for. Asks the system, if `probe`
    /// says so, and otherwise only what is known already.
    pub(crate) fn is_quiet(&mut self, probe: bool) -> bool {
        let io = match self {
            Self::Tcp(io) => &*io,
            Self::Tls(stream) => {
                let (io, session) = stream.get_mut();
                // What has been taken from the socket already does not show there.
                let quiet = session
                    .process_new_packets()
                    .is_ok_and(|state| state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed());
                if !quiet {
                    return false;
                }
                &*io
            }
            Self::H2c(_) => return true,
        };
        let ready = io.poll_read_ready(&mut Context::from_waker(std::task::Waker::noop()));
        if ready.is_pending() && !probe {
            return true;
        }
        let mut byte = [std::mem::MaybeUninit::uninit()];
        matches!(socket2::SockRef::from(io).peek(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Lets the connection end with a reset instead of an orderly close.
    pub(crate) fn reset_on_close(&self) {
        let io = match self {
            Self::Tcp(io) => io,
            Self::Tls(stream) => stream.get_ref().0,
            // Dropping a stream that has not ended resets it.
            Self::H2c(_) => return,
        };
        let _ = socket2::SockRef::from(io).set_linger(Some(std::time::Duration::ZERO));
    }
}

impl Source for Connection {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx),
            Self::Tls(stream) => {
                let (io, session) = stream.get_mut();
                tls::poll_readable(io, session.process_new_packets(), cx)
            }
            Self::H2c(stream) => stream.poll_readable(cx),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Self::H2c(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
            Self::H2c(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bytes),
            Self::H2c(io) => Pin::new(io).poll_write_vectored(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
            Self::H2c(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Self::H2c(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
