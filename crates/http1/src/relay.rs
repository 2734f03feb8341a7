use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::body::{BodyReader, Piece};
use crate::body_writer::BodyWriter;
use crate::buffer::Buffer;
use crate::error::BodyError;
use crate::framing::BodyLength;
use crate::limits::Limits;

/// A byte stream that tells when there is something to read without being given a buffer first.
pub trait Source: AsyncRead + Unpin {
    /// Ready when a read would not wait: there are bytes, or the end, or an error. It may be wrong, so a read may wait all
    /// the same.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Trailers that came after the last byte, of a stream that has frames of its own: whole field lines, each with a name
    /// that [`is_trailer`](crate::is_trailer) takes.
    fn trailers(&mut self) -> Option<Vec<u8>> {
        None
    }
}

impl Source for TcpStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

/// Reads behind what `buffer` holds, making room where there is none. 0 is the end of the stream.
///
/// The buffer is taken when there is something to put in it, and given back when there was nothing after all.
pub fn poll_fill<S: Source>(
    io: &mut S,
    buffer: &mut Option<Buffer>,
    large: bool,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if buffer.is_none() {
        ready!(io.poll_readable(cx))?;
    }
    let into = buffer.get_or_insert_with(|| if large { Buffer::large() } else { Buffer::small() });
    if into.room().is_empty() {
        into.make_room();
    }
    let mut room = ReadBuf::new(into.room());
    let outcome = Pin::new(io).poll_read(cx, &mut room);
    let n = room.filled().len();
    match outcome {
        Poll::Ready(Ok(())) => {
            into.filled_more(n);
            if into.is_empty() {
                *buffer = None;
            }
            Poll::Ready(Ok(n))
        }
        other => {
            if into.is_empty() {
                *buffer = None;
            }
            other.map_ok(|()| 0)
        }
    }
}

/// Why a relay ended early.
#[derive(Debug)]
pub enum RelayError {
    /// The source could not be read.
    Source(io::Error),
    /// The destination could not be written to.
    Destination(io::Error),
    /// What came from the source is not a body, or not all of it.
    Body(BodyError),
}

/// How many runs of payload go out with one write: a buffer full of small chunks is joined into one.
const RUNS: usize = 16;
/// Payload up to this size is copied behind the head that goes before it: one plain write is cheaper than a vectored one.
const COPIED: usize = 4 * 1024;

/// One direction of an exchange: a head that is ready, then a body that is read from one stream, validated, framed anew
/// and written to another, with no more in flight than one buffer holds.
///
/// It is polled with both streams, so that one task can own them and both directions.
pub struct Relay {
    reader: BodyReader,
    writer: BodyWriter,
    /// What goes out before the payload in `runs`: the head at first, then the framing of a chunk.
    lead: Vec<u8>,
    /// Places in the buffer.
    runs: [(usize, usize); RUNS],
    run_count: usize,
    run_bytes: usize,
    /// What goes out behind them.
    tail: Vec<u8>,
    /// How much of lead, runs and tail has been written.
    written: usize,
    /// Bytes of the buffer that are free once all has been written.
    consumed: usize,
    /// Whether lead, runs and tail hold something that has not been written to its end.
    collected: bool,
    /// Whether anything was written that is no longer here, so that the whole cannot be sent again.
    beyond_lead: bool,
    /// Whether the end of the body has been collected.
    ended: bool,
    /// Whether long bodies are read with large buffers.
    large: bool,
}

impl Relay {
    /// A relay that sends `head`, then the body that is read as `from` and written as `to`.
    pub fn new(head: Vec<u8>, from: BodyLength, to: BodyLength, limits: &Limits) -> Self {
        Self {
            reader: BodyReader::new(from, limits),
            writer: BodyWriter::new(to),
            lead: head,
            runs: [(0, 0); RUNS],
            run_count: 0,
            run_bytes: 0,
            tail: Vec::new(),
            written: 0,
            consumed: 0,
            collected: false,
            beyond_lead: false,
            ended: false,
            large: true,
        }
    }

    /// The same relay, which never takes a large buffer: for a destination that takes little at a time and may take none,
    /// of which there can be many.
    #[must_use]
    pub fn with_small_buffers(self) -> Self {
        Self { large: false, ..self }
    }

