//! The immutable table of routes, and how a host and a path find one in it.

use std::sync::Arc;

use imbl::ordmap::DiffItem;
use imbl::{HashMap, OrdMap};

use crate::name::BaseDomain;
use crate::route::{Route, RouteId};

/// All routes at one moment. A table never changes: [`RouteTable::with`] and [`RouteTable::without`] make another one that
/// shares all but a few nodes with it, so the cost of a change does not grow with the number of routes.
#[derive(Clone, Default)]
pub struct RouteTable {
    by_id: HashMap<RouteId, Arc<Route>>,
    by_deployment: HashMap<Arc<str>, Arc<Route>>,
    /// Registration order, within a project.
    by_project: HashMap<Arc<str>, OrdMap<u64, Arc<Route>>>,
    by_name: HashMap<Arc<str>, NameEntry>,
    /// Registration order, over all.
    in_order: OrdMap<u64, Placed>,
    /// Counts the tables of a registry.
    version: u64,
    /// How many routes take hosts below their own: without any, a lookup never walks up the labels of a host.
    wildcards: usize,
}

/// A route in its place. Two are equal where they are the same one, which is what tells a change without a look inside.
#[derive(Clone)]
struct Placed(Arc<Route>);

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What became of a route between two tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RouteChange<'t> {
    /// It is new.
    Added(&'t Arc<Route>),
    /// It was changed.
    Updated { old: &'t Arc<Route>, new: &'t Arc<Route> },
    /// It is gone.
    Removed(&'t Arc<Route>),
}

/// The routes of one name, longest path prefix first; among equals (possible in `port-mapping` only) the oldest first.
#[derive(Clone)]
struct NameEntry(Arc<[Arc<Route>]>);

/// What a host and a path lead to.
#[derive(Debug)]
pub enum Found<'t> {
    /// A route.
    Route {
        /// The route.
        route: &'t Arc<Route>,
        /// Length of the leading part of the path that is to be taken off; 0 for nothing.
        strip: usize,
        /// Whether every path of this host leads to this route, so that the answer holds for the next request too.
        whole_host: bool,
    },
    /// The root of the bare base domain: the list of routes.
    Index,
    /// The router's own host.
    Router,
    /// The bare base domain, and no route has the path's first segment as its name.
    NoPath,
    /// No route has this host.
    NoHost {
        /// Whether the host lies under the base domain; only then may an answer tell which routes there are.
        ours: bool,
    },
    /// The path could mean another one to the upstream than it does here.
    AmbiguousPath,
}

