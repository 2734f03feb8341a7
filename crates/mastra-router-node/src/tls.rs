//! `TLSManager`.

use std::path::PathBuf;
use std::sync::Arc;

use mastra_router::{BaseDomain, IssuedFiles, RouterError, TlsManager, TlsSettings};
use napi_derive::napi;

use crate::error::{blocking, to_js};
use crate::route::since_1970;

#[napi(object, object_to_js = false)]
pub struct NativeTlsOptions {
    pub cert_dir: Option<String>,
    pub validity_days: Option<u32>,
    pub organization: Option<String>,
    pub base_domains: Vec<String>,
}

#[napi(object, object_from_js = false)]
pub struct NativeCertificate {
    pub domain: String,
    pub cert: String,
    pub key: String,
    pub cert_path: String,
    pub key_path: String,
    pub expires_at: f64,
}

#[napi(object, object_from_js = false)]
pub struct NativeListed {
    pub domain: String,
    pub path: String,
    pub expires_at: f64,
}

#[napi]
pub struct NativeTls {
    settings: TlsSettings,
}

#[napi]
impl NativeTls {
    /// Touches nothing yet.
    #[napi(constructor)]
    pub fn new(options: NativeTlsOptions) -> napi::Result<Self> {
        let dir = options.cert_dir.map_or_else(mastra_router::default_cert_dir, PathBuf::from);
        let mut settings = TlsSettings::new(std::path::absolute(&dir).unwrap_or(dir));
        settings.validity_days = options.validity_days.unwrap_or(settings.validity_days);
        settings.organization = options.organization.unwrap_or(settings.organization);
        let domains: Result<_, _> = options.base_domains.iter().map(|domain| BaseDomain::parse(domain)).collect();
        settings.base_domains = domains.map_err(to_js)?;
        settings.check().map_err(to_js)?;
        Ok(Self::of(settings))
    }

    pub(crate) fn of(settings: TlsSettings) -> Self {
        Self { settings }
    }

    /// An earlier certificate that can be used, or a new one.
    #[napi]
    pub async fn get(&self, domain: String) -> napi::Result<NativeCertificate> {
        let manage = self.manage();
        blocking(move || {
            let manager = manage()?;
            match manager.issued(&domain)? {
                Some(files) => read(files),
                None => read(manager.issue(&domain)?),
            }
        })
        .await
    }

    #[napi]
    pub async fn issue(&self, domain: String) -> napi::Result<NativeCertificate> {
        let manage = self.manage();
        blocking(move || read(manage()?.issue(&domain)?)).await
    }

    #[napi]
    pub async fn delete(&self, domain: String) -> napi::Result<bool> {
        let manage = self.manage();
        blocking(move || manage()?.delete(&domain)).await
    }

    #[napi]
    pub async fn clear(&self) -> napi::Result<Vec<String>> {
        let manage = self.manage();
        blocking(move || manage()?.clear()).await
    }

    /// The certificates there are; in a directory without an authority there are none.
    #[napi]
    pub fn list(&self) -> napi::Result<Vec<NativeListed>> {
        if TlsManager::read_authority(&self.settings.cert_dir).map_err(to_js)?.is_none() {
            return Ok(Vec::new());
        }
        let listed = self.manage()().and_then(|manager| manager.list()).map_err(to_js)?;
        let to_js = |info: mastra_router::CertificateInfo| NativeListed {
            domain: info.name,
            path: info.path.display().to_string(),
            expires_at: since_1970(info.not_after),
        };
        Ok(listed.into_iter().map(to_js).collect())
    }

    #[napi]
    pub fn cert_dir(&self) -> String {
        self.settings.cert_dir.display().to_string()
    }

    /// Where the authority's certificate is, or will be.
    #[napi]
    pub fn ca_path(&self) -> String {
        self.settings.cert_dir.join("ca.pem").display().to_string()
    }

    fn manage(&self) -> impl FnOnce() -> Result<Arc<TlsManager>, RouterError> + Send + 'static {
        let settings = self.settings.clone();
        // Opened for each call: it is a few reads, and nothing is held that another process could have replaced.
        move || TlsManager::authority_only(settings)
    }
}

fn read(files: IssuedFiles) -> Result<NativeCertificate, RouterError> {
    Ok(NativeCertificate {
        domain: files.name,
        cert: files.cert_pem,
        key: files.key_pem,
        cert_path: files.cert_path.display().to_string(),
        key_path: files.key_path.display().to_string(),
        expires_at: since_1970(files.not_after),
    })
}
