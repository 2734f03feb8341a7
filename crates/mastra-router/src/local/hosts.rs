//! Names of this router in the hosts file, while its proxy serves them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::{HostsMode, LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::{Result, RouterError};
use crate::hosts::{HostsFollower, HostsManager, HostsOwner, HostsOwnerKind, HostsSettings};
use crate::name::{BaseDomain, RouteName};
use crate::table::RouteTable;

/// How long a call waits for a file that it could do without.
const TRIED_MOST: Duration = Duration::from_secs(1);

/// What keeps the hosts file in step, once there is something to serve.
pub(super) struct RouterHosts {
    mode: HostsMode,
    base: BaseDomain,
    /// How long a registration waits for the file: no longer than for a check.
    most: Duration,
    manager: Option<HostsManager>,
    follower: OnceLock<HostsFollower>,
}

impl RouterHosts {
    /// Nothing is written yet. In `port-mapping` no route is asked for by its name, and nothing ever is.
    ///
    /// # Errors
    /// As [`HostsManager::new`].
    pub(super) fn new(config: &LocalEdgeRouterConfig, base: &BaseDomain) -> Result<Self> {
        let mode = match config.strategy {
            RoutingStrategy::ReverseProxy => config.enable_hosts_file,
            RoutingStrategy::PortMapping => HostsMode::Off,
        };
        let manager = match config.enable_hosts_file {
            HostsMode::Off => None,
            HostsMode::BestEffort | HostsMode::Required => Some(HostsManager::new(HostsSettings {
                path: config.hosts.path.clone(),
                backup_dir: config.hosts.backup_dir.clone(),
                suffixes: vec![base.as_str().to_owned()],
                ..HostsSettings::new(owner(config)?)
            })?),
        };
        Ok(Self { mode, base: base.clone(), most: config.health_check.timeout, manager, follower: OnceLock::new() })
    }

    /// Follows the routes from now on. Doing it again does nothing.
    pub(super) fn follow(&self, routes: impl FnOnce() -> watch::Receiver<Arc<RouteTable>>) {
        if let Some(manager) = self.manager.as_ref().filter(|_| self.mode != HostsMode::Off) {
            self.follower.get_or_init(|| {
                HostsFollower::start(&Handle::current(), routes(), self.base.clone(), self.mode, manager.clone())
            });
        }
    }

    /// Waits until the name is in the file, or, where it need not be, until that was tried.
    ///
    /// # Errors
    /// Where it has to be there, as [`HostsFollower::written`], and where that takes longer than a check may.
    pub(super) async fn written(&self, name: &RouteName) -> Result<()> {
        let Some(follower) = self.follower.get() else { return Ok(()) };
        if self.mode != HostsMode::Required {
            self.tried().await;
            return Ok(());
        }
        // Any user can keep the file locked for a while.
        let written = tokio::time::timeout(self.most, follower.written(name)).await;
        written.unwrap_or_else(|_| {
            Err(RouterError::HostsFile {
                path: self.manager.as_ref().map(|m| m.path().to_owned()).unwrap_or_default(),
                line: None,
                reason: "it could not be written in time; another process may keep it locked".to_owned(),
            })
        })
    }

    /// Waits until the file was brought into step with the routes of now, or could not be.
    pub(super) async fn tried(&self) {
        if let Some(follower) = self.follower.get() {
            let _ = tokio::time::timeout(TRIED_MOST.min(self.most), follower.tried()).await;
        }
    }

    /// What writes the file; `None` where nothing does.
    pub(super) fn manager(&self) -> Option<HostsManager> {
        self.manager.clone()
    }

    /// Leaves the names to another process.
    pub(super) fn leave(&self) {
        if let Some(follower) = self.follower.get() {
            follower.leave();
        }
    }

    /// Takes the names out again.
    pub(super) async fn stop(&self) {
        if let Some(follower) = self.follower.get() {
            follower.stop().await;
        }
    }
}

/// A router that saves its routes is the same one after a restart, and puts right what it left behind when it was killed.
/// One that saves nothing has no directory to be known by: what it left, the next router of this machine takes out.
fn owner(config: &LocalEdgeRouterConfig) -> Result<HostsOwner> {
    if let Some(owner) = &config.hosts.owner {
        return HostsOwner::parse(owner);
    }
    Ok(match &config.state_dir {
        Some(dir) => HostsOwner::of_home(dir),
        None => HostsOwner::of_process(HostsOwnerKind::Router),
    })
}
