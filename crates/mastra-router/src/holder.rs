//! Who listens on a port.

use std::collections::HashMap;

use listeners::{Protocol, SocketState};

/// Longest name of a process that is shown to people.
const NAME_MAX: usize = 64;

/// The process that listens on a TCP port, as people are told: `node (pid 4711)`. `None` where nobody does or the system
/// does not tell, as of other users' processes.
///
/// Reads all of the system's sockets and blocks for some milliseconds.
pub fn port_holder(port: u16) -> Option<String> {
    port_holders().remove(&port)
}

/// The listening process of every TCP port, as by [`port_holder`].
pub(crate) fn port_holders() -> HashMap<u16, String> {
    let all = listeners::get_all().unwrap_or_default();
    all.into_iter()
        .filter(|l| l.protocol == Protocol::TCP && l.state == SocketState::Listen)
        .map(|l| {
            // Anyone may name a process, and names end up in terminals.
            let name: String = l.process.name.chars().filter(|c| c.is_ascii_graphic()).take(NAME_MAX).collect();
            (l.socket.port(), format!("{name} (pid {})", l.process.pid))
        })
        .collect()
}
