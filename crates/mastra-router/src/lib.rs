//! Local edge router: names instead of ports for the servers of one machine.
//!
//! A [`LocalEdgeRouter`] is made of a [`LocalEdgeRouterConfig`] and used through [`EdgeRouterProvider`]: register a route, get
//! a URL that works, move it, remove it. With [`RoutingStrategy::PortMapping`], the default, the URL is the target's own;
//! with [`RoutingStrategy::ReverseProxy`] one port serves all routes, told apart by host or path. The router of another
//! process is used through [`control::ControlClient`], which has the same methods.
//!
//! ```
//! use mastra_router::{EdgeRouterProvider, LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RoutingStrategy};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mastra_router::Result<()> {
//! let router = LocalEdgeRouter::start(LocalEdgeRouterConfig {
//!     strategy: RoutingStrategy::ReverseProxy,
//!     proxy_port: 0,
//!     ..LocalEdgeRouterConfig::default()
//! })
//! .await?;
//! let route = router.register_route(RouteConfig::new("deploy-1", "project-1", "shop", "localhost", 5173)).await?;
//! let port = router.proxy_addresses()[0].port();
//! assert_eq!(route.public_url, format!("http://localhost:{port}/shop"));
//! router.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Parts can be used by themselves: [`RouteRegistry`] and [`RouteTable`], [`PortManager`], [`HealthChecker`], [`ReverseProxy`],
//! [`HostsManager`].

mod activity;
mod certificates;
mod config;
mod constraints;
pub mod control;
mod directory;
mod error;
mod event;
mod health;
mod holder;
mod home;
mod hosts;
mod lease;
mod life;
mod local;
mod name;
mod persist;
mod ports;
mod process;
mod provider;
mod proxy;
mod registry;
mod report;
mod requests;
mod route;
mod table;
mod target;
pub mod terminal;
mod tls;
mod transport;
pub mod trust;
mod url;
mod user;

pub use activity::Activities;
pub use certificates::Certificates;
pub use config::{
    HealthCheckConfig, HostsConfig, HostsMode, LocalEdgeRouterConfig, LocalhostUrls, PortRange, ProxyConfig,
    RoutingStrategy, TlsConfig,
};
pub use error::{HeldPort, Result, RouterError};
pub use event::{RequestInfo, RequestObserver, RequestProtocol, RouterEvent};
pub use health::{CheckKind, CheckOutcome, HealthChecker, HealthMonitor, HealthRecord, HealthSettings};
pub use holder::port_holder;
pub use home::{Home, HomeHolder, HomeLock};
pub use hosts::{
    HostsChange, HostsEdit, HostsEntry, HostsFollower, HostsManager, HostsOwner, HostsOwnerKind, HostsSettings,
};
pub use lease::{LeaseUpdate, RouteLease};
pub use life::RouteActivity;
pub use local::LocalEdgeRouter;
pub use name::{BaseDomain, RouteName, suggest as suggest_name};
pub use persist::{SavedSettings, SavedState};
pub use ports::{LeaseFile, PortManager};
pub use provider::{EdgeRouterProvider, RouterControl};
pub use proxy::{ProxySetup, ProxyTls, ReverseProxy, Suspect};
pub use registry::RouteRegistry;
pub use report::CommandReport;
pub use requests::{RequestNews, Requests};
pub use route::{
    HealthPath, PathPrefix, Route, RouteConfig, RouteHealthStatus, RouteId, RouteInfo, RouteOrigin, RouteSpec,
    RouteStatus, RouteUpdate,
};
pub use table::{Found, RouteTable};
pub use target::{Addresses, Target, TargetHost, TargetScheme};
pub use tls::{AuthorityInfo, CertificateInfo, Clock, IssuedFiles, OwnFiles, TlsManager, TlsSettings};
pub use transport::TargetTls;
pub use user::{InvokingUser, default_cert_dir, default_lease_dir};

/// The README's examples are examples of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
