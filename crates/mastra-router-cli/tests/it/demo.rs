//! `demo`: every URL that it prints answers, and it leaves nothing.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use crate::app::{ask, get, open_events};
use crate::router::{Desk, Running, entries};

struct Demo {
    process: Running,
    ready: Value,
    proxy: SocketAddr,
    desk: Desk,
}

fn start() -> Demo {
    let desk = Desk::new();
    let mut process = Running::spawn(&mut desk.command(["demo", "--json", "--listen", "127.0.0.1:0"]));
    let ready = process.json_line();
    assert_eq!(ready["event"], "ready");
    let proxy = ready["listen"][0].as_str().unwrap().parse().unwrap();
    Demo { process, ready, proxy, desk }
}

#[test]
fn all_it_shows_works() {
    let Demo { ready, proxy, .. } = &start();
    let host = |url: &Value| url.as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let routes = ready["routes"].as_array().unwrap();
    assert_eq!(routes.len(), 2);
    for route in routes {
        let host = host(&route["publicUrl"]);
        assert_eq!(host, format!("{}.localhost:{}", route["subdomain"].as_str().unwrap(), proxy.port()));
        assert_eq!(route["status"], "active");
        assert_eq!(get(*proxy, &host, "/health"), (200, "{\"success\":true}\n".to_owned()));
        let (status, page) = get(*proxy, &host, "/");
        assert_eq!(status, 200);
        for part in ["events", "ws", "echo", route["subdomain"].as_str().unwrap()] {
            assert!(page.contains(part), "no {part} in the page");
        }
        assert_eq!(ask(*proxy, &host, "POST /echo", "hi there"), (200, "hi there".to_owned()));
        drop(open_events(*proxy, &host));
    }
    let base = host(&ready["url"]);
    assert_eq!(get(*proxy, &base, "/hello/health").0, 200);
    let (status, index) = get(*proxy, &base, "/");
    assert_eq!(status, 200);
    assert!(index.contains("hello.localhost") && index.contains("echo.localhost"), "{index}");
}

#[tokio::test]
async fn its_websocket_answers() {
    let demo = start();
    for name in ["hello", "echo"] {
        let stream = tokio::net::TcpStream::connect(demo.proxy).await.unwrap();
        let url = format!("ws://{name}.localhost:{}/ws", demo.proxy.port());
        let (mut socket, answer) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        assert_eq!(answer.status(), 101);
        socket.send(Message::text("ping")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("ping"));
        socket.close(None).await.unwrap();
    }
}

#[test]
fn it_ends_with_streams_open_and_leaves_nothing() {
    let mut demo = start();
    let _stream = open_events(demo.proxy, &format!("hello.localhost:{}", demo.proxy.port()));
    let temporary = demo.desk.path("tmp");
    assert_eq!(entries(&temporary).len(), 1, "its home is there");
    demo.process.signal(Signal::INT);
    assert_eq!(demo.process.wait().code(), Some(0), "{}", demo.process.stderr());
    assert_eq!(entries(&temporary).len(), 0);
    assert!(!demo.desk.home().exists(), "the person's own home was left alone");
}

#[test]
fn people_get_a_table_and_commands_to_try() {
    let desk = Desk::new();
    let demo = Running::spawn(&mut desk.command(["demo", "--listen", "127.0.0.1:0"]));
    demo.until_said("Ctrl-C ends it.");
    demo.signal(Signal::TERM);
    let ended = demo.ended().ok();
    for part in [
        "NAME",
        "● active",
        "/health\n",
        "curl -N http://hello.localhost:",
        "ws://echo.localhost:",
        "by path",
        "all routes",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?} in {ended:?}");
    }
}
