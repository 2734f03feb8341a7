//! What stands behind the router, and how to ask through it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// A server that answers every path with its name; `/events` begins and does not end.
pub(crate) struct App {
    pub(crate) port: u16,
}

impl App {
    pub(crate) fn start(name: &'static str) -> Self {
        Self::with_health(name, 200)
    }

    /// One whose `/health` answers `status`.
    pub(crate) fn with_health(name: &'static str, status: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // They end with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || serve(stream, name, status));
            }
        });
        Self { port }
    }

    pub(crate) fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn serve(mut stream: TcpStream, name: &str, health: u16) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let _ = match path {
        "/events" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 0\n\n");
            // Open until the router closes it.
            stream.read(&mut [0]).map(drop)
        }
        "/health" => {
            write!(stream, "HTTP/1.1 {health} As-Asked\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        _ => write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{name}{path}",
            name.len() + path.len()
        ),
    };
}

/// The status and the body of an answer to a request for `host`.
pub(crate) fn ask(proxy: SocketAddr, host: &str, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

pub(crate) fn get(proxy: SocketAddr, host: &str, path: &str) -> (u16, String) {
    ask(proxy, host, &format!("GET {path}"), "")
}

/// A stream of events of which the first has come, so that it is open at both ends.
pub(crate) fn open_events(proxy: SocketAddr, host: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET /events HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the stream ended before its first event");
    }
    reader
}
