//! The authority, what it has issued, a certificate of the user's own, and the clock that all of them are held against.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use mastra_router::trust::CaCertificate;
use mastra_router::{AuthorityInfo, CertificateInfo, TlsManager};

use super::trust::of_dir;
use super::{Finding, Scene, quoted};

const AUTHORITY: &str = "authority";
const CERTIFICATES: &str = "certificates";
const CLOCK: &str = "clock";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A month to trust a new authority anew, which takes a person.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For what is issued again by one command.
const SOON_ISSUED: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// 2026 began then, and no version of this is older.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let mut found = Vec::new();
    let renew = format!("mastra-router tls renew{}", of_dir(scene));
    match TlsManager::read_authority(&scene.cert_dir) {
        Ok(Some(authority)) => found.extend(of_authority(scene, &authority, &renew)),
        Ok(None) => found.extend(public_alone(scene)),
        Err(error) => found.push(Finding::fail(AUTHORITY, error.code(), error.to_string(), renew)),
    }
    match TlsManager::read_certificates(&scene.cert_dir) {
        Ok(all) => found.extend(issued(scene, &all)),
        Err(error) => {
            let fix = format!("ls -la {}", quoted(&scene.cert_dir));
            found.push(Finding::fail(CERTIFICATES, error.code(), error.to_string(), fix));
        }
    }
    found.extend(own(scene));
    if found.is_empty() && scene.is_https() {
        found.push(Finding::ok(AUTHORITY, "none yet; it is made when a certificate is first asked for"));
    }
    found
}

fn of_authority(scene: &Scene, authority: &AuthorityInfo, renew: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let key = scene.cert_dir.join("authority.pem");
    if let Ok(meta) = fs::metadata(&key)
        && meta.permissions().mode() & 0o077 != 0
    {
        let message = format!("others can read the authority's key, {}", key.display());
        found.push(Finding::fail(AUTHORITY, "KEY_EXPOSED", message, format!("chmod 600 {}", quoted(&key))));
    }
    let shown = CaCertificate::read(&authority.path).map(|ca| ca.fingerprint.to_string());
    if shown.ok().as_ref() != Some(&authority.fingerprint) {
        let message = format!("{} is not the certificate of the authority that signs", authority.path.display());
        let fix = format!("mastra-router tls status{}", of_dir(scene));
        found.push(Finding::warn(AUTHORITY, "AUTHORITY_COPY_DIFFERS", message, fix));
    }
    let base = scene.base_domain();
    let permits = |domain: &String| base == *domain || base.ends_with(&format!(".{domain}"));
    if scene.is_https() && scene.own_cert.is_none() && !authority.permitted.iter().any(permits) {
        let message = format!("the authority may not vouch for {base}, only for {}", authority.permitted.join(", "));
        found.push(Finding::fail(AUTHORITY, "CA_CONSTRAINTS", message, format!("{renew} --base-domain {base}")));
    }
    found.push(dates("the authority", AUTHORITY, authority.not_before, authority.not_after, SOON, renew));
    found
}

/// An authority whose key is elsewhere, or gone.
fn public_alone(scene: &Scene) -> Option<Finding> {
    let ca = CaCertificate::read(&scene.cert_dir.join("ca.pem")).ok()?;
    let renew = format!("mastra-router tls renew{}", of_dir(scene));
    Some(dates("the authority", AUTHORITY, ca.not_before, ca.not_after, SOON, &renew))
}

/// What was issued for other servers; what is served renews itself.
fn issued(scene: &Scene, all: &[CertificateInfo]) -> Vec<Finding> {
    let mut found = Vec::new();
    for certificate in all {
        let CertificateInfo { name, path, not_before, not_after } = certificate;
        let is_served = path.extension().is_some_and(|ending| ending == "pem");
        let (what, fix, soon) = match is_served {
            true => (format!("the served certificate of {name}"), format!("rm {}", quoted(path)), Duration::ZERO),
            false => {
                let fix = format!("mastra-router tls issue {name}{}", of_dir(scene));
                (format!("the issued certificate of {name}"), fix, SOON_ISSUED)
            }
        };
        let finding = dates(&what, CERTIFICATES, *not_before, *not_after, soon, &fix);
        if finding.code.is_some() {
            // What is served is made anew when it is next asked for.
            found.push(if is_served { Finding { status: super::Status::Warn, ..finding } } else { finding });
        }
    }
    if found.is_empty() && !all.is_empty() {
        let count = if all.len() == 1 { "1 certificate".to_owned() } else { format!("{} certificates", all.len()) };
        found.push(Finding::ok(CERTIFICATES, format!("{count}, none out of date")));
    }
    found
}

/// The certificate that the running router was given.
fn own(scene: &Scene) -> Option<Finding> {
    let path = scene.own_cert.as_ref()?;
    let fix = format!("openssl x509 -noout -dates -in {}", quoted(path));
    match TlsManager::read_validity(path) {
        Ok((not_before, not_after)) => {
            let what = format!("the certificate {}", path.display());
            Some(dates(&what, CERTIFICATES, not_before, not_after, SOON_ISSUED, &fix))
        }
        Err(error) => Some(Finding::fail(CERTIFICATES, error.code(), error.to_string(), fix)),
    }
}

fn dates(
    what: &str,
    check: &'static str,
    not_before: SystemTime,
    not_after: SystemTime,
    soon: Duration,
    fix: &str,
) -> Finding {
    let now = SystemTime::now();
    let day = |time| crate::commands::tls::seconds(time).chars().take(10).collect::<String>();
    if now > not_after {
        let message = format!("{what} expired on {}", day(not_after));
        return Finding::fail(check, "CERTIFICATE_EXPIRED", message, fix);
    }
    if not_before > now + DAY {
        let message = format!("{what} begins on {}, which is in the future", day(not_before));
        return Finding::fail(check, "CERTIFICATE_NOT_YET_VALID", message, fix);
    }
    if now + soon > not_after {
        let message = format!("{what} expires on {}", day(not_after));
        return Finding::warn(check, "CERTIFICATE_EXPIRES_SOON", message, fix);
    }
    Finding::ok(check, format!("{what} is valid until {}", day(not_after)))
}

/// A clock that is behind makes every certificate one of the future.
pub(super) fn clock(scene: &Scene) -> Vec<Finding> {
    let now = SystemTime::now();
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|meta| meta.modified()).ok();
    let earliest = built.into_iter().chain([SystemTime::UNIX_EPOCH + EARLIEST]).max();
    if let Some(earliest) = earliest.filter(|earliest| *earliest > now + DAY) {
        let shown = crate::commands::tls::seconds;
        let message = format!("it is {}, before {}, when this command was installed", shown(now), shown(earliest));
        return vec![Finding::fail(CLOCK, "CLOCK_BEHIND", message, "sudo timedatectl set-ntp true")];
    }
    let authority = TlsManager::read_authority(&scene.cert_dir).ok().flatten();
    if authority.is_some_and(|authority| authority.not_before > now + DAY) {
        let message = "it is behind, or was ahead when the authority was made";
        return vec![Finding::warn(CLOCK, "CLOCK_BEHIND", message, "sudo timedatectl set-ntp true")];
    }
    vec![Finding::ok(CLOCK, "plausible")]
}
