//! The local authority on the command line: where it is, `tls issue` and `tls renew`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use mastra_router::trust::{
    CaCertificate, CommandLine, Machine, Outcome as Became, RunAs, StoreKind, StoreOutcome, TrustStores,
};
use mastra_router::{BaseDomain, CertificateInfo, InvokingUser, RouterError, TlsManager, TlsSettings};
use serde_json::json;

use super::Outcome;
use super::tls::seconds;
use crate::cli::{CertDir, Issue, Renew};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The authority's certificate in its directory.
const CA_FILE: &str = "ca.pem";

/// This machine, and the directory of the authority on it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) machine: Machine,
    pub(crate) cert_dir: PathBuf,
    /// Whether the directory is the one that every command finds by itself, under sudo too.
    is_default: bool,
    by_sudo: bool,
}

impl Place {
    /// Of the invoking user, under sudo too.
    pub(crate) fn of(args: &CertDir) -> Self {
        let user = InvokingUser::current();
        let variable = std::env::var_os("MASTRA_ROUTER_CERT_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let given = args.cert_dir.clone().or(variable);
        let is_default = given.is_none();
        let cert_dir = given.unwrap_or_else(|| user.home.join(".mastra/certs"));
        let cert_dir = std::path::absolute(&cert_dir).unwrap_or(cert_dir).components().collect();
        let by_sudo = user.sudo.is_some();
        let machine = Machine::this(user.home, user.sudo.map(|(uid, gid)| RunAs { uid, gid }));
        Self { machine, cert_dir, is_default, by_sudo }
    }

    /// Under sudo, what is made in the user's own directory would be root's, and of no use to the user.
    fn refuse_sudo(&self) -> Result<(), Failure> {
        if !(self.by_sudo && self.is_default) {
            return Ok(());
        }
        let message =
            format!("{} is that of the user who called sudo, who could not use it any more", self.cert_dir.display());
        let hint = "run it as yourself, or name a directory: --cert-dir DIR".to_owned();
        Err(Failure { hint: Some(hint), ..Failure::failed("CERTIFICATE_ERROR", message) })
    }

    pub(crate) fn stores(&self, kinds: &[StoreKind]) -> TrustStores {
        TrustStores::find(&self.machine, &self.cert_dir, kinds)
    }

    /// The same command, by sudo and for what only root may change.
    pub(super) fn again_by_sudo(&self, action: &str, outcomes: &[StoreOutcome]) -> CommandLine {
        let program = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
        // Where sudo looks too, the name is enough.
        let known = ["/usr/local/bin/", "/usr/bin/", "/bin/"].iter().any(|dir| program.starts_with(dir));
        let program = if known || program.is_empty() { "mastra-router".to_owned() } else { program };
        let needs = |kind: &StoreKind| outcomes.iter().any(|o| o.kind == *kind && o.outcome == Became::NeedsPrivilege);
        let kinds: Vec<&str> = StoreKind::ALL.iter().filter(|kind| needs(kind)).map(|kind| kind.as_str()).collect();
        let mut words = vec!["sudo".to_owned(), program, "tls".into(), action.into(), "--only".into(), kinds.join(",")];
        if !self.is_default {
            words.extend(["--cert-dir".to_owned(), self.cert_dir.to_string_lossy().into_owned()]);
        }
        CommandLine::new(words)
    }
}

/// The authority that is there: the one that signs, even where a process that was killed left another in the public copy.
pub(super) fn find(place: &Place) -> Result<CaCertificate, Failure> {
    if let Ok(Some(signing)) = TlsManager::read_authority(&place.cert_dir)
        && let Ok(shown) = CaCertificate::read(&place.cert_dir.join(CA_FILE))
        && shown.fingerprint.to_string() != signing.fingerprint
        && !place.by_sudo
    {
        // Puts the public copy right.
        manager(place, &[])?;
    }
    CaCertificate::read(&place.cert_dir.join(CA_FILE)).map_err(|error| match error {
        RouterError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => missing(place),
        error => unhinted(error),
    })
}

fn missing(place: &Place) -> Failure {
    Failure {
        code: "AUTHORITY_MISSING".to_owned(),
        message: format!("there is no local authority in {}", place.cert_dir.display()),
        hint: Some("make it, as yourself: mastra-router tls trust".to_owned()),
        exit: Exit::NotFound,
    }
}

/// The authority, made where there is none: who wants it trusted or used wants it to be there. Not under sudo, where it
/// would be root's.
pub(super) fn find_or_make(place: &Place, base_domains: &[BaseDomain]) -> Result<CaCertificate, Failure> {
    match find(place) {
        Err(failure) if failure.code == "AUTHORITY_MISSING" && !place.by_sudo => {
            manager(place, base_domains)?;
            find(place)
        }
        found => found,
    }
}

fn manager(place: &Place, base_domains: &[BaseDomain]) -> Result<std::sync::Arc<TlsManager>, Failure> {
    let settings = TlsSettings { base_domains: base_domains.to_vec(), ..TlsSettings::new(&place.cert_dir) };
    TlsManager::authority_only(settings).map_err(unhinted)
}

/// What the authority has issued, as far as it can be read.
pub(super) fn issued(place: &Place) -> Vec<CertificateInfo> {
    match TlsManager::read_authority(&place.cert_dir) {
        // Opening one that is out of its time would replace it, and looking changes nothing.
        Ok(Some(ca)) if ca.is_usable_at(SystemTime::now()) && !place.by_sudo => {
            manager(place, &[]).ok().and_then(|manager| manager.list().ok()).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

pub(super) fn issue(args: &Issue, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    place.refuse_sudo()?;
    let files = manager(&place, &[])?.issue(&args.name).map_err(unhinted)?;
    let (mut cert, mut key) = (files.cert_path, files.key_path);
    if let Some(out) = &args.out {
        cert = copied(&cert, out, 0o644)?;
        key = copied(&key, out, 0o600)?;
    }
    if output.json {
        output.json(&json!({ "name": files.name, "cert": cert, "key": key, "notAfter": seconds(files.not_after) }));
    } else {
        output.line(&cert.display().to_string());
        output.line(&key.display().to_string());
        output.say(&format!("{} is valid until {}", files.name, seconds(files.not_after)));
    }
    Ok(ExitCode::SUCCESS)
}

/// A copy in `directory`, which never has more rights than `mode`.
fn copied(file: &Path, directory: &Path, mode: u32) -> Result<PathBuf, Failure> {
    let to = directory.join(file.file_name().unwrap_or_default());
    let copy = || {
        let bytes = fs::read(file)?;
        // Another file with this name may have been readable for others.
        match fs::remove_file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&to)?.write_all(&bytes)
    };
    copy().map_err(|source| Failure {
        hint: Some("choose another directory: --out DIR".to_owned()),
        ..Failure::from(RouterError::File { action: "write", path: to.clone(), source })
    })?;
    Ok(to)
}

pub(super) fn renew(args: &Renew, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    place.refuse_sudo()?;
    let mut base_domains = args.base_domain.clone();
    // Where the authority cannot be read, what it was stands in its public copy, if that can.
    let public = CaCertificate::read(&place.cert_dir.join(CA_FILE)).ok();
    let before = match TlsManager::read_authority(&place.cert_dir) {
        Ok(before) => before.map(|before| (before.fingerprint, before.permitted)),
        Err(_) => public.map(|public| (public.fingerprint.to_string(), public.permitted)),
    };
    // What it vouched for before, it does again; what is no domain is always permitted.
    for domain in before.iter().flat_map(|(_, permitted)| permitted) {
        if let Ok(domain) = BaseDomain::parse(domain)
            && !matches!(domain.as_str(), "localhost" | "test")
            && !base_domains.contains(&domain)
        {
            base_domains.push(domain);
        }
    }
    let settings = TlsSettings { base_domains, ..TlsSettings::new(&place.cert_dir) };
    let replaced = TlsManager::replace_authority(&settings).map_err(unhinted)?;
    let replaced = replaced.map(|replaced| replaced.fingerprint).or(before.map(|(fingerprint, _)| fingerprint));
    let ca = find(&place)?;
    if output.json {
        output.json(&json!({
            "fingerprint": ca.fingerprint.to_string(),
            "permitted": ca.permitted,
            "replaced": replaced,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    output.line(&ca.fingerprint.to_string());
    output.say(&format!("A new authority vouches for {}.", ca.permitted.join(", ")));
    if let Some(replaced) = replaced {
        let old = replaced.replace(':', "");
        output
            .say(&format!("The old one is still trusted where it was: mastra-router tls untrust --fingerprint {old}"));
    }
    output.say("The new one is not yet: mastra-router tls trust");
    Ok(ExitCode::SUCCESS)
}

/// The hint for files speaks of the router's home, which is not meant here.
pub(crate) fn unhinted(error: RouterError) -> Failure {
    let is_file = matches!(error, RouterError::File { .. });
    let failure = Failure::from(error);
    if is_file {
        Failure { hint: Some("choose another directory: --cert-dir DIR".to_owned()), ..failure }
    } else {
        failure
    }
}
