//! Port leases within one process.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use mastra_router::{PortManager, PortRange, RouterError, port_holder};
use tempfile::TempDir;

use crate::span::free_span;

fn leases(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

fn manager(range: PortRange, dir: &TempDir) -> PortManager {
    PortManager::new(range, dir.path().join("ports"))
}

#[test]
fn the_lowest_free_port_comes_first() {
    let (range, dir) = (free_span(4), TempDir::new().unwrap());
    let ports = manager(range, &dir);
    assert!(ports.is_port_available(range.start));
    assert!(!dir.path().join("ports").exists(), "looking touches nothing");
    assert_eq!(ports.allocate().unwrap(), range.start);
    assert_eq!(ports.allocate().unwrap(), range.start + 1);
    assert_eq!(ports.allocate().unwrap(), range.start + 2);
    assert_eq!(ports.allocated(), [range.start, range.start + 1, range.start + 2]);
    assert!(!ports.is_port_available(range.start));
    assert!(ports.release(range.start) && ports.release(range.start + 1));
    assert!(!ports.release(range.start), "it was given back");
    assert_eq!(ports.allocate().unwrap(), range.start);
    assert_eq!(ports.allocated(), [range.start, range.start + 2]);

    let mode = std::fs::metadata(dir.path().join("ports")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    drop(ports);
    assert_eq!(leases(&dir.path().join("ports")), [""; 0], "nothing is left behind");
}

#[test]
fn a_port_is_reserved_once() {
    let (range, dir) = (free_span(2), TempDir::new().unwrap());
    let (ours, theirs) = (manager(range, &dir), manager(range, &dir));
    assert!(ours.reserve(range.start).unwrap());
    assert!(!ours.reserve(range.start).unwrap());
    assert!(!theirs.reserve(range.start).unwrap());
    assert!(!theirs.is_port_available(range.start));
    assert_eq!(theirs.allocate().unwrap(), range.start + 1);
    assert!(!theirs.release(range.start), "a lease of another manager");
    assert!(ours.release(range.start));
    assert!(theirs.reserve(range.start).unwrap());
}

#[test]
fn ports_that_browsers_refuse_are_skipped() {
    let dir = TempDir::new().unwrap();
    let ports = manager(PortRange { start: 6665, end: 6669 }, &dir);
    assert!(!ports.reserve(6667).unwrap());
    assert!(!ports.reserve(0).unwrap());
    assert!(!ports.is_port_available(6667));
    let error = ports.allocate().unwrap_err();
    assert!(
        error.to_string().starts_with("No available ports in range 6665-6669: 6665 blocked by browsers, "),
        "{error}"
    );
}

#[test]
fn a_listener_on_any_address_holds_the_port() {
    let dir = TempDir::new().unwrap();
    for host in ["127.0.0.1", "[::1]", "0.0.0.0", "[::]"] {
        let range = free_span(2);
        let ports = manager(range, &dir);
        let _listener = TcpListener::bind(format!("{host}:{}", range.start)).unwrap();
        assert!(!ports.is_port_available(range.start), "{host}");
        assert!(!ports.reserve(range.start).unwrap(), "{host}");
        assert_eq!(ports.allocate().unwrap(), range.start + 1, "{host}");
    }
}

#[test]
fn a_port_in_time_wait_is_free() {
    let (range, dir) = (free_span(1), TempDir::new().unwrap());
    let ports = manager(range, &dir);
    let listener = TcpListener::bind(("127.0.0.1", range.start)).unwrap();
    let mut client = TcpStream::connect(("127.0.0.1", range.start)).unwrap();
    // The side that closes first is the one that waits.
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop((client, listener));
    let strict = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], range.start));
    assert!(strict.bind(&address.into()).is_err(), "the port is in TIME_WAIT");
    assert_eq!(ports.allocate().unwrap(), range.start);
}

#[test]
fn exhaustion_names_the_holders() {
    let (range, dir) = (free_span(3), TempDir::new().unwrap());
    let ours = manager(range, &dir).with_label("house");
    let theirs = manager(range, &dir);
    let _listener = TcpListener::bind(("::1", range.start)).unwrap();
    let pid = std::process::id();
    assert_eq!(theirs.allocate_for("shop\x1b[2J\n0").unwrap(), range.start + 1);
    assert_eq!(ours.allocate().unwrap(), range.start + 2);
    let error = ours.allocate().unwrap_err();
    let process = port_holder(range.start).unwrap();
    assert!(process.ends_with(&format!(" (pid {pid})")), "{process}");
    let (start, end) = (range.start, range.end);
    assert_eq!(
        error.to_string(),
        format!(
            "No available ports in range {start}-{end}: {start} {process}, {} leased to shop[2J0 (pid {pid}), {end} leased to house (pid {pid})",
            start + 1
        )
    );
    assert_eq!(error.code(), "NO_PORT_AVAILABLE");
    assert_eq!(leases(&dir.path().join("ports")).len(), 2, "a port that was only tried leaves no file");
}

#[test]
fn threads_never_get_the_same_port() {
    let (range, dir) = (free_span(100), TempDir::new().unwrap());
    let managers = [manager(range, &dir), manager(range, &dir)];
    let taken: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let ports = &managers[thread % 2];
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for i in 0..10 {
                        let port = ports.allocate().unwrap();
                        // Some are given back, so that files go away while others open them.
                        if i % 3 == 0 {
                            assert!(ports.release(port));
                        } else {
                            kept.push(port);
                        }
                    }
                    kept
                })
            })
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(taken.len(), 48);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 48);
    assert_eq!(managers[0].allocated().len() + managers[1].allocated().len(), 48);
    drop(managers);
    assert_eq!(leases(&dir.path().join("ports")), [""; 0]);
}

#[test]
fn a_directory_that_is_not_only_ours_is_refused() {
    let (range, dir) = (free_span(1), TempDir::new().unwrap());
    let real = dir.path().join("real");
    std::fs::create_dir(&real).unwrap();
    let refused = |path: &Path, text: &str| match PortManager::new(range, path.to_owned()).allocate() {
        Err(RouterError::File { path: named, source, .. }) => {
            assert_eq!(named, path);
            assert!(source.to_string().contains(text), "{source}");
        }
        other => panic!("{other:?}"),
    };
    symlink(&real, dir.path().join("link")).unwrap();
    refused(&dir.path().join("link"), "it is a symbolic link");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o777)).unwrap();
    refused(&real, "other users can write to it");
    std::fs::write(dir.path().join("file"), "").unwrap();
    refused(&dir.path().join("file"), "");
    assert_eq!(leases(&real), [""; 0]);
}

#[test]
fn a_lease_file_is_never_followed() {
    let (range, dir) = (free_span(1), TempDir::new().unwrap());
    let ports = manager(range, &dir);
    std::fs::create_dir(dir.path().join("ports")).unwrap();
    let precious = dir.path().join("precious");
    std::fs::write(&precious, "kept").unwrap();
    let file = dir.path().join("ports").join(range.start.to_string());
    symlink(&precious, &file).unwrap();
    assert!(matches!(ports.allocate(), Err(RouterError::File { action: "lock", .. })));
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "99999\n1\nof one that died\n").unwrap();
    assert_eq!(ports.allocate().unwrap(), range.start, "a file that nobody has locked means nothing");
}

#[test]
fn nobody_holds_a_free_port() {
    assert_eq!(port_holder(free_span(1).start), None);
}
