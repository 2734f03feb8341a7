//! What an authority may vouch for, as its certificate says. A stolen key is worth no more than this.

use std::fmt;

use rcgen::CustomExtension;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use yasna::{DERWriterSeq, Tag};

use crate::name::BaseDomain;

/// Top-level domains that no real site lies under (RFC 6761, RFC 6762, and one that ICANN set aside).
const NO_REAL_SITES: [&str; 6] = ["localhost", "test", "local", "internal", "example", "invalid"];
/// Reserved for machines' own use (RFC 6761), so no authority that is constrained to them can vouch for a real site.
const ALWAYS: [&str; 2] = ["localhost", "test"];
const OID: [u64; 4] = [2, 5, 29, 30];
/// 127.0.0.0/8 and ::1/128: address, then mask.
const LOOPBACK_V4: [u8; 8] = [127, 0, 0, 0, 255, 0, 0, 0];
const LOOPBACK_V6: [u8; 32] = {
    let mut bytes = [0xff; 32];
    let mut i = 0;
    while i < 15 {
        bytes[i] = 0;
        i += 1;
    }
    bytes[15] = 1;
    bytes
};
/// Reserved so that it never exists (RFC 6761).
const NOBODY: &str = "invalid";

/// The tags of `GeneralName` (RFC 5280, section 4.2.1.6).
const EMAIL: u64 = 1;
const DNS: u64 = 2;
const URI: u64 = 6;
const ADDRESS: u64 = 7;

/// The domains that an authority may vouch for; loopback addresses always, anything else never.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Constraints {
    domains: Vec<String>,
}

impl Constraints {
    pub(crate) fn to(base_domains: &[BaseDomain]) -> Self {
        let mut constraints = Self { domains: ALWAYS.map(str::to_owned).to_vec() };
        for base in base_domains {
            if !constraints.permits_domain(base.as_str()) {
                constraints.domains.push(base.as_str().to_owned());
            }
        }
        constraints
    }

    /// These, and what others permit beside them.
    pub(crate) fn and(mut self, others: &Self) -> Self {
        for domain in &others.domains {
            if !self.permits_domain(domain) {
                self.domains.push(domain.clone());
            }
        }
        self
    }

    /// The critical extension of RFC 5280, section 4.2.1.10. A kind of name that has no subtree is not constrained at all,
    /// so every kind that a client may go by has one. Email and URIs are permitted on a host that cannot exist, rather than
    /// excluded: to exclude all of them one excludes the empty name, which OpenSSL does not match with anything and Java does
    /// not read.
    pub(crate) fn extension(&self) -> CustomExtension {
        let der = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                    writer.write_sequence(|permitted| {
                        for domain in &self.domains {
                            subtree(permitted, DNS, domain.as_bytes());
                        }
                        subtree(permitted, ADDRESS, &LOOPBACK_V4);
                        subtree(permitted, ADDRESS, &LOOPBACK_V6);
                        subtree(permitted, EMAIL, NOBODY.as_bytes());
                        subtree(permitted, URI, NOBODY.as_bytes());
                    });
                });
            });
        });
        let mut extension = CustomExtension::from_oid_content(&OID, der);
        extension.set_criticality(true);
        extension
    }

    /// Reads those of an authority, which has to be constrained as we do it, at least for hosts and addresses.
    pub(crate) fn read(certificate: &X509Certificate<'_>) -> Result<Self, &'static str> {
        let Ok(Some(extension)) = certificate.name_constraints() else {
            return Err("it is not constrained to names");
        };
        let permitted = extension.value.permitted_subtrees.iter().flatten();
        let (mut domains, mut addresses) = (Vec::new(), Vec::new());
        for subtree in permitted {
            match subtree.base {
                GeneralName::DNSName(domain) => domains.push(domain.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => addresses.push(bytes),
                _ => {}
            }
        }
        let only_loopback = addresses.iter().all(|bytes| *bytes == LOOPBACK_V4 || *bytes == LOOPBACK_V6);
        if !extension.critical || domains.is_empty() || domains.iter().any(|domain| domain.trim_matches('.').is_empty())
        {
            return Err("it is not constrained to domains");
        }
        if addresses.is_empty() || !only_loopback {
            return Err("it is not constrained to loopback addresses");
        }
        Ok(Self { domains })
    }

    pub(crate) fn permits_domain(&self, host: &str) -> bool {
        self.domains
            .iter()
            .any(|domain| host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }

    /// Top-level domains with real sites among the domains: the authority can vouch for all of those.
    pub(crate) fn top_level_domains(&self) -> impl Iterator<Item = &str> {
        let all = self.domains.iter().map(String::as_str);
        all.filter(|domain| !domain.contains('.') && !NO_REAL_SITES.contains(domain))
    }

    /// As people are told.
    pub(crate) fn list(&self) -> Vec<String> {
        self.domains.iter().map(String::as_str).chain(["127.0.0.0/8", "::1"]).map(str::to_owned).collect()
    }
}

fn subtree(writer: &mut DERWriterSeq<'_>, tag: u64, base: &[u8]) {
    writer.next().write_sequence(|writer| {
        writer.next().write_tagged_implicit(Tag::context(tag), |writer| writer.write_bytes(base));
    });
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_permitted() {
        let base = |domain| BaseDomain::parse(domain).unwrap();
        let constraints = Constraints::to(&[base("mastra.local"), base("shop.test"), base("localhost")]);
        assert_eq!(constraints.to_string(), "localhost, test, mastra.local, 127.0.0.0/8, ::1");
        for (name, permitted) in [
            ("localhost", true),
            ("a.b.localhost", true),
            ("mastra.local", true),
            ("app.mastra.local", true),
            ("shop.test", true),
            ("local", false),
            ("appxmastra.local", false),
            ("notlocalhost", false),
            ("localhost.evil.com", false),
            ("example.com", false),
        ] {
            assert_eq!(constraints.permits_domain(name), permitted, "{name}");
        }
        let wide = Constraints::to(&["dev", "internal", "a.dev"].map(base));
        assert_eq!(wide.top_level_domains().collect::<Vec<_>>(), ["dev"]);
    }
}
