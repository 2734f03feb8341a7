//! Where a route leads: a host and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::error::{Result, RouterError};

/// Scheme, host and port of an upstream. The only way to one is [`Target::parse`], so a target in a table is valid.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: TargetScheme,
    host: TargetHost,
    port: u16,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TargetScheme {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS; the certificate has to be one that this machine trusts, and of the target's host.
    Https,
    /// HTTP/1.1 over TLS with whatever certificate: `https+insecure`.
    HttpsUnverified,
    /// HTTP/2 without TLS and without asking first, as gRPC servers speak it.
    H2c,
}

impl TargetScheme {
    /// The scheme of a URL, or the name of it in a configuration.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`].
    pub fn parse(scheme: &str) -> Result<Self> {
        [Self::Http, Self::Https, Self::HttpsUnverified, Self::H2c]
            .into_iter()
            .find(|s| s.as_str() == scheme)
            .ok_or_else(|| RouterError::InvalidField {
                field: "targetScheme",
                value: scheme.to_owned(),
                reason: "it is none of http, https, https+insecure and h2c",
            })
    }

    /// The scheme as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::HttpsUnverified => "https+insecure",
            Self::H2c => "h2c",
        }
    }

    /// Whether the upstream is spoken to over TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::HttpsUnverified)
    }

    fn default_port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }
}

/// The host of a target.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// `localhost` or a name below it: both loopback families are meant.
    Localhost(Arc<str>),
    /// An address.
    Ip(IpAddr),
    /// Any other name; resolved once, when the route was made (see [`Target::pin`]).
    Name {
        /// The name as given.
        name: Arc<str>,
        /// Its addresses; empty where nothing is proxied and so nothing was resolved.
        pinned: Arc<[IpAddr]>,
    },
}

