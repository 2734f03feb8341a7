use memchr::memchr;

use crate::error::HeadError;
use crate::limits::MAX_FIELDS;
use crate::octets::{first_control, is_token};

/// A head, or the want of more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The whole head is there.
    Complete(T),
    /// What is there is the beginning of a head that may yet be a good one.
    Partial,
}

/// Where the search for the end of a head stopped, so a head that comes byte by byte is not searched from its start
/// each time.
///
/// Start each head with a `default()` one, and pass the same bytes from the same start, with more after them, each time.
#[derive(Default, Clone, Copy, Debug)]
pub struct HeadScan {
    /// Bytes searched. At the end of a head it stays before the empty line, so that asking again finds it again.
    at: usize,
    /// Start of the line `at` lies in.
    line: usize,
    /// Start of the first line that `check_lines` has not seen whole.
    unchecked: usize,
    /// Start of the head: behind the empty line that may come first.
    begin: usize,
    /// Field lines `check_lines` has seen.
    fields: usize,
}

/// Why the search stopped for good. The position is in `HeadScan::at`.
pub(crate) enum ScanError {
    /// A second empty line where the first line of the head should be.
    ExtraEmptyLine,
    Head(HeadError),
}

impl HeadScan {
    /// Start of the head.
    #[inline]
    pub(crate) fn begin(&self) -> usize {
        self.begin
    }

    /// Looks for the empty line and gives the position behind it, refusing every line end but CRLF and every control
    /// byte but the tab on its way.
    #[inline]
    pub(crate) fn find_end(&mut self, input: &[u8]) -> Result<Option<usize>, ScanError> {
        if self.at > input.len() {
            // A scan of another head: better to begin again than to look past the end.
            *self = Self::default();
        }
        while let Some(found) = input.get(self.at..).and_then(first_control) {
            self.at += found;
            match input[self.at] {
                b'\t' => self.at += 1,
                b'\r' => match input.get(self.at + 1) {
                    None => return Ok(None),
                    Some(b'\n') if self.at > self.line => {
                        self.at += 2;
                        self.line = self.at;
                    }
                    Some(b'\n') if self.line > self.begin => return Ok(Some(self.at + 2)),
                    // RFC 9112 section 2.2: one empty line before a request is forgiven.
                    Some(b'\n') if self.begin == 0 => {
                        *self = Self { at: 2, line: 2, unchecked: 2, begin: 2, fields: 0 };
                    }
                    Some(b'\n') => return Err(ScanError::ExtraEmptyLine),
                    Some(_) => return Err(ScanError::Head(HeadError::LoneCarriageReturn)),
                },
                b'\n' => return Err(ScanError::Head(HeadError::LoneLineFeed)),
                _ => return Err(ScanError::Head(HeadError::ControlByte)),
            }
        }
        self.at = input.len();
        Ok(None)
    }

    /// Checks the lines that came since it was last asked, and what came of the next one.
    ///
    /// A head that comes in one piece is checked by the parser alone. This is for one that does not: a fault must be
    /// answered when it is seen, not when the head ends, which it may never do. It also tells which fault of a bad head
    /// came first, so that the answer does not depend on how the bytes were cut into reads.
    pub(crate) fn check_lines<E: From<HeadError>>(
        &mut self,
        input: &[u8],
        check_start: impl Fn(&[u8], Line) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.unchecked < self.line {
            let rest = &input[self.unchecked..self.line];
            let line = &rest[..memchr(b'\r', rest).unwrap_or(rest.len())];
            if self.unchecked == self.begin {
                check_start(line, Line::Whole)?;
            } else {
                self.fields += 1;
                if self.fields > MAX_FIELDS {
                    return Err(HeadError::TooManyFields.into());
                }
                check_field_line(line)?;
            }
            self.unchecked += line.len() + 2;
        }
        let open = &input[self.line..self.at];
        if self.line == self.begin {
            check_start(open, Line::Begun)
        } else if starts_with_space(open) {
            Err(HeadError::LineFolding.into())
        } else {
            Ok(())
        }
    }
}

/// Whether the end of a line is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Whole,
    Begun,
}

pub(crate) fn starts_with_space(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Checks a field line without its CRLF and known to be without control bytes.
pub(crate) fn check_field_line(line: &[u8]) -> Result<(), HeadError> {
    if starts_with_space(line) {
        return Err(HeadError::LineFolding);
    }
    let name = memchr(b':', line).map(|colon| &line[..colon]).ok_or(HeadError::BadFieldName)?;
    match name {
        // RFC 9112 section 5.1: different handling of this space has led to request smuggling.
        [token @ .., b' ' | b'\t'] if is_token(token.trim_ascii_end()) => Err(HeadError::SpaceBeforeColon),
        _ if is_token(name) => Ok(()),
        _ => Err(HeadError::BadFieldName),
    }
}
