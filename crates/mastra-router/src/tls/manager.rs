//! Certificates as the proxy and the command line ask for them.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::authority::{Authority, AuthorityInfo};
use super::directory::{Directory, refused};
use super::fixed;
use super::issued::IssuedFiles;
use super::issuing::{AtHand, Issuing};
use super::leaf_name::LeafName;
use super::look::{self, CertificateInfo};
use super::making::Making;
use super::own::OwnCertificate;
use super::routed::RoutedHosts;
use super::settings::TlsSettings;
use crate::certificates::Certificates;
use crate::error::Result;
use crate::table::RouteTable;

/// Certificates: those of a local authority, for hosts of routes, or the user's own.
///
/// The authority is made once, in `cert_dir`, and constrained by name. A certificate is minted when a host of a current
/// route is first asked for, cached on disk, and renewed while it is served. With files of the user's, these are served for
/// every host, and read again when they change; no authority is made then.
///
/// ```
/// use mastra_router::{TlsManager, TlsSettings};
///
/// # fn main() -> mastra_router::Result<()> {
/// # let dir = std::env::temp_dir().join(format!("mastra-router-doc-{}", std::process::id()));
/// let tls = TlsManager::authority_only(TlsSettings::new(&dir))?;
/// let issued = tls.issue("shop.localhost")?;
/// assert!(issued.cert_path.ends_with("shop.localhost.crt"));
/// assert_eq!(tls.issue("example.com").unwrap_err().code(), "CA_CONSTRAINTS");
/// # std::fs::remove_dir_all(dir).ok();
/// # Ok(())
/// # }
/// ```
pub struct TlsManager {
    settings: TlsSettings,
    source: Source,
}

enum Source {
    /// Of memory, with no file behind it.
    Fixed(Arc<ServerConfig>),
    Own {
        certificate: Arc<OwnCertificate>,
        looking: Arc<Making<(), Arc<ServerConfig>>>,
    },
    Issued {
        issuing: Arc<Issuing>,
        served: Option<Served>,
    },
}

/// What is needed to serve, beside what is needed to issue.
struct Served {
    hosts: Arc<RoutedHosts>,
    making: Arc<Making<LeafName, Arc<ServerConfig>>>,
    runtime: Handle,
}

impl TlsManager {
    /// Opens the directory of certificates, or the user's own files, to serve the hosts of `routes`. What blocks later is
    /// done on the blocking threads of `runtime`.
    ///
    /// Reads and writes files, and waits for another process that makes an authority at the same time.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`], [`RouterError::Certificate`] for a directory or files that cannot be used, and
    /// [`RouterError::CaConstraints`] for a base domain that the authority there is may not vouch for.
    ///
    /// [`RouterError::InvalidConfig`]: crate::RouterError::InvalidConfig
    /// [`RouterError::Certificate`]: crate::RouterError::Certificate
    /// [`RouterError::CaConstraints`]: crate::RouterError::CaConstraints
    pub fn open(settings: TlsSettings, routes: watch::Receiver<Arc<RouteTable>>, runtime: Handle) -> Result<Arc<Self>> {
        settings.check()?;
        let source = match settings.own.clone() {
            Some(files) => {
                let certificate = Arc::new(OwnCertificate::open(files, settings.clock.clone())?);
                let looks_at = certificate.clone();
                Source::Own { certificate, looking: Making::new(runtime, move |()| Some(looks_at.look())) }
            }
            None => {
                let issuing = Arc::new(Issuing::open(settings.clone())?);
                let hosts = Arc::new(RoutedHosts::new(routes, &settings));
                let making = making(issuing.clone(), hosts.clone(), runtime.clone());
                Source::Issued { issuing, served: Some(Served { hosts, making, runtime }) }
            }
        };
        Ok(Arc::new(Self { settings, source }))
    }

    /// Opens the directory of certificates without serving anything: for looking, issuing and deleting. The authority is
    /// made where there is none; own files of the settings are left alone.
    ///
    /// # Errors
    /// As [`TlsManager::open`].
    pub fn authority_only(settings: TlsSettings) -> Result<Arc<Self>> {
        settings.check()?;
        let issuing = Arc::new(Issuing::open(settings.clone())?);
        Ok(Arc::new(Self { settings, source: Source::Issued { issuing, served: None } }))
    }

