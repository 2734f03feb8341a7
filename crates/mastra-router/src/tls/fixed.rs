//! One certificate that is served for every host, from memory.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;

use super::pair::{self, Unfit};
use super::serving::Serving;
use super::validity::seconds;
use crate::error::{Result, RouterError};

/// What serves this certificate.
pub(super) fn config(cert_pem: &[u8], key_pem: &[u8], now: SystemTime) -> Result<Arc<ServerConfig>> {
    let invalid = |setting, reason| RouterError::InvalidConfig { setting, reason };
    let serving = Serving::new().map_err(|error| invalid("cert", error.to_string()))?;
    let (certified, validity) = pair::read(cert_pem, key_pem, &serving).map_err(|unfit| match unfit {
        Unfit::Cert(reason) => invalid("cert", reason),
        Unfit::Key(reason) => invalid("key", reason),
        Unfit::Encrypted => invalid("key", "it is encrypted; take the passphrase off: openssl pkey".to_owned()),
        Unfit::OtherKey => invalid("key", "it is not the key of the certificate".to_owned()),
    })?;
    if validity.is_over(now) {
        return Err(invalid("cert", "the certificate has expired: clients refuse it".to_owned()));
    }
    if seconds(now) < validity.not_before {
        tracing::warn!("the certificate is not valid yet: clients refuse it");
    }
    Ok(serving.with(certified))
}
