//! The one name that an issued certificate has. What is a file's name, or stands in a certificate, was checked here.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rcgen::SanType;
use rcgen::string::Ia5String;
use ring::digest;
use x509_parser::extensions::GeneralName;

use crate::constraints::Constraints;
use crate::name::label_fault;

/// Longest host name (RFC 1035, section 2.3.4, without length bytes).
const HOST_MAX: usize = 253;
/// Longest name that goes into a file's name as it is: file systems allow 255 bytes, of which endings take some.
const STEM_MAX: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LeafName {
    /// One host.
    Host(Arc<str>),
    /// All hosts that are one label below this one.
    Below(Arc<str>),
    /// An address, for URLs that have one instead of a name.
    Address(IpAddr),
}

impl LeafName {
    /// Whether an authority with these constraints may vouch for it.
    pub(super) fn is_permitted_by(&self, constraints: &Constraints) -> bool {
        match self {
            Self::Host(host) | Self::Below(host) => constraints.permits_domain(host),
            Self::Address(address) => address.is_loopback(),
        }
    }

    /// Reads `host`, `*.host` or an address; upper case is folded and a trailing dot dropped.
    pub(super) fn parse(name: &str) -> Result<Self, &'static str> {
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        let folded = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if folded.len() > HOST_MAX {
            return Err("it is longer than 253 characters");
        }
        let (host, all_below) = folded.strip_prefix("*.").map_or((folded.as_str(), false), |host| (host, true));
        if let Some(fault) = host.split('.').find_map(label_fault) {
            return Err(fault);
        }
        if host.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit())) {
            return Err("its last label is a number, so it reads as an IP address");
        }
        Ok(if all_below { Self::Below(host.into()) } else { Self::Host(host.into()) })
    }

    /// What the files of a stem are for, where they do not say it themselves; the stem of a name that was too long.
    pub(super) fn shown_of_stem(stem: &str) -> String {
        match (stem.strip_prefix("_wildcard."), stem.replace('_', ":").parse::<IpAddr>()) {
            (Some(host), _) => format!("*.{host}"),
            (None, Ok(address)) => address.to_string(),
            (None, Err(_)) => stem.to_owned(),
        }
    }

    /// As the certificate has it.
    pub(super) fn alternative_name(&self) -> Result<SanType, rcgen::Error> {
        match self {
            Self::Address(address) => Ok(SanType::IpAddress(*address)),
            name => Ok(SanType::DnsName(Ia5String::try_from(name.to_string())?)),
        }
    }

    /// Whether a name that was read from a certificate is this one, and nothing wider.
    pub(super) fn is(&self, name: &GeneralName<'_>) -> bool {
        match (self, name) {
            (Self::Address(IpAddr::V4(address)), GeneralName::IPAddress(bytes)) => address.octets() == *bytes,
            (Self::Address(IpAddr::V6(address)), GeneralName::IPAddress(bytes)) => address.octets() == *bytes,
            (Self::Host(_) | Self::Below(_), GeneralName::DNSName(dns)) => self.to_string() == *dns,
            _ => false,
        }
    }

    /// Name of its file, without the ending. Hosts have no `_` and do not look like addresses, so no two
    /// names share a file.
    pub(super) fn file_stem(&self) -> String {
        let stem = match self {
            Self::Host(host) => host.to_string(),
            Self::Below(host) => format!("_wildcard.{host}"),
            Self::Address(address) => address.to_string().replace(':', "_"),
        };
        if stem.len() <= STEM_MAX {
            return stem;
        }
        let hash = digest::digest(&digest::SHA256, stem.as_bytes());
        let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("{}_{hash}", stem.get(..STEM_MAX - 33).unwrap_or_default())
    }
}

impl fmt::Display for LeafName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_their_files() {
        for (given, shown, stem) in [
            ("Shop.Localhost.", "shop.localhost", "shop.localhost"),
            ("*.shop.localhost", "*.shop.localhost", "_wildcard.shop.localhost"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1", "__1"),
            ("::ffff:127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ] {
            let name = LeafName::parse(given).unwrap();
            assert_eq!((name.to_string().as_str(), name.file_stem().as_str()), (shown, stem));
            assert_eq!(LeafName::shown_of_stem(stem), shown);
        }
        for bad in
            ["", ".", "*", "*.", "a.*.b", "**.a", "../x", "a/b", "a b", "_x.test", "a..b", "1.2.3", "x\0y", "-a.b"]
        {
            assert!(LeafName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(LeafName::parse(&"a.".repeat(130)).is_err());
    }

    #[test]
    fn long_names_have_files_of_their_own() {
        let label = "x".repeat(60);
        let names = ["a", "b", "*.a"].map(|first| format!("{first}.{label}.{label}.{label}.{label}"));
        let stems: HashSet<String> = names.iter().map(|name| LeafName::parse(name).unwrap().file_stem()).collect();
        assert_eq!(stems.len(), 3);
        assert!(stems.iter().all(|stem| stem.len() <= STEM_MAX), "{stems:?}");
    }

    proptest::proptest! {
        /// Whatever is typed, its file is one in the directory, and no hidden one.
        #[test]
        fn a_file_stays_in_its_directory(name in ".{0,40}|[a-z.*/_-]{0,40}") {
            if let Ok(name) = LeafName::parse(&name) {
                let stem = name.file_stem();
                proptest::prop_assert!(!stem.contains(['/', '\\', '\0']) && !stem.starts_with('.'), "{}", stem);
            }
        }
    }
}