    /// Serves one certificate for every host, from memory: no file is read, no directory and no authority is made. Both texts
    /// are PEM, the certificate with its chain behind it, the key as PKCS#8, SEC1 or PKCS#1.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`](crate::RouterError::InvalidConfig) with the setting `cert` or `key`, for what cannot be
    /// read, has expired, or does not belong together.
    pub fn fixed(cert_pem: &[u8], key_pem: &[u8]) -> Result<Arc<Self>> {
        // It names no directory, since it uses none.
        let settings = TlsSettings::new("");
        let source = Source::Fixed(fixed::config(cert_pem, key_pem, settings.now())?);
        Ok(Arc::new(Self { settings, source }))
    }

    /// The authority in a directory, if there is one; nothing is made or changed.
    ///
    /// # Errors
    /// [`RouterError::Certificate`](crate::RouterError::Certificate) where it is there and cannot be read.
    pub fn read_authority(cert_dir: &Path) -> Result<Option<AuthorityInfo>> {
        let Some(directory) = Directory::at(cert_dir) else { return Ok(None) };
        match Authority::read(&directory)? {
            None => Ok(None),
            Some(Ok(authority)) => Ok(Some(authority.info(&directory))),
            Some(Err(reason)) => Err(refused("use the authority of", directory.path(), reason)),
        }
    }

    /// The certificates in a directory, as [`TlsManager::list`] has them, for a look: nothing is made or changed. Blocks.
    ///
    /// # Errors
    /// [`RouterError::Certificate`](crate::RouterError::Certificate) where a file cannot be read.
    pub fn read_certificates(cert_dir: &Path) -> Result<Vec<CertificateInfo>> {
        look::certificates_in(cert_dir)
    }

    /// From when until when the first certificate of a PEM file is valid, as it says itself.
    ///
    /// # Errors
    /// [`RouterError::Certificate`](crate::RouterError::Certificate) where there is none that can be read.
    pub fn read_validity(file: &Path) -> Result<(SystemTime, SystemTime)> {
        look::validity(file)
    }

    /// What a directory holds that is ours, by name and by content: files, then the directory of those that are served.
    /// Links are never among them. Blocks.
    pub fn files(cert_dir: &Path) -> Vec<PathBuf> {
        look::files(cert_dir)
    }

    /// Makes a new authority, constrained to the domains of the settings, in the place of the one there is, which is
    /// returned: clients may still trust it, though its key is gone. Routers that run take the new one over by themselves.
    ///
    /// # Errors
    /// [`RouterError::InvalidConfig`](crate::RouterError::InvalidConfig) and
    /// [`RouterError::Certificate`](crate::RouterError::Certificate); the authority is then as it was.
    pub fn replace_authority(settings: &TlsSettings) -> Result<Option<AuthorityInfo>> {
        settings.check()?;
        Authority::replace(&Directory::open(&settings.cert_dir)?, settings)
    }

    /// The settings it was opened with; the defaults for [`TlsManager::fixed`].
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// The local authority; `None` where the user's own certificate is served, or a fixed one.
    pub fn authority(&self) -> Option<AuthorityInfo> {
        self.issuing().map(|issuing| issuing.authority())
    }

