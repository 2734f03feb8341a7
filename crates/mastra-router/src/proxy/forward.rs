//! What becomes of a request's head on its way to an upstream. Nothing here depends on the version of HTTP.

use std::net::{IpAddr, SocketAddr};

use http1::Field;

use super::waiting;

/// Counts the routers a request has passed. The name is ours alone, so no application sends it of its own accord.
const HOPS: &str = "mastra-router-hops";

/// What the fields of a request say about forwarding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFate {
    /// Goes on as it is.
    Keep,
    /// `Host`: goes on with the authority that was routed by.
    Host,
    /// Spoke for an earlier hop, or pretends to: only this router says what it forwards.
    Drop,
    /// The count of routers passed.
    Hops,
    /// Said by the script of a page of ours.
    Page,
}

/// What becomes of the field `name`, which is not hop-by-hop.
#[inline]
pub(crate) fn fate(name: &str) -> FieldFate {
    let bytes = name.as_bytes();
    let Some(first) = bytes.first() else { return FieldFate::Drop };
    if memchr::memchr(b'_', bytes).is_some() {
        return underscored(name);
    }
    match first | 0x20 {
        b'h' if name.eq_ignore_ascii_case("host") => FieldFate::Host,
        // Of an upgrade that is not forwarded (RFC 7540, section 3.2.1), and what CGI would take for `HTTP_PROXY`.
        b'h' if name.eq_ignore_ascii_case("http2-settings") => FieldFate::Drop,
        b'p' if name.eq_ignore_ascii_case("proxy") => FieldFate::Drop,
        b'f' if name.eq_ignore_ascii_case("forwarded") => FieldFate::Drop,
        b'x' if is_forwarding_x(bytes) => FieldFate::Drop,
        b'x' if name.eq_ignore_ascii_case(waiting::FIELD) => FieldFate::Page,
        b'c' if name.eq_ignore_ascii_case("content-length") => FieldFate::Drop,
        b'm' if name.eq_ignore_ascii_case(HOPS) => FieldFate::Hops,
        _ => FieldFate::Keep,
    }
}

fn is_forwarding_x(name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    name.get(..PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(PREFIX)) || name.eq_ignore_ascii_case(b"x-real-ip")
}

/// Many servers hand fields to applications as variables, where `X_Forwarded_For` and `X-Forwarded-For` are one: the twin
/// of a field that is framed, routed or trusted by does not pass.
#[cold]
fn underscored(name: &str) -> FieldFate {
    let twin = name.replace('_', "-").to_ascii_lowercase();
    match fate(&twin) {
        FieldFate::Keep if !http1::is_for_connection(&twin) => FieldFate::Keep,
        _ => FieldFate::Drop,
    }
}

/// How often a request with these fields has passed a router. What is no number counts as the limit: only
/// something that means to go on for ever sends it.
pub(crate) fn hops<'f>(fields: impl Iterator<Item = Field<'f>>) -> u32 {
    let mut values = fields.filter(|field| fate(field.name) == FieldFate::Hops).map(|field| field.value);
    let Some(value) = values.next() else { return 0 };
    let digits = std::str::from_utf8(value).ok().filter(|v| v.len() <= 4 && v.bytes().all(|b| b.is_ascii_digit()));
    match (digits.and_then(|v| v.parse().ok()), values.next()) {
        (Some(count), None) => count,
        _ => u32::MAX,
    }
}

/// The fields that every request of a connection is forwarded with, made once.
#[derive(Debug)]
pub(crate) struct ConnectionFields {
    /// Whole lines.
    lines: Box<str>,
    forwarded_for: Box<str>,
    proto: &'static str,
}

