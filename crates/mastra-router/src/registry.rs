//! The only writer of the route table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::error::{Result, RouterError};
use crate::lease::RouteLease;
use crate::life::RouteLife;
use crate::route::{Route, RouteId, RouteOrigin, RouteSpec};
use crate::table::{RouteChange, RouteTable};

/// Makes new tables and publishes them. Readers hold a [`watch::Receiver`]; they are woken by, and read, the same cell.
#[derive(Debug)]
pub struct RouteRegistry {
    table: watch::Sender<Arc<RouteTable>>,
    /// Held while a table is made from the one before it, never over an await.
    writing: Mutex<()>,
    next_sequence: AtomicU64,
    /// Two routes may have one name where nothing is routed by it.
    unique_names: bool,
}

/// What became of routes that were configured.
#[derive(Debug)]
pub(crate) struct Configured {
    /// Routes that made room.
    pub(crate) displaced: Vec<Arc<Route>>,
    /// Version of the first table that has the configured ones.
    pub(crate) version: u64,
}

/// A route that was updated.
#[derive(Debug)]
pub(crate) struct Updated {
    pub(crate) route: Arc<Route>,
    /// What it was.
    pub(crate) before: Arc<Route>,
    /// Version of the first table that has the change.
    pub(crate) version: u64,
}

/// A change that was taken back.
#[derive(Debug)]
pub(crate) struct Reverted {
    /// The route as it was, and is again.
    pub(crate) was: Option<Arc<Route>>,
    /// What it had become.
    pub(crate) became: Option<Arc<Route>>,
}

impl Reverted {
    fn is_of_a_registered_route(&self) -> bool {
        self.was.iter().chain(&self.became).all(|route| route.origin == RouteOrigin::Registered)
    }
}

impl std::fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|r| &r.id)).finish()
    }
}

impl RouteRegistry {
    /// An empty registry. `unique_names` refuses a second route with the same name and path prefix.
    pub fn new(unique_names: bool) -> Self {
        let table = watch::Sender::new(Arc::default());
        Self { table, writing: Mutex::new(()), next_sequence: AtomicU64::new(0), unique_names }
    }

    /// The table as it is now.
    pub fn table(&self) -> Arc<RouteTable> {
        self.table.borrow().clone()
    }

    /// A reader of the table, now and after every change.
    pub fn reader(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.table.subscribe()
    }

    /// Puts saved routes into an empty registry, each with the id, the place and the time it had; what is added later
    /// comes after them. Returns those that there is no room for, which are left out.
    pub(crate) fn restore(&self, routes: Vec<Route>) -> Vec<(Route, RouterError)> {
        let _writing = self.writing();
        let mut table = RouteTable::clone(&self.table());
        let mut refused = Vec::new();
        for route in routes {
            self.next_sequence.fetch_max(route.sequence + 1, Ordering::Relaxed);
            match self.check_room(&table, &route) {
                Ok(()) => table.insert(Arc::new(route)),
                Err(error) => refused.push((route, error)),
            }
        }
        self.publish(table);
        refused
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`RouterError::RouteExists`] for a deployment that has one, [`RouterError::RouteConflict`] for a name that is taken.
    pub fn add(&self, spec: RouteSpec) -> Result<Arc<Route>> {
        self.added(spec).map(|(route, _)| route)
    }

    /// As [`add`](Self::add), with the version of the first table that has the route.
    pub(crate) fn added(&self, spec: RouteSpec) -> Result<(Arc<Route>, u64)> {
        let _writing = self.writing();
        let table = self.table();
        let route = self.make(&table, spec, RouteOrigin::Registered)?;
        let version = self.publish(table.with(route.clone()));
        Ok((route, version))
    }

    /// Whether a route could be added now. It takes no place.
    ///
    /// # Errors
    /// As [`RouteRegistry::add`].
    pub(crate) fn ensure_room(&self, spec: &RouteSpec) -> Result<()> {
        // Of the numbers of registrations, one that is left out means nothing.
        self.make(&self.table(), spec.clone(), RouteOrigin::Registered).map(drop)
    }

    /// Adds the routes of a configuration file, all of them or none, as one change.
    ///
    /// # Errors
    /// As [`RouteRegistry::add`], for the first that cannot be added.
    pub fn add_all(&self, specs: Vec<RouteSpec>) -> Result<()> {
        self.configure(specs, |_| false).map(drop).map_err(|(_, error)| error)
    }

