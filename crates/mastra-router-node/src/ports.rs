//! `PortManager`.

use std::path::PathBuf;
use std::sync::Arc;

use mastra_router::{PortManager, PortRange, RouterError};
use napi_derive::napi;

use crate::config::port;
use crate::error::{blocking, to_js};

#[napi]
pub struct NativePorts {
    manager: Arc<PortManager>,
}

#[napi]
impl NativePorts {
    #[napi(constructor)]
    pub fn new(start: u32, end: u32, lease_dir: Option<String>) -> napi::Result<Self> {
        let range = (|| PortRange { start: port("portRange", start)?, end: port("portRange", end)? }.checked())();
        let lease_dir = lease_dir.map_or_else(mastra_router::default_lease_dir, PathBuf::from);
        let manager = PortManager::new(range.map_err(to_js)?, lease_dir).with_label("@mastra/router-local");
        Ok(Self { manager: Arc::new(manager) })
    }

    #[napi]
    pub async fn allocate(&self) -> napi::Result<u16> {
        let manager = self.manager.clone();
        blocking(move || manager.allocate()).await
    }

    #[napi]
    pub async fn reserve(&self, number: u32) -> napi::Result<bool> {
        let manager = self.manager.clone();
        blocking(move || port("port", number).and_then(|port| manager.reserve(port))).await
    }

    #[napi]
    pub async fn is_port_available(&self, number: u32) -> napi::Result<bool> {
        let manager = self.manager.clone();
        blocking(move || Ok::<_, RouterError>(manager.is_port_available(port("port", number)?))).await
    }

    /// Removes a file: too short a time to wait for in another way.
    #[napi]
    pub fn release(&self, number: u32) -> bool {
        u16::try_from(number).is_ok_and(|port| self.manager.release(port))
    }
}
