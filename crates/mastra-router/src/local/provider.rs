//! The router as programs use it: the provider's methods.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::{Inner, LocalEdgeRouter};
use crate::activity::Activities;
use crate::error::{Result, RouterError};
use crate::event::RouterEvent;
use crate::health::CheckKind;
use crate::lease::{LeaseUpdate, RouteLease};
use crate::provider::{EdgeRouterProvider, RouterControl};
use crate::registry::Updated;
use crate::report::CommandReport;
use crate::requests::Requests;
use crate::route::{PathPrefix, Route, RouteConfig, RouteHealthStatus, RouteInfo, RouteSpec, RouteUpdate};

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
        loop {
            self.open()?;
            if let Some(info) = self.updated_as_planned(route_id, &update).await? {
                return Ok(info);
            }
        }
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
        let with_prefix = || {
            let (name, _) = key.split_once('/')?;
            let prefix = key.get(name.len()..);
            table.by_name(name).iter().find(|route| route.spec.path_prefix.as_ref().map(PathPrefix::as_str) == prefix)
        };
        let route = table.get(key).or_else(|| table.by_deployment(key)).or_else(|| table.by_name(key).last());
        let route = route.or_else(with_prefix);
        Ok(route.map(|route| self.inner.info(route)))
    }

    async fn end_lease(&self, route_id: &str, lease: &RouteLease) -> Result<bool> {
        self.open()?;
        self.end_route_lease(route_id, lease).await
    }

    async fn report_command(&self, route_id: &str, report: CommandReport) -> Result<()> {
        self.open()?;
        let report = report.checked()?;
        let table = self.inner.registry.table();
        let is_owner = |route: &&Arc<Route>| match (&route.spec.lease, &report.lease) {
            (Some(_), Some(lease)) => route.spec.is_leased_to(lease),
            (owner, who) => owner.is_none() && who.is_none(),
        };
        let found = table.get(route_id).filter(is_owner);
        let route = found.ok_or_else(|| RouterError::RouteNotFound { id: route_id.to_owned() })?;
        route.life.set_report(report);
        Ok(())
    }

    async fn follow_activity(&self, route_id: &str) -> Result<Activities> {
        self.open()?;
        let activities = Activities::of(route_id, self.inner.registry.reader());
        activities.ok_or_else(|| RouterError::RouteNotFound { id: route_id.to_owned() })
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
    /// Updates a route. `None`, and nothing was done, where another update came in between and the target would be one that
    /// was not looked at.
    async fn updated_as_planned(&self, route_id: &str, update: &RouteUpdate) -> Result<Option<RouteInfo>> {
        let before = self.inner.registry.table();
        let missing = || RouterError::RouteNotFound { id: route_id.to_owned() };
        let is_meant = |spec: &RouteSpec| update.leased_to.as_ref().is_none_or(|lease| spec.is_leased_to(lease));
        let before = before.get(route_id).filter(|route| is_meant(&route.spec)).ok_or_else(missing)?;
        let mut planned = before.spec.updated(update)?;
        self.inner.ensure_tls(Some(&planned)).await?;
        self.ensure_proxy().await?;
        planned.target = self.inner.resolve(planned.target).await?;
        if update.wait_healthy {
            self.wait_healthy(&planned, Some(route_id)).await?;
            self.open()?;
        }
        let (mut replaced, mut is_overtaken) = (None, false);
        let updated = self.inner.registry.updated(route_id, |spec| {
            if !is_meant(spec) {
                return Err(missing());
            }
            replaced = Some(spec.clone());
            let mut new = spec.updated(update)?;
            if !is_as_planned(&new, &planned, update.wait_healthy) {
                is_overtaken = true;
                return Err(missing());
            }
            // The same target, with the addresses that were resolved and checked.
            new.target = planned.target.clone().over(new.target.scheme());
            Ok(new)
        });
        if is_overtaken {
            return Ok(None);
        }
        let Updated { route, before, version } = updated?;
        if matches!(update.lease, Some(LeaseUpdate::To(_))) {
            self.watch_leases();
        }
        if let Err(error) = self.inner.hosts.written(&route.spec.name).await {
            // What others have changed since stays.
            let back =
                |spec: &RouteSpec| Ok(replaced.map_or_else(|| spec.clone(), |r| spec.without_change(&r, &route.spec)));
            let Updated { version, .. } = self.inner.registry.updated(route_id, back)?;
            self.inner.saved(version).await?;
            return Err(error);
        }
        self.inner.saved(version).await?;
        self.log(&format!("Route updated: {} → {}", route.spec.name, self.inner.urls.of(&route)));
        if before.is_taken_over_by(&route.spec) {
            // What is open leads to a process that has the name no more.
            self.inner.cut(&before).await;
        }
        if route.target_revision != before.target_revision {
            self.inner.health.check(&route, CheckKind::First).await;
        }
        let table = self.inner.registry.table();
        let info = self.inner.info(table.get(route_id).unwrap_or(&route));
        let _ = self.inner.events.send(RouterEvent::Updated(info.clone()));
        Ok(Some(info))
    }

    /// The route, with the addresses that were checked, once its target is healthy. Nothing is begun for it before: no
    /// proxy, no certificates, and its name is free for others.
    async fn healthy(&self, mut spec: RouteSpec) -> Result<RouteSpec> {
        self.inner.registry.ensure_room(&spec)?;
        spec.target = self.inner.resolve(spec.target).await?;
        self.wait_healthy(&spec, None).await?;
        // It may have been closed meanwhile.
        self.open()?;
        Ok(spec)
    }

    /// Waits until the target is healthy, no longer than a check may take, and no longer than there is the route that waits.
    async fn wait_healthy(&self, spec: &RouteSpec, of: Option<&str>) -> Result<()> {
        let deadline = Instant::now() + self.inner.config.health_check.timeout;
        loop {
            self.open()?;
            if let Some(id) = of.filter(|id| self.inner.registry.table().get(id).is_none()) {
                return Err(RouterError::RouteNotFound { id: id.to_owned() });
            }
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

/// Whether the target is the one that was looked at. What was checked is more than what was only resolved.
fn is_as_planned(new: &RouteSpec, planned: &RouteSpec, checked: bool) -> bool {
    let (target, looked_at) = (&new.target, &planned.target);
    let is_same_check = target.scheme() == looked_at.scheme() && new.health_path == planned.health_path;
    target.port() == looked_at.port() && target.url_host() == looked_at.url_host() && (is_same_check || !checked)
}

/// Probing ports and locking files may block, which a runtime's own threads must not.
pub(super) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(|error| RouterError::Thread { source: std::io::Error::other(error) })
}
