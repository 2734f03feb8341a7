//! What programs with roots of their own are told by environment variables, and the files that those name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::certificate::{CaCertificate, Fingerprint, certificates, to_pem};
use super::machine::Machine;
use super::replace::replace;
use crate::error::{Result, RouterError};

/// Variables whose file is read besides the program's own roots.
const ADDING: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];
/// Variables whose file is read instead of all other roots.
const REPLACING: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Where systems keep all their roots in one file.
const SYSTEM_BUNDLES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The line of a bundle of ours that says what was merged into it.
const SOURCE: &str = "# mastra-router: the local authority and ";
/// The source of a bundle that holds the system's roots, where they are in no one file.
const SYSTEM: &str = "the roots of the system";

/// A variable and the file it is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The variable.
    pub name: &'static str,
    /// A file with the authority and, where the variable needs them, with other roots.
    pub file: PathBuf,
}

/// The exports that let programs with roots of their own accept our certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// Every variable, once.
    pub exports: Vec<Export>,
    /// What a person should know: a variable that was set to something that cannot be read.
    pub notes: Vec<String>,
}

impl Exports {
    /// Works out each variable from what it is set to now, and writes the files that are needed into `cert_dir`. Calling
    /// it again with what it gave changes nothing, but that files are brought up to date.
    ///
    /// # Errors
    /// [`RouterError::File`] for a file that cannot be written.
    pub fn prepare(
        machine: &Machine,
        cert_dir: &Path,
        ca: &CaCertificate,
        current: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self> {
        let mut prepared = Self::default();
        let system = SYSTEM_BUNDLES.iter().map(|path| machine.file(path)).find(|path| path.is_file());
        for name in ADDING.into_iter().chain(REPLACING) {
            let file = match prepared.source(name, current(name), cert_dir, ca) {
                Source::Nothing if ADDING.contains(&name) => ca.path.clone(),
                Source::File(path) if !system.as_deref().is_some_and(|system| same(&path, system)) => {
                    let id = Fingerprint::of(path.as_os_str().as_encoded_bytes()).short();
                    let (name, from) = (format!("bundle-{id}.pem"), path.display().to_string());
                    bundle(machine, &cert_dir.join(name), ca, &from, &roots_at(&path))?
                }
                _ => {
                    let roots = system.as_deref().map_or_else(native_roots, roots_at);
                    bundle(machine, &cert_dir.join("bundle.pem"), ca, SYSTEM, &roots)?
                }
            };
            prepared.exports.push(Export { name, file });
        }
        Ok(prepared)
    }

    /// What a variable is set to, unless that is ours; then, what ours was made from.
    fn source(&mut self, name: &str, set: Option<PathBuf>, cert_dir: &Path, ca: &CaCertificate) -> Source {
        let Some(set) = set.filter(|path| !path.as_os_str().is_empty()) else { return Source::Nothing };
        let set = std::path::absolute(&set).unwrap_or(set);
        let ours = set.parent().is_some_and(|parent| parent == cert_dir || same(parent, cert_dir));
        let source = if ours { merged_from(&set) } else { Source::File(set) };
        match source {
            Source::File(path) if path == ca.path => Source::Nothing,
            Source::File(path) if roots_at(&path).is_empty() => {
                self.notes.push(format!("{name}: {} holds no certificate that can be read", path.display()));
                Source::Nothing
            }
            source => source,
        }
    }
}

/// What the file of a variable has to hold besides the authority.
#[derive(Debug)]
enum Source {
    Nothing,
    System,
    File(PathBuf),
}

/// A file of the authority and other roots; written where it is not as it should be.
fn bundle(machine: &Machine, file: &Path, ca: &CaCertificate, from: &str, roots: &[Vec<u8>]) -> Result<PathBuf> {
    let (file, text) = (file.to_owned(), text(ca, from, roots));
    if fs::read(&file).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(file);
    }
    replace(&file, text.as_bytes(), 0o644, machine.run_as).map_err(|source| RouterError::File {
        action: "write",
        path: file.clone(),
        source,
    })?;
    Ok(file)
}

fn text(ca: &CaCertificate, from: &str, roots: &[Vec<u8>]) -> String {
    let mut seen = BTreeSet::from([ca.fingerprint]);
    let mut text = String::new();
    let _ = writeln!(text, "{SOURCE}{from}");
    text.push_str(&ca.pem);
    for der in roots.iter().filter(|der| seen.insert(Fingerprint::of(der))) {
        text.push_str(&to_pem(der));
    }
    text
}

/// Whether bundles have names like this one.
pub(super) fn is_name(name: &str) -> bool {
    let id = name.strip_prefix("bundle-").and_then(|rest| rest.strip_suffix(".pem"));
    name == "bundle.pem" || id.is_some_and(|id| id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a file is a bundle of ours.
pub(super) fn is_one(file: &Path) -> bool {
    !matches!(merged_from(file), Source::Nothing)
}

/// What a bundle of ours was made from.
fn merged_from(bundle: &Path) -> Source {
    let text = fs::read_to_string(bundle).unwrap_or_default();
    match text.lines().next().and_then(|line| line.strip_prefix(SOURCE)) {
        Some(SYSTEM) => Source::System,
        Some(path) => Source::File(PathBuf::from(path)),
        None => Source::Nothing,
    }
}

/// The certificates of a file, or of all files of a directory, as programs take either.
fn roots_at(path: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|file| file.is_file()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    files.sort();
    files.iter().filter_map(|file| fs::read(file).ok()).flat_map(|pem| certificates(&pem)).collect()
}

/// Whether two paths lead to one file.
fn same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

fn native_roots() -> Vec<Vec<u8>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| certificate.as_ref().to_vec()).collect()
}
