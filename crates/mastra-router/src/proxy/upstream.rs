//! Connections to upstreams: made on whichever address answers, kept by each thread for the next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::target::{Target, TargetScheme};
pub(crate) use crate::transport::Connection as UpstreamIo;
use crate::transport::{H2cConnection, TargetTls};

/// How long an idle connection is kept. Node closes its own after five seconds: a request that is sent while the
/// upstream closes is lost, so ours must go first.
const IDLE: Duration = Duration::from_millis(3500);
const SWEEP: Duration = Duration::from_millis(500);

/// A connection to an upstream.
pub(crate) struct Upstream {
    pub(crate) io: UpstreamIo,
    /// Whether a request was sent on it before: then it may turn out to be closed.
    pub(crate) reused: bool,
}

struct Idle {
    io: UpstreamIo,
    since: Instant,
}

#[derive(Default)]
struct Pool {
    idle: HashMap<Target, Vec<Idle>>,
    /// Connections that take many requests at once, and when one was last given out.
    shared: HashMap<Target, (H2cConnection, Instant)>,
    /// The address that answered last, where a target has several.
    answered: HashMap<Target, SocketAddr>,
    /// When a target refused last.
    refused: HashMap<Target, Instant>,
    sweeping: bool,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// An idle connection of this thread to `target`, the one that was used last: it is the least likely to be closed.
///
/// A connection on which something has arrived is closed or out of step, and is dropped. `probe` asks the system too,
/// which costs a call and leaves the smallest gap: for requests that cannot be sent twice.
pub(crate) fn reuse(target: &Target, probe: bool) -> Option<Upstream> {
    POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        if target.scheme() == TargetScheme::H2c {
            let (connection, used) = pool.shared.get_mut(target)?;
            if !connection.is_open() {
                pool.shared.remove(target);
                return None;
            }
            *used = Instant::now();
            return connection.has_room().then(|| Upstream { io: connection.stream(), reused: true });
        }
        let idle = pool.idle.get_mut(target)?;
        let now = Instant::now();
        while let Some(Idle { mut io, since }) = idle.pop() {
            if now.duration_since(since) > IDLE {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if io.is_quiet(probe) {
                return Some(Upstream { io, reused: true });
            }
        }
        None
    })
}

/// Keeps a connection whose last answer was read to its end, for the next request.
pub(crate) fn keep(target: &Target, io: UpstreamIo, most: usize) {
    let now = Instant::now();
    let start_sweep = POOL.with(|pool| {
        let mut pool = pool.borrow_mut();
        if let UpstreamIo::H2c(stream) = &io {
            // One that takes requests stays: this one may be about to end.
            let held = pool.shared.get_mut(target);
            if held.is_none_or(|(held, _)| !held.is_open() || !held.has_room()) {
                pool.shared.insert(target.clone(), (stream.connection().clone(), now));
            }
            return !std::mem::replace(&mut pool.sweeping, true);
        }
        let idle = match pool.idle.get_mut(target) {
            Some(idle) => idle,
            None => pool.idle.entry(target.clone()).or_default(),
        };
        if idle.len() >= most {
            return false;
        }
        idle.push(Idle { io, since: now });
        !std::mem::replace(&mut pool.sweeping, true)
    });
    if start_sweep {
        // Ends by itself when the pool is empty, so an idle router has no timer.
        tokio::spawn(async {
            while POOL.with(|pool| pool.borrow_mut().sweep()) {
                tokio::time::sleep(SWEEP).await;
            }
        });
    }
}

impl Pool {
    /// Drops what is too old; false when nothing is left.
    fn sweep(&mut self) -> bool {
        let now = Instant::now();
        // Streams that are under way keep their connection without us.
        self.shared.retain(|_, (connection, used)| connection.is_open() && now.duration_since(*used) <= IDLE);
        self.idle.retain(|_, idle| {
            let old = idle.iter().take_while(|i| now.duration_since(i.since) > IDLE).count();
            idle.drain(..old);
            !idle.is_empty()
        });
        self.sweeping = !self.idle.is_empty() || !self.shared.is_empty();
        // What answered is learnt anew with one failed attempt; it must not grow with every target there ever was.
        if self.answered.len() > 1024 {
            self.answered.clear();
        }
        self.sweeping
    }
}

/// Why no connection was made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Nothing listens on any address of the target.
    Refused,
    /// No answer in time.
    TimedOut,
    /// This process has no descriptor left.
    Descriptors,
    /// The target does not speak TLS, or its certificate is not believed.
    Tls(io::Error),
    /// Any other failure.
    Failed(io::Error),
}

/// What one request has found holds for the others that wait for the same target, this long: thousands may.
const REFUSED_FOR: Duration = Duration::from_millis(50);

/// Whether the target refused a moment ago, so that one who waits need not ask.
pub(crate) fn has_just_refused(target: &Target) -> bool {
    POOL.with(|pool| pool.borrow().refused.get(target).is_some_and(|at| at.elapsed() < REFUSED_FOR))
}

/// Remembers that it refused now.
pub(crate) fn refused(target: &Target) {
    POOL.with(|pool| {
        let refused = &mut pool.borrow_mut().refused;
        refused.retain(|_, at| at.elapsed() < REFUSED_FOR);
        refused.insert(target.clone(), Instant::now());
    });
}

/// Connects to the target: to the address that answered last, then to the others in their order.
///
/// Dropping it half-way makes no connection.
pub(crate) async fn connect(target: &Target, timeout: Duration, tls: &TargetTls) -> Result<Upstream, ConnectError> {
    let last = POOL.with(|pool| pool.borrow().answered.get(target).copied());
    let mut failure = ConnectError::Refused;
    let rest = target.addresses().filter(|a| Some(*a) != last);
    for address in last.into_iter().chain(rest) {
        match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(io)) => {
                // A proxy decides itself when to send; waiting for more would only delay what is complete.
                let _ = io.set_nodelay(true);
                if last != Some(address) && target.addresses().nth(1).is_some() {
                    POOL.with(|pool| pool.borrow_mut().answered.insert(target.clone(), address));
                }
                return begin(io, target, timeout, tls).await;
            }
            Ok(Err(error)) => match error.kind() {
                io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {}
                _ if is_out_of_descriptors(&error) => return Err(ConnectError::Descriptors),
                // A machine without IPv6 has no route to ::1; that says nothing about the target.
                io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkUnreachable if target.is_loopback() => {}
                _ => failure = ConnectError::Failed(error),
            },
            Err(_) => failure = ConnectError::TimedOut,
        }
    }
    Err(failure)
}

/// Agrees with the target on what is spoken.
async fn begin(io: TcpStream, target: &Target, timeout: Duration, tls: &TargetTls) -> Result<Upstream, ConnectError> {
    if target.scheme() == TargetScheme::Http {
        return Ok(Upstream { io: UpstreamIo::Tcp(io), reused: false });
    }
    match tokio::time::timeout(timeout, Box::pin(UpstreamIo::begin(io, target, tls))).await {
        Ok(Ok(io)) => Ok(Upstream { io, reused: false }),
        Ok(Err(error)) if target.scheme().is_tls() && is_of_tls(&error) => Err(ConnectError::Tls(error)),
        Ok(Err(error)) => Err(ConnectError::Failed(error)),
        Err(_) => Err(ConnectError::TimedOut),
    }
}

/// A target that knows no TLS answers with something else, or closes at once.
fn is_of_tls(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof || error.get_ref().is_some_and(|e| e.is::<rustls::Error>())
}

/// EMFILE or ENFILE: of the process, or of the system.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}
