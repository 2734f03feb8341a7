//! Whether a server could listen on a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Where dev servers listen. One that holds any of these holds the port, and binding another of them may still succeed.
const ADDRESSES: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    IpAddr::V6(Ipv6Addr::UNSPECIFIED),
];

/// Whether both loopback addresses and both wildcards can be bound, one after the other, as far as the machine has them.
/// Nothing is left behind: the sockets never listen.
pub(super) fn is_free(port: u16) -> bool {
    let mut bound = false;
    for ip in ADDRESSES {
        match bind(SocketAddr::new(ip, port)) {
            Ok(()) => bound = true,
            Err(error) if lacks_family(&error) => {}
            Err(_) => return false,
        }
    }
    bound
}

fn bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Otherwise `::` would be `0.0.0.0` too, and fail where there is only the one.
        socket.set_only_v6(true)?;
    }
    // As servers on Unix do it, so that a port in TIME_WAIT is free. It never shares a port with a listener on the same
    // address; on BSD it does with one on another address, which is why all four are tried. On Windows it would share any.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// True for the errors of a machine without IPv6 (or without IPv4).
fn lacks_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || Errno::from_io_error(error)
            .is_some_and(|errno| matches!(errno, Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::NOPROTOOPT))
}
