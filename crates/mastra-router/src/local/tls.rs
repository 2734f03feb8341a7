//! The router's certificates: there are none until something is to be served over TLS.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};

use crate::certificates::Certificates;
use crate::config::{LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::Result;
use crate::name::BaseDomain;
use crate::proxy::ProxyTls;
use crate::route::RouteSpec;
use crate::table::RouteTable;
use crate::tls::{OwnFiles, TlsManager, TlsSettings};
use crate::transport::TargetTls;
use crate::user::default_cert_dir;

/// The manager of certificates, once one is needed. An authority is not made by the way.
pub(super) struct RouterTls {
    settings: TlsSettings,
    /// Whether every route is served over TLS, whatever it says.
    always: bool,
    proxied: bool,
    by_default: bool,
    redirect: bool,
    manager: OnceLock<Arc<TlsManager>>,
    /// Held while the manager is opened, so that it is done once.
    opening: Mutex<()>,
    targets: TargetTls,
}

impl RouterTls {
    pub(super) fn new(config: &LocalEdgeRouterConfig, base: &BaseDomain) -> Self {
        let tls = &config.tls;
        let cert_dir = tls.cert_dir.clone().unwrap_or_else(default_cert_dir);
        let own = tls.cert.clone().zip(tls.key.clone()).map(|(cert, key)| OwnFiles { cert, key });
        // An address that is listened on can be asked for by itself, without a name.
        let addresses = config.listen_addresses().into_iter().map(|address| address.ip().to_canonical());
        let mut settings = TlsSettings {
            validity_days: tls.validity_days,
            base_domains: vec![base.clone()],
            own,
            ..TlsSettings::new(&cert_dir)
        };
        for address in addresses.filter(std::net::IpAddr::is_loopback) {
            if !settings.addresses.contains(&address) {
                settings.addresses.push(address);
            }
        }
        Self {
            always: config.enable_tls || settings.own.is_some(),
            proxied: config.strategy == RoutingStrategy::ReverseProxy,
            by_default: config.enable_tls,
            redirect: tls.redirect_http,
            settings,
            manager: OnceLock::new(),
            opening: Mutex::new(()),
            targets: TargetTls::new(Some(public_certificate(&cert_dir))),
        }
    }

    /// How the certificates are kept; `None` where TLS is off, and only a route may ask for it.
    pub(super) fn settings(&self) -> Option<TlsSettings> {
        self.always.then(|| self.settings.clone())
    }

    /// How the proxy is to deal with TLS.
    pub(super) fn for_proxy(self: &Arc<Self>) -> ProxyTls {
        ProxyTls {
            certificates: Some(self.clone()),
            by_default: self.by_default,
            redirect: self.redirect,
            targets: self.targets(),
        }
    }

    /// How targets are spoken to that speak TLS themselves.
    pub(super) fn targets(&self) -> TargetTls {
        self.targets.clone()
    }

    /// Sees to it that there are certificates where the router, or this route, is served over TLS. In `port-mapping`
    /// nothing is.
    pub(super) async fn ensure(
        &self,
        route: Option<&RouteSpec>,
        routes: impl FnOnce() -> watch::Receiver<Arc<RouteTable>>,
    ) -> Result<()> {
        let needed = self.always || route.is_some_and(|spec| spec.tls == Some(true));
        if !self.proxied || !needed || self.manager.get().is_some() {
            return Ok(());
        }
        let _opening = self.opening.lock().await;
        if self.manager.get().is_none() {
            let (settings, routes) = (self.settings.clone(), routes());
            let runtime = Handle::current();
            let opened = super::provider::blocking(move || TlsManager::open(settings, routes, runtime)).await??;
            let _ = self.manager.set(opened);
        }
        Ok(())
    }
}

impl Certificates for RouterTls {
    fn held(&self, host: &str) -> Option<Arc<rustls::ServerConfig>> {
        self.manager.get()?.held(host)
    }

    fn obtain<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<Arc<rustls::ServerConfig>>> + Send + 'a>> {
        match self.manager.get() {
            Some(manager) => manager.obtain(host),
            None => Box::pin(std::future::ready(None)),
        }
    }
}

/// A target may show a certificate of our own authority, as one that `tls issue` made.
fn public_certificate(cert_dir: &Path) -> PathBuf {
    cert_dir.join("ca.pem")
}