impl ConnectionFields {
    /// For a client at `peer` that is connected to `local`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, tls: bool) -> Self {
        let ip = peer.ip().to_canonical();
        let proto = if tls { "https" } else { "http" };
        let port = local.port();
        let lines = format!("X-Forwarded-For: {ip}\r\nX-Forwarded-Proto: {proto}\r\nX-Forwarded-Port: {port}\r\n");
        // RFC 7239, section 6: an IPv6 address is bracketed, and so quoted.
        let forwarded_for = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        Self { lines: lines.into(), forwarded_for: forwarded_for.into(), proto }
    }

    /// Whether the client speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.proto == "https"
    }

    /// Appends the forwarding fields of one request: those of the connection, the host it was sent to, what was taken off
    /// its path, and how many routers it has passed with this one.
    pub(crate) fn append(&self, out: &mut Vec<u8>, host: &str, stripped: &str, hops: u32) {
        out.extend_from_slice(self.lines.as_bytes());
        http1::write_field(out, "X-Forwarded-Host", host.as_bytes());
        for part in ["Forwarded: for=", &self.forwarded_for, ";host=\"", host, "\";proto=", self.proto, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        if !stripped.is_empty() {
            http1::write_field(out, "X-Forwarded-Prefix", stripped.as_bytes());
        }
        out.extend_from_slice(b"Mastra-Router-Hops: ");
        match hops {
            0..=9 => out.push(b'0' + hops as u8),
            _ => out.extend_from_slice(hops.to_string().as_bytes()),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// The path that goes to the upstream once `strip` bytes are taken off: it starts with exactly one slash, since two would
/// make a host of the first segment where an application sends it back in a redirect.
pub(crate) fn stripped_path(path: &str, strip: usize) -> (&'static str, &str) {
    match strip {
        0 => ("", path),
        _ => ("/", path.get(strip..).unwrap_or("").trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes() {
        for (name, want) in [
            ("Accept", FieldFate::Keep),
            ("X-Custom", FieldFate::Keep),
            ("x_custom", FieldFate::Keep),
            ("X-Forwarded", FieldFate::Keep),
            ("HOST", FieldFate::Host),
            ("Content-Length", FieldFate::Drop),
            ("content_length", FieldFate::Drop),
            ("Transfer_Encoding", FieldFate::Drop),
            ("Keep_Alive", FieldFate::Drop),
            ("Proxy_Authorization", FieldFate::Drop),
            ("proxy_connection", FieldFate::Drop),
            ("HTTP2-Settings", FieldFate::Drop),
            ("http2_settings", FieldFate::Drop),
            ("Proxy", FieldFate::Drop),
            ("Proxy-Custom", FieldFate::Keep),
            ("Forwarded", FieldFate::Drop),
            ("X-Real-IP", FieldFate::Drop),
            ("X_Real-IP", FieldFate::Drop),
            ("x-forwarded-for", FieldFate::Drop),
            ("X-Forwarded-Anything", FieldFate::Drop),
            ("X_Forwarded_For", FieldFate::Drop),
            ("h_ost", FieldFate::Keep),
            ("Mastra-Router-Hops", FieldFate::Hops),
            ("mastra_router_hops", FieldFate::Drop),
        ] {
            assert_eq!(fate(name), want, "{name}");
        }
    }

    #[test]
    fn counting_hops() {
        let count =
            |values: &[&str]| hops(values.iter().map(|v| Field { name: "Mastra-Router-Hops", value: v.as_bytes() }));
        for (values, want) in [
            (&[][..], 0),
            (&["3"], 3),
            (&["x"], u32::MAX),
            (&[""], u32::MAX),
            (&["-1"], u32::MAX),
            (&["1", "1"], u32::MAX),
        ] {
            assert_eq!(count(values), want, "{values:?}");
        }
    }

    #[test]
    fn stripping() {
        let whole = |path, strip| {
            let (a, b) = stripped_path(path, strip);
            format!("{a}{b}")
        };
        for (path, strip, want) in [
            ("/a/b", 0, "/a/b"),
            ("/a", 2, "/"),
            ("/a/", 2, "/"),
            ("/a/b?x=/a", 2, "/b?x=/a"),
            ("/a?x=1", 2, "/?x=1"),
            ("/a//evil.test/", 2, "/evil.test/"),
        ] {
            assert_eq!(whole(path, strip), want, "{path}");
        }
    }
}
