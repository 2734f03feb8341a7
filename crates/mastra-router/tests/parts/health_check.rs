//! One check of one target.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use mastra_router::{HealthChecker, HealthPath, RouteHealthStatus, Target};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::server::{OK, Server, refusing, same_port};

fn path(path: &str) -> HealthPath {
    HealthPath::parse(path).unwrap().unwrap()
}

fn checker(timeout: Duration) -> HealthChecker {
    HealthChecker::new(path("/health"), timeout, 3)
}

async fn check(host: &str, port: u16) -> RouteHealthStatus {
    checker(Duration::from_secs(10)).check(&Target::parse(host, port).unwrap(), None).await
}

fn error(status: &RouteHealthStatus) -> &str {
    assert!(!status.healthy);
    status.error.as_deref().unwrap()
}

#[test]
fn the_threshold() {
    let checker = checker(Duration::from_secs(1));
    assert_eq!([0, 2, 3, 4].map(|f| checker.should_mark_unhealthy(f)), [false, false, true, true]);
}

#[tokio::test]
async fn what_answers_mean() {
    let server =
        Server::start(|path| format!("HTTP/1.1 {}\r\nContent-Length: 9\r\n\r\n", &path[1..].replace('_', " "))).await;
    let target = Target::parse("127.0.0.1", server.address.port()).unwrap();
    for (line, code, text) in [
        ("/200_OK", 200, None),
        ("/204_No", 204, None),
        ("/299_", 299, None),
        ("/300_", 300, Some("Non-OK response: 300 Multiple Choices")),
        ("/302_Found", 302, Some("Non-OK response: 302 Found")),
        ("/404_", 404, Some("Non-OK response: 404 Not Found")),
        ("/418_", 418, Some("Non-OK response: 418")),
        ("/503_Service_Unavailable", 503, Some("Non-OK response: 503 Service Unavailable")),
        ("/503_Warming_up", 503, Some("Non-OK response: 503 Warming up")),
        ("/101_", 101, Some("Non-OK response: 101 Switching Protocols")),
    ] {
        let status = checker(Duration::from_secs(10)).check(&target, Some(&path(line))).await;
        assert_eq!(status.healthy, text.is_none(), "{line}");
        assert_eq!((status.status_code, status.error.as_deref()), (Some(code), text), "{line}");
        assert!(status.latency.is_some());
    }
}

#[tokio::test]
async fn what_is_sent() {
    let server = Server::start(|_| OK.to_owned()).await;
    assert!(check("localhost", server.address.port()).await.healthy);
    let request = server.seen.last_request.lock().unwrap().clone();
    let version = env!("CARGO_PKG_VERSION");
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
    for field in [
        format!("\r\nHost: localhost:{}\r\n", server.address.port()),
        "\r\nConnection: close\r\n".to_owned(),
        format!("\r\nUser-Agent: mastra-router/{version} (health check)\r\n"),
    ] {
        assert!(request.contains(&field), "{request}");
    }
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time() {
    let server = Server::gated().await;
    let target = Target::parse("127.0.0.1", server.address.port()).unwrap();
    let status = checker(Duration::from_millis(100)).check(&target, None).await;
    assert_eq!(error(&status), "Health check timed out after 100ms");
    assert!(status.latency.unwrap() >= Duration::from_millis(100));
    assert_eq!(status.status_code, None);
}

#[tokio::test]
async fn a_target_that_refuses() {
    let (_v4, address) = refusing("127.0.0.1:0");
    let status = check("127.0.0.1", address.port()).await;
    assert_eq!(error(&status), format!("connect ECONNREFUSED {address}"));
    let (_v6, _) = refusing(&format!("[::1]:{}", address.port()));
    let status = check("localhost", address.port()).await;
    assert_eq!(error(&status), format!("connect ECONNREFUSED {address}"), "the first address is the one named");
}

#[tokio::test]
async fn redirects_on_the_target_are_followed() {
    let port = std::sync::Arc::new(std::sync::OnceLock::new());
    let own = port.clone();
    let server = Server::start(move |path| {
        let location = match path.strip_prefix("/to/").unwrap_or_default() {
            "absolute" => format!("http://127.0.0.1:{}/ok", own.get().unwrap()),
            "relative" => "../ok".to_owned(),
            "elsewhere" => "http://127.0.0.1:1/ok".to_owned(),
            "tls" => format!("https://127.0.0.1:{}/ok", own.get().unwrap()),
            "itself" => path.to_owned(),
            "nowhere" => return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "404" => "/404".to_owned(),
            count if count.parse::<u32>().is_ok_and(|n| n > 0) => format!("{}", count.parse::<u32>().unwrap() - 1),
            _ if path == "/404" => return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            _ => return OK.to_owned(),
        };
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}\r\n\r\n")
    })
    .await;
    port.set(server.address.port()).unwrap();
    let target = Target::parse("127.0.0.1", server.address.port()).unwrap();
    for (to, status, connections) in [
        ("/to/absolute", 200, 2),
        ("/to/relative", 200, 2),
        ("/to/404", 404, 2),
        ("/to/5", 200, 6),
        ("/to/6", 307, 6),
        ("/to/itself", 307, 6),
        ("/to/elsewhere", 307, 1),
        ("/to/tls", 307, 1),
        ("/to/nowhere", 302, 1),
    ] {
        let before = server.seen.connections();
        let found = checker(Duration::from_secs(10)).check(&target, Some(&path(to))).await;
        assert_eq!(found.status_code, Some(status), "{to}: {found:?}");
        assert_eq!(server.seen.connections() - before, connections, "{to}");
    }
}

