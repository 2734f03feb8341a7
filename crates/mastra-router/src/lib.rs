//! Local edge router: names instead of ports for the servers of one machine.

mod config;
mod error;
mod event;
mod name;
mod provider;
mod registry;
mod route;
mod table;
mod target;

pub use config::{HealthCheckConfig, LocalEdgeRouterConfig, LocalhostUrls, PortRange, ProxyConfig, RoutingStrategy};
pub use error::{HeldPort, Result, RouterError};
pub use event::RouterEvent;
pub use name::{BaseDomain, RouteName, suggest as suggest_name};
pub use provider::{EdgeRouterProvider, RouterControl};
pub use registry::RouteRegistry;
pub use route::{
    HealthPath, PathPrefix, Route, RouteConfig, RouteHealthStatus, RouteId, RouteInfo, RouteSpec, RouteStatus,
    RouteUpdate,
};
pub use table::{Found, RouteTable};
pub use target::{Addresses, Target, TargetHost};
