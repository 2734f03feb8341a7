//! What TLS is served with: one configuration, of which each certificate gets a copy that shares nearly all.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ServerConfig};

/// A connection that is resumed brings a new ticket of its own, so one suffices; each costs a derived key and a record.
const TICKETS: usize = 1;

pub(super) struct Serving {
    base: ServerConfig,
}

impl Serving {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut provider = ring::default_provider();
        // 128 bits are plenty, and SHA-256 has instructions of its own on most processors where SHA-384 has none.
        provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
            _ => 1,
        });
        let mut base = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        base.ignore_client_order = true;
        base.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are resumed by tickets. A store on this side would be one lock for all threads.
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.ticketer = ring::Ticketer::new()?;
        base.send_tls13_tickets = TICKETS;
        Ok(Self { base })
    }

    pub(super) fn provider(&self) -> &CryptoProvider {
        self.base.crypto_provider()
    }

    /// The configuration that serves this certificate, whatever name a client sends.
    pub(super) fn with(&self, certified: Arc<CertifiedKey>) -> Arc<ServerConfig> {
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(certified));
        Arc::new(config)
    }
}
