//! Local edge router: names instead of ports for the servers of one machine.

mod config;
pub mod control;
mod error;
mod event;
mod health;
mod holder;
mod home;
mod local;
mod name;
mod ports;
mod provider;
mod proxy;
mod registry;
mod route;
mod table;
mod target;
mod url;

pub use config::{HealthCheckConfig, LocalEdgeRouterConfig, LocalhostUrls, PortRange, ProxyConfig, RoutingStrategy};
pub use error::{HeldPort, Result, RouterError};
pub use event::RouterEvent;
pub use health::{CheckKind, CheckOutcome, HealthChecker, HealthMonitor, HealthRecord, HealthSettings};
pub use holder::port_holder;
pub use home::{Home, HomeLock};
pub use local::LocalEdgeRouter;
pub use name::{BaseDomain, RouteName, suggest as suggest_name};
pub use ports::PortManager;
pub use provider::{EdgeRouterProvider, RouterControl};
pub use proxy::{ReverseProxy, Suspect};
pub use registry::RouteRegistry;
pub use route::{
    HealthPath, PathPrefix, Route, RouteConfig, RouteHealthStatus, RouteId, RouteInfo, RouteSpec, RouteStatus,
    RouteUpdate,
};
pub use table::{Found, RouteTable};
pub use target::{Addresses, Target, TargetHost};
