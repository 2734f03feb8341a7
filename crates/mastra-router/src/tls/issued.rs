//! The files of a certificate that is issued for use in other servers.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::authority::{self, Authority};
use super::directory::{Access, Directory};
use super::leaf::Leaf;
use super::leaf_name::LeafName;
use super::serving::Serving;
use super::settings::TlsSettings;
use super::validity::rfc3339;
use crate::error::Result;

const CERT: &str = ".crt";
const KEY: &str = ".key";
/// For people and other programs. The router reads what it says from the certificate alone: a file beside it can be old.
const META: &str = ".meta.json";
const KEY_END: &str = "-----END PRIVATE KEY-----";

/// A certificate and key that were issued for use in other servers.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedFiles {
    /// What it is for.
    pub name: String,
    /// The certificate, PEM.
    pub cert_path: PathBuf,
    /// The key, PEM (PKCS#8), readable by this user only.
    pub key_path: PathBuf,
    /// When it ends.
    pub not_after: SystemTime,
    /// SHA-256 of the certificate, as browsers show it: upper-case pairs with colons between them.
    pub fingerprint: String,
    /// What stands in the certificate's file.
    pub cert_pem: String,
    /// What stands in the key's file.
    pub key_pem: String,
}

/// Without the key.
impl fmt::Debug for IssuedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedFiles")
            .field("name", &self.name)
            .field("cert_path", &self.cert_path)
            .field("key_path", &self.key_path)
            .field("not_after", &self.not_after)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// Writes the files of a certificate in the place of older ones. The lock of issuing is held.
pub(super) fn write(directory: &Directory, name: &LeafName, leaf: Leaf, now: SystemTime) -> Result<IssuedFiles> {
    let files = files(directory, name, leaf);
    let stem = name.file_stem();
    directory.write(&format!("{stem}{KEY}"), &files.key_pem, Access::Secret)?;
    directory.write(&format!("{stem}{CERT}"), &files.cert_pem, Access::Public)?;
    // Neither a name nor a time nor a fingerprint has what JSON would escape.
    let meta = format!(
        "{{\n  \"domain\": \"{name}\",\n  \"createdAt\": \"{}\",\n  \"expiresAt\": \"{}\",\n  \"fingerprint\": \"{}\"\n}}\n",
        rfc3339(now),
        rfc3339(files.not_after),
        files.fingerprint
    );
    directory.write(&format!("{stem}{META}"), &meta, Access::Public)?;
    Ok(files)
}

/// The files of a name, if they are as they were written, and what is in them could have been issued now.
///
/// # Errors
/// Why they are of no use, for the log.
pub(super) fn load(
    directory: &Directory,
    name: &LeafName,
    authority: &Authority,
    settings: &TlsSettings,
    serving: &Serving,
) -> Result<IssuedFiles, String> {
    let read = |ending| {
        let text = directory.read(&format!("{}{ending}", name.file_stem())).map_err(|error| error.to_string())?;
        text.ok_or_else(|| format!("there is no {ending}"))
    };
    let (cert, key) = (read(CERT)?, read(KEY)?);
    let leaf = Leaf::load(&format!("{cert}{key}"), name, authority, settings, serving.provider())?;
    let is_whole = leaf.certificate_pem == cert && leaf.key_pem == key;
    if !is_whole || key.split_once(KEY_END).is_none_or(|(_, rest)| !rest.trim().is_empty()) {
        return Err("there is more in its files than was written".to_owned());
    }
    Ok(files(directory, name, leaf))
}

/// Removes the files of a stem, each whatever becomes of the others: what there was, and what could not be removed.
pub(super) fn remove(directory: &Directory, stem: &str) -> Vec<Result<bool>> {
    // The key first: it is what can do harm.
    [KEY, CERT, META].iter().map(|ending| directory.remove(&format!("{stem}{ending}"))).collect()
}

/// Where the files of a stem are.
pub(super) fn paths(cert_dir: &Path, stem: &str) -> impl Iterator<Item = PathBuf> {
    [KEY, CERT, META].into_iter().map(move |ending| cert_dir.join(format!("{stem}{ending}")))
}

/// Stems of names that certificates were issued for, by all that is known of their files. What a person put there is not
/// ours to remove, though it should not be there.
pub(super) fn stems(
    directory: &Directory,
    is_ours: impl Fn(Option<String>, &str, bool) -> bool,
) -> Result<Vec<String>> {
    let mut stems = BTreeSet::new();
    for ending in [CERT, KEY, META] {
        let names = directory.names(ending)?;
        stems.extend(names.iter().filter_map(|name| name.strip_suffix(ending)).map(str::to_owned));
    }
    let metas: BTreeSet<String> = directory.names(META)?.into_iter().collect();
    let ours = |stem: &String| {
        let text = directory.read(&format!("{stem}{CERT}")).ok().flatten();
        is_ours(text, stem, metas.contains(&format!("{stem}{META}")))
    };
    Ok(stems.into_iter().filter(ours).collect())
}

fn files(directory: &Directory, name: &LeafName, leaf: Leaf) -> IssuedFiles {
    let stem = name.file_stem();
    IssuedFiles {
        name: name.to_string(),
        cert_path: directory.path_of(&format!("{stem}{CERT}")),
        key_path: directory.path_of(&format!("{stem}{KEY}")),
        not_after: leaf.validity.end(),
        fingerprint: leaf.certified.cert.first().map(authority::fingerprint).unwrap_or_default(),
        cert_pem: leaf.certificate_pem,
        key_pem: leaf.key_pem,
    }
}
