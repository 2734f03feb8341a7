use std::net::Ipv6Addr;

use memchr::{memchr, memchr2};

use crate::error::RequestError;
use crate::octets::{is_host_name, is_target};

/// What a request asks for, in one of the forms of RFC 9112 section 3.2. `authority-form` belongs to CONNECT alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target<'b> {
    /// Path and query as sent; it starts with `/`. Whether `//`, `..` or `%2e` mean anything is not decided here.
    Origin(&'b str),
    /// An absolute URI, whose authority takes the place of `Host` (RFC 9112 section 3.2.2).
    Absolute {
        /// `http`, `https`, `ws` or `wss`, in the case it was sent in.
        scheme: &'b str,
        /// Host and optional port, valid as a `Host`.
        authority: &'b str,
        /// Path and query: `/` where the URI has none, or `*` where the request is OPTIONS too (section 3.2.4).
        path: &'b str,
    },
    /// `OPTIONS *`
    Asterisk,
}

impl<'b> Target<'b> {
    #[inline]
    pub(crate) fn parse(method: &str, target: &'b str) -> Result<Self, RequestError> {
        if is_origin_form(target) {
            return Ok(Self::Origin(target));
        }
        if target == "*" && method == "OPTIONS" {
            return Ok(Self::Asterisk);
        }
        Self::absolute(method, target).ok_or(RequestError::BadTarget)
    }

    fn absolute(method: &str, target: &'b str) -> Option<Self> {
        let (scheme, rest) = target.split_once("://")?;
        if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let (authority, path) = match memchr2(b'/', b'?', rest.as_bytes()) {
            // `http://host?query` would need a `/` that is not there: no known client sends it.
            Some(end) => rest.split_at_checked(end).filter(|(_, path)| is_origin_form(path))?,
            None if method == "OPTIONS" => (rest, "*"),
            None => (rest, "/"),
        };
        is_authority(authority).then_some(Self::Absolute { scheme, authority, path })
    }
}

/// What a name in the DNS has at most, and the dot that may end it.
const NAME_BYTES: usize = 254;

/// Whether this is a path, with or without a query, that is accepted as a request's target. HTTP/2's `:path` has the
/// same rules.
///
/// A `\` is refused in the path, where some servers read it as `/`, and let through in the query, where browsers send it.
#[inline]
pub fn is_origin_form(target: &str) -> bool {
    let bytes = target.as_bytes();
    bytes.first() == Some(&b'/') && is_target(bytes) && memchr2(b'\\', b'?', bytes).is_none_or(|at| bytes[at] == b'?')
}

/// Whether this is a host with an optional port, as `Host`, an absolute URI and HTTP/2's `:authority` have it.
///
/// A host is a name of letters, digits, `-`, `.`, `_` and `~`, an IPv4 address, or an IPv6 address in brackets without a
/// zone. A port is 1 to 5 digits up to 65535. Userinfo, percent-encoding, commas and bytes outside ASCII are refused. A name
/// has at most 253 bytes (RFC 1035 section 2.3.4), and a trailing dot.
#[inline]
pub fn is_authority(authority: &str) -> bool {
    let (valid, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let colon = memchr(b':', authority.as_bytes()).unwrap_or(authority.len());
            let (name, port) = authority.split_at(colon);
            (name.len() <= NAME_BYTES && is_host_name(name.as_bytes()), port)
        }
    };
    valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_port(port: &str) -> bool {
    (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u32>().is_ok_and(|port| port <= 65535)
}
