//! TLS towards targets: whose certificates are believed.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, IoState, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::target::{Target, TargetScheme};

/// Speaks TLS to targets. Clones share what they have read of the machine's certificates.
#[derive(Clone, Debug, Default)]
pub struct TargetTls {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    authority: Option<PathBuf>,
    /// Made of the authority's file as it was; made anew when that is another.
    verified: Mutex<Option<(Stamp, Arc<ClientConfig>)>>,
    unverified: OnceCell<Arc<ClientConfig>>,
}

/// Tells one state of a file from another; `None` where there is no file.
type Stamp = Option<(SystemTime, u64)>;

impl TargetTls {
    /// Believes the authorities that this machine trusts, and the one whose certificate (PEM) is in the file `authority`,
    /// if there is one.
    pub fn new(authority: Option<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { authority, ..Inner::default() }) }
    }

    pub(crate) async fn connect(&self, io: TcpStream, target: &Target) -> io::Result<TlsStream<TcpStream>> {
        let config = match target.scheme() {
            TargetScheme::HttpsUnverified => {
                self.inner.unverified.get_or_try_init(|| async { unverified() }).await?.clone()
            }
            _ => self.verified().await?,
        };
        let name = ServerName::try_from(target.host_text()).map_err(io::Error::other)?;
        TlsConnector::from(config).connect(name, io).await
    }

    /// An authority may be made, or replaced, long after the first connection.
    async fn verified(&self) -> io::Result<Arc<ClientConfig>> {
        let stamp = self.inner.authority.as_ref().and_then(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        });
        let held = self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, config)) = held
            && of == stamp
        {
            return Ok(config);
        }
        let config = verified(self.inner.authority.clone()).await?;
        *self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, config.clone()));
        Ok(config)
    }
}

/// Ready when a read of a TLS stream would not wait, as far as that can be told without reading. `state` is what the
/// session knows of what it was given.
pub(crate) fn poll_readable(
    io: &TcpStream,
    state: Result<IoState, rustls::Error>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    match state {
        Ok(state) if state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed() => io.poll_read_ready(cx),
        // What is there is to be read, an error too.
        _ => Poll::Ready(Ok(())),
    }
}

/// Reading a machine's certificates takes milliseconds, so it is done once, beside the runtime, and not before a target
/// needs it.
async fn verified(authority: Option<PathBuf>) -> io::Result<Arc<ClientConfig>> {
    let roots = tokio::task::spawn_blocking(move || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate store of this machine cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        if let Some(path) = authority
            && let Ok(certificates) = CertificateDer::pem_file_iter(&path)
        {
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
        roots
    });
    let roots = Arc::new(roots.await.map_err(io::Error::other)?);
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
    // Fails where there is no root at all; then nothing can be verified, and each target says so.
    config(provider, verifier.map_err(io::Error::other)?)
}

fn unverified() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    config(provider.clone(), Arc::new(Unverified(provider)))
}

fn config(provider: Arc<CryptoProvider>, verifier: Arc<dyn ServerCertVerifier>) -> io::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    // What is spoken inside is HTTP/1.1; a server that knows HTTP/2 only is told so, instead of answering in it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Takes every certificate, for targets whose owner has asked for that. Signatures are still checked: the other side has
/// the key of what it shows.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
