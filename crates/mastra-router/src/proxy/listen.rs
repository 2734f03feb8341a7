//! Sockets that the proxy listens on.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{Result, RouterError};

/// Connections the system queues before they are accepted: thousands may come while a thread is busy, or while one router
/// takes the place of another, and one that finds no room tries again a second later. It cuts the number to its own limit.
const BACKLOG: i32 = 4096;

/// Whether several sockets can listen on one address and the system spreads connections over them.
pub(crate) const BALANCED: bool = cfg!(target_os = "linux");

/// Binds `address` once for each of `threads` workers. Port 0 becomes one port, the same for all of them.
///
/// # Errors
/// [`RouterError::PortInUse`] or [`RouterError::Listen`].
pub(crate) fn bind(address: SocketAddr, threads: usize) -> Result<(SocketAddr, Vec<TcpListener>)> {
    let failed = |address: SocketAddr| {
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => {
                RouterError::PortInUse { address, holder: crate::holder::port_holder(address.port()) }
            }
            _ => RouterError::Listen { address, source },
        }
    };
    // Two routers of one user that both share their port would each get half of the connections, and no error. So the
    // port is taken for oneself first, and only then shared among the workers.
    let alone = listener(address, false).map_err(failed(address))?;
    let local = alone.local_addr().map_err(failed(address))?;
    if !BALANCED {
        let copies = (1..threads).map(|_| alone.try_clone()).collect::<io::Result<Vec<_>>>();
        let mut listeners = copies.map_err(failed(local))?;
        listeners.push(alone);
        return Ok((local, listeners));
    }
    drop(alone);
    let listeners = (0..threads).map(|_| listener(local, true)).collect::<io::Result<Vec<_>>>();
    Ok((local, listeners.map_err(failed(local))?))
}

fn listener(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // One family each: what listens on the other is another socket of ours, or none.
        socket.set_only_v6(true)?;
    }
    // On Windows this option would let two processes listen on one port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(shared)?;
    #[cfg(not(target_os = "linux"))]
    let _ = shared;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