    /// As [`add_all`](Self::add_all), but routes that `give_way` names make room where they stand in the way. An error
    /// says which of the routes cannot be added.
    pub(crate) fn configure(
        &self,
        specs: Vec<RouteSpec>,
        give_way: impl Fn(&Route) -> bool,
    ) -> Result<Configured, (usize, RouterError)> {
        let _writing = self.writing();
        let mut table = RouteTable::clone(&self.table());
        let mut displaced = Vec::new();
        for (index, spec) in specs.into_iter().enumerate() {
            let in_the_way = table.by_deployment(&spec.deployment_id).into_iter().chain(
                table
                    .by_name(spec.name.as_str())
                    .iter()
                    .filter(|other| self.unique_names && other.spec.path_prefix == spec.path_prefix),
            );
            let leaving: Vec<Arc<Route>> = in_the_way.filter(|other| give_way(other)).cloned().collect();
            for route in leaving {
                // One may stand in the way twice, by its deployment and by its name.
                table.take(&route.id);
                if displaced.last().is_none_or(|last: &Arc<Route>| last.id != route.id) {
                    displaced.push(route);
                }
            }
            let route = self.make(&table, spec, RouteOrigin::Configured).map_err(|error| (index, error))?;
            table.insert(route);
        }
        Ok(Configured { displaced, version: self.publish(table) })
    }

    /// Replaces a route by what `change` makes of it. The change is applied to the route as it is at that moment, so two
    /// updates at once are both kept.
    ///
    /// # Errors
    /// [`RouterError::RouteNotFound`], what `change` returns, or as [`RouteRegistry::add`].
    pub fn update(&self, id: &str, change: impl FnOnce(&RouteSpec) -> Result<RouteSpec>) -> Result<Arc<Route>> {
        self.updated(id, change).map(|updated| updated.route)
    }

    /// As [`update`](Self::update), with what the route was, and the version of the first table that has the change.
    pub(crate) fn updated(&self, id: &str, change: impl FnOnce(&RouteSpec) -> Result<RouteSpec>) -> Result<Updated> {
        let _writing = self.writing();
        let table = self.table();
        let old = table.get(id).ok_or_else(|| RouterError::RouteNotFound { id: id.to_owned() })?;
        let spec = change(&old.spec)?;
        let moved = u64::from(spec.target != old.spec.target || spec.health_path != old.spec.health_path);
        let target_revision = old.target_revision + moved;
        let (cut, life) = if old.is_taken_over_by(&spec) {
            (Arc::default(), RouteLife::new(spec.wake))
        } else if spec.target != old.spec.target || spec.wake != old.spec.wake {
            (old.cut.clone(), old.life.changed(spec.target != old.spec.target, spec.wake))
        } else {
            (old.cut.clone(), old.life.clone())
        };
        let route = Arc::new(Route { spec, target_revision, cut, life, ..Route::clone(old) });
        self.check_room(&table, &route)?;
        let version = self.publish(table.with(route.clone()));
        Ok(Updated { route, before: old.clone(), version })
    }

    /// Removes a route by its id or, where no route has that id, its deployment's.
    pub fn remove(&self, id: &str) -> Option<Arc<Route>> {
        self.removed(id).map(|(route, _)| route)
    }

    /// As [`remove`](Self::remove), with the version of the first table without the route.
    pub(crate) fn removed(&self, id: &str) -> Option<(Arc<Route>, u64)> {
        let _writing = self.writing();
        let table = self.table();
        let route = table.get(id).or_else(|| table.by_deployment(id))?.clone();
        let version = self.publish(table.without(&route.id));
        Some((route, version))
    }

    /// Removes a route by its id, where it is leased to the process of `lease`. Returns it, and the version of the first
    /// table without it.
    pub(crate) fn end_lease(&self, id: &str, lease: &RouteLease) -> Option<(Arc<Route>, u64)> {
        let _writing = self.writing();
        let table = self.table();
        let route = table.get(id).filter(|route| route.spec.is_leased_to(lease))?.clone();
        let version = self.publish(table.without(&route.id));
        Some((route, version))
    }

    /// Removes all routes.
    pub fn clear(&self) {
        let _writing = self.writing();
        self.publish(RouteTable::default());
    }

    /// Takes back what was done to registered routes since `before`, where that is a table of this registry. Routes come
    /// back as they were, unless a configured one has taken their place. Returns what was taken back, and the version of
    /// the last table that had it.
    pub(crate) fn revert_to(&self, before: &RouteTable) -> (Vec<Reverted>, u64) {
        let _writing = self.writing();
        let now = self.table();
        let mut table = RouteTable::clone(&now);
        let mut reverted = Vec::new();
        for change in now.changes_since(before) {
            match change {
                RouteChange::Added(new) => reverted.push(Reverted { was: None, became: Some(new.clone()) }),
                RouteChange::Updated { old, new } => {
                    reverted.push(Reverted { was: Some(old.clone()), became: Some(new.clone()) });
                }
                RouteChange::Removed(old) => reverted.push(Reverted { was: Some(old.clone()), became: None }),
            }
        }
        reverted.retain(Reverted::is_of_a_registered_route);
        // First all that has to go: a name or a deployment may have gone from one route to another.
        for new in reverted.iter().filter_map(|change| change.became.as_ref()) {
            table.take(&new.id);
        }
        reverted.retain(|change| match &change.was {
            Some(old) if self.check_room(&table, old).is_ok() => {
                table.insert(old.clone());
                true
            }
            _ => change.became.is_some(),
        });
        // Readers are not woken for nothing: one of them is who calls this.
        if !reverted.is_empty() {
            self.publish(table);
        }
        (reverted, now.version())
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, table: RouteTable) -> u64 {
        let version = self.table.borrow().version() + 1;
        self.table.send_replace(Arc::new(table.numbered(version)));
        version
    }

