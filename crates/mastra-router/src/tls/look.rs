//! A look at the directory of certificates: what is in it, and which of its files are ours. Nothing is made or changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::authority::{self, AUTHORITY, CERTIFICATE};
use super::directory::{Directory, UNFINISHED, read_text, refused};
use super::issued;
use super::issuing::{ISSUE_LOCK, LEAVES};
use super::validity::{Validity, system_time};
use crate::error::Result;

/// A certificate in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// What it is for: a host, `*.host` for the hosts right below one, or an address.
    pub name: String,
    /// Its file; `.pem` for one that is served, with its key, and `.crt` for one issued for use elsewhere.
    pub path: PathBuf,
    /// When it begins, as it says itself.
    pub not_before: SystemTime,
    /// When it ends, as it says itself.
    pub not_after: SystemTime,
}

/// What is in a directory, by name of file, and in that of the certificates that are served. Blocks.
pub(super) fn certificates(directory: &Directory, leaves: Option<&Directory>) -> Result<Vec<CertificateInfo>> {
    let mut found = Vec::new();
    for (directory, ending) in leaves.map(|leaves| (leaves, ".pem")).into_iter().chain([(directory, ".crt")]) {
        for file in directory.names(ending)? {
            let Some(certificate) = directory.read(&file)?.as_deref().and_then(Summary::read) else { continue };
            let Summary { name, validity, .. } = certificate;
            let (not_before, not_after) = (system_time(validity.not_before), system_time(validity.not_after));
            found.push(CertificateInfo { name, path: directory.path_of(&file), not_before, not_after });
        }
    }
    Ok(found)
}

/// As [`certificates`], of a directory that need not be there.
pub(super) fn certificates_in(cert_dir: &Path) -> Result<Vec<CertificateInfo>> {
    let Some(directory) = Directory::at(cert_dir) else { return Ok(Vec::new()) };
    certificates(&directory, Directory::at(&cert_dir.join(LEAVES)).as_ref())
}

/// When the first certificate of a file begins and ends.
pub(super) fn validity(file: &Path) -> Result<(SystemTime, SystemTime)> {
    let text = fs::File::open(file).and_then(read_text).map_err(|error| refused("read", file, error))?;
    let der =
        CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| refused("read", file, "it has no certificate"))?;
    let (_, certificate) =
        X509Certificate::from_der(&der).map_err(|_| refused("read", file, "its certificate cannot be read"))?;
    let Validity { not_before, not_after } = Validity::of(&certificate);
    Ok((system_time(not_before), system_time(not_after)))
}

/// The files in a directory that are ours by their names and by what is in them, and then the directories that are ours. A
/// person may well have a `ca.pem` too.
pub(super) fn files(cert_dir: &Path) -> Vec<PathBuf> {
    let Some(directory) = Directory::at(cert_dir) else { return Vec::new() };
    let names = regular(cert_dir);
    let is_of_us = |name: &str| fs::read(cert_dir.join(name)).is_ok_and(|bytes| is_authority(&bytes));
    let is_empty = |name: &str| fs::metadata(cert_dir.join(name)).is_ok_and(|meta| meta.len() == 0);
    let was_used = names.iter().any(|name| name == authority::LOCK && is_empty(name));
    let is_ours = |name: &str| match name {
        AUTHORITY | CERTIFICATE => is_of_us(name) || (name == AUTHORITY && was_used),
        authority::LOCK | ISSUE_LOCK => is_empty(name),
        _ if ends_with_seconds(name, CERTIFICATE, ".replaced-") => is_of_us(name),
        _ if ends_with_seconds(name, AUTHORITY, ".corrupt-") => was_used,
        _ => is_unfinished(name),
    };
    let mut files: Vec<PathBuf> = names.iter().filter(|name| is_ours(name)).map(|name| cert_dir.join(name)).collect();
    let issued = |text: Option<String>, _: &str, _| {
        text.as_deref().and_then(Summary::read).is_some_and(|s| s.is_of_local_authority())
    };
    for stem in issued::stems(&directory, issued).unwrap_or_default() {
        files.extend(issued::paths(cert_dir, &stem).filter(|path| names.iter().any(|name| path.ends_with(name))));
    }
    let leaves = cert_dir.join(LEAVES);
    let mut ours = false;
    for name in regular(&leaves) {
        let is_leaf = || {
            let text = fs::read_to_string(leaves.join(&name)).unwrap_or_default();
            name.ends_with(".pem") && Summary::read(&text).is_some_and(|summary| summary.is_of_local_authority())
        };
        if is_unfinished(&name) || is_leaf() {
            files.push(leaves.join(&name));
            ours = true;
        }
    }
    let is_directory = fs::symlink_metadata(&leaves).is_ok_and(|meta| meta.is_dir());
    if is_directory && (ours || was_used) {
        files.push(leaves);
    }
    files
}

/// The names of the regular files in a directory, in order; links are none, nor is a link to a directory one.
fn regular(dir: &Path) -> Vec<String> {
    if !fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir()) {
        return Vec::new();
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Whether the first certificate of a PEM text has the name of our authorities as its own.
fn is_authority(pem: &[u8]) -> bool {
    let Ok(der) = CertificateDer::from_pem_slice(pem) else { return false };
    let Ok((_, certificate)) = X509Certificate::from_der(&der) else { return false };
    names_local_authority(certificate.subject().as_raw())
}

fn names_local_authority(name: &[u8]) -> bool {
    name.windows(authority::NAME.len()).any(|part| part == authority::NAME.as_bytes())
}

fn is_unfinished(name: &str) -> bool {
    let rest = name.strip_prefix(UNFINISHED).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(pid, count)| is_number(pid) && is_number(count))
}

fn ends_with_seconds(name: &str, file: &str, what: &str) -> bool {
    name.strip_prefix(file).and_then(|rest| rest.strip_prefix(what)).is_some_and(is_number)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What a file says of its certificate, unverified.
pub(super) struct Summary {
    pub(super) name: String,
    pub(super) validity: Validity,
    pub(super) issuer: Vec<u8>,
}

impl Summary {
    pub(super) fn read(text: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let name = match names.value.general_names.first()? {
            GeneralName::DNSName(name) => (*name).to_owned(),
            GeneralName::IPAddress([a, b, c, d]) => std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string(),
            GeneralName::IPAddress(bytes) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string(),
            _ => return None,
        };
        Some(Self { name, validity: Validity::of(&certificate), issuer: certificate.issuer().as_raw().to_vec() })
    }

    /// Whether it says that it was issued by one of our authorities, be it one that is gone.
    pub(super) fn is_of_local_authority(&self) -> bool {
        names_local_authority(&self.issuer)
    }
}
