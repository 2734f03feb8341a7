//! A certificate and key from elsewhere, as texts.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::serving::Serving;
use super::validity::Validity;

/// Which of the two cannot be used, and why.
pub(super) enum Unfit {
    Cert(String),
    Key(String),
    /// The key has a passphrase.
    Encrypted,
    /// The key is that of another certificate.
    OtherKey,
}

/// Reads a certificate, with its chain behind it, and its key: PEM both. What time it is, is not asked.
pub(super) fn read(cert: &[u8], key: &[u8], serving: &Serving) -> Result<(Arc<CertifiedKey>, Validity), Unfit> {
    let unfit = |reason: &str| Unfit::Cert(reason.to_owned());
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| Unfit::Cert(error.to_string()))?;
    let first = chain.first().ok_or_else(|| unfit("it has no certificate in PEM"))?;
    let (_, certificate) = X509Certificate::from_der(first).map_err(|_| unfit("its certificate cannot be read"))?;
    let validity = Validity::of(&certificate);
    let certified = CertifiedKey::new(chain.clone(), signing_key(key, serving)?);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((Arc::new(certified), validity)),
        Err(Error::InconsistentKeys(_)) => Err(Unfit::OtherKey),
        Err(error) => Err(Unfit::Cert(error.to_string())),
    }
}

fn signing_key(key: &[u8], serving: &Serving) -> Result<Arc<dyn SigningKey>, Unfit> {
    if String::from_utf8_lossy(key).contains("ENCRYPTED") {
        return Err(Unfit::Encrypted);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| Unfit::Key("it has no key in PEM".to_owned()))?;
    serving.provider().key_provider.load_private_key(key).map_err(|error| Unfit::Key(error.to_string()))
}
