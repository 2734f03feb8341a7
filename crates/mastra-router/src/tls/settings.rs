//! Settings of a [`TlsManager`](crate::TlsManager).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::TlsConfig;
use crate::error::{Result, RouterError};
use crate::name::BaseDomain;
use crate::user::default_cert_dir;

/// Apple's clients refuse longer ones.
const VALIDITY_DAYS_MAX: u32 = 397;
/// Upper bound of an organization's name (X.520, ub-organization-name).
const ORGANIZATION_MAX: usize = 64;

/// Tells the time; tests have clocks of their own.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Settings of a [`TlsManager`](crate::TlsManager).
#[derive(Clone)]
pub struct TlsSettings {
    /// Directory of the local authority and of what it issued, and of nothing else: its mode becomes 0700.
    pub cert_dir: PathBuf,
    /// Days that an issued certificate is valid, 397 at most. Default: 365.
    pub validity_days: u32,
    /// Domains that the authority is constrained to, beside `localhost` and `test`; hosts of routes lie under them.
    /// Default: none.
    pub base_domains: Vec<BaseDomain>,
    /// Loopback addresses that have a certificate, for URLs with an address in them. Default: 127.0.0.1 and ::1.
    pub addresses: Vec<IpAddr>,
    /// Organization in the subjects of certificates. Default: `Mastra Local Development`.
    pub organization: String,
    /// A certificate and key of the user's, served instead of issued ones. Default: none.
    pub own: Option<OwnFiles>,
    /// Tells the time. Default: the system's.
    pub clock: Clock,
}

/// Files of a certificate that the user brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFiles {
    /// The certificate, then its chain, as PEM.
    pub cert: PathBuf,
    /// The key as PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

impl TlsSettings {
    /// The defaults, with certificates kept in `cert_dir`.
    pub fn new(cert_dir: impl Into<PathBuf>) -> Self {
        Self {
            cert_dir: cert_dir.into(),
            validity_days: TlsConfig::default().validity_days,
            base_domains: Vec::new(),
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            organization: "Mastra Local Development".to_owned(),
            own: None,
            clock: Arc::new(SystemTime::now),
        }
    }

    /// Those of a router's configuration: without a directory there, it is `~/.mastra/certs`.
    pub fn from_config(config: &TlsConfig, base_domain: BaseDomain) -> Self {
        let cert_dir = config.cert_dir.clone().unwrap_or_else(default_cert_dir);
        let own = config.cert.clone().zip(config.key.clone()).map(|(cert, key)| OwnFiles { cert, key });
        Self { validity_days: config.validity_days, base_domains: vec![base_domain], own, ..Self::new(cert_dir) }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`] with the first one that cannot be used.
    pub fn check(&self) -> Result<()> {
        let invalid = |setting, reason: &str| Err(RouterError::InvalidConfig { setting, reason: reason.to_owned() });
        if !(1..=VALIDITY_DAYS_MAX).contains(&self.validity_days) {
            return invalid("tls.validityDays", "it is not between 1 and 397 days, the most that clients accept");
        }
        let organization = self.organization.trim();
        if organization.is_empty() || organization.chars().count() > ORGANIZATION_MAX {
            return invalid("tls.organization", "it is empty or longer than 64 characters");
        }
        if organization.chars().any(char::is_control) {
            return invalid("tls.organization", "it has a control character");
        }
        Ok(())
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("cert_dir", &self.cert_dir)
            .field("validity_days", &self.validity_days)
            .field("base_domains", &self.base_domains)
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}