    /// Relays until all is written. `buffer` holds what has been read from the source already, and keeps what was read
    /// beyond the end of the body.
    ///
    /// Dropping it half-way leaves both streams in the middle of a message.
    ///
    /// # Errors
    ///
    /// What ended it. The caller must not let the receiver take what was sent for a whole message.
    pub fn poll<S: Source, D: AsyncWrite + Unpin>(
        &mut self,
        source: &mut S,
        buffer: &mut Option<Buffer>,
        destination: &mut D,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RelayError>> {
        loop {
            if !self.collected {
                self.collect(buffer)?;
            }
            ready!(self.poll_write(buffer, destination, cx)).map_err(RelayError::Destination)?;
            if let Some(bytes) = buffer {
                bytes.consume(self.consumed);
                if bytes.is_empty() {
                    *buffer = None;
                }
            }
            self.consumed = 0;
            if self.ended {
                return Pin::new(destination).poll_flush(cx).map_err(RelayError::Destination);
            }
            self.clear();
            if buffer.is_none() {
                let large = self.large && self.reader.run() > crate::buffer::SMALL as u64;
                match poll_fill(source, buffer, large, cx).map_err(RelayError::Source)? {
                    Poll::Ready(0) => self.end_of_input(source.trailers())?,
                    Poll::Ready(_) => {}
                    // A destination that holds bytes back, as TLS does, must not do so while there is nothing to add.
                    Poll::Pending => {
                        let _ = Pin::new(destination).poll_flush(cx).map_err(RelayError::Destination)?;
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// True while nothing was written that a second connection could not be given too, so that the exchange may be tried
    /// again; and then sets it back to its start.
    pub fn rewind(&mut self) -> bool {
        if self.beyond_lead {
            return false;
        }
        self.written = 0;
        true
    }

    /// Whether a byte has been written.
    pub fn has_begun(&self) -> bool {
        self.beyond_lead || self.written > 0
    }

    /// The trailers that ended the body: whole field lines, those that may be forwarded. For a receiver that has frames of
    /// its own for them; a chunked body is written with its trailers.
    pub fn trailers(&self) -> Option<&[u8]> {
        self.reader.trailers()
    }

    /// Finds out what of the buffer is payload and frames it.
    fn collect(&mut self, buffer: &Option<Buffer>) -> Result<(), RelayError> {
        let empty: &[u8] = &[];
        let (input, base) = buffer.as_ref().map_or((empty, 0), |b| (b.filled(), b.position()));
        let mut at = 0;
        while self.run_count < RUNS {
            match self.reader.read(&input[at..]).map_err(RelayError::Body)? {
                Piece::Data { skip, len } => {
                    self.runs[self.run_count] = (base + at + skip, len);
                    self.run_count += 1;
                    self.run_bytes += len;
                    at += skip + len;
                }
                Piece::More { skip } => {
                    at += skip;
                    break;
                }
                Piece::End { skip } => {
                    at += skip;
                    self.ended = true;
                    break;
                }
            }
            // A body with a length needs no further look to be known complete; its end goes out with its last bytes.
            if at == input.len() && !self.reader.is_done() {
                break;
            }
        }
        self.consumed = at;
        self.collected = true;
        if self.run_bytes > 0 {
            let mut room = [0; 20];
            self.lead.extend_from_slice(self.writer.before(self.run_bytes, &mut room));
            self.tail.extend_from_slice(self.writer.after());
        }
        if self.ended {
            self.writer.finish(self.reader.trailers(), &mut self.tail).map_err(RelayError::Body)?;
        }
        self.flatten(buffer);
        Ok(())
    }

    /// Copies a small payload between the lead and the tail, so that all is one run of bytes.
    fn flatten(&mut self, buffer: &Option<Buffer>) {
        let Some(bytes) = buffer else { return };
        if self.run_bytes > COPIED {
            return;
        }
        for (start, len) in &self.runs[..self.run_count] {
            self.lead.extend_from_slice(bytes.slice(*start, *len));
        }
        self.lead.append(&mut self.tail);
        self.run_count = 0;
        self.run_bytes = 0;
    }

    fn end_of_input(&mut self, trailers: Option<Vec<u8>>) -> Result<(), RelayError> {
        self.reader.end_of_input().map_err(RelayError::Body)?;
        self.ended = true;
        self.collected = true;
        self.writer.finish(trailers.as_deref(), &mut self.tail).map_err(RelayError::Body)
    }

    fn poll_write<D: AsyncWrite + Unpin>(
        &mut self,
        buffer: &Option<Buffer>,
        destination: &mut D,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let total = self.lead.len() + self.run_bytes + self.tail.len();
        while self.written < total {
            let n = if self.run_count == 0 && self.tail.is_empty() {
                ready!(Pin::new(&mut *destination).poll_write(cx, &self.lead[self.written..]))?
            } else {
                self.beyond_lead = true;
                let empty = IoSlice::new(&[]);
                let mut slices = [empty; RUNS + 2];
                let mut skip = self.written;
                let mut count = 0;
                let mut add = |bytes: &[u8]| -> Option<(usize, usize)> {
                    let from = skip.min(bytes.len());
                    skip -= from;
                    (from < bytes.len()).then_some((from, bytes.len()))
                };
                if let Some((from, to)) = add(&self.lead) {
                    slices[count] = IoSlice::new(&self.lead[from..to]);
                    count += 1;
                }
                if let Some(bytes) = buffer {
                    for (start, len) in &self.runs[..self.run_count] {
                        let run = bytes.slice(*start, *len);
                        if let Some((from, to)) = add(run) {
                            slices[count] = IoSlice::new(&run[from..to]);
                            count += 1;
                        }
                    }
                }
                if let Some((from, to)) = add(&self.tail) {
                    slices[count] = IoSlice::new(&self.tail[from..to]);
                    count += 1;
                }
                ready!(Pin::new(&mut *destination).poll_write_vectored(cx, &slices[..count]))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += n;
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets what was written, to collect what comes next.
    fn clear(&mut self) {
        self.beyond_lead |= self.written > 0;
        self.lead.clear();
        self.tail.clear();
        self.written = 0;
        self.run_count = 0;
        self.run_bytes = 0;
        self.collected = false;
    }
}
