//! The two halves of an HTTP/2 stream, as a source and a destination of bytes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use http1::Source;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport;

/// The body of a request.
pub(super) struct Body {
    stream: RecvStream,
    data: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Body {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self { stream, data: Bytes::new(), trailers: None, ended: false }
    }
}

impl Source for Body {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.data.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(data) => self.data = data.map_err(io::Error::other)?,
                None => {
                    self.trailers = ready!(self.stream.poll_trailers(cx)).map_err(io::Error::other)?;
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn trailers(&mut self) -> Option<Vec<u8>> {
        let mut lines = Vec::new();
        for (name, value) in &self.trailers.take()? {
            if http1::is_trailer(name.as_str()) {
                http1::write_field(&mut lines, name.as_str(), value.as_bytes());
            }
        }
        Some(lines)
    }
}

impl AsyncRead for Body {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_readable(cx))?;
        let n = this.data.len().min(buf.remaining());
        buf.put_slice(&this.data[..n]);
        this.data.advance(n);
        // Only now may the client send more: what has not gone on to the upstream stays within the window.
        let _ = this.stream.flow_control().release_capacity(n);
        Poll::Ready(Ok(()))
    }
}

/// The body of an answer.
pub(super) struct Sink {
    stream: SendStream<Bytes>,
    /// Written, and held until it is known whether it is the last: then the end of the stream needs no frame of its own.
    held: Bytes,
    ended: bool,
}

impl Sink {
    /// A sink for a stream whose head was sent; `ended` says that the head was all.
    pub(super) fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self { stream, held: Bytes::new(), ended }
    }

    /// Sends what is held, since nothing more comes for now.
    pub(super) fn release(&mut self) {
        if !self.held.is_empty() {
            // Fails where the stream is gone, which is found out where it matters.
            let _ = self.stream.send_data(std::mem::take(&mut self.held), false);
        }
    }

    /// Ends the stream.
    pub(super) fn end(&mut self, trailers: Option<HeaderMap>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let _ = match trailers.filter(|trailers| !trailers.is_empty()) {
            Some(trailers) => {
                self.release();
                self.stream.send_trailers(trailers)
            }
            None => self.stream.send_data(std::mem::take(&mut self.held), true),
        };
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, h2::Error>> {
        self.stream.poll_reset(cx)
    }

    /// Room for some of `wanted` bytes.
    fn poll_room(&mut self, wanted: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.release();
        transport::poll_room(&mut self.stream, wanted, cx)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(this.poll_room(bytes.len(), cx))?;
        this.held = Bytes::copy_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(this.poll_room(total, cx))?;
        let mut held = BytesMut::with_capacity(n);
        for slice in slices {
            let left = n - held.len();
            held.extend_from_slice(&slice[..slice.len().min(left)]);
        }
        this.held = held.freeze();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's own task writes as soon as it can; what is held is let go by whoever knows that more will not
        // come at once.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end(None);
        Poll::Ready(Ok(()))
    }
}
