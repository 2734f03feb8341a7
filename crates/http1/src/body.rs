use crate::error::BodyError;
use crate::framing::BodyLength;
use crate::limits::Limits;
use crate::trailers::TrailerReader;

/// Bytes the chunk extensions of one body may have together. Nothing reads them, and a sender that hides megabytes in
/// them makes a receiver work for nothing (CVE-2023-39326).
const EXTENSION_BYTES: u16 = 4096;

/// A 64-bit size in hexadecimal. Leading zeros count, so a size line is never long.
const SIZE_DIGITS: u8 = 16;

/// Finds the payload in the bytes behind a head. It holds no payload: it says where it is.
pub struct BodyReader {
    state: State,
    /// Boxed where there are any, because hardly a body has trailers.
    trailers: Option<Box<TrailerReader>>,
    trailer_bytes: u32,
    extension_bytes: u16,
}

#[derive(Clone, Copy)]
enum State {
    Length(u64),
    UntilClose,
    Size { value: u64, digits: u8 },
    Extension { size: u64 },
    SizeLineFeed { size: u64 },
    Data(u64),
    DataCarriageReturn,
    DataLineFeed,
    TrailerLine,
    EndLineFeed,
    Done,
    Failed(BodyError),
}

/// What the first bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Skip `skip` bytes of framing; `len` bytes of payload follow, at least one.
    Data {
        /// Bytes of framing to skip.
        skip: usize,
        /// Bytes of payload behind them.
        len: usize,
    },
    /// The whole input was `skip` bytes of framing, perhaps none. Nothing more can be told without more input.
    More {
        /// Bytes of framing to skip.
        skip: usize,
    },
    /// The body is complete after `skip` bytes of framing. What follows belongs to the next message.
    End {
        /// Bytes of framing to skip.
        skip: usize,
    },
}

impl BodyReader {
    /// A reader for a body of this length.
    pub fn new(length: BodyLength, limits: &Limits) -> Self {
        let state = match length {
            BodyLength::Empty | BodyLength::Length(0) => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::Size { value: 0, digits: 0 },
            BodyLength::UntilClose => State::UntilClose,
        };
        let trailer_bytes = u32::try_from(limits.trailer_bytes).unwrap_or(u32::MAX);
        Self { state, trailers: None, trailer_bytes, extension_bytes: EXTENSION_BYTES }
    }

    /// Looks at the input and says what its first bytes are. The next call must be given what follows them.
    ///
    /// # Errors
    ///
    /// When the framing is broken, and from then on always.
    #[inline]
    pub fn read(&mut self, input: &[u8]) -> Result<Piece, BodyError> {
        match self.state {
            State::Length(left) if !input.is_empty() => {
                let len = within(left, input.len());
                let left = left - len as u64;
                self.state = if left == 0 { State::Done } else { State::Length(left) };
                Ok(Piece::Data { skip: 0, len })
            }
            State::UntilClose if !input.is_empty() => Ok(Piece::Data { skip: 0, len: input.len() }),
            State::Length(_) | State::UntilClose => Ok(Piece::More { skip: 0 }),
            State::Done => Ok(Piece::End { skip: 0 }),
            _ => self.read_chunked(input),
        }
    }

    fn read_chunked(&mut self, input: &[u8]) -> Result<Piece, BodyError> {
        let mut skip = 0;
        loop {
            match self.state {
                State::Done => return Ok(Piece::End { skip }),
                State::Data(left) if skip < input.len() => {
                    let len = within(left, input.len() - skip);
                    let left = left - len as u64;
                    self.state = if left == 0 { State::DataCarriageReturn } else { State::Data(left) };
                    return Ok(Piece::Data { skip, len });
                }
                _ => {}
            }
            let Some(&byte) = input.get(skip) else { return Ok(Piece::More { skip }) };
            match self.step(byte) {
                Ok(state) => self.state = state,
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
            skip += 1;
        }
    }

    /// The state after one byte of framing (RFC 9112 section 7.1).
    fn step(&mut self, byte: u8) -> Result<State, BodyError> {
        match (self.state, byte) {
            (State::Size { value, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
            }
            (State::Size { value: size, digits: 1.. }, b'\r') => Ok(State::SizeLineFeed { size }),
            (State::Size { digits: 1.., .. }, b'\n') => Err(BodyError::BadChunkEnd),
            // No white space before it: the grammar calls it bad white space, and nothing that sends it is known.
            (State::Size { value: size, digits: 1.. }, b';') => self.extension(size),
            (State::Size { .. }, _) => Err(BodyError::BadChunkSize),
            (State::Extension { size }, b'\r') => Ok(State::SizeLineFeed { size }),
            (State::Extension { .. }, b'\n') => Err(BodyError::BadChunkEnd),
            (State::Extension { size }, b' '..=b'~' | b'\t') => self.extension(size),
            (State::Extension { .. }, _) => Err(BodyError::BadChunkExtension),
            (State::SizeLineFeed { size: 0 }, b'\n') => Ok(State::TrailerLine),
            (State::SizeLineFeed { size }, b'\n') => Ok(State::Data(size)),
            (State::DataCarriageReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Size { value: 0, digits: 0 }),
            (State::SizeLineFeed { .. } | State::DataCarriageReturn | State::DataLineFeed, _) => {
                Err(BodyError::BadChunkEnd)
            }
            (State::TrailerLine, b'\r') if self.trailers.as_ref().is_none_or(|trailers| trailers.at_line_start()) => {
                Ok(State::EndLineFeed)
            }
            (State::TrailerLine, byte) => {
                self.trailers.get_or_insert_default().push(byte, self.trailer_bytes)?;
                Ok(State::TrailerLine)
            }
            (State::EndLineFeed, b'\n') => Ok(State::Done),
            (State::EndLineFeed, _) => Err(BodyError::BadTrailer),
            (State::Failed(error), _) => Err(error),
            (state @ (State::Length(_) | State::UntilClose | State::Data(_) | State::Done), _) => Ok(state),
        }
    }

    fn extension(&mut self, size: u64) -> Result<State, BodyError> {
        self.extension_bytes = self.extension_bytes.checked_sub(1).ok_or(BodyError::ChunkExtensionsTooLarge)?;
        Ok(State::Extension { size })
    }

    /// Whether the body is complete.
    #[inline]
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The input ended: the end of a body that lasts until then.
    ///
    /// # Errors
    ///
    /// [`BodyError::Truncated`] where more was to come.
    pub fn end_of_input(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => {
                self.state = State::Failed(BodyError::Truncated);
                Err(BodyError::Truncated)
            }
        }
    }

    /// The trailer section, once the body is complete and if there is one to forward: whole lines
    /// `name: value\r\n`, without the fields that have no business there (RFC 9110 section 6.5.1).
    pub fn trailers(&self) -> Option<&[u8]> {
        self.trailers.as_ref().filter(|_| self.is_done()).and_then(|trailers| trailers.lines())
    }

    /// Bytes of payload certainly still to come as one run: all of a body with a length, the rest of the current chunk,
    /// otherwise none. Lets a relay choose its buffer.
    #[inline]
    pub fn run(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Data(left) => left,
            _ => 0,
        }
    }
}

#[inline]
fn within(left: u64, here: usize) -> usize {
    usize::try_from(left).map_or(here, |left| left.min(here))
}
