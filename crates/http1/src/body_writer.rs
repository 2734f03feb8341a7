use crate::error::BodyError;
use crate::framing::BodyLength;

/// Puts the framing around the payload that goes out. The payload itself does not pass through it.
pub struct BodyWriter {
    framing: Framing,
}

enum Framing {
    Length {
        left: u64,
    },
    /// More was written than announced.
    Exceeded,
    Chunked {
        open: bool,
    },
    UntilClose,
}

impl BodyWriter {
    /// A writer for a body of this length. For `Empty` nothing may be written, for `Length` exactly so many bytes.
    pub fn new(length: BodyLength) -> Self {
        let framing = match length {
            BodyLength::Empty => Framing::Length { left: 0 },
            BodyLength::Length(left) => Framing::Length { left },
            BodyLength::Chunked => Framing::Chunked { open: false },
            BodyLength::UntilClose => Framing::UntilClose,
        };
        Self { framing }
    }

    /// The framing to put before `len` bytes of payload: a chunk's size line, otherwise nothing. No bytes of payload are
    /// no chunk, because an empty chunk would be the last one.
    #[inline]
    pub fn before<'r>(&mut self, len: usize, room: &'r mut [u8; 20]) -> &'r [u8] {
        match &mut self.framing {
            Framing::Length { left } => {
                match left.checked_sub(len as u64) {
                    Some(rest) => *left = rest,
                    None => self.framing = Framing::Exceeded,
                }
                &[]
            }
            Framing::Chunked { open } => {
                *open = len > 0;
                if len == 0 { &[] } else { size_line(len, room) }
            }
            Framing::Exceeded | Framing::UntilClose => &[],
        }
    }

    /// The framing to put behind the payload [`before`](Self::before) was called for.
    #[inline]
    pub fn after(&self) -> &'static [u8] {
        if matches!(self.framing, Framing::Chunked { open: true }) { b"\r\n" } else { b"" }
    }

    /// Appends the end of the body: for chunked the last chunk and the trailers, which must be whole field lines, as
    /// [`BodyReader::trailers`](crate::BodyReader::trailers) gives them. Other bodies have no place for trailers.
    ///
    /// Not to be called for a body that broke off: the receiver must not take it for a whole one.
    ///
    /// # Errors
    ///
    /// [`BodyError::LengthMismatch`] where other than the announced number of bytes was written.
    pub fn finish(&mut self, trailers: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), BodyError> {
        match self.framing {
            Framing::Length { left: 0 } | Framing::UntilClose => Ok(()),
            Framing::Length { .. } | Framing::Exceeded => Err(BodyError::LengthMismatch),
            Framing::Chunked { .. } => {
                out.extend_from_slice(b"0\r\n");
                out.extend_from_slice(trailers.unwrap_or_default());
                out.extend_from_slice(b"\r\n");
                self.framing = Framing::Length { left: 0 };
                Ok(())
            }
        }
    }
}

fn size_line(mut len: usize, room: &mut [u8; 20]) -> &[u8] {
    let mut start = room.len() - 2;
    room[start..].copy_from_slice(b"\r\n");
    while len > 0 {
        start -= 1;
        room[start] = b"0123456789abcdef"[len & 0xf];
        len >>= 4;
    }
    &room[start..]
}