    /// Makes a route that `table` has room for.
    fn make(&self, table: &RouteTable, spec: RouteSpec, origin: RouteOrigin) -> Result<Arc<Route>> {
        let id = loop {
            let id = random_id();
            if table.get(id.as_str()).is_none() {
                break id;
            }
        };
        let sequence = self.next_sequence.fetch_add(1, Ordering::Relaxed);
        let life = RouteLife::new(spec.wake);
        let route = Arc::new(Route {
            id,
            spec,
            origin,
            target_revision: 0,
            sequence,
            created_at: SystemTime::now(),
            cut: Arc::default(),
            life,
        });
        self.check_room(table, &route)?;
        Ok(route)
    }

    /// Whether `table` has room for a route, or for a change of one that it has.
    fn check_room(&self, table: &RouteTable, route: &Route) -> Result<()> {
        if table.by_deployment(&route.spec.deployment_id).is_some_and(|other| other.id != route.id) {
            return Err(RouterError::RouteExists { deployment_id: route.spec.deployment_id.to_string() });
        }
        let Some(other) = table.conflict(route).filter(|_| self.unique_names) else { return Ok(()) };
        let prefix = other.spec.path_prefix.as_ref().map_or("", |p| p.as_str());
        Err(RouterError::RouteConflict {
            url_part: format!("{}{prefix}", other.spec.name),
            holder: other.spec.deployment_id.to_string(),
            target: other.spec.target.to_string(),
        })
    }
}

