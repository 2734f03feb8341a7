//! A certificate of a host, made by the local authority or read from the cache.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::authority::{Authority, COMMON_NAME, key_section, pem, random_serial, subject};
use super::leaf_name::LeafName;
use super::settings::TlsSettings;
use super::validity::{DAY, Validity, date_time, seconds, unix_time};

pub(super) struct Leaf {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) validity: Validity,
    /// From this second on it is time for another one.
    pub(super) renew_at: i64,
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl Leaf {
    /// Makes a key and a certificate for it, which ends no later than the authority does.
    pub(super) fn mint(
        name: &LeafName,
        authority: &Authority,
        settings: &TlsSettings,
        provider: &CryptoProvider,
    ) -> Result<Self, String> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| e.to_string())?;
        let validity = Validity::around(settings.now(), settings.validity_days).within(authority.validity);
        let der = sign(name, &key, validity, authority, settings).map_err(|e| e.to_string())?;
        Self::parse(&format!("{}{}", pem(&der), key.serialize_pem()), authority, provider)
    }

    /// Reads one from the cache. Only what could just as well have been minted now is taken.
    pub(super) fn load(
        text: &str,
        name: &LeafName,
        authority: &Authority,
        settings: &TlsSettings,
        provider: &CryptoProvider,
    ) -> Result<Self, String> {
        let leaf = Self::parse(text, authority, provider)?;
        let now = settings.now();
        leaf.certified.keys_match().map_err(|e| e.to_string())?;
        let der = leaf.certified.end_entity_cert().map_err(|e| e.to_string())?;
        let parsed = ParsedCertificate::try_from(der).map_err(|e| e.to_string())?;
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &authority.roots, &[], unix_time(now), algorithms)
            .map_err(|e| e.to_string())?;
        if !is_for(der, name) {
            return Err("it is for another name".to_owned());
        }
        if leaf.validity.length() > i64::from(settings.validity_days) * DAY {
            return Err("it is valid for longer than the settings allow".to_owned());
        }
        if leaf.is_due(now) {
            return Err("it is time to renew it".to_owned());
        }
        Ok(leaf)
    }

    fn parse(text: &str, authority: &Authority, provider: &CryptoProvider) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| "it has no certificate")?;
        let key_pem = key_section(text)?.to_owned();
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| "its key cannot be read")?;
        let key = provider.key_provider.load_private_key(key).map_err(|e| e.to_string())?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| "its certificate cannot be read")?;
        let validity = Validity::of(&certificate);
        // What ends with its authority gains nothing from being made again.
        let lead = if validity.not_after < authority.validity.not_after { validity.length() / 3 } else { 0 };
        Ok(Self {
            validity,
            renew_at: validity.not_after - lead,
            certificate_pem: pem(&der),
            key_pem,
            certified: Arc::new(CertifiedKey::new(vec![der], key)),
        })
    }

    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        seconds(now) > self.renew_at
    }

    /// Certificate and key, as they are cached.
    pub(super) fn pem(&self) -> String {
        format!("{}{}", self.certificate_pem, self.key_pem)
    }
}

fn sign(
    name: &LeafName,
    key: &KeyPair,
    validity: Validity,
    authority: &Authority,
    settings: &TlsSettings,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = CertificateParams::default();
    // The default is 1975 to 4096.
    params.not_before = date_time(validity.not_before);
    params.not_after = date_time(validity.not_after);
    params.serial_number = Some(random_serial()?);
    params.distinguished_name = subject(settings, COMMON_NAME);
    params.subject_alt_names = vec![name.alternative_name()?];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, &authority.issuer)?.into())
}

/// Whether the certificate is for this name and no other.
fn is_for(der: &CertificateDer<'_>, name: &LeafName) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    matches!(names.value.general_names.as_slice(), [only] if name.is(only))
}