impl Target {
    /// Reads a host (`localhost`, a name, an IPv4 or IPv6 address with or without brackets) and a port.
    ///
    /// # Errors
    /// [`RouterError::InvalidTarget`].
    pub fn parse(host: &str, port: u16) -> Result<Self> {
        let invalid =
            |reason: &str| Err(RouterError::InvalidTarget { target: joined(host, port), reason: reason.into() });
        if port == 0 {
            return invalid("the port is 0");
        }
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            let ip = ip.to_canonical();
            return match ip {
                _ if ip.is_unspecified() => invalid("nothing can be reached at the unspecified address; use localhost"),
                _ if is_link_local(ip) => {
                    invalid("link-local addresses are never routed to (they serve cloud credentials)")
                }
                _ if ip.is_multicast() => invalid("it is a multicast address"),
                IpAddr::V4(Ipv4Addr::BROADCAST) => invalid("it is the broadcast address"),
                _ => Ok(Self { scheme: TargetScheme::Http, host: TargetHost::Ip(ip), port }),
            };
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let label_ok = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        };
        if name.is_empty() {
            return invalid("the host is empty");
        }
        if name.len() > 253 || !name.split('.').all(label_ok) {
            return invalid("the host is neither a name nor an address");
        }
        // Resolvers read `127.1`, `0x7f000001` and `2130706433` as addresses, each in its own way.
        if name.rsplit('.').next().is_some_and(|l| l.starts_with(|c: char| c.is_ascii_digit())) {
            return invalid("the host is an address in a form that is read in different ways");
        }
        let host = if name == "localhost" || name.ends_with(".localhost") {
            TargetHost::Localhost(name.into())
        } else {
            TargetHost::Name { name: name.into(), pinned: Arc::from([]) }
        };
        Ok(Self { scheme: TargetScheme::Http, host, port })
    }

    /// The same host and port, spoken to in another way.
    #[must_use]
    pub fn over(self, scheme: TargetScheme) -> Self {
        Self { scheme, ..self }
    }

    /// Reads what a person types: `5173`, `host:5173`, `[::1]:5173`, `https://host:5173`.
    ///
    /// # Errors
    /// [`RouterError::InvalidTarget`].
    pub fn parse_text(text: &str) -> Result<Self> {
        let invalid = |reason: &str| RouterError::InvalidTarget { target: text.to_owned(), reason: reason.into() };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => {
                let scheme = TargetScheme::parse(scheme)
                    .map_err(|_| invalid("its scheme is none of http, https, https+insecure and h2c"))?;
                (Some(scheme), rest.strip_suffix('/').unwrap_or(rest))
            }
            None => (None, text),
        };
        let default_port = scheme.map(TargetScheme::default_port);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(invalid("a target is a host and a port; paths and credentials cannot be part of it"));
        }
        let port_of = |port: &str| match port.parse::<u16>() {
            // `+80` and `080` parse as numbers, and are no ports.
            Ok(number) if number.to_string() == port => Ok(number),
            _ => Err(invalid("the port is not a number from 1 to 65535")),
        };
        if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()) && default_port.is_none() {
            return Self::parse("localhost", port_of(rest)?);
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || (host.starts_with('[') && host.ends_with(']')) => {
                (host, port_of(port)?)
            }
            Some(_) if rest.ends_with(']') || rest.parse::<IpAddr>().is_ok() => {
                (rest, default_port.ok_or_else(|| invalid("the port is missing"))?)
            }
            Some(_) => return Err(invalid("an IPv6 address stands in brackets: [::1]:5173")),
            None => (rest, default_port.ok_or_else(|| invalid("the port is missing"))?),
        };
        Ok(Self::parse(host, port)?.over(scheme.unwrap_or_default()))
    }

    /// What it speaks.
    pub fn scheme(&self) -> TargetScheme {
        self.scheme
    }

    /// The host.
    pub fn host(&self) -> &TargetHost {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True where every address this target stands for is known to be on this machine.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            TargetHost::Localhost(_) => true,
            TargetHost::Ip(ip) => ip.is_loopback(),
            TargetHost::Name { pinned, .. } => !pinned.is_empty() && pinned.iter().all(IpAddr::is_loopback),
        }
    }

    /// The same target with the addresses its name resolved to. Later answers of the name service change nothing, so a
    /// name cannot be pointed elsewhere after it was allowed.
    ///
    /// # Errors
    /// [`RouterError::InvalidTarget`] where there is no address, or a link-local one among them.
    pub fn pin(self, addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self> {
        let TargetHost::Name { name, .. } = self.host.clone() else { return Ok(self) };
        let mut pinned: Vec<IpAddr> = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
        pinned.dedup();
        let reason = if pinned.is_empty() {
            "its name does not resolve"
        } else if pinned.iter().any(|&ip| is_link_local(ip) || ip.is_unspecified() || ip.is_multicast()) {
            "its name resolves to an address that is never routed to"
        } else {
            let host = TargetHost::Name { name, pinned: pinned.into() };
            return Ok(Self { host, ..self });
        };
        Err(RouterError::InvalidTarget { target: self.to_string(), reason: reason.into() })
    }

    /// The addresses to try, in order.
    pub fn addresses(&self) -> Addresses<'_> {
        let (pair, rest): ([Option<IpAddr>; 2], &[IpAddr]) = match &self.host {
            TargetHost::Localhost(_) => ([Some(Ipv4Addr::LOCALHOST.into()), Some(Ipv6Addr::LOCALHOST.into())], &[]),
            TargetHost::Ip(ip) => ([Some(*ip), None], &[]),
            TargetHost::Name { pinned, .. } => ([None, None], pinned),
        };
        Addresses { pair, rest, port: self.port }
    }

    /// The host as text: addresses without brackets.
    pub fn host_text(&self) -> String {
        match &self.host {
            TargetHost::Ip(ip) => ip.to_string(),
            TargetHost::Localhost(name) | TargetHost::Name { name, .. } => name.to_string(),
        }
    }

    /// Host and port as they stand in a URL.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.url_host(), self.port)
    }

    /// The host as it stands in a URL: IPv6 addresses bracketed.
    pub fn url_host(&self) -> String {
        match &self.host {
            TargetHost::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            TargetHost::Ip(IpAddr::V4(ip)) => ip.to_string(),
            TargetHost::Localhost(name) | TargetHost::Name { name, .. } => name.to_string(),
        }
    }
}

