//! `HostsManager`.

use std::net::IpAddr;
use std::path::PathBuf;

use mastra_router::{HostsChange, HostsEdit, HostsManager, HostsOwner, HostsOwnerKind, HostsSettings, RouterError};
use napi_derive::napi;

use crate::config::invalid;
use crate::error::{blocking, to_js};

#[napi(object, object_to_js = false)]
pub struct NativeHostsOptions {
    pub hosts_path: Option<String>,
    pub backup_dir: Option<String>,
    pub local_ip: Option<String>,
    pub suffixes: Vec<String>,
    pub owner: Option<String>,
}

#[napi(object, object_from_js = false)]
pub struct NativeHostsEntry {
    pub hostname: String,
    pub ip: String,
    pub owner: Option<String>,
}

#[napi(object, object_from_js = false)]
pub struct NativeHostsChange {
    pub changed: bool,
    pub backup_path: Option<String>,
}

#[napi]
pub struct NativeHosts {
    manager: HostsManager,
}

#[napi]
impl NativeHosts {
    #[napi(constructor)]
    pub fn new(options: NativeHostsOptions) -> napi::Result<Self> {
        open(options).map(Self::of).map_err(to_js)
    }

    pub(crate) fn of(manager: HostsManager) -> Self {
        Self { manager }
    }

    #[napi]
    pub async fn add(&self, names: Vec<String>) -> napi::Result<NativeHostsChange> {
        self.apply(HostsEdit::Add(names)).await
    }

    #[napi]
    pub async fn remove(&self, names: Vec<String>) -> napi::Result<NativeHostsChange> {
        self.apply(HostsEdit::Remove(names)).await
    }

    #[napi]
    pub async fn remove_all(&self) -> napi::Result<NativeHostsChange> {
        self.apply(HostsEdit::RemoveAll).await
    }

    /// The newest backup, or the one at `path`.
    #[napi]
    pub async fn restore(&self, path: Option<String>) -> napi::Result<NativeHostsChange> {
        self.apply(path.map_or(HostsEdit::Restore, |path| HostsEdit::RestoreFrom(path.into()))).await
    }

    #[napi]
    pub fn entries(&self) -> napi::Result<Vec<NativeHostsEntry>> {
        let entries = self.manager.entries().map_err(to_js)?;
        let to_js = |entry: mastra_router::HostsEntry| NativeHostsEntry {
            hostname: entry.name,
            ip: entry.address.to_string(),
            owner: entry.owner.map(|owner| owner.as_str().to_owned()),
        };
        Ok(entries.into_iter().map(to_js).collect())
    }

    #[napi]
    pub fn path(&self) -> String {
        self.manager.path().display().to_string()
    }

    async fn apply(&self, edit: HostsEdit) -> napi::Result<NativeHostsChange> {
        let manager = self.manager.clone();
        let HostsChange { changed, backup, .. } = blocking(move || manager.apply(&edit)).await?;
        Ok(NativeHostsChange { changed, backup_path: backup.map(|path| path.display().to_string()) })
    }
}

fn open(options: NativeHostsOptions) -> Result<HostsManager, RouterError> {
    let owner = match &options.owner {
        Some(owner) => HostsOwner::parse(owner)?,
        None => HostsOwner::of_process(HostsOwnerKind::Program),
    };
    let local_ip: IpAddr = match options.local_ip.as_deref() {
        Some(ip) => ip.parse().map_err(|_| invalid("localIp", format!("{ip:?} is no IP address")))?,
        None => IpAddr::from([127, 0, 0, 1]),
    };
    HostsManager::new(HostsSettings {
        path: options.hosts_path.map(PathBuf::from),
        backup_dir: options.backup_dir.map(PathBuf::from),
        local_ip,
        suffixes: options.suffixes,
        ..HostsSettings::new(owner)
    })
}
