//! What is told of a request, where anybody listens.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use crate::event::{RequestInfo, RequestObserver, RequestProtocol};
use crate::route::Route;

/// A request that somebody wants to know of. Where nobody does there is none of these, and nothing is done for it.
pub(crate) struct Observed {
    observer: Arc<dyn RequestObserver>,
    since: Instant,
    info: RequestInfo,
}

impl Observed {
    /// Of a request whose head was read, which says this. What it does not say is empty.
    #[inline]
    pub(crate) fn begin(
        shared: &Shared,
        method: &str,
        host: &str,
        path: &str,
        protocol: RequestProtocol,
    ) -> Option<Box<Self>> {
        let observer = shared.observer.as_ref().filter(|observer| observer.is_watching())?;
        Some(Self::new(observer, RequestInfo::new(method, host, path, protocol)))
    }

    /// Of a request of which nothing can be trusted.
    pub(crate) fn unreadable(shared: &Shared, protocol: RequestProtocol) -> Option<Box<Self>> {
        Self::begin(shared, "", "", "", protocol)
    }

    #[cold]
    fn new(observer: &Arc<dyn RequestObserver>, info: RequestInfo) -> Box<Self> {
        Box::new(Self { observer: observer.clone(), since: Instant::now(), info })
    }

    /// Says which route it led to.
    pub(crate) fn led_to(&mut self, route: &Route) {
        self.info.route_id = Some(route.id.clone());
        self.info.subdomain = Some(route.spec.name.to_string());
    }

    /// Tells that the head of its answer goes out.
    #[cold]
    pub(crate) fn answered(&self, status: u16) {
        self.tell(status, self.info.protocol);
    }

    /// Tells that it has become a WebSocket.
    #[cold]
    pub(crate) fn switched(&self, status: u16) {
        self.tell(status, RequestProtocol::WebSocket);
    }

    fn tell(&self, status: u16, protocol: RequestProtocol) {
        let latency = self.since.elapsed();
        self.observer.answered(RequestInfo { status, protocol, latency, ..self.info.clone() });
    }
}
