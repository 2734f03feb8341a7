use memchr::memchr_iter;

use crate::error::HeadError;
use crate::field::{elements, is_for_connection};
use crate::octets::is_token;

/// The version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// There is no body and no word about one.
    Empty,
    /// `Content-Length`; zero too.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The end of the connection. Only an answer may end so.
    UntilClose,
}

/// The most options that `Connection` may list in a head, empty ones too, and their bytes in all. Clients send two or three.
const CONNECTION_OPTIONS: usize = 32;
const CONNECTION_BYTES: usize = 1024;

/// What the fields of a head say about the message's end and the connection, gathered field by field.
#[derive(Default)]
pub(crate) struct Framing<'b> {
    pub(crate) content_length: Option<u64>,
    pub(crate) close: bool,
    pub(crate) nominates: bool,
    transfer_encoding: Option<&'b [u8]>,
    connection_upgrade: bool,
    upgrade: Option<&'b [u8]>,
    repeated_transfer_encoding: bool,
    repeated_upgrade: bool,
    options: usize,
    option_bytes: usize,
}

impl<'b> Framing<'b> {
    /// Takes note of a field.
    #[inline]
    pub(crate) fn note(&mut self, name: &str, value: &'b [u8]) -> Result<(), HeadError> {
        match name.len() {
            7 if name.eq_ignore_ascii_case("upgrade") => {
                self.repeated_upgrade |= self.upgrade.replace(value).is_some();
            }
            10 if name.eq_ignore_ascii_case("connection") => self.note_connection(value)?,
            14 if name.eq_ignore_ascii_case("content-length") => {
                // RFC 9112 section 6.3 lets a recipient merge equal numbers; the next one may not.
                let earlier = self.content_length.replace(parse_length(value)?);
                if earlier.is_some() {
                    return Err(HeadError::RepeatedContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.repeated_transfer_encoding |= self.transfer_encoding.replace(value).is_some();
            }
            _ => {}
        }
        Ok(())
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), HeadError> {
        // Each field of the head is looked up among the options; empty elements are walked over as often.
        self.options += 1 + memchr_iter(b',', value).count();
        self.option_bytes += value.len();
        if self.options > CONNECTION_OPTIONS || self.option_bytes > CONNECTION_BYTES {
            return Err(HeadError::BadConnection);
        }
        for option in elements(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.connection_upgrade = true;
            } else if !is_token(option) {
                return Err(HeadError::BadConnection);
            } else if !std::str::from_utf8(option).is_ok_and(is_for_connection) {
                self.nominates = true;
            }
        }
        Ok(())
    }

    /// The length the fields announce: `Chunked`, `Length`, or `Empty` where they say nothing.
    #[inline]
    pub(crate) fn announced(&self, version: Version) -> Result<BodyLength, HeadError> {
        match (self.transfer_encoding, self.content_length) {
            (None, None) => Ok(BodyLength::Empty),
            (None, Some(length)) => Ok(BodyLength::Length(length)),
            // RFC 9112 section 6.1: "ought to be handled as an error", the mark of smuggling.
            (Some(_), Some(_)) => Err(HeadError::BothLengths),
            (Some(coding), None) => {
                if version == Version::Http10 {
                    // RFC 9112 section 6.1: "MUST treat the message as if the framing is faulty".
                    Err(HeadError::TransferEncodingInHttp10)
                } else if self.repeated_transfer_encoding || !is_token(coding) {
                    Err(HeadError::BadTransferEncoding)
                } else if coding.eq_ignore_ascii_case(b"chunked") {
                    Ok(BodyLength::Chunked)
                } else {
                    Err(HeadError::UnknownTransferCoding)
                }
            }
        }
    }

    /// The value of `Upgrade` where `Connection` nominates it; RFC 9110 section 7.8: not in HTTP/1.0.
    #[inline]
    pub(crate) fn upgrade(&self, version: Version) -> Result<Option<&'b str>, HeadError> {
        let Some(value) = self.upgrade.filter(|_| self.connection_upgrade && version == Version::Http11) else {
            return Ok(None);
        };
        if self.repeated_upgrade || value.is_empty() || !elements(value).all(is_protocol) {
            return Err(HeadError::BadUpgrade);
        }
        std::str::from_utf8(value).map(Some).map_err(|_| HeadError::BadUpgrade)
    }
}

/// `protocol-name ["/" protocol-version]` of RFC 9110 section 7.8.
fn is_protocol(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |&byte| byte == b'/');
    parts.all(is_token)
}

/// `1*DIGIT`: no sign, no list, nothing around it.
#[inline]
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    let mut length = 0u64;
    for &byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(HeadError::BadContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(digit.into()))
            .ok_or(HeadError::BadContentLength)?;
    }
    if value.is_empty() { Err(HeadError::BadContentLength) } else { Ok(length) }
}