/// `route_` and eight hexadecimal digits, as the seed has it. Ids name routes and protect nothing, so the randomness of
/// the standard library's hasher is enough.
fn random_id() -> RouteId {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(SystemTime::now());
    RouteId::from(format!("route_{:08x}", bits as u32).as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{RouteConfig, RouteUpdate};

    fn spec(deployment: &str, name: &str) -> RouteSpec {
        RouteSpec::parse(&RouteConfig::new(deployment, "p", name, "localhost", 1)).unwrap()
    }

    #[test]
    fn a_deployment_has_one_route_and_a_name_one_owner() {
        let registry = RouteRegistry::new(true);
        let first = registry.add(spec("d1", "app")).unwrap();
        assert_eq!(registry.add(spec("d1", "b")).unwrap_err().to_string(), "Route already exists for deployment d1");
        assert!(matches!(registry.add(spec("d2", "app")), Err(RouterError::RouteConflict { .. })));
        let second = registry.add(spec("d2", "b")).unwrap();
        let to_app = |s: &RouteSpec| s.updated(&RouteUpdate { subdomain: Some("app".into()), ..Default::default() });
        assert!(matches!(registry.update(second.id.as_str(), to_app), Err(RouterError::RouteConflict { .. })));
        assert_eq!(registry.table().len(), 2, "a refused change leaves the table as it was");
        assert_eq!(registry.remove("d1").unwrap().id, first.id, "a deployment id is taken where no route has that id");
        assert!(registry.remove("d1").is_none());
        assert!(registry.update(second.id.as_str(), to_app).is_ok());
    }

    #[test]
    fn names_repeat_where_nothing_is_routed_by_them() {
        let registry = RouteRegistry::new(false);
        registry.add(spec("d1", "app")).unwrap();
        registry.add(spec("d2", "app")).unwrap();
        assert_eq!(registry.table().by_name("app").len(), 2);
    }

    #[test]
    fn an_update_keeps_identity_and_counts_moves() {
        let registry = RouteRegistry::new(true);
        let route = registry.add(spec("d1", "app")).unwrap();
        let id = route.id.as_str();
        let moved =
            registry.update(id, |s| s.updated(&RouteUpdate { target_port: Some(2), ..Default::default() })).unwrap();
        assert_eq!((moved.id.as_str(), moved.target_revision, moved.sequence), (id, 1, route.sequence));
        let renamed = registry
            .update(id, |s| s.updated(&RouteUpdate { subdomain: Some("b".into()), ..Default::default() }))
            .unwrap();
        assert_eq!(renamed.target_revision, 1, "a rename says nothing about the target");
        assert!(registry.table().by_name("app").is_empty());
    }

    #[test]
    fn updates_from_many_threads_are_all_kept() {
        let registry = RouteRegistry::new(true);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let registry = &registry;
                scope.spawn(move || {
                    for i in 0..50 {
                        registry.add(spec(&format!("d{thread}-{i}"), &format!("n{thread}-{i}"))).unwrap();
                    }
                });
            }
        });
        assert_eq!(registry.table().len(), 400);
    }

    /// What a table holds, looked at from every side.
    fn whole(table: &RouteTable) -> Vec<String> {
        for route in table.iter() {
            let spec = &route.spec;
            assert!(Arc::ptr_eq(table.get(route.id.as_str()).unwrap(), route));
            assert!(Arc::ptr_eq(table.by_deployment(&spec.deployment_id).unwrap(), route));
            assert_eq!(table.by_name(spec.name.as_str()).iter().filter(|r| Arc::ptr_eq(r, route)).count(), 1);
            assert_eq!(table.by_project(&spec.project_id).filter(|r| Arc::ptr_eq(r, route)).count(), 1);
        }
        assert_eq!(table.iter().count(), table.len());
        table.iter().map(|route| format!("{route:?}")).collect()
    }

    /// A random change of a registry with few names, so that they go from one route to another.
    fn change(registry: &RouteRegistry, (kind, at, name): (u8, usize, u8)) {
        let table = registry.table();
        let id = table.iter().nth(at % table.len().max(1)).map(|route| route.id.to_string()).unwrap_or_default();
        let to = |field: fn(String) -> RouteUpdate| registry.update(&id, |s| s.updated(&field(format!("n{name}"))));
        // Refused ones change nothing.
        match kind {
            0..=3 => drop(registry.add(spec(&format!("n{name}"), &format!("n{}", at % 12)))),
            4..=5 => drop(to(|name| RouteUpdate { subdomain: Some(name), ..Default::default() })),
            6..=7 => drop(to(|name| RouteUpdate { deployment_id: Some(name), ..Default::default() })),
            8 => drop(registry.add_all(vec![spec(&format!("n{name}"), &format!("n{}", at % 12))])),
            _ => drop(registry.remove(&id)),
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_back_was_never_there(
            before in proptest::collection::vec((0..10_u8, 0..64_usize, 0..12_u8), 0..40),
            after in proptest::collection::vec((0..10_u8, 0..64_usize, 0..12_u8), 0..40),
        ) {
            let registry = RouteRegistry::new(true);
            before.into_iter().for_each(|c| change(&registry, c));
            let saved = registry.table();
            after.into_iter().for_each(|c| change(&registry, c));
            let last = registry.table();
            let configured = |t: &RouteTable| -> Vec<Arc<Route>> {
                t.iter().filter(|r| r.origin == RouteOrigin::Configured).cloned().collect()
            };
            let (_, version) = registry.revert_to(&saved);
            assert_eq!(version, last.version());
            let now = registry.table();
            whole(&now);
            assert_eq!(format!("{:?}", configured(&now)), format!("{:?}", configured(&last)));
            // All of them, but for those whose place a configured route has taken.
            for route in saved.iter().filter(|r| r.origin == RouteOrigin::Registered) {
                let back = now.get(route.id.as_str()).is_some_and(|r| Arc::ptr_eq(r, route));
                let taken = configured(&now).iter().any(|c| {
                    c.spec.deployment_id == route.spec.deployment_id || c.spec.name == route.spec.name
                });
                assert!(back || taken);
            }
            for route in now.iter().filter(|r| r.origin == RouteOrigin::Registered) {
                assert!(saved.get(route.id.as_str()).is_some());
            }
            let again = registry.revert_to(&saved).1;
            assert_eq!(again, registry.table().version(), "nothing is published for nothing");
        }

        #[test]
        fn changes_lead_from_one_table_to_the_other(
            size in 0..300_usize,
            changes in proptest::collection::vec((0..10_u8, 0..400_usize, 0..12_u8), 0..40),
        ) {
            let registry = RouteRegistry::new(false);
            for i in 0..size {
                registry.add(spec(&format!("d{i}"), &format!("m{i}"))).unwrap();
            }
            let old = registry.table();
            changes.into_iter().for_each(|c| change(&registry, c));
            let new = registry.table();
            let mut table = RouteTable::clone(&old);
            for change in new.changes_since(&old) {
                match change {
                    RouteChange::Added(route) | RouteChange::Updated { new: route, .. } => table.insert(route.clone()),
                    RouteChange::Removed(route) => table.take(&route.id),
                }
            }
            assert_eq!(
                table.iter().map(|r| format!("{r:?}")).collect::<Vec<_>>(),
                whole(&new)
            );
        }
    }
}