    /// SHA-256 of the authority's certificate, as browsers show it.
    pub fn fingerprint(&self) -> Option<String> {
        self.authority().map(|authority| authority.fingerprint)
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> Option<String> {
        self.authority().map(|authority| authority.pem)
    }

    /// File of the authority's certificate: for `NODE_EXTRA_CA_CERTS`, `curl --cacert` and browsers.
    pub fn ca_path(&self) -> Option<PathBuf> {
        self.authority().map(|authority| authority.path)
    }

    /// Certificates minted since it was opened.
    pub fn minted(&self) -> u64 {
        self.issuing().map_or(0, |issuing| issuing.minted())
    }

    /// Mints a certificate for use in another server, and writes `NAME.crt` and `NAME.key` into the directory, in the place of
    /// older ones, and `NAME.meta.json`, which says what is in the certificate and is never read. `name` is a host, `*.host`
    /// or a loopback address. Blocks.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`](crate::RouterError::InvalidField) for what is no name,
    /// [`RouterError::CaConstraints`](crate::RouterError::CaConstraints) for one that the authority may not vouch for,
    /// [`RouterError::Certificate`](crate::RouterError::Certificate).
    pub fn issue(&self, name: &str) -> Result<IssuedFiles> {
        self.needs_authority()?.issue(name)
    }

    /// What [`TlsManager::issue`] wrote for a name, if it is whole, of the authority of now, and neither over nor due for
    /// renewal, as served certificates are; `None` otherwise, and where there is no authority. Blocks; writes nothing.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`](crate::RouterError::InvalidField) for what is no name,
    /// [`RouterError::Certificate`](crate::RouterError::Certificate) for a lock that cannot be had.
    pub fn issued(&self, name: &str) -> Result<Option<IssuedFiles>> {
        self.issuing().map_or(Ok(None), |issuing| issuing.issued(name))
    }

    /// The certificates in the directory, those that are served and those that were issued. Blocks.
    ///
    /// # Errors
    /// [`RouterError::Certificate`](crate::RouterError::Certificate).
    pub fn list(&self) -> Result<Vec<CertificateInfo>> {
        self.issuing().map_or_else(|| Ok(Vec::new()), |issuing| issuing.list())
    }

    /// Removes the files of a name, and serves none of them any more; false where there was none. Blocks.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`](crate::RouterError::InvalidField),
    /// [`RouterError::Certificate`](crate::RouterError::Certificate).
    pub fn delete(&self, name: &str) -> Result<bool> {
        self.issuing().map_or(Ok(false), |issuing| issuing.delete(name))
    }

    /// Removes all certificates that were issued or cached, and serves none of them any more; returns their names. The
    /// authority stays, and what is asked for is made anew. Blocks.
    ///
    /// # Errors
    /// [`RouterError::Certificate`](crate::RouterError::Certificate) with the first file that could not be removed; all
    /// others are.
    pub fn clear(&self) -> Result<Vec<String>> {
        self.issuing().map_or_else(|| Ok(Vec::new()), |issuing| issuing.clear())
    }

    fn issuing(&self) -> Option<&Arc<Issuing>> {
        match &self.source {
            Source::Issued { issuing, .. } => Some(issuing),
            Source::Own { .. } | Source::Fixed(_) => None,
        }
    }

    fn needs_authority(&self) -> Result<&Arc<Issuing>> {
        let served = match (&self.source, &self.settings.own) {
            (Source::Own { .. }, Some(own)) => own.cert.as_path(),
            (Source::Fixed(_), _) => Path::new("a fixed certificate"),
            _ => self.settings.cert_dir.as_path(),
        };
        self.issuing().ok_or_else(|| refused("issue beside", served, "there is no local authority while it is served"))
    }
}

impl Certificates for TlsManager {
    fn held(&self, host: &str) -> Option<Arc<ServerConfig>> {
        let (issuing, served) = match &self.source {
            Source::Fixed(config) => return Some(config.clone()),
            Source::Own { certificate, .. } => return certificate.fresh(),
            Source::Issued { issuing, served } => (issuing, served.as_ref()?),
        };
        let now = self.settings.now();
        if issuing.is_look_due(now) {
            let issuing = issuing.clone();
            served.runtime.spawn_blocking(move || issuing.follow_authority());
        }
        let name = served.hosts.certificate_of(host)?;
        match issuing.at_hand(&name, now) {
            AtHand::Fresh(config) => Some(config),
            AtHand::Due(config) => {
                served.making.start(&name);
                Some(config)
            }
            AtHand::Nothing => None,
        }
    }

    fn obtain<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = Option<Arc<ServerConfig>>> + Send + 'a>> {
        Box::pin(async move {
            match &self.source {
                Source::Fixed(config) => Some(config.clone()),
                Source::Own { certificate, looking } => looking.made(&(), || certificate.fresh()).await,
                Source::Issued { issuing, served } => {
                    let served = served.as_ref()?;
                    let name = served.hosts.certificate_of(host)?;
                    let at_hand = || match issuing.at_hand(&name, self.settings.now()) {
                        AtHand::Fresh(config) | AtHand::Due(config) => Some(config),
                        AtHand::Nothing => None,
                    };
                    served.making.made(&name, at_hand).await
                }
            }
        })
    }
}

fn making(issuing: Arc<Issuing>, hosts: Arc<RoutedHosts>, runtime: Handle) -> Arc<Making<LeafName, Arc<ServerConfig>>> {
    Making::new(runtime, move |name| {
        // It may have waited for its turn while its route went.
        let config = hosts.has(name).then(|| issuing.make(name)).flatten();
        issuing.retain(hosts.most(), |name| hosts.has(name));
        config
    })
}
