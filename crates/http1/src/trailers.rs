use memchr::memchr;

use crate::error::BodyError;
use crate::field::{is_field_name, is_for_connection};
use crate::limits::MAX_FIELDS;
use crate::octets::trim;
use crate::scan::check_field_line;
use crate::write::write_field;

/// Reads a trailer section byte by byte and keeps the lines to forward. Trailers are rare and small.
#[derive(Default)]
pub(crate) struct TrailerReader {
    /// The line that is being read, its CRLF not included.
    line: Vec<u8>,
    /// Whether the line's carriage return came.
    ending: bool,
    kept: Vec<u8>,
    seen: u32,
    fields: usize,
}

impl TrailerReader {
    pub(crate) fn at_line_start(&self) -> bool {
        self.line.is_empty() && !self.ending
    }

    pub(crate) fn push(&mut self, byte: u8, limit: u32) -> Result<(), BodyError> {
        self.seen += 1;
        if self.seen > limit {
            return Err(BodyError::TrailerTooLarge);
        }
        match byte {
            b'\n' if self.ending => self.end_line(),
            _ if self.ending => Err(BodyError::BadTrailer),
            b'\r' => {
                self.ending = true;
                Ok(())
            }
            b'\t' => {
                self.line.push(byte);
                Ok(())
            }
            _ if byte.is_ascii_control() => Err(BodyError::BadTrailer),
            _ => {
                self.line.push(byte);
                Ok(())
            }
        }
    }

    fn end_line(&mut self) -> Result<(), BodyError> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(BodyError::TrailerTooLarge);
        }
        check_field_line(&self.line).map_err(|_| BodyError::BadTrailer)?;
        let colon = memchr(b':', &self.line).ok_or(BodyError::BadTrailer)?;
        let (name, value) = self.line.split_at(colon);
        let name = std::str::from_utf8(name).map_err(|_| BodyError::BadTrailer)?;
        if is_trailer(name) {
            write_field(&mut self.kept, name, trim(&value[1..]));
        }
        self.line.clear();
        self.ending = false;
        Ok(())
    }

    pub(crate) fn lines(&self) -> Option<&[u8]> {
        (!self.kept.is_empty()).then_some(&*self.kept)
    }
}

/// Fields of which a receiver may make use before it has read the body, or that a proxy sets: a later word on them would
/// get past whoever checked the head (RFC 9110 section 6.5.1).
const FORBIDDEN: [&str; 34] = [
    // Framing and routing.
    "content-length",
    "host",
    "trailer",
    // Request modifiers.
    "cache-control",
    "expect",
    "max-forwards",
    "pragma",
    "range",
    "method",
    // Authentication and state.
    "authorization",
    "cookie",
    "set-cookie",
    "www-authenticate",
    "authentication-info",
    "origin",
    "referer",
    // Control of the answer.
    "age",
    "date",
    "expires",
    "location",
    "retry-after",
    "vary",
    "warning",
    "strict-transport-security",
    // How the content is to be read.
    "content-disposition",
    "content-encoding",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    // What a proxy says of the request.
    "forwarded",
    "via",
    "x-real-ip",
    "http2-settings",
];

const FORBIDDEN_PREFIXES: [&str; 6] = ["if-", "proxy-", "sec-", "x-forwarded-", "x-http-method", "access-control-"];

/// Whether a field of this name may stand in a trailer section that is forwarded (RFC 9110 section 6.5.1).
pub fn is_trailer(name: &str) -> bool {
    // CGI-like servers read `_` and `-` as the same.
    let name = name.replace('_', "-").to_ascii_lowercase();
    is_field_name(&name)
        && !is_for_connection(&name)
        && !FORBIDDEN.contains(&&*name)
        && !FORBIDDEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_trailer() {
        for name in ["grpc-status", "X-Checksum", "server-timing"] {
            assert!(is_trailer(name), "{name}");
        }
        // The last ones are names to libraries of HTTP/2, or to nobody.
        for name in ["Content-Length", "content_length", "te", "if-match", "X_Forwarded_For", "a\"b", "a b", ""] {
            assert!(!is_trailer(name), "{name}");
        }
    }
}