impl RouteTable {
    /// Number of routes.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True where there is no route.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The route with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Route>> {
        self.by_id.get(&RouteId::from(id))
    }

    /// The route of this deployment.
    pub fn by_deployment(&self, deployment_id: &str) -> Option<&Arc<Route>> {
        self.by_deployment.get(deployment_id)
    }

    /// The routes of a project, in the order of registration.
    pub fn by_project(&self, project_id: &str) -> impl Iterator<Item = &Arc<Route>> {
        self.by_project.get(project_id).into_iter().flat_map(OrdMap::values)
    }

    /// The routes of a name, longest path prefix first.
    pub fn by_name(&self, name: &str) -> &[Arc<Route>] {
        self.by_name.get(name).map_or(&[], |entry| &entry.0)
    }

    /// All routes, in the order of registration.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Route>> {
        self.in_order.values().map(|placed| &placed.0)
    }

    /// Its place in the row of a registry's tables; a later one has a greater number.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// This table, with its place in the row.
    #[must_use]
    pub(crate) fn numbered(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// What was changed since `older`, in the order of registration. What both tables share is skipped, so this takes
    /// time for what is different and next to none for what is not.
    pub(crate) fn changes_since<'t>(&'t self, older: &'t Self) -> impl Iterator<Item = RouteChange<'t>> {
        older.in_order.diff(&self.in_order).map(|item| match item {
            DiffItem::Add(_, new) => RouteChange::Added(&new.0),
            DiffItem::Update { old: (_, old), new: (_, new) } => RouteChange::Updated { old: &old.0, new: &new.0 },
            DiffItem::Remove(_, old) => RouteChange::Removed(&old.0),
        })
    }

    /// The route that stands in the way of `route`: another one with the same name and path prefix.
    pub fn conflict(&self, route: &Route) -> Option<&Arc<Route>> {
        self.by_name(route.spec.name.as_str())
            .iter()
            .find(|other| other.id != route.id && other.spec.path_prefix == route.spec.path_prefix)
    }

    /// This table with `route` in it, in the place of an older one with the same id.
    #[must_use]
    pub fn with(&self, route: Arc<Route>) -> Self {
        let mut table = self.clone();
        table.insert(route);
        table
    }

    /// This table without the route of this id.
    #[must_use]
    pub fn without(&self, id: &RouteId) -> Self {
        let mut table = self.clone();
        table.take(id);
        table
    }

    /// Puts a route into a table that nobody else has yet: many at once need no copy for each.
    pub(crate) fn insert(&mut self, route: Arc<Route>) {
        self.take(&route.id);
        self.by_id.insert(route.id.clone(), route.clone());
        self.by_deployment.insert(route.spec.deployment_id.clone(), route.clone());
        self.by_project.entry(route.spec.project_id.clone()).or_default().insert(route.sequence, route.clone());
        self.in_order.insert(route.sequence, Placed(route.clone()));
        self.wildcards += usize::from(route.spec.wildcard);

        let mut named = self.by_name(route.spec.name.as_str()).to_vec();
        let name = route.spec.name.shared();
        named.push(route);
        named.sort_by_key(|r| (std::cmp::Reverse(prefix(r).len()), r.sequence));
        self.by_name.insert(name, NameEntry(named.into()));
    }

    /// Takes a route out of such a table.
    pub(crate) fn take(&mut self, id: &RouteId) {
        let Some(route) = self.by_id.remove(id) else { return };
        self.by_deployment.remove(&route.spec.deployment_id);
        self.in_order.remove(&route.sequence);
        self.wildcards -= usize::from(route.spec.wildcard);
        if let Some(routes) = self.by_project.get_mut(&route.spec.project_id) {
            routes.remove(&route.sequence);
            if routes.is_empty() {
                self.by_project.remove(&route.spec.project_id);
            }
        }
        let name = route.spec.name.as_str();
        let rest: Vec<_> = self.by_name(name).iter().filter(|r| r.id != *id).cloned().collect();
        if rest.is_empty() {
            self.by_name.remove(name);
        } else {
            self.by_name.insert(route.spec.name.shared(), NameEntry(rest.into()));
        }
    }

    /// Where a request leads. `host` is lower case and has no port and no trailing dot; `path` has no query.
    ///
    /// The exact host goes first, then the longest host above it that takes wildcards. A host that is not known never
    /// falls through to a path: only the bare base domain `localhost` (or a loopback address) routes by path.
    pub fn find<'t>(&'t self, base: &BaseDomain, host: &str, path: &str) -> Found<'t> {
        if host == base.as_str() || (base.is_localhost() && matches!(host, "127.0.0.1" | "[::1]")) {
            return self.find_by_path(base, path);
        }
        let Some(name) = base.name_in(host) else { return Found::NoHost { ours: false } };
        if let Some(entry) = self.by_name.get(name) {
            return entry.find(path, 0);
        }
        if name == "router" {
            return Found::Router;
        }
        if self.wildcards > 0 {
            let mut rest = name;
            while let Some((_, parent)) = rest.split_once('.') {
                rest = parent;
                let Some(entry) = self.by_name.get(rest) else { continue };
                if entry.0.iter().any(|r| r.spec.wildcard) {
                    return entry.find_wildcard(path);
                }
            }
        }
        Found::NoHost { ours: true }
    }

    /// `/name/rest` on the bare base domain, for `localhost`, below which not every resolver knows names.
    fn find_by_path<'t>(&'t self, base: &BaseDomain, path: &str) -> Found<'t> {
        if path == "/" || path == "*" {
            return Found::Index;
        }
        if !base.is_localhost() {
            return Found::NoPath;
        }
        if is_ambiguous(path) {
            return Found::AmbiguousPath;
        }
        let rest = path.strip_prefix('/').unwrap_or(path);
        let segment = rest.split('/').next().unwrap_or(rest);
        // Names are kept in lower case; the length bound keeps a long path from being folded for nothing.
        let found = match segment {
            s if s.len() > 253 => None,
            s if s.bytes().any(|b| b.is_ascii_uppercase()) => self.by_name.get(s.to_ascii_lowercase().as_str()),
            s => self.by_name.get(s),
        };
        found.map_or(Found::NoPath, |entry| entry.find(path, 1 + segment.len()))
    }
}

