//! The local authority: one key and certificate in one file, made once and constrained by name.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::directory::{Access, Directory, Stamp, refused};
use super::settings::TlsSettings;
use super::validity::{DAY, Validity, date_time, seconds, system_time};
use crate::constraints::Constraints;
use crate::error::{Result, RouterError};

/// Certificate and key. In one file, so that no moment and no crash tears them apart.
pub(super) const AUTHORITY: &str = "authority.pem";
/// The certificate alone, for trust stores and `NODE_EXTRA_CA_CERTS`.
pub(super) const CERTIFICATE: &str = "ca.pem";
/// What every authority is called, with a tag of its own behind it.
pub(super) const NAME: &str = "mastra-router local CA";
pub(super) const LOCK: &str = "authority.lock";
/// Two years: short enough that a forgotten key ends, long enough that trust is asked for rarely.
const VALIDITY_DAYS: u32 = 730;
/// When to say that the end is near.
const WARN_BEFORE: i64 = 30 * DAY;

/// What there is to know of the local authority, all of it public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityInfo {
    /// File with its certificate, without the key.
    pub path: PathBuf,
    /// Its certificate as PEM.
    pub pem: String,
    /// SHA-256 of the certificate, as browsers show it: upper-case pairs with colons between them.
    pub fingerprint: String,
    /// When it begins.
    pub not_before: SystemTime,
    /// When it ends.
    pub not_after: SystemTime,
    /// Domains (with all that is below them) and addresses that it may vouch for.
    pub permitted: Vec<String>,
}

impl AuthorityInfo {
    /// Whether it is used at this time; where not, whoever opens its directory then makes another in its place.
    pub fn is_usable_at(&self, time: SystemTime) -> bool {
        let (not_before, not_after) = (seconds(self.not_before), seconds(self.not_after));
        Validity { not_before, not_after }.fault_at(time).is_none()
    }
}

/// The local authority, with its key.
pub(super) struct Authority {
    pub(super) issuer: Issuer<'static, KeyPair>,
    /// This one alone: what it issued is verified as a client would.
    pub(super) roots: RootCertStore,
    pub(super) validity: Validity,
    pub(super) constraints: Constraints,
    /// Subject, as it stands in what the authority issued.
    pub(super) subject: Vec<u8>,
    pem: String,
    fingerprint: String,
    /// The file that it was read from.
    stamp: Option<Stamp>,
}

impl Authority {
    /// Reads the authority of a directory. Makes one where there is none, or none that can be used: then it has to be
    /// trusted anew, which is said.
    pub(super) fn open(directory: &Directory, settings: &TlsSettings) -> Result<Self> {
        // Two processes that start at once make one authority.
        let _lock = directory.lock(LOCK)?;
        if directory.make_secret(AUTHORITY) {
            tracing::warn!("other users could read the key of the local authority; they no longer can");
        }
        let now = settings.now();
        let authority = match Self::read(directory)? {
            None => Self::make(directory, Constraints::to(&settings.base_domains), settings)?,
            Some(Ok(authority)) => match authority.validity.fault_at(now) {
                None => authority,
                Some(fault) => authority.succeeded(fault, directory, settings)?,
            },
            Some(Err(reason)) => {
                Self::put_aside(directory, reason, now)?;
                Self::make(directory, Constraints::to(&settings.base_domains), settings)?
            }
        };
        authority.check_domains(directory, settings)?;
        if directory.read(CERTIFICATE).ok().flatten().as_deref() != Some(&authority.pem) {
            directory.write_durably(CERTIFICATE, &authority.pem, Access::Public)?;
        }
        if authority.validity.not_after - seconds(now) < WARN_BEFORE {
            tracing::warn!("the local authority expires within 30 days: mastra-router tls renew");
        }
        Ok(authority)
    }

    /// Makes an authority in the place of the one there is, which is returned; one that cannot be read is kept aside.
    pub(super) fn replace(directory: &Directory, settings: &TlsSettings) -> Result<Option<AuthorityInfo>> {
        let _lock = directory.lock(LOCK)?;
        let before = match Self::read(directory)? {
            None => None,
            Some(Ok(authority)) => Some(authority.info(directory)),
            Some(Err(reason)) => {
                Self::put_aside(directory, reason, settings.now())?;
                None
            }
        };
        let made = Self::make(directory, Constraints::to(&settings.base_domains), settings)?;
        directory.write_durably(CERTIFICATE, &made.pem, Access::Public)?;
        Ok(before)
    }

    /// Makes another in the place of this one, for all that this one vouched for. Its certificate is kept aside: clients may
    /// still trust it.
    fn succeeded(self, fault: &str, directory: &Directory, settings: &TlsSettings) -> Result<Self> {
        let aside = format!("{CERTIFICATE}.replaced-{}", seconds(settings.now()));
        directory.write_durably(&aside, &self.pem, Access::Public)?;
        let (fingerprint, kept) = (self.fingerprint, directory.path_of(&aside));
        tracing::warn!(fingerprint, kept = %kept.display(), "the local authority {fault}: a new one is made, to be trusted anew");
        Self::make(directory, Constraints::to(&settings.base_domains).and(&self.constraints), settings)
    }