#[tokio::test]
async fn localhost_is_whichever_family_answers() {
    let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
    let (listener, _refuses) = same_port(v4, v6).await;
    let server = Server::on(listener, 10, |_| OK.to_owned());
    assert!(check("localhost", server.address.port()).await.healthy);

    let (listener, _refuses) = same_port(v6, v4).await;
    let server = Server::on(listener, 10, |_| OK.to_owned());
    assert!(check("localhost", server.address.port()).await.healthy);
    assert!(check("::1", server.address.port()).await.healthy);
    assert!(!check("127.0.0.1", server.address.port()).await.healthy);
}

/// A listener whose queue is full lets connections hang.
#[tokio::test]
async fn an_address_that_hangs_does_not_eat_the_timeout() {
    let (v6, full) = same_port(Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()).await;
    let server = Server::on(v6, 10, |_| OK.to_owned());
    let address = full.local_addr().unwrap();
    let _full = full.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
    }
    let begin = Instant::now();
    let target = Target::parse("localhost", server.address.port()).unwrap();
    let status = checker(Duration::from_secs(20)).check(&target, None).await;
    assert!(status.healthy, "{status:?}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endless = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(20_000));
    let interims = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5_000);
    for (sent, text) in [
        ("", "closed the connection without an answer"),
        ("HTTP/1.1 20", "closed the connection before the end of its answer"),
        ("HTTP/1.1 200 OK\r\nContent-", "closed the connection before the end of its answer"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "closed the connection before the end of its answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "did not answer in HTTP/1.1"),
        ("<html>hello</html>\r\n\r\n", "did not answer in HTTP/1.1"),
        ("HTTP/1.1 099 No\r\n\r\n", "did not answer in HTTP/1.1"),
        ("HTTP/1.1 abc\r\n\r\n", "did not answer in HTTP/1.1"),
        ("\0\0\u{12}\u{4}\0\0\0\0\0\r\n\r\n", "did not answer in HTTP/1.1"),
        (&endless, ""),
        (&interims, "without an answer"),
    ] {
        let (status, ()) = tokio::join!(check("127.0.0.1", port), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&stream).await;
            let _ = stream.write_all(sent.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
        let shown = &sent[..sent.len().min(40)];
        assert!(error(&status).contains(text), "{shown}: {status:?}");
        assert_eq!(status.status_code, None, "{shown}");
    }
}

#[tokio::test]
async fn interim_answers_are_skipped_however_they_are_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    for piece in [1, 7, 25, sent.len()] {
        let (status, ()) = tokio::join!(check("127.0.0.1", port), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            read_request(&stream).await;
            for piece in sent.as_bytes().chunks(piece) {
                let _ = stream.write_all(piece).await;
                tokio::task::yield_now().await;
            }
        });
        assert_eq!((status.healthy, status.status_code), (true, Some(204)), "{status:?}");
    }
}

async fn read_request(stream: &TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        stream.readable().await.unwrap();
        let _ = stream.try_read_buf(&mut request);
    }
}
