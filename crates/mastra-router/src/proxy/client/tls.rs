//! TLS with a client: a certificate for the name it asks for, and the version of HTTP that both want.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http1::{Buffer, Source};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::idle::IdleTimer;
use super::{ClientIo, http2, http11};
use crate::proxy::{Shared, worker};
use crate::transport;

/// The first byte of a TLS record that is part of a handshake (RFC 8446, section 5.1). No method of HTTP begins with it.
const HANDSHAKE: u8 = 22;
/// A fatal alert, `unrecognized_name` (RFC 6066, section 3): browsers say that the name is wrong, not that TLS is.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Whether a connection that begins like this speaks TLS.
pub(super) fn is_handshake(input: &Option<Buffer>) -> bool {
    input.as_ref().and_then(|bytes| bytes.filled().first()) == Some(&HANDSHAKE)
}

/// Serves a connection, whose first bytes are in `input`, until it ends.
pub(super) async fn serve(
    io: TcpStream,
    input: Option<Buffer>,
    peer: SocketAddr,
    local: SocketAddr,
    shared: &Arc<Shared>,
    idle: Pin<&mut IdleTimer>,
) {
    let mut accepted = Box::pin(accept(Begun { input, io }, local, shared));
    let accepted = poll_fn(|cx| if worker::closes_idle() { Poll::Ready(None) } else { accepted.as_mut().poll(cx) });
    let Ok(Some(stream)) = tokio::time::timeout(shared.config.head_timeout, accepted).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = Secure(stream);
    if http2 {
        http2::serve(stream, peer, local, shared, idle).await;
    } else {
        http11::serve(stream, None, peer, local, true, shared, idle).await;
    }
}

/// The handshake. `None` where it failed, or where nobody has a certificate for the name.
async fn accept(io: Begun, local: SocketAddr, shared: &Shared) -> Option<TlsStream<Begun>> {
    let mut start = match LazyConfigAcceptor::new(Acceptor::default(), io).await {
        Ok(start) => start,
        Err(error) => {
            tracing::debug!(%error, "no TLS handshake");
            return None;
        }
    };
    // A URL with an address in it sends no name (RFC 6066, section 3); the address is the one that was connected to.
    let host = match start.client_hello().server_name() {
        Some(name) => name.to_ascii_lowercase(),
        None => local.ip().to_canonical().to_string(),
    };
    let config = match &shared.tls.certificates {
        Some(certificates) => match certificates.held(&host) {
            Some(config) => Some(config),
            None => certificates.obtain(&host).await,
        },
        None => None,
    };
    let Some(config) = config else {
        let off = shared.tls.certificates.is_none();
        tracing::debug!(off, "no certificate for the name that was asked for");
        let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = start.io.shutdown().await;
        return None;
    };
    match start.into_stream(config).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            // Most often a client that does not trust the authority yet.
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
    }
}

/// A socket of which something has been read.
struct Begun {
    input: Option<Buffer>,
    io: TcpStream,
}

impl AsyncRead for Begun {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(bytes) = &mut this.input else { return Pin::new(&mut this.io).poll_read(cx, buf) };
        let n = bytes.filled().len().min(buf.remaining());
        buf.put_slice(&bytes.filled()[..n]);
        bytes.consume(n);
        if bytes.is_empty() {
            this.input = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A client's connection within TLS.
struct Secure(TlsStream<Begun>);

impl Source for Secure {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (begun, session) = self.0.get_mut();
        if begun.input.is_some() {
            return Poll::Ready(Ok(()));
        }
        transport::poll_readable(&begun.io, session.process_new_packets(), cx)
    }
}

impl ClientIo for Secure {
    fn reset_on_close(&self) {
        self.0.get_ref().0.io.reset_on_close();
    }

    fn is_closed(&self) -> bool {
        self.0.get_ref().0.io.is_closed()
    }
}

impl AsyncRead for Secure {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