    fn put_aside(directory: &Directory, reason: &str, now: SystemTime) -> Result<()> {
        let aside = format!("{AUTHORITY}.corrupt-{}", seconds(now));
        directory.rename(AUTHORITY, &aside)?;
        let kept = directory.path_of(&aside);
        tracing::warn!(reason, kept = %kept.display(), "the local authority cannot be used: a new one is made, to be trusted anew");
        Ok(())
    }

    /// The authority of a directory, without making anything. The inner error is one of the contents.
    pub(super) fn read(directory: &Directory) -> Result<Option<Result<Self, &'static str>>> {
        let path = directory.path_of(AUTHORITY);
        let stamp = Stamp::of(&path);
        let Some(text) = directory.read(AUTHORITY)? else { return Ok(None) };
        Ok(Some(Self::parse(&text, stamp)))
    }

    fn parse(text: &str, stamp: Option<Stamp>) -> Result<Self, &'static str> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| "it has no certificate")?;
        let key = KeyPair::from_pem(key_section(text)?).map_err(|_| "it has no key that can be read")?;
        let (rest, certificate) = X509Certificate::from_der(&der).map_err(|_| "its certificate cannot be read")?;
        if !rest.is_empty() || certificate.public_key().raw != key.subject_public_key_info() {
            return Err("its certificate and key do not belong together");
        }
        match certificate.basic_constraints() {
            Ok(Some(basic)) if basic.value.ca && basic.value.path_len_constraint == Some(0) => {}
            _ => return Err("it is no authority for end certificates alone"),
        }
        let constraints = Constraints::read(&certificate)?;
        let validity = Validity::of(&certificate);
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).map_err(|_| "its certificate cannot be trusted by any client")?;
        let fingerprint = fingerprint(&der);
        let pem = pem(&der);
        let subject = certificate.subject().as_raw().to_vec();
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|_| "its certificate cannot be read")?;
        Ok(Self { issuer, roots, validity, constraints, subject, pem, fingerprint, stamp })
    }

    fn make(directory: &Directory, constraints: Constraints, settings: &TlsSettings) -> Result<Self> {
        let path = directory.path_of(AUTHORITY);
        for domain in constraints.top_level_domains() {
            tracing::warn!(domain, "the local authority can vouch for every site of this top-level domain");
        }
        let text = generate(&constraints, settings).map_err(|error| refused("make", &path, error))?;
        directory.write_durably(AUTHORITY, &text, Access::Secret)?;
        let made = Self::parse(&text, Stamp::of(&path)).map_err(|reason| refused("make", &path, reason))?;
        tracing::info!(fingerprint = made.fingerprint, permitted = %made.constraints, "a local authority was made");
        Ok(made)
    }

    /// Every base domain has to lie within the constraints, else no client accepts what is issued for it.
    pub(super) fn check_domains(&self, directory: &Directory, settings: &TlsSettings) -> Result<()> {
        let outside = settings.base_domains.iter().find(|base| !self.constraints.permits_domain(base.as_str()));
        let Some(base) = outside else { return Ok(()) };
        Err(RouterError::CaConstraints {
            authority: directory.path_of(CERTIFICATE),
            name: base.to_string(),
            permitted: self.constraints.to_string(),
            remedy: format!("make a new one, to be trusted anew: mastra-router tls renew --base-domain {base}"),
        })
    }

    /// The file as it is now, where that is another one than was read; a file that is gone is not.
    pub(super) fn newer(&self, directory: &Directory) -> Option<Stamp> {
        Stamp::of(&directory.path_of(AUTHORITY)).filter(|now| Some(*now) != self.stamp)
    }

    pub(super) fn info(&self, directory: &Directory) -> AuthorityInfo {
        AuthorityInfo {
            path: directory.path_of(CERTIFICATE),
            pem: self.pem.clone(),
            fingerprint: self.fingerprint.clone(),
            not_before: system_time(self.validity.not_before),
            not_after: self.validity.end(),
            permitted: self.constraints.list(),
        }
    }
}

/// Without the key.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn generate(constraints: &Constraints, settings: &TlsSettings) -> Result<String, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let serial = random_serial()?;
    let mut params = CertificateParams::default();
    let validity = Validity::around(settings.now(), VALIDITY_DAYS);
    params.not_before = date_time(validity.not_before);
    params.not_after = date_time(validity.not_after);
    // A subject of its own: a client that knows two authorities of one name may try the wrong key.
    let tag: String = serial.to_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = subject(settings, &format!("{NAME} {tag}"));
    params.serial_number = Some(serial);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.custom_extensions = vec![constraints.extension()];
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", pem(certificate.der()), key.serialize_pem()))
}

/// The same for all certificates. Clients hold it against constraints for domains where a certificate has an address alone:
/// OpenSSL what looks like a host, GnuTLS whatever it is. This one is always permitted.
pub(super) const COMMON_NAME: &str = "localhost";

pub(super) fn subject(settings: &TlsSettings, common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, settings.organization.trim());
    subject.push(DnType::CommonName, common_name);
    subject
}

/// 127 bits of chance, positive as it has to be.
pub(super) fn random_serial() -> Result<SerialNumber, rcgen::Error> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// From the key's first line on: rcgen reads the first section of a text, whatever it is.
pub(super) fn key_section(text: &str) -> Result<&str, &'static str> {
    text.find("-----BEGIN PRIVATE KEY-----").and_then(|at| text.get(at..)).ok_or("it has no key")
}

/// SHA-256, as browsers show it.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = digest::digest(&digest::SHA256, certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}
