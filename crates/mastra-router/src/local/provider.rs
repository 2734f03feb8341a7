//! The router as programs use it: the provider's methods.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{Inner, LocalEdgeRouter};
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::health::CheckKind;
use crate::lease::{LeaseUpdate, RouteLease};
use crate::provider::{EdgeRouterProvider, RouterControl};
use crate::requests::Requests;
use crate::route::{RouteConfig, RouteHealthStatus, RouteInfo, RouteSpec, RouteUpdate};

/// Pause between two looks at a target that is waited for.
const WAIT_HEALTHY_PAUSE: Duration = Duration::from_millis(100);

#[async_trait]
impl EdgeRouterProvider for LocalEdgeRouter {
    fn kind(&self) -> &'static str {
        "local"
    }

    async fn register_route(&self, config: RouteConfig) -> Result<RouteInfo> {
        self.open()?;
        let mut spec = RouteSpec::parse(&config)?;
        if config.wait_healthy {
            spec = self.healthy(spec).await?;
        }
        self.inner.ensure_tls(Some(&spec)).await?;
        self.ensure_proxy().await?;
        spec.target = self.inner.resolve(spec.target).await?;
        let (route, version) = self.inner.registry.added(spec)?;
        if route.spec.lease.is_some() {
            self.watch_leases();
        }
        self.log(&format!("Route registered: {} → {}", route.spec.name, self.inner.urls.of(&route)));
        let _ = self.inner.events.send(RouterEvent::Registered(self.inner.info(&route)));
        if let Err(error) = self.inner.hosts.written(&route.spec.name).await {
            if let Some((_, version)) = self.inner.registry.removed(route.id.as_str()) {
                let _ = self.inner.events.send(RouterEvent::Removed(self.inner.info(&route)));
                // Where not even that can be saved, this is what has to be known: the route is there.
                self.inner.saved(version).await?;
            }
            return Err(error);
        }
        self.inner.saved(version).await?;
        self.inner.health.check(&route, CheckKind::First).await;
        // Nobody serves what was registered while the router was closed.
        self.open()?;
        // An update may have come in during the check; the caller is told what is.
        let table = self.inner.registry.table();
        Ok(self.inner.info(table.get(route.id.as_str()).unwrap_or(&route)))
    }

    async fn update_route(&self, route_id: &str, update: RouteUpdate) -> Result<RouteInfo> {
        self.open()?;
        let before = self.inner.registry.table();
        let missing = || RouterError::RouteNotFound { id: route_id.to_owned() };
        let is_meant = |spec: &RouteSpec| update.leased_to.as_ref().is_none_or(|lease| spec.is_leased_to(lease));
        let before = before.get(route_id).filter(|route| is_meant(&route.spec)).ok_or_else(missing)?;
        let mut planned = before.spec.updated(&update)?;
        self.inner.ensure_tls(Some(&planned)).await?;
        self.ensure_proxy().await?;
        planned.target = self.inner.resolve(planned.target).await?;
        if update.wait_healthy {
            self.wait_healthy(&planned).await?;
        }
        // Another update may have come in while the target was looked at.
        let mut replaced = None;
        let (route, version) = self.inner.registry.updated(route_id, |spec| {
            if !is_meant(spec) {
                return Err(missing());
            }
            replaced = Some(spec.clone());
            let mut new = spec.updated(&update)?;
            // The same target, with the addresses that were resolved and checked.
            if new.target.port() == planned.target.port() && new.target.url_host() == planned.target.url_host() {
                new.target = planned.target.clone().over(new.target.scheme());
            }
            Ok(new)
        })?;
        if matches!(update.lease, Some(LeaseUpdate::To(_))) {
            self.watch_leases();
        }
        if let Err(error) = self.inner.hosts.written(&route.spec.name).await {
            // What others have changed since stays.
            let back =
                |spec: &RouteSpec| Ok(replaced.map_or_else(|| spec.clone(), |r| spec.without_change(&r, &route.spec)));
            let (_, version) = self.inner.registry.updated(route_id, back)?;
            self.inner.saved(version).await?;
            return Err(error);
        }
        self.inner.saved(version).await?;
        self.log(&format!("Route updated: {} → {}", route.spec.name, self.inner.urls.of(&route)));
        if route.target_revision != before.target_revision {
            self.inner.health.check(&route, CheckKind::First).await;
        }
        let table = self.inner.registry.table();
        let info = self.inner.info(table.get(route_id).unwrap_or(&route));
        let _ = self.inner.events.send(RouterEvent::Updated(info.clone()));
        Ok(info)
    }

    async fn remove_route(&self, route_id: &str) -> Result<()> {
        self.open()?;
        // Where there is none, somebody may be about to remove it, and that may yet be taken back.
        let Some((route, version)) = self.inner.registry.removed(route_id) else {
            return self.inner.saved(self.inner.registry.table().version()).await;
        };
        self.log(&format!("Route removed: {}", route.spec.name));
        let _ = self.inner.events.send(RouterEvent::Removed(self.inner.info(&route)));
        self.inner.saved(version).await?;
        self.inner.hosts.tried().await;
        Ok(())
    }

    async fn get_route(&self, deployment_id: &str) -> Result<Option<RouteInfo>> {
        self.open()?;
        self.serve_restored().await?;
        Ok(self.inner.registry.table().by_deployment(deployment_id).map(|route| self.inner.info(route)))
    }

    async fn list_routes(&self, project_id: &str) -> Result<Vec<RouteInfo>> {
        self.open()?;
        self.serve_restored().await?;
        Ok(self.inner.registry.table().by_project(project_id).map(|route| self.inner.info(route)).collect())
    }

    async fn check_route_health(&self, route_id: &str) -> Result<RouteHealthStatus> {
        self.open()?;
        let table = self.inner.registry.table();
        let Some(route) = table.get(route_id) else {
            let error = Some(format!("Route not found: {route_id}"));
            return Ok(RouteHealthStatus { error, ..RouteHealthStatus::default() });
        };
        Ok(self.inner.health.check(route, CheckKind::Counted).await)
    }
}