impl NameEntry {
    /// The route for `path`, whose first `skip` bytes are the route's name as a path prefix.
    fn find(&self, path: &str, skip: usize) -> Found<'_> {
        self.pick(path, skip, |_| true)
    }

    fn find_wildcard(&self, path: &str) -> Found<'_> {
        self.pick(path, 0, |route| route.spec.wildcard)
    }

    fn pick(&self, path: &str, skip: usize, takes: impl Fn(&Route) -> bool) -> Found<'_> {
        // Sorted by the length of the prefix: where the first has none, no other has one.
        let by_prefix = self.0.first().is_some_and(|r| r.spec.path_prefix.is_some());
        if by_prefix && skip == 0 && is_ambiguous(path) {
            return Found::AmbiguousPath;
        }
        let rest = path.get(skip..).unwrap_or("");
        for route in self.0.iter().filter(|r| takes(r)) {
            let covered = match &route.spec.path_prefix {
                None => 0,
                Some(prefix) if prefix.covers(rest) => prefix.as_str().len(),
                Some(_) => continue,
            };
            let strip = if route.spec.strip_prefix { skip + covered } else { 0 };
            return Found::Route { route, strip, whole_host: !by_prefix && skip == 0 };
        }
        Found::NoPath
    }
}

fn prefix(route: &Route) -> &str {
    route.spec.path_prefix.as_ref().map_or("", |p| p.as_str())
}