/// Iterator of [`Target::addresses`].
#[derive(Clone, Debug)]
pub struct Addresses<'t> {
    pair: [Option<IpAddr>; 2],
    rest: &'t [IpAddr],
    port: u16,
}

impl Iterator for Addresses<'_> {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        let ip = self.pair.iter_mut().find_map(Option::take).or_else(|| {
            let (first, rest) = self.rest.split_first()?;
            self.rest = rest;
            Some(*first)
        })?;
        Some(SocketAddr::new(ip, self.port))
    }
}

/// Link-local ranges hold the metadata services of clouds (169.254.169.254, fd00:ec2::254), which give out credentials.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

fn joined(host: &str, port: u16) -> String {
    match host.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]:{port}"),
        Err(_) => format!("{host}:{port}"),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Almost all targets speak plain HTTP, and people know them by their port.
        if self.scheme != TargetScheme::Http {
            write!(f, "{}://", self.scheme.as_str())?;
        }
        write!(f, "{}:{}", self.url_host(), self.port)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for (text, target) in [
            ("5173", "localhost:5173"),
            ("localhost:5173", "localhost:5173"),
            ("Localhost:5173", "localhost:5173"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:5173", "[::1]:5173"),
            ("[::ffff:127.0.0.1]:5173", "127.0.0.1:5173"),
            ("http://localhost:5173", "localhost:5173"),
            ("http://localhost:5173/", "localhost:5173"),
            ("http://[::1]", "[::1]:80"),
            ("http://web", "web:80"),
            ("app.localhost:1", "app.localhost:1"),
            ("my_container:8080", "my_container:8080"),
            ("https://localhost:8443", "https://localhost:8443"),
            ("https://[::1]", "https://[::1]:443"),
            ("https+insecure://127.0.0.1:1", "https+insecure://127.0.0.1:1"),
            ("h2c://localhost:50051/", "h2c://localhost:50051"),
        ] {
            assert_eq!(Target::parse_text(text).unwrap_or_else(|e| panic!("{text}: {e}")).to_string(), target);
        }
    }

    #[test]
    fn what_is_refused() {
        for text in [
            "",
            "0",
            "65536",
            "99999",
            "+80",
            "localhost",
            "localhost:",
            ":80",
            "localhost:0",
            "localhost:+1",
            "localhost:8 0",
            "::1:80",
            "[::1]",
            "[::1",
            "a b:80",
            "a/b:80",
            "http://localhost:80/path",
            "http://user@localhost:80",
            "ftp://x:1",
            "HTTPS://localhost:1",
            "https://localhost:1/x",
            "h2://localhost:1",
            "https://5173",
            "169.254.169.254:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "0.0.0.0:80",
            "[::]:80",
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "a\n:80",
            "-a:80",
            "a..b:80",
            "224.0.0.1:80",
            "255.255.255.255:1",
            "00:80",
        ] {
            let refused = Target::parse_text(text);
            assert!(matches!(refused, Err(RouterError::InvalidTarget { .. })), "{text}: {refused:?}");
        }
    }

    #[test]
    fn localhost_is_both_families() {
        let target = Target::parse("localhost", 1).unwrap();
        let all: Vec<String> = target.addresses().map(|a| a.to_string()).collect();
        assert_eq!(all, ["127.0.0.1:1", "[::1]:1"]);
        assert!(target.is_loopback());
    }

    #[test]
    fn a_name_is_pinned_and_checked() {
        let target = Target::parse("db.internal", 1).unwrap();
        assert!(!target.is_loopback());
        assert!(target.clone().pin([]).is_err());
        assert!(target.clone().pin(["169.254.169.254".parse().unwrap()]).is_err());
        assert!(target.clone().pin(["::ffff:169.254.169.254".parse().unwrap()]).is_err());
        let pinned = target.pin(["127.0.0.2".parse().unwrap()]).unwrap();
        assert!(pinned.is_loopback());
        assert_eq!(pinned.addresses().next().unwrap().to_string(), "127.0.0.2:1");
    }
}
