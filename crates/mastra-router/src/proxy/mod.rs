//! The reverse proxy: one port, many routes. It reads the table and never writes it.

mod answer;
mod client;
mod exchange;
mod forward;
mod listen;
mod observed;
mod page;
mod request;
mod response;
mod rewrite;
mod tunnel;
mod upgrade;
mod upstream;
mod waiting;
mod worker;

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, watch};

use self::page::Routes;
use self::worker::{Stop, Worker};
use crate::certificates::Certificates;
use crate::config::ProxyConfig;
use crate::error::{Result, RouterError};
use crate::event::RequestObserver;
use crate::name::BaseDomain;
use crate::route::{Route, RouteId};
use crate::table::RouteTable;
use crate::transport::TargetTls;

/// Told the id of a route whose target refused a connection, or took one after it had. Called on the path of a request: it
/// must not wait.
pub type Suspect = Arc<dyn Fn(&RouteId) + Send + Sync>;

/// How the proxy deals with TLS.
#[derive(Clone)]
pub struct ProxyTls {
    /// Whoever holds the certificates. Without, clients that speak TLS are turned away.
    pub certificates: Option<Arc<dyn Certificates>>,
    /// Whether the URL of a route that does not say is `https`.
    pub by_default: bool,
    /// Whether a client that asks for an `https` route without TLS is sent there.
    pub redirect: bool,
    /// How targets are spoken to that speak TLS themselves.
    pub targets: TargetTls,
}

/// What a proxy works with.
#[derive(Clone)]
pub struct ProxySetup {
    /// The domain that routes live under.
    pub base: BaseDomain,
    /// Its settings.
    pub config: ProxyConfig,
    /// Shows the routes, now and after every change.
    pub reader: watch::Receiver<Arc<RouteTable>>,
    /// Told of routes whose targets have begun or ceased to listen.
    pub suspect: Suspect,
    /// How it deals with TLS.
    pub tls: ProxyTls,
    /// Told of every request that is answered, while it says that it wants to be.
    pub observer: Option<Arc<dyn RequestObserver>>,
}

/// What all workers share, and none changes.
struct Shared {
    base: BaseDomain,
    config: ProxyConfig,
    limits: http1::Limits,
    suspect: Suspect,
    tls: ProxyTls,
    observer: Option<Arc<dyn RequestObserver>>,
    /// Whether one of the listeners has the port that `https` URLs mean without saying.
    has_port_443: bool,
    /// Requests at one time on an HTTP/2 connection.
    streams: u32,
}

impl Shared {
    /// The routes of `table` as our own answers show them, to a client of the listener on `port`.
    fn routes<'t>(&'t self, table: &'t RouteTable, port: u16) -> Routes<'t> {
        Routes { table, base: &self.base, port, https: self.tls.by_default }
    }

    /// Whether clients are to ask for the route over TLS.
    fn redirects(&self, route: &Route) -> bool {
        self.tls.redirect && route.spec.tls.unwrap_or(self.tls.by_default)
    }

    /// The authority of the `https` URL that stands for a plain one. Every listener speaks both, so the port stays; but
    /// one that was left out means another port with each scheme.
    fn https_authority(&self, authority: &str) -> String {
        let host = request::without_port(authority);
        match authority.get(host.len() + 1..) {
            Some(port) if !matches!(port, "" | "80") => authority.to_owned(),
            _ if self.has_port_443 => host.to_owned(),
            _ => format!("{host}:80"),
        }
    }
}

/// A running reverse proxy. Dropping it stops it too, without waiting for the end.
#[must_use = "a proxy that is dropped stops"]
pub struct ReverseProxy {
    addresses: Vec<SocketAddr>,
    /// Copies of the sockets that the workers listen on, for whoever is to listen on them too.
    listeners: Vec<TcpListener>,
    clients: Clients,
    stop: watch::Sender<Stop>,
    cut: watch::Sender<()>,
    workers: Vec<JoinHandle<()>>,
}

impl ReverseProxy {
    /// Listens on `addresses` and serves the routes, on threads of its own.
    ///
    /// ::1 is left out on a machine without IPv6, where 127.0.0.1 is among the addresses too.
    ///
    /// # Errors
    /// [`RouterError::PortInUse`] or [`RouterError::Listen`]; then nothing is left behind.
    pub fn start(addresses: &[SocketAddr], setup: ProxySetup) -> Result<Self> {
        let bound = bind_all(addresses, setup.config.threads.unwrap_or_else(default_threads))?;
        Self::serve(bound, setup)
    }

