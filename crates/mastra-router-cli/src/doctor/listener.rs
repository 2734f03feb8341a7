//! Whether the router answers where it should, on both families, and who else does.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use mastra_router::port_holder;

use super::{Finding, Scene};

const CHECK: &str = "listener";
/// What is on this machine answers at once, or is not well.
const ANSWER_MOST: Duration = Duration::from_millis(400);
/// Where a router listens that was told nothing else.
const PORT: u16 = 3000;
/// No route can have this name, so the router itself answers.
const QUESTION: &[u8] =
    b"GET / HTTP/1.1\r\nhost: doctor.invalid\r\naccept: application/json\r\nconnection: close\r\n\r\n";
/// What it is recognised by.
const HEADER: &str = "x-mastra-router-error:";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    match &scene.router {
        Some(router) => {
            let listen: Vec<SocketAddr> = router.listen.iter().filter_map(|address| address.parse().ok()).collect();
            if listen.is_empty() {
                return vec![Finding::ok(CHECK, "nothing is proxied with this strategy")];
            }
            serving(scene, &listen)
        }
        None => free(scene),
    }
}

/// A router that runs: every address of it answers, and nobody else answers in its name.
fn serving(scene: &Scene, listen: &[SocketAddr]) -> Vec<Finding> {
    let mut found = Vec::new();
    for address in listen {
        match ask(reachable(*address)) {
            Answer::Router => {}
            Answer::Other => {
                let message = format!("{address} is answered by {}, and not by the router", holder(address.port()));
                found.push(Finding::fail(CHECK, "PORT_IN_USE", message, who(address.port())));
            }
            Answer::Nothing(why) => {
                let message = format!("{address} does not answer: {why}");
                found.push(Finding::fail(CHECK, "LISTENER_NOT_ANSWERING", message, scene.command("restart")));
            }
        }
    }
    if found.is_empty() {
        let shown: Vec<String> = listen.iter().map(ToString::to_string).collect();
        found.push(Finding::ok(CHECK, format!("answers on {}", shown.join(", "))));
    }
    found.extend(listen.first().and_then(|first| other_family(scene, listen, first.port())));
    found
}

/// Names lead to both loopback addresses, and programs try one of them first.
fn other_family(scene: &Scene, listen: &[SocketAddr], port: u16) -> Option<Finding> {
    let covers = |ip: IpAddr| {
        listen
            .iter()
            .any(|a| a.port() == port && (a.ip() == ip || a.ip().is_unspecified() && a.is_ipv4() == ip.is_ipv4()))
    };
    let all = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let missing = all.into_iter().find(|ip| !covers(*ip) && has(*ip))?;
    let address = SocketAddr::new(missing, port);
    if TcpStream::connect_timeout(&address, ANSWER_MOST).is_ok() {
        let message =
            format!("{address} belongs to {}; programs that try it first do not reach the router", holder(port));
        return Some(Finding::fail(CHECK, "PORT_IN_USE", message, who(port)));
    }
    let message = format!("nothing listens on {address}, which some programs try first");
    let stop = scene.command("stop");
    let start = scene.command(&format!("start --listen 127.0.0.1:{port} --listen '[::1]:{port}'"));
    let fix = format!("{stop} && {start}");
    Some(Finding::warn(CHECK, "LISTENER_ONE_FAMILY", message, fix))
}

/// Where no router runs: whether one could listen.
fn free(scene: &Scene) -> Vec<Finding> {
    let saved = scene.saved.as_ref().map(|saved| saved.settings.listen.clone()).unwrap_or_default();
    let default = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].map(|ip| SocketAddr::new(ip, PORT));
    let wanted = if saved.is_empty() { default.to_vec() } else { saved };
    let taken = wanted
        .iter()
        .filter(|address| address.port() != 0)
        .find(|address| TcpStream::connect_timeout(&reachable(**address), ANSWER_MOST).is_ok());
    match taken {
        Some(address) => {
            let port = address.port();
            let message = format!("port {port} is held by {}, so a router cannot start there", holder(port));
            let fix = scene.command("start --listen 127.0.0.1:0");
            vec![Finding::fail(CHECK, "PORT_IN_USE", message, fix)]
        }
        None => {
            let shown: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            vec![Finding::ok(CHECK, format!("{} can be listened on", shown.join(", ")))]
        }
    }
}

/// Whether the machine has this address.
fn has(ip: IpAddr) -> bool {
    TcpListener::bind((ip, 0)).is_ok()
}

/// Where a wildcard address is asked.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}

fn holder(port: u16) -> String {
    port_holder(port).unwrap_or_else(|| "another process".to_owned())
}

/// The command that tells more of a holder.
fn who(port: u16) -> String {
    let holder = port_holder(port);
    let pid = holder.as_deref().and_then(|holder| holder.rsplit_once("(pid ")?.1.strip_suffix(')'));
    pid.map_or_else(|| format!("sudo ss -ltnp 'sport = :{port}'"), |pid| format!("kill {pid}"))
}

enum Answer {
    Router,
    Other,
    Nothing(String),
}

fn ask(address: SocketAddr) -> Answer {
    match asked(address) {
        Ok(head) if head.to_ascii_lowercase().contains(HEADER) => Answer::Router,
        Ok(_) => Answer::Other,
        Err(error) => Answer::Nothing(error.to_string()),
    }
}

fn asked(address: SocketAddr) -> std::io::Result<String> {
    let until = Instant::now() + ANSWER_MOST;
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MOST)?;
    stream.set_write_timeout(Some(ANSWER_MOST))?;
    stream.write_all(QUESTION)?;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 64 * 1024 {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            n => head.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