/// True for a path with a segment that is `.` or `..` once percent-encoding of dots, slashes and backslashes is undone:
/// the upstream may undo it, and then leave the prefix the path was matched by. Browsers resolve such paths themselves.
fn is_ambiguous(path: &str) -> bool {
    // One pass that gives up at once for the usual path, which has neither.
    if !path.contains("/.") && !path.contains('%') {
        return false;
    }
    let mut segment = Vec::with_capacity(4);
    let mut rest = path.as_bytes();
    loop {
        let (byte, taken) = match rest {
            [] => (b'/', 0),
            [b'%', b'2', b'e' | b'E', ..] => (b'.', 3),
            [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => (b'/', 3),
            [byte, ..] => (*byte, 1),
        };
        match byte {
            // Some servers take what follows a semicolon for a parameter of the segment.
            b'/' => {
                let name = segment.split(|b| *b == b';').next().unwrap_or_default();
                if matches!(name, b"." | b"..") {
                    return true;
                }
                segment.clear();
            }
            byte => segment.push(byte),
        }
        if taken == 0 {
            return false;
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::route::{RouteConfig, RouteSpec};

    fn route(sequence: u64, name: &str, change: impl FnOnce(&mut RouteConfig)) -> Arc<Route> {
        let mut config = RouteConfig::new(format!("d{sequence}"), "p", name, "localhost", 1);
        change(&mut config);
        Arc::new(Route {
            id: RouteId::from(format!("route_{sequence}").as_str()),
            spec: RouteSpec::parse(&config).unwrap(),
            origin: crate::route::RouteOrigin::Registered,
            target_revision: 0,
            sequence,
            created_at: SystemTime::UNIX_EPOCH,
            cut: Arc::default(),
            life: crate::life::RouteLife::new(false),
        })
    }

    fn table() -> RouteTable {
        [
            route(1, "app", |_| {}),
            route(2, "shop", |_| {}),
            route(3, "shop", |c| c.path_prefix = Some("/api".into())),
            route(4, "shop", |c| {
                c.path_prefix = Some("/api/v2".into());
                c.strip_prefix = Some(false);
            }),
            route(5, "kept", |c| c.strip_prefix = Some(false)),
            route(6, "wild", |c| c.wildcard = true),
            route(7, "only", |c| c.path_prefix = Some("/api".into())),
        ]
        .into_iter()
        .fold(RouteTable::default(), |table, route| table.with(route))
    }

    /// The found route's id and the path that is left, or the name of what was found instead.
    fn find(base: &str, host: &str, path: &str) -> String {
        match table().find(&BaseDomain::parse(base).unwrap(), host, path) {
            Found::Route { route, strip, .. } => format!("{} {}", route.sequence, &path[strip..]),
            Found::Index => "index".into(),
            Found::Router => "router".into(),
            Found::NoPath => "no path".into(),
            Found::NoHost { ours } => format!("no host {ours}"),
            Found::AmbiguousPath => "ambiguous".into(),
        }
    }

    #[test]
    fn hosts_and_paths() {
        for (host, path, want) in [
            ("app.localhost", "/", "1 /"),
            ("app.localhost", "/a/../b", "1 /a/../b"),
            ("app.localhost", "*", "1 *"),
            ("localhost", "/", "index"),
            ("localhost", "/app", "1 "),
            ("localhost", "/app/", "1 /"),
            ("localhost", "/App/x", "1 /x"),
            ("127.0.0.1", "/app/x", "1 /x"),
            ("[::1]", "/app/x", "1 /x"),
            ("localhost", "/apple", "no path"),
            ("localhost", "//app", "no path"),
            ("localhost", "/%61pp/", "no path"),
            ("localhost", "/app%2fx", "no path"),
            ("localhost", "/app/%2fx", "1 /%2fx"),
            ("localhost", "/app/../shop", "ambiguous"),
            ("localhost", "/app/%2e%2e/shop", "ambiguous"),
            ("localhost", "/app/.%2E/shop", "ambiguous"),
            ("localhost", "/app/..%2fshop", "ambiguous"),
            ("localhost", "/app/..%5cshop", "ambiguous"),
            ("localhost", "/app/..;x/shop", "ambiguous"),
            ("localhost", "/app/..", "ambiguous"),
            ("localhost", "/app/...", "1 /..."),
            ("localhost", "/app/.well-known/x", "1 /.well-known/x"),
            ("localhost", "/kept/x", "5 /kept/x"),
            ("localhost", "/shop/api/x", "3 /x"),
            ("localhost", "/shop/api/v2/x", "4 /shop/api/v2/x"),
            ("shop.localhost", "/api", "3 "),
            ("shop.localhost", "/api/x", "3 /x"),
            ("shop.localhost", "/apix", "2 /apix"),
            ("shop.localhost", "/api/v2/x", "4 /api/v2/x"),
            ("shop.localhost", "/api/../x", "ambiguous"),
            ("only.localhost", "/", "no path"),
            ("a.wild.localhost", "/", "6 /"),
            ("b.a.wild.localhost", "/x", "6 /x"),
            ("a.app.localhost", "/", "no host true"),
            ("nothing.localhost", "/app/", "no host true"),
            ("router.localhost", "/", "router"),
            ("evil.test", "/app/", "no host false"),
            ("applocalhost", "/", "no host false"),
            ("app.localhost.evil.test", "/", "no host false"),
            ("192.168.0.1", "/app/", "no host false"),
            ("", "/", "no host false"),
        ] {
            assert_eq!(find("localhost", host, path), want, "{host} {path}");
        }
        for (host, path, want) in [
            ("app.mastra.local", "/x", "1 /x"),
            ("mastra.local", "/", "index"),
            ("mastra.local", "/app/", "no path"),
            ("appxmastra.local", "/", "no host false"),
            ("localhost", "/app/", "no host false"),
            ("127.0.0.1", "/app/", "no host false"),
        ] {
            assert_eq!(find("mastra.local", host, path), want, "{host} {path}");
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let full = table();
        assert_eq!(full.len(), 7);
        assert_eq!(full.by_project("p").map(|r| r.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        let emptied = (1..=7).fold(full.clone(), |t, i| t.without(&RouteId::from(format!("route_{i}").as_str())));
        assert!(emptied.is_empty() && emptied.by_name.is_empty() && emptied.by_project.is_empty());
        assert!(emptied.by_deployment.is_empty() && emptied.in_order.is_empty());
        assert_eq!(emptied.wildcards, 0);
        assert_eq!(full.len(), 7, "an older table does not change");
    }

    proptest::proptest! {
        /// Whatever is stripped, the forwarded path is the rest of what came, at a segment's border.
        #[test]
        fn a_prefix_is_whole_segments(path in "/[a-z/.%2ef]{0,12}") {
            if let Found::Route { strip, .. } = table().find(&BaseDomain::parse("localhost").unwrap(), "shop.localhost", &path) {
                let rest = &path[strip..];
                proptest::prop_assert!(rest.is_empty() || rest.starts_with('/'));
            }
        }
    }
}