    /// As [`start`](Self::start), on sockets that listen already: those of another proxy
    /// ([`listeners`](Self::listeners)), or of a service manager. Connections that wait in their queues are served.
    ///
    /// # Errors
    /// [`RouterError::Listen`] for a socket that is of no use.
    pub fn start_on(listeners: Vec<TcpListener>, setup: ProxySetup) -> Result<Self> {
        let bound = share(listeners, setup.config.threads.unwrap_or_else(default_threads))?;
        Self::serve(bound, setup)
    }

    fn serve((bound, per_worker): (Vec<SocketAddr>, PerWorker), setup: ProxySetup) -> Result<Self> {
        let ProxySetup { base, config, reader, suspect, tls, observer } = setup;
        let most = config.max_connections.min(descriptors() / 2).clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let copies: std::io::Result<_> = per_worker.iter().flatten().map(TcpListener::try_clone).collect();
        let listeners = copies.map_err(|source| RouterError::Thread { source })?;
        let limits = http1::Limits::default();
        let has_port_443 = bound.iter().any(|address| address.port() == 443);
        let shared =
            Arc::new(Shared { base, config, limits, suspect, tls, observer, has_port_443, streams: streams() });
        let (stop, stopped) = watch::channel(Stop::No);
        let (cut, has_cut) = watch::channel(());
        let workers = Vec::with_capacity(per_worker.len());
        let clients = Clients { places: places.clone(), most };
        let mut proxy = Self { addresses: bound, listeners, clients, stop, cut, workers };
        for (i, listeners) in per_worker.into_iter().enumerate() {
            let (reader, shared, places) = (reader.clone(), shared.clone(), places.clone());
            let (stop, cut) = (stopped.clone(), has_cut.clone());
            let worker = Worker { listeners, reader, shared, places, stop, cut };
            let thread = std::thread::Builder::new().name(format!("proxy-{i}")).spawn(move || {
                if let Err(error) = worker.run() {
                    tracing::error!(%error, "a proxy thread could not serve");
                }
            });
            let failed = |source| RouterError::Thread { source };
            proxy.workers.push(thread.map_err(failed)?);
        }
        Ok(proxy)
    }

    /// The addresses it listens on, with the ports it got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Copies of the sockets it listens on, several for one address where the system spreads connections over them. Another
    /// proxy that has all of them misses no connection, whichever of the two accepts.
    ///
    /// # Errors
    /// What the system said.
    pub fn listeners(&self) -> std::io::Result<Vec<TcpListener>> {
        self.listeners.iter().map(TcpListener::try_clone).collect()
    }

    /// Counts the clients that are connected, also once it was told to stop.
    pub(crate) fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// Takes no more connections, since another proxy listens on the same sockets. Connections that are open go on: an
    /// exchange and what comes of it until `drain` is over, one without a request for a few seconds, in which a request is
    /// answered with `Connection: close`. Returns when all have ended, or, when `cut_short` ends, as [`stop`](Self::stop).
    pub async fn hand_over(mut self, drain: std::time::Duration, cut_short: impl Future<Output = ()>) {
        self.listeners.clear();
        self.stop.send_replace(Stop::HandOver(drain));
        let workers = std::mem::take(&mut self.workers);
        let mut joined = tokio::task::spawn_blocking(|| workers.into_iter().for_each(|w| drop(w.join())));
        tokio::select! {
            _ = &mut joined => return,
            () = cut_short => {}
        }
        self.stop.send_replace(Stop::Drain);
        let _ = joined.await;
    }

    /// Ends the streams that are open through a route, also one that is not in the table any more: WebSockets, and answers
    /// of which nobody said how long they are. It returns before they have ended.
    pub(crate) fn cut(&self, route: &Route) {
        route.cut.store(true, Ordering::Release);
        self.cut.send_replace(());
    }

    /// Takes no more connections, lets open exchanges end within the drain timeout, and ends what is left.
    ///
    /// Once it has been polled, the proxy stops even if this is dropped.
    pub async fn stop(mut self) {
        self.listeners.clear();
        self.stop.send_replace(Stop::Drain);
        let workers = std::mem::take(&mut self.workers);
        let joined = tokio::task::spawn_blocking(|| workers.into_iter().for_each(|w| drop(w.join())));
        let _ = joined.await;
    }
}

impl Drop for ReverseProxy {
    fn drop(&mut self) {
        self.stop.send_replace(Stop::Drain);
    }
}