#[async_trait]
impl RouterControl for LocalEdgeRouter {
    async fn all_routes(&self) -> Result<Vec<RouteInfo>> {
        self.open()?;
        Ok(self.get_all_routes())
    }

    async fn route_count(&self) -> Result<usize> {
        self.open()?;
        Ok(self.inner.registry.table().len())
    }

    async fn find_route(&self, key: &str) -> Result<Option<RouteInfo>> {
        self.open()?;
        let table = self.inner.registry.table();
        let route = table.get(key).or_else(|| table.by_deployment(key)).or_else(|| table.by_name(key).last());
        Ok(route.map(|route| self.inner.info(route)))
    }

    async fn end_lease(&self, route_id: &str, lease: &RouteLease) -> Result<bool> {
        self.open()?;
        self.end_route_lease(route_id, lease).await
    }

    async fn allocate_port(&self) -> Result<u16> {
        self.open()?;
        let inner = self.inner.clone();
        // Together, so that whoever gives up waiting leaves no port that is leased and not saved.
        let (port, version) = blocking(move || inner.lease_port()).await??;
        let leased = match &self.inner.saving {
            Some(saving) => saving.saver.ports_saved(version).await,
            None => Ok(()),
        };
        // A close that came meanwhile has given back what was leased before it.
        if let Err(error) = leased.and_then(|()| self.open()) {
            let ports = self.inner.ports.clone();
            blocking(move || ports.release(port)).await?;
            return Err(error);
        }
        Ok(port)
    }

    async fn release_port(&self, port: u16) -> Result<bool> {
        let ports = self.inner.ports.clone();
        let Some(saving) = &self.inner.saving else { return blocking(move || ports.release(port)).await };
        let Some(releasing) = saving.begin_release(port) else { return Ok(false) };
        if !ports.allocated().contains(&port) {
            return Ok(false);
        }
        saving.saver.ports_saved(saving.saver.release(port)).await?;
        saving.released(port);
        // Whoever gives up waiting ends neither this nor the right to it.
        blocking(move || {
            let released = ports.release(port);
            drop(releasing);
            released
        })
        .await
    }

    fn subscribe(&self) -> broadcast::Receiver<RouterEvent> {
        self.inner.events.subscribe()
    }

    async fn requests(&self) -> Result<Requests> {
        self.inner.requests.follow().ok_or(RouterError::Closed)
    }
}

impl Inner {
    /// Leases a port and has it saved. Where none is left, one that an earlier run leased and that nobody uses will do.
    fn lease_port(&self) -> Result<(u16, u64)> {
        let Some(saving) = &self.saving else { return Ok((self.ports.allocate()?, 0)) };
        let port = self.ports.allocate().or_else(|error| match error {
            RouterError::NoPortAvailable { .. } => {
                let table = self.registry.table();
                let routed = table.iter().map(|route| route.spec.target.port()).collect();
                saving.forgotten_lease(&routed, &self.ports).ok_or(error)
            }
            _ => Err(error),
        })?;
        Ok((port, saving.saver.lease(port)))
    }
}

impl LocalEdgeRouter {
    /// The route, with the addresses that were checked, once its target is healthy. Nothing is begun for it before: no
    /// proxy, no certificates, and its name is free for others.
    async fn healthy(&self, mut spec: RouteSpec) -> Result<RouteSpec> {
        self.inner.registry.ensure_room(&spec)?;
        spec.target = self.inner.resolve(spec.target).await?;
        self.wait_healthy(&spec).await?;
        // It may have been closed meanwhile.
        self.open()?;
        Ok(spec)
    }

    /// Waits until the target is healthy, no longer than a check may take.
    async fn wait_healthy(&self, spec: &RouteSpec) -> Result<()> {
        let deadline = Instant::now() + self.inner.config.health_check.timeout;
        loop {
            let check = self.inner.checker.check(&spec.target, spec.health_path.as_ref());
            let health = tokio::time::timeout_at(deadline, check).await.unwrap_or_else(|_| RouteHealthStatus {
                error: Some(format!("it was not within {:?}", self.inner.config.health_check.timeout)),
                ..RouteHealthStatus::default()
            });
            if health.healthy {
                return Ok(());
            }
            if Instant::now() + WAIT_HEALTHY_PAUSE >= deadline {
                let reason = health.error.unwrap_or_default();
                return Err(RouterError::TargetUnhealthy { target: spec.target.to_string(), reason });
            }
            tokio::time::sleep(WAIT_HEALTHY_PAUSE).await;
        }
    }
}

/// Probing ports and locking files may block, which a runtime's own threads must not.
pub(super) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(|error| RouterError::Thread { source: std::io::Error::other(error) })
}
