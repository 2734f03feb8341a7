//! One router takes another's place, in another process, without a moment at which nobody serves.

use std::io;
use std::net::TcpListener;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LocalEdgeRouter;
use crate::config::{LocalEdgeRouterConfig, RoutingStrategy};
use crate::error::Result;
use crate::proxy::Clients;

impl LocalEdgeRouter {
    /// As [`start`](Self::start), with a proxy on sockets that listen already: those of a router that hands over, or of a
    /// service manager. Their addresses count, not those of `config`; in `port-mapping` they are closed.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_on(config: LocalEdgeRouterConfig, listeners: Vec<TcpListener>) -> Result<Self> {
        let router = Self::new(config)?;
        if router.inner.config.strategy == RoutingStrategy::ReverseProxy {
            *router.inner.given.lock().unwrap_or_else(PoisonError::into_inner) = listeners;
            router.start_proxy().await?;
        }
        Ok(router)
    }

    /// Copies of the sockets the proxy listens on; none while it does not.
    ///
    /// # Errors
    /// What the system said.
    pub async fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        self.inner.proxy.lock().await.as_ref().map_or_else(|| Ok(Vec::new()), |proxy| proxy.listeners())
    }

    /// How many clients are connected to the proxy, those it waits for while it stops among them.
    pub fn connections(&self) -> usize {
        self.inner.clients.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Clients::count)
    }

    /// Gives up what one router alone can have, so that another may take it: the saved state once all is saved, leases,
    /// health checks, the hosts file with the names in it. The proxy goes on with the routes there are; other calls fail from
    /// now on with [`RouterError::Closed`](crate::RouterError::Closed). [`hand_over`](Self::hand_over) comes after it.
    pub async fn release(&self) {
        if self.inner.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        self.inner.health.stop();
        self.inner.requests.close();
        self.inner.health.stopped().await;
        self.inner.hosts.leave();
        if let Some(saving) = &self.inner.saving {
            saving.stop().await;
        }
        self.inner.release_ports().await;
    }

    /// Leaves new connections to whoever has copies of the [`listeners`](Self::listeners). Those that are open go on until
    /// `drain` is over, or until `cut_short` ends and then the drain timeout. Returns when they have ended.
    pub async fn hand_over(&self, drain: Duration, cut_short: impl Future<Output = ()>) {
        let proxy = self.inner.proxy.lock().await.take();
        self.inner.set_addresses(Vec::new());
        if let Some(proxy) = proxy {
            proxy.hand_over(drain, cut_short).await;
        }
    }
}
