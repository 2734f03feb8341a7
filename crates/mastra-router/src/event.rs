//! What happens to routes, told to whoever listens. Events tell people; state drives routing.

use crate::route::{RouteHealthStatus, RouteInfo, RouteStatus};

/// Something that happened. A listener that falls behind loses the oldest ones and reads the state anew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouterEvent {
    /// A route was registered.
    Registered(RouteInfo),
    /// A route was changed.
    Updated(RouteInfo),
    /// A route was removed.
    Removed(RouteInfo),
    /// A check of a route ended.
    Checked {
        /// The route, with the status it has now.
        route: RouteInfo,
        /// The status it had before.
        before: RouteStatus,
        /// What the check found.
        health: RouteHealthStatus,
    },
    /// All routes were removed.
    Cleared,
}
