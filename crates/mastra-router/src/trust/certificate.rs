//! The authority's certificate, as it is put into a store and found in one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use crate::constraints::Constraints;
use crate::error::{Result, RouterError};

/// SHA-256 of a certificate's DER form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits, with or without colons, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// All of it as lower-case digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its first eight digits, which tell the certificates of one machine apart.
    pub(super) fn short(&self) -> String {
        self.hex().chars().take(8).collect()
    }
}

/// As OpenSSL, browsers and Java show it: upper-case pairs between colons.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The certificate of a local authority. It is public; its key is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    /// The file it was read from, absolute.
    pub path: PathBuf,
    /// The certificate, and nothing else.
    pub pem: String,
    /// The certificate.
    pub der: Vec<u8>,
    /// What both sides of a comparison look at.
    pub fingerprint: Fingerprint,
    /// Who it is for, as text: `CN=…, O=…`.
    pub subject: String,
    /// The common name of the subject; empty where there is none.
    pub common_name: String,
    /// Start of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// The names and networks it may sign for; empty where `unbounded` says why that cannot be told.
    pub permitted: Vec<String>,
    /// Why it may sign for more than local names, where it may.
    pub unbounded: Option<&'static str>,
}

impl CaCertificate {
    /// Reads the certificate of an authority from a PEM file.
    ///
    /// # Errors
    /// [`RouterError::File`], and [`RouterError::AuthorityUnusable`] for a file that holds a key, more than one
    /// certificate or none, or a certificate that is no authority's.
    pub fn read(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let text = std::fs::read_to_string(&path).map_err(|source| RouterError::File {
            action: "read",
            path: path.clone(),
            source,
        })?;
        Self::parse(&path, &text)
    }

    /// Reads the certificate of an authority from PEM; `path` is the file that tools are given.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(path: &Path, pem: &str) -> Result<Self> {
        let unusable =
            |reason: &str| RouterError::AuthorityUnusable { path: path.to_owned(), reason: reason.to_owned() };
        if pem.contains("PRIVATE KEY-----") {
            // Tools copy the whole file to where everyone can read it.
            return Err(unusable("it holds a private key"));
        }
        let mut found = certificates(pem.as_bytes());
        let (Some(der), true) = (found.pop(), found.is_empty()) else {
            return Err(unusable("it does not hold exactly one certificate"));
        };
        let (rest, certificate) =
            parse_x509_certificate(&der).map_err(|_| unusable("its certificate cannot be read"))?;
        if !rest.is_empty() {
            return Err(unusable("its certificate cannot be read"));
        }
        if !certificate.is_ca() {
            return Err(unusable("its certificate is not an authority's"));
        }
        let (permitted, unbounded) = match Constraints::read(&certificate) {
            Ok(constraints) => (constraints.list(), None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Ok(Self {
            path: path.to_owned(),
            pem: to_pem(&der),
            fingerprint: Fingerprint::of(&der),
            subject: certificate.subject().to_string(),
            common_name: name.unwrap_or_default().to_owned(),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
            permitted,
            unbounded,
            der: der.clone(),
        })
    }

    /// Refuses an authority that no machine should trust: one that is out of date, or may sign for every name there is.
    ///
    /// # Errors
    /// [`RouterError::AuthorityUnusable`].
    pub fn check_fit_to_trust(&self, now: SystemTime) -> Result<()> {
        let reason = if let Some(unbounded) = self.unbounded {
            // Constraints are for each kind of name by itself: one that has addresses only vouches for every host.
            format!("{unbounded}, so whoever has its key could be any web site")
        } else if now > self.not_after {
            "it has expired".to_owned()
        } else {
            return Ok(());
        };
        Err(RouterError::AuthorityUnusable { path: self.path.clone(), reason })
    }

    /// What it is called in stores: the same for one certificate, another for its successor.
    pub(super) fn label(&self) -> String {
        format!("{LABEL}-{}", self.fingerprint.short())
    }
}

/// What every label of ours begins with.
pub(super) const LABEL: &str = "mastra-router";

/// The certificates of a PEM text, in order; what is none is passed over.
pub(super) fn certificates(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).filter_map(|found| Some(found.ok()?.as_ref().to_vec())).collect()
}

/// The common name of a certificate's subject.
pub(super) fn common_name(der: &[u8]) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(der).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

/// A certificate as PEM (RFC 7468: lines of 64 characters).
pub(super) fn to_pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn time(timestamp: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(timestamp.try_into().unwrap_or_default())
}
