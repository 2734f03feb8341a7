//! Names of routes: DNS labels, and nothing else.

use std::fmt;
use std::sync::Arc;

use crate::error::{Result, RouterError};

/// Longest label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;
/// Longest name that still leaves room for a base domain within the 253 octets of a host name.
const NAME_MAX: usize = 190;
/// Names under the base domain that are the router's own.
const RESERVED: [&str; 1] = ["router"];

/// Name of a route: one or more DNS labels, lower case, without the base domain. `shop` answers at `shop.localhost`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteName(Arc<str>);

impl RouteName {
    /// Reads a name; upper case is folded, since DNS does not distinguish it.
    ///
    /// # Errors
    /// [`RouterError::InvalidName`], with the nearest valid name where there is one.
    pub fn parse(name: &str) -> Result<Self> {
        let refuse = |reason| {
            let suggestion = suggest(name).filter(|s| s != name);
            Err(RouterError::InvalidName { name: name.to_owned(), reason, suggestion })
        };
        if name.len() > NAME_MAX {
            return refuse("it is longer than 190 characters");
        }
        let folded = name.to_ascii_lowercase();
        for label in folded.split('.') {
            if let Some(reason) = label_fault(label) {
                return refuse(reason);
            }
        }
        if RESERVED.contains(&folded.as_str()) {
            return refuse("it is reserved for the router itself");
        }
        Ok(Self(folded.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

pub(crate) fn label_fault(label: &str) -> Option<&'static str> {
    let bytes = label.as_bytes();
    match bytes {
        [] => Some("a label is empty"),
        _ if bytes.len() > LABEL_MAX => Some("a label is longer than 63 characters"),
        [b'-', ..] | [.., b'-'] => Some("a label starts or ends with a hyphen"),
        _ if !bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')) => {
            Some("only letters, digits and hyphens make a DNS label")
        }
        _ => None,
    }
}

/// The nearest valid name: what is no letter or digit becomes a hyphen, runs of hyphens shrink to one, the rest is cut.
pub fn suggest(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len().min(LABEL_MAX));
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() == LABEL_MAX {
            break;
        }
    }
    let out = out.trim_end_matches('-');
    match out {
        "" => None,
        reserved if RESERVED.contains(&reserved) => Some(format!("{reserved}-app")),
        valid => Some(valid.to_owned()),
    }
}

/// A domain that routes live under: `localhost`, `mastra.local`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseDomain(Arc<str>);

impl BaseDomain {
    /// Reads a base domain: DNS labels, lower-cased, a trailing dot dropped.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`] where it is no host name or looks like an IP address.
    pub fn parse(domain: &str) -> Result<Self> {
        let folded = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        let fault = if folded.len() > 253 - NAME_MAX - 1 {
            Some("it is longer than 62 characters")
        } else if folded.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit())) {
            Some("its last label is a number, so it reads as an IP address")
        } else {
            folded.split('.').find_map(label_fault)
        };
        match fault {
            Some(reason) => {
                Err(RouterError::InvalidConfig { setting: "baseDomain", reason: format!("{domain:?}: {reason}") })
            }
            None => Ok(Self(folded.into())),
        }
    }

    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `localhost`, which the seed's path URLs are for.
    pub fn is_localhost(&self) -> bool {
        &*self.0 == "localhost"
    }

    /// What stands before `.<base domain>` in `host` (lower case, no port): the name of a route, or `None` for other hosts.
    pub fn name_in<'h>(&self, host: &'h str) -> Option<&'h str> {
        host.strip_suffix(&*self.0)?.strip_suffix('.').filter(|name| !name.is_empty())
    }
}

macro_rules! text {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )*};
}
text!(RouteName, BaseDomain);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "job-matcher", "r1", "0", "fix-ui.shop", "xn--mnchen-3ya", "a--b"] {
            assert_eq!(RouteName::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(RouteName::parse("Shop").unwrap().as_str(), "shop");
        for (bad, nearest) in [
            ("", None),
            ("../x", Some("x")),
            ("a/b", Some("a-b")),
            ("feature/x--app", Some("feature-x-app")),
            ("-a", Some("a")),
            ("a-", Some("a")),
            ("a..b", Some("a-b")),
            ("a.", Some("a")),
            ("a_b", Some("a-b")),
            ("a b\nc", Some("a-b-c")),
            ("ünï", Some("n")),
            ("路", None),
            ("router", Some("router-app")),
            ("a:80", Some("a-80")),
        ] {
            match RouteName::parse(bad) {
                Err(RouterError::InvalidName { suggestion, .. }) => assert_eq!(suggestion.as_deref(), nearest, "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
        let long = "x".repeat(64);
        assert_eq!(suggest(&long).unwrap().len(), 63);
        assert!(RouteName::parse(&long).is_err());
    }

    #[test]
    fn base_domains() {
        for (given, kept) in [("localhost", "localhost"), ("Mastra.Local.", "mastra.local"), ("test", "test")] {
            assert_eq!(BaseDomain::parse(given).unwrap().as_str(), kept);
        }
        for bad in ["", ".", "a..b", "127.0.0.1", "[::1]", "a b", "-a.test", "x/y"] {
            assert!(BaseDomain::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_ends_at_a_dot() {
        let base = BaseDomain::parse("mastra.local").unwrap();
        assert_eq!(base.name_in("app.mastra.local"), Some("app"));
        assert_eq!(base.name_in("appxmastra.local"), None);
        assert_eq!(base.name_in("mastra.local"), None);
        assert_eq!(base.name_in(".mastra.local"), None);
        assert_eq!(base.name_in("a.b.mastra.local"), Some("a.b"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_suggested_is_valid(name in ".{0,100}") {
            if let Some(suggestion) = suggest(&name) {
                proptest::prop_assert!(RouteName::parse(&suggestion).is_ok(), "{suggestion}");
            }
        }

        #[test]
        fn a_parsed_name_parses_again(name in "[a-zA-Z0-9.-]{0,70}") {
            if let Ok(parsed) = RouteName::parse(&name) {
                proptest::prop_assert_eq!(&RouteName::parse(parsed.as_str()).unwrap(), &parsed);
            }
        }
    }
}
