//! A directory of certificates, a table of routes and a clock, of which a manager is made.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use mastra_router::{BaseDomain, Result, RouteConfig, RouteRegistry, RouteSpec, TlsManager, TlsSettings};
use tempfile::TempDir;
use tokio::runtime::Handle;

pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) routes: RouteRegistry,
    pub(crate) settings: TlsSettings,
    ahead: Arc<AtomicU64>,
}

impl Place {
    pub(crate) fn new(base: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let ahead = Arc::new(AtomicU64::new(0));
        let mut settings = TlsSettings::new(dir.path().join("certs"));
        settings.base_domains = vec![BaseDomain::parse(base).unwrap()];
        let clock = ahead.clone();
        settings.clock = Arc::new(move || SystemTime::now() + Duration::from_secs(clock.load(Ordering::Relaxed)));
        Self { dir, routes: RouteRegistry::new(true), settings, ahead }
    }

    /// Must be called from within a runtime.
    pub(crate) fn open(&self) -> Arc<TlsManager> {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Arc<TlsManager>> {
        TlsManager::open(self.settings.clone(), self.routes.reader(), Handle::current())
    }

    pub(crate) fn route(&self, name: &str) {
        self.add(RouteConfig::new(name, "p", name, "localhost", 1));
    }

    pub(crate) fn add(&self, config: RouteConfig) {
        self.routes.add(RouteSpec::parse(&config).unwrap()).unwrap();
    }

    pub(crate) fn remove(&self, deployment: &str) {
        let id = self.routes.table().by_deployment(deployment).unwrap().id.clone();
        self.routes.remove(id.as_str()).unwrap();
    }

    /// Moves the clock on.
    pub(crate) fn pass(&self, time: Duration) {
        self.ahead.fetch_add(time.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn certs(&self) -> &Path {
        &self.settings.cert_dir
    }

    pub(crate) fn leaf(&self, stem: &str) -> PathBuf {
        self.certs().join("leaves").join(format!("{stem}.pem"))
    }

    /// Files of certificates that are served.
    pub(crate) fn leaves(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.certs().join("leaves")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}
