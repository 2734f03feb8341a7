//! A connection to whichever address of a target takes one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;

use super::checker::Fault;
use crate::target::{Target, TargetHost};

/// How long an address is tried alone. Loopback answers within microseconds or hangs for good (a full backlog, a dropping
/// firewall), and a check's timeout may be as short as 100 ms.
const STAGGER: Duration = Duration::from_millis(25);

/// The addresses of a target. A name that was not pinned (nothing is proxied to it) is resolved now, under the same rules.
pub(super) async fn addresses(target: &Target) -> Result<Vec<SocketAddr>, String> {
    let known: Vec<SocketAddr> = target.addresses().collect();
    let TargetHost::Name { name, .. } = target.host() else { return Ok(known) };
    if !known.is_empty() {
        return Ok(known);
    }
    let found = tokio::net::lookup_host((&**name, target.port()))
        .await
        .map_err(|error| format!("{name} does not resolve: {error}"))?;
    let pinned = target.clone().pin(found.map(|address| address.ip())).map_err(|error| error.to_string())?;
    Ok(pinned.addresses().collect())
}

/// Dials the addresses in their order, the next one as soon as one fails or keeps the others waiting; the first connection
/// that is made wins and the others are given up.
///
/// The error is that of the first address: the second loopback family fails on any machine without it.
pub(super) async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Fault> {
    let mut rest = addresses.iter().copied().enumerate();
    let mut dialled = FuturesUnordered::new();
    let mut first_failure: Option<(usize, Fault)> = None;
    loop {
        if let Some((index, address)) = rest.next() {
            dialled.push(async move { (index, address, TcpStream::connect(address).await) });
        }
        let done = if rest.len() == 0 {
            dialled.next().await
        } else {
            match tokio::time::timeout(STAGGER, dialled.next()).await {
                Ok(done) => done,
                Err(_) => continue,
            }
        };
        match done {
            Some((_, address, Ok(stream))) => return Ok((stream, address)),
            Some((index, address, Err(error))) => {
                if first_failure.as_ref().is_none_or(|(first, _)| index < *first) {
                    first_failure = Some((index, failure(address, &error)));
                }
            }
            None => return Err(first_failure.map_or_else(|| "it has no address".to_owned().into(), |(_, fault)| fault)),
        }
    }
}

/// As Node words it, which is what the people who read this know.
fn failure(address: SocketAddr, error: &io::Error) -> Fault {
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset => "ECONNRESET",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        _ => return format!("connect {address}: {error}").into(),
    };
    Fault { text: format!("connect {code} {address}"), refused: error.kind() == io::ErrorKind::ConnectionRefused }
}