/// Spreads sockets that listen over the workers: none is left out, and each worker has one of every address.
fn share(listeners: Vec<TcpListener>, threads: usize) -> Result<(Vec<SocketAddr>, PerWorker)> {
    let mut of: Vec<(SocketAddr, Vec<TcpListener>)> = Vec::new();
    for listener in listeners {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = listener.local_addr().map_err(|source| RouterError::Listen { address: unknown, source })?;
        listener.set_nonblocking(true).map_err(|source| RouterError::Listen { address, source })?;
        match of.iter_mut().find(|(known, _)| *known == address) {
            Some((_, sockets)) => sockets.push(listener),
            None => of.push((address, vec![listener])),
        }
    }
    let mut per_worker: PerWorker = (0..threads).map(|_| Vec::new()).collect();
    let mut bound = Vec::with_capacity(of.len());
    for (address, mut sockets) in of {
        for i in 0..threads.saturating_sub(sockets.len()) {
            // Two workers that wait on one socket: whichever is quicker has the connection.
            let copy = sockets.get(i).map(TcpListener::try_clone).transpose();
            sockets.extend(copy.map_err(|source| RouterError::Listen { address, source })?);
        }
        bound.push(address);
        for (i, socket) in sockets.into_iter().enumerate() {
            if let Some(worker) = per_worker.get_mut(i % threads.max(1)) {
                worker.push(socket);
            }
        }
    }
    Ok((bound, per_worker))
}

/// The clients of a proxy.
#[derive(Clone)]
pub(crate) struct Clients {
    places: Arc<Semaphore>,
    most: usize,
}

impl Clients {
    /// How many are connected.
    pub(crate) fn count(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }
}

/// Listeners of each worker, by worker.
type PerWorker = Vec<Vec<TcpListener>>;

/// Attempts on a port that both loopback families have free, where any will do.
const ANY_PORT_ATTEMPTS: usize = 32;

fn bind_all(addresses: &[SocketAddr], threads: usize) -> Result<(Vec<SocketAddr>, PerWorker)> {
    let any_port = addresses.len() > 1 && addresses.iter().all(|a| a.port() == 0);
    let mut attempts = if any_port { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        match bind_once(addresses, threads, any_port) {
            Err(RouterError::PortInUse { .. }) if attempts > 0 => {}
            outcome => return outcome,
        }
    }
}

/// Binds every address. With `one_port` the addresses of different families get the same port, so that one URL leads to
/// both.
fn bind_once(addresses: &[SocketAddr], threads: usize, one_port: bool) -> Result<(Vec<SocketAddr>, PerWorker)> {
    let mut per_worker: PerWorker = (0..threads).map(|_| Vec::new()).collect();
    let mut bound: Vec<SocketAddr> = Vec::new();
    for &asked in addresses {
        let port = match bound.first() {
            Some(first) if one_port && bound.iter().all(|b| b.ip() != asked.ip()) => first.port(),
            _ => asked.port(),
        };
        let (local, listeners) = match listen::bind(SocketAddr::new(asked.ip(), port), threads) {
            // A machine without IPv6 is served on IPv4.
            Err(RouterError::Listen { source, .. })
                if asked.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST)
                    && addresses.len() > 1
                    && source.kind() != std::io::ErrorKind::PermissionDenied =>
            {
                tracing::warn!(address = %asked, error = %source, "not listening on IPv6");
                continue;
            }
            outcome => outcome?,
        };
        bound.push(local);
        per_worker.iter_mut().zip(listeners).for_each(|(worker, listener)| worker.push(listener));
    }
    Ok((bound, per_worker))
}

/// Descriptors that connections may use: each takes one of its own and one for its upstream, so that a client that was
/// accepted can be served. The rest is for what the process has open besides.
fn descriptors() -> usize {
    const BESIDES: usize = 48;
    #[cfg(unix)]
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let limit = None;
    limit.and_then(|l| usize::try_from(l).ok()).map_or(usize::MAX, |l| l.saturating_sub(BESIDES))
}

/// Requests at one time on an HTTP/2 connection: each can hold a connection to its target, and browsers queue what is
/// beyond. Where descriptors are few, one client must not take them all.
fn streams() -> u32 {
    const MOST: usize = 250;
    u32::try_from((descriptors() / 8).clamp(8, MOST)).unwrap_or(8)
}

/// More threads than four only split the pools of upstream connections: four carry more than a machine's dev servers.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(4)
}
