//! What tests look for in certificates, and certificates that only an attacker would make.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mastra_router::Certificates;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

pub(crate) fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

pub(crate) fn parsed<'d>(der: &'d CertificateDer<'_>) -> X509Certificate<'d> {
    X509Certificate::from_der(der).unwrap().1
}

/// Seconds of validity, both ends counted.
pub(crate) fn lifetime(certificate: &X509Certificate<'_>) -> i64 {
    let validity = certificate.validity();
    validity.not_after.timestamp() - validity.not_before.timestamp() + 1
}

/// The certificate that is served for a host; `None` where none is.
pub(crate) async fn served(certificates: &dyn Certificates, host: &str) -> Option<CertificateDer<'static>> {
    let config = match certificates.held(host) {
        Some(config) => config,
        None => certificates.obtain(host).await?,
    };
    Some(presented(config))
}

/// What a client is shown by this configuration, from a handshake in memory.
pub(crate) fn presented(config: Arc<ServerConfig>) -> CertificateDer<'static> {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConnection, SignatureScheme};

    #[derive(Debug)]
    struct Anything;
    impl ServerCertVerifier for Anything {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &rustls::pki_types::ServerName<'_>,
            _: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }

    let client = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(client), "any.test".try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(config).unwrap();
    while client.peer_certificates().is_none() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

/// A certificate and key made with the authority's stolen key, for names of the thief's choice.
pub(crate) fn stolen(certs: &Path, common_name: &str, names: Vec<SanType>) -> (String, String) {
    let authority = std::fs::read_to_string(certs.join("authority.pem")).unwrap();
    let key = &authority[authority.find("-----BEGIN PRIVATE KEY").unwrap()..];
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(key).unwrap()).unwrap();
    let leaf_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = (SystemTime::now() - super::place::DAY / 2).into();
    params.not_after = (SystemTime::now() + 30 * super::place::DAY).into();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.signed_by(&leaf_key, &issuer).unwrap().pem(), leaf_key.serialize_pem())
}

pub(crate) fn config_of(cert: &str, key: &str) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der(cert)], key)
        .unwrap();
    Arc::new(config)
}
