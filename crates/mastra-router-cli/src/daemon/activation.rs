//! Sockets that a service manager has opened for us, as `sd_listen_fds(3)` describes: so a router of an ordinary user serves
//! ports 80 and 443.

use std::net::TcpListener;

use listenfd::ListenFd;

use crate::failure::Failure;

/// The sockets; none where there is no such manager. To be asked once, and before there are other threads.
///
/// # Errors
/// `LISTEN_FAILED` for one that is no TCP socket, or does not listen.
pub(crate) fn listeners() -> Result<Vec<TcpListener>, Failure> {
    // Without a pid they may be somebody else's, whose environment we have.
    if std::env::var_os("LISTEN_PID").is_none() {
        return Ok(Vec::new());
    }
    let mut given = ListenFd::from_env();
    let mut listeners = Vec::with_capacity(given.len());
    for index in 0..given.len() {
        let failed = |error: std::io::Error| {
            let message = format!("socket {index} of the service manager cannot be used: {error}");
            Failure::failed("LISTEN_FAILED", message)
        };
        if let Some(listener) = given.take_tcp_listener(index).map_err(failed)? {
            if !rustix::net::sockopt::socket_acceptconn(&listener).map_err(|error| failed(error.into()))? {
                return Err(failed(std::io::Error::other("it does not listen")));
            }
            listeners.push(listener);
        }
    }
    Ok(listeners)
}
