//! The interface that programs register routes through.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::activity::Activities;
use crate::error::Result;
use crate::event::RouterEvent;
use crate::lease::RouteLease;
use crate::report::CommandReport;
use crate::requests::Requests;
use crate::route::{RouteConfig, RouteHealthStatus, RouteInfo, RouteUpdate};

/// Registers, moves and removes routes. Implemented by the router in this process and by the client of one in another.
///
/// Every method leaves things as they were when it fails. Dropping a future half-way is safe: the change either took
/// place or did not, and [`get_route`](Self::get_route) tells.
#[async_trait]
pub trait EdgeRouterProvider: Send + Sync {
    /// Kind of the provider: `local`.
    fn kind(&self) -> &'static str;

    /// Registers a route and returns once its URL is served. The first health check is part of the call, so it may take
    /// as long as a check's timeout; a failed check leaves the route `pending`,
    /// unless the configuration has `wait_healthy`: then it is not registered.
    async fn register_route(&self, config: RouteConfig) -> Result<RouteInfo>;

    /// Changes a route. Requests in flight finish on the old target.
    async fn update_route(&self, route_id: &str, update: RouteUpdate) -> Result<RouteInfo>;

    /// Removes a route, named by its id or, where no route has that id, its deployment's. Removing what is not there is
    /// no error.
    async fn remove_route(&self, route_id: &str) -> Result<()>;

    /// The route of a deployment.
    async fn get_route(&self, deployment_id: &str) -> Result<Option<RouteInfo>>;

    /// The routes of a project, in the order of registration.
    async fn list_routes(&self, project_id: &str) -> Result<Vec<RouteInfo>>;

    /// Checks a route's target now. A route that does not exist is reported as unhealthy, as the seed has it.
    async fn check_route_health(&self, route_id: &str) -> Result<RouteHealthStatus>;
}

/// What the command needs beyond the provider's six methods.
#[async_trait]
pub trait RouterControl: EdgeRouterProvider {
    /// All routes, in the order of registration.
    async fn all_routes(&self) -> Result<Vec<RouteInfo>>;

    /// How many routes there are.
    async fn route_count(&self) -> Result<usize>;

    /// The route of a route id, a deployment id or a name, looked for in this order. Of several routes with one name it is
    /// the one with the shortest path prefix; `name/prefix` is the one with that prefix.
    async fn find_route(&self, key: &str) -> Result<Option<RouteInfo>>;

    /// Removes a route, named by its id, where it is leased to the process of `lease`, and ends the streams that are open
    /// through it; other requests in flight finish. False where there is no such route, or it is leased to another by now.
    async fn end_lease(&self, route_id: &str, lease: &RouteLease) -> Result<bool>;

    /// Says how it stands with the command behind a route, named by its id: what a page shows while it starts, and that it
    /// has ended. It takes the place of what was said before, is gone with the route, and when the route becomes another
    /// process's; a move keeps the lines. [`RouterError::RouteNotFound`](crate::RouterError::RouteNotFound) where there is
    /// no such route, or it is leased to another process than the report says.
    async fn report_command(&self, route_id: &str, report: CommandReport) -> Result<()>;

    /// How a route is used that wakes what is behind it, named by its id: how it is now, and then whenever that changes.
    /// [`RouterError::RouteNotFound`](crate::RouterError::RouteNotFound) where there is no such route.
    async fn follow_activity(&self, route_id: &str) -> Result<Activities>;

    /// Leases a free port of the range to the router.
    async fn allocate_port(&self) -> Result<u16>;

    /// Gives a leased port back; false where it was not leased.
    async fn release_port(&self, port: u16) -> Result<bool>;

    /// What happens from now on.
    fn subscribe(&self) -> broadcast::Receiver<RouterEvent>;

    /// The requests that the proxy answers from the moment this returns, whether it runs already or not, until the router
    /// stops. In `port-mapping` there are none.
    async fn requests(&self) -> Result<Requests>;
}
