//! What the proxy asks of whoever holds its certificates.

use std::pin::Pin;
use std::sync::Arc;

/// Whoever holds the certificates that the proxy serves TLS with.
pub trait Certificates: Send + Sync {
    /// The configuration for this host, if it is at hand; never blocks.
    ///
    /// `host` is lower case and has no port: a name, or an address without brackets for clients that send no name. `None`
    /// is also the answer where it is time to look again, as when a certificate has expired: then ask [`Self::obtain`].
    fn held(&self, host: &str) -> Option<Arc<rustls::ServerConfig>>;

    /// The configuration for this host, made where it is not at hand. `None`: there is no certificate for it, as no route
    /// has it.
    ///
    /// Those who ask for one host at the same time share one making.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait only: the making goes on for others.
    fn obtain<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<Arc<rustls::ServerConfig>>> + Send + 'a>>;
}
