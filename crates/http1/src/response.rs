use memchr::memchr;

use crate::error::{HeadError, ResponseError};
use crate::field::Fields;
use crate::framing::{BodyLength, Framing, Version};
use crate::limits::{Limits, Slots};
use crate::scan::{HeadScan, Line, Parsed, ScanError};

/// What a response answers, as far as its framing depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A HEAD request: its answer has no body, whatever the fields say.
    Head,
    /// Any other request.
    Other,
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'b> {
    /// The server's version.
    pub version: Version,
    /// 100 to 599.
    pub status: u16,
    /// The reason phrase as sent; may be empty and need not be text.
    pub reason: &'b [u8],
    /// Every field, hop-by-hop ones too.
    pub fields: Fields<'b>,
    /// How long the body is. `Empty` for 1xx, 204, 304 and the answer to HEAD, whatever the fields say.
    pub body: BodyLength,
    /// The value of `Content-Length`, if there is one. Where `body` is `Empty` it describes what is not sent: to be
    /// forwarded for HEAD and 304 (RFC 9110 section 8.6), to be dropped for 1xx and 204.
    pub content_length: Option<u64>,
    /// Whether the server will answer another request on this connection: HTTP/1.1, no `Connection: close`, a body
    /// whose end is known, and no framing where there must be none.
    pub keep_alive: bool,
    /// The value of `Upgrade`, if `Connection` names it and the version is 1.1. It says nothing unless the status is 101
    /// (or 426).
    pub upgrade: Option<&'b str>,
    /// Bytes of the input the head took, its empty line included.
    pub len: usize,
}

impl<'b> ResponseHead<'b> {
    /// Reads the head the input starts with.
    ///
    /// # Errors
    ///
    /// As soon as what is there cannot become a good head, be it whole or not.
    pub fn parse(
        input: &'b [u8],
        slots: &'b mut Slots<'b>,
        limits: &Limits,
        scan: &mut HeadScan,
        to: RequestKind,
    ) -> Result<Parsed<ResponseHead<'b>>, ResponseError> {
        let input = &input[..input.len().min(limits.head_bytes)];
        // Before anything else: bytes that are not HTTP are to be called so, not a bad line end.
        check_start(input)?;
        let len = match scan.find_end(input) {
            Ok(Some(len)) => len,
            Ok(None) => {
                scan.check_lines(input, check_status_line)?;
                if input.len() == limits.head_bytes {
                    return Err(HeadError::HeadTooLarge.into());
                }
                return Ok(Parsed::Partial);
            }
            Err(error) => {
                scan.check_lines(input, check_status_line)?;
                return Err(match error {
                    ScanError::ExtraEmptyLine => ResponseError::NotHttp,
                    ScanError::Head(error) => error.into(),
                });
            }
        };
        let mut tokens = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let head = &input[..len];
        match config.parse_response_with_uninit_headers(&mut tokens, head, slots) {
            Ok(httparse::Status::Complete(parsed)) if parsed == len => Self::of(tokens, head, to).map(Parsed::Complete),
            outcome => {
                // Which fault it is, is known by looking at the lines in their order.
                scan.check_lines(input, check_status_line)?;
                Err(match outcome {
                    Err(httparse::Error::TooManyHeaders) => HeadError::TooManyFields.into(),
                    _ => HeadError::BadFieldName.into(),
                })
            }
        }
    }

    #[inline]
    fn of(tokens: httparse::Response<'b, 'b>, head: &'b [u8], to: RequestKind) -> Result<Self, ResponseError> {
        let (Some(version), Some(status)) = (tokens.version, tokens.code) else {
            return Err(ResponseError::BadStatusLine);
        };
        if !(100..=599).contains(&status) {
            return Err(ResponseError::BadStatus);
        }
        let version = if version == 0 { Version::Http10 } else { Version::Http11 };
        // Taken from the line itself: httparse gives none if there are bytes above ASCII in it.
        let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
        let reason = line.get("HTTP/1.1 200 ".len()..).unwrap_or_default();

        let headers: &'b [httparse::Header<'b>] = tokens.headers;
        let mut framing = Framing::default();
        for header in headers {
            framing.note(header.name, header.value)?;
        }
        let announced = framing.announced(version)?;
        let (body, sound) = match (status, to) {
            // RFC 9112 section 6.3: these end with the head. A server that announces a body there may well send it.
            (100..=199 | 204, _) => (BodyLength::Empty, matches!(announced, BodyLength::Empty | BodyLength::Length(0))),
            // Nothing announces chunks that do not come (RFC 9112 section 6.1 lets it): such a server may send them.
            (304, _) => (BodyLength::Empty, announced != BodyLength::Chunked),
            (_, RequestKind::Head) => (BodyLength::Empty, true),
            _ if announced == BodyLength::Empty => (BodyLength::UntilClose, false),
            _ => (announced, true),
        };
        Ok(Self {
            version,
            status,
            reason,
            fields: Fields::new(headers, framing.nominates),
            body,
            content_length: framing.content_length,
            keep_alive: sound && version == Version::Http11 && !framing.close,
            upgrade: framing.upgrade(version)?,
            len: head.len(),
        })
    }
}

/// Checks as much of `HTTP/1.0 ` or `HTTP/1.1 ` as is there.
#[inline]
fn check_start(input: &[u8]) -> Result<(), ResponseError> {
    match input {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', ..] => Ok(()),
        _ => check_begun_start(input),
    }
}

#[cold]
fn check_begun_start(input: &[u8]) -> Result<(), ResponseError> {
    let common = input.iter().zip(b"HTTP/").take_while(|(have, want)| have == want).count();
    match &input[common..] {
        [] => Ok(()),
        _ if common < 5 => Err(ResponseError::NotHttp),
        [b'1'] | [b'1', b'.'] | [b'1', b'.', b'0' | b'1'] => Ok(()),
        [b'1', b'.', b'0' | b'1', ..] => Err(ResponseError::BadStatusLine),
        [digit, ..] if digit.is_ascii_digit() => Err(ResponseError::UnsupportedVersion),
        _ => Err(ResponseError::NotHttp),
    }
}

/// Checks a status line whose version is known to be good: `HTTP/1.1 200`, then nothing or a space and the reason. RFC
/// 9112 section 4 wants the space; servers leave it out, and nobody reads that differently.
fn check_status_line(line: &[u8], state: Line) -> Result<(), ResponseError> {
    if state == Line::Begun {
        return Ok(());
    }
    match line.get("HTTP/1.1 ".len()..) {
        Some([b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']) | Some([b'1'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..]) => {
            Ok(())
        }
        Some([b'0'..=b'9', b'0'..=b'9', b'0'..=b'9']) | Some([b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..]) => {
            Err(ResponseError::BadStatus)
        }
        _ => Err(ResponseError::BadStatusLine),
    }
}
