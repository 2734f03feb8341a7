//! Targets that are switched and routers that are replaced under load: nobody notices.
//!
//! `MASTRA_ROUTER_TEST_IN_FLIGHT=10000` has that many requests in flight.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{App, get};
use crate::daemon::{Background, has_ended, pid, proxy};
use crate::router::{Router, Running, wait_for};

/// Switches of the target; the router is replaced after half of them and after the last.
const SWITCHES: u32 = 10;
/// What a turn is when all is over.
const OVER: u32 = u32::MAX;
/// Clients that ask over and over.
const BUSY: usize = 8;

type Failed<T> = Result<T, String>;

fn in_flight() -> usize {
    std::env::var("MASTRA_ROUTER_TEST_IN_FLIGHT").map_or(300, |n| n.parse().unwrap())
}

/// Room for this many files in this process and in those it starts. Root may have more than it was given.
fn raise_limit(files: usize) {
    let files = u64::try_from(files).unwrap();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < files) {
        let maximum = maximum.map(|maximum| maximum.max(files));
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum });
        raised.unwrap_or_else(|error| panic!("{files} files are needed, and {maximum:?} allowed: {error}"));
    }
}

/// Two targets of one route, and one of another; what they answer goes on until the last turn.
struct Apps {
    ports: [u16; 3],
    turn: watch::Sender<u32>,
    /// Requests that are held.
    held: Arc<AtomicUsize>,
}

impl Apps {
    fn start() -> Self {
        let (turn, turns) = watch::channel(0);
        let held = Arc::new(AtomicUsize::new(0));
        let listeners: Vec<std::net::TcpListener> = (0..3)
            .map(|_| {
                let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                listener.set_nonblocking(true).unwrap();
                // The queue of the standard library is short for thousands that come at once.
                rustix::net::listen(&listener, 4096).unwrap();
                listener
            })
            .collect();
        let ports = [0, 1, 2].map(|i: usize| listeners[i].local_addr().unwrap().port());
        let counter = held.clone();
        // It ends with the test's process.
        thread::spawn(move || {
            runtime().block_on(async move {
                for (listener, name) in listeners.into_iter().zip(["a", "b", "socket"]) {
                    let (turns, held) = (turns.clone(), counter.clone());
                    let listener = TcpListener::from_std(listener).unwrap();
                    tokio::spawn(async move {
                        loop {
                            // Short of files it tries again.
                            let Ok((io, _)) = listener.accept().await else { continue };
                            tokio::spawn(answer(io, name, turns.clone(), held.clone()));
                        }
                    });
                }
                std::future::pending::<()>().await;
            });
        });
        Self { ports, turn, held }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn answer(
    io: TcpStream,
    name: &str,
    mut turn: watch::Receiver<u32>,
    held: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut io = BufReader::new(io);
    loop {
        let mut path = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            if io.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if line == "\r\n" {
                break;
            }
        }
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        match path.as_str() {
            // One piece for each turn.
            "/stream" => {
                let mut done = *turn.borrow_and_update();
                let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{done:04}\r\n");
                io.write_all(head.as_bytes()).await?;
                held.fetch_add(1, Ordering::SeqCst);
                while turn.changed().await.is_ok() {
                    let now = *turn.borrow_and_update();
                    // It may come late to some turns, and misses none.
                    for turn in done + 1..=now.min(SWITCHES) {
                        io.write_all(format!("4\r\n{turn:04}\r\n").as_bytes()).await?;
                    }
                    if now == OVER {
                        break;
                    }
                    done = now;
                }
                io.write_all(b"0\r\n\r\n").await?;
            }
            "/slow" => {
                held.fetch_add(1, Ordering::SeqCst);
                let _ = turn.wait_for(|turn| *turn == OVER).await;
                io.write_all(whole.as_bytes()).await?;
            }
            "/socket" => {
                let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                            sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                io.write_all(head.as_bytes()).await?;
                let mut bytes = [0; 64];
                loop {
                    let n = io.read(&mut bytes).await?;
                    if n == 0 {
                        return Ok(());
                    }
                    io.write_all(&bytes[..n]).await?;
                }
            }
            _ => io.write_all(whole.as_bytes()).await?,
        }
    }
}

/// A request and the head of its answer.
async fn begin(io: &mut BufReader<TcpStream>, request: &str) -> Failed<Vec<String>> {
    io.write_all(request.as_bytes()).await.map_err(|error| format!("sending: {error}"))?;
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        let n = io.read_line(&mut line).await.map_err(|error| format!("head: {error}"))?;
        match line.trim_end() {
            "" if n > 0 => return Ok(head),
            "" => return Err(format!("it ended in its head: {head:?}")),
            field => head.push(field.to_ascii_lowercase()),
        }
        if !head[0].starts_with("http/1.1 200") && !head[0].starts_with("http/1.1 101") {
            return Err(format!("status: {head:?}"));
        }
    }
}

async fn connect(proxy: SocketAddr) -> Failed<BufReader<TcpStream>> {
    TcpStream::connect(proxy).await.map(BufReader::new).map_err(|error| format!("connecting: {error}"))
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: app.localhost\r\n\r\n")
}

/// An answer that began before the first turn and has a piece for each, or comes after all of them.
async fn hold(proxy: SocketAddr, streams: bool) -> Failed<()> {
    let mut io = connect(proxy).await?;
    begin(&mut io, &request(if streams { "/stream" } else { "/slow" })).await?;
    if !streams {
        let mut body = [0];
        io.read_exact(&mut body).await.map_err(|error| format!("slow body: {error}"))?;
        return if matches!(&body, b"a" | b"b") { Ok(()) } else { Err(format!("slow body: {body:?}")) };
    }
    let text = chunks(&mut io).await.map_err(|error| format!("stream: {error}"))?;
    let want: String = (0..=SWITCHES).map(|turn| format!("{turn:04}")).collect();
    if text == want { Ok(()) } else { Err(format!("stream: {text:?}")) }
}

/// A chunked body to its end. Where its chunks end is the router's affair.
async fn chunks(io: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        io.read_line(&mut line).await?;
        let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| std::io::Error::other(text.clone()))?;
        let mut chunk = vec![0; size + 2];
        io.read_exact(&mut chunk).await?;
        if size == 0 {
            return Ok(text);
        }
        text += &String::from_utf8_lossy(&chunk[..size]);
    }
}

/// Asks over and over, with a connection for each request or with one for many.
async fn ask(proxy: SocketAddr, keeps: bool, stop: &AtomicBool, answered: &AtomicUsize) -> Failed<()> {
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let mut io = match kept.take() {
            Some(io) => io,
            None => connect(proxy).await?,
        };
        let head = begin(&mut io, &request("/quick")).await?;
        let mut body = [0];
        io.read_exact(&mut body).await.map_err(|error| format!("quick body: {error}"))?;
        answered.fetch_add(1, Ordering::Relaxed);
        let closes = head.iter().any(|field| field == "connection: close");
        kept = (keeps && !closes).then_some(io);
    }
    Ok(())
}

/// A WebSocket of the other route, which answers at every turn.
async fn socket(proxy: SocketAddr, mut turn: watch::Receiver<u32>, echoed: watch::Sender<u32>) -> Failed<()> {
    let mut io = connect(proxy).await?;
    let upgrade = "GET /socket HTTP/1.1\r\nhost: socket.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    begin(&mut io, upgrade).await?;
    loop {
        let now = *turn.borrow_and_update();
        let text = format!("{now:010}");
        io.write_all(text.as_bytes()).await.map_err(|error| format!("socket: {error}"))?;
        let mut back = [0; 10];
        io.read_exact(&mut back).await.map_err(|error| format!("socket at turn {now}: {error}"))?;
        if back != text.as_bytes() {
            return Err(format!("socket: {back:?}"));
        }
        echoed.send_replace(now + 1);
        if now == OVER - 1 || turn.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// What the clients have seen.
struct Seen {
    failures: Vec<String>,
    held: usize,
}

/// All clients, on a thread of their own until they have ended.
fn clients(
    proxy: SocketAddr,
    held: usize,
    turn: watch::Receiver<u32>,
    echoed: watch::Sender<u32>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> thread::JoinHandle<Seen> {
    thread::spawn(move || {
        runtime().block_on(async move {
            let mut holding = JoinSet::new();
            for i in 0..held {
                holding.spawn(hold(proxy, i % 2 == 0));
            }
            let mut others = JoinSet::new();
            others.spawn(socket(proxy, turn, echoed));
            for i in 0..BUSY {
                let (stop, answered) = (stop.clone(), answered.clone());
                others.spawn(async move { ask(proxy, i % 2 == 0, &stop, &answered).await });
            }
            let mut seen = Seen { failures: Vec::new(), held: 0 };
            while let Some(ended) = holding.join_next().await {
                match ended.unwrap() {
                    Ok(()) => seen.held += 1,
                    Err(failure) => seen.failures.push(failure),
                }
            }
            while let Some(ended) = others.join_next().await {
                seen.failures.extend(ended.unwrap().err());
            }
            seen
        })
    })
}

#[test]
fn nobody_notices_switches_and_restarts() {
    let held = in_flight();
    // Both ends of a connection are in this process, and one of each in two routers.
    raise_limit(2 * held + 100);
    let began = Instant::now();
    let (apps, background) = (Apps::start(), Background::new());
    let most = held + 100;
    background.desk.write(
        "load.toml",
        &format!("listen = \"127.0.0.1:0\"\n[health]\ntimeout = \"30s\"\n[proxy]\nmax_connections = {most}\n"),
    );
    let ready = background.run(["start", "--json", "--config", "load.toml"]).ok().json();
    let proxy = proxy(&ready);
    background.run(["add", "app", &apps.ports[0].to_string()]).ok();
    background.run(["add", "socket", &apps.ports[2].to_string()]).ok();

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // Its own turns: it is asked once more after the restart.
    let (socket_turn, turns) = watch::channel(0);
    let (echoed, echo) = watch::channel(0);
    let clients = clients(proxy, held, turns, echoed, stop.clone(), answered.clone());
    wait_for("all requests in flight", || apps.held.load(Ordering::SeqCst) == held || clients.is_finished());
    let in_flight_after = began.elapsed();

    let mut routers = vec![pid(&ready)];
    let check = |turn: u32| {
        let before = answered.load(Ordering::Relaxed);
        socket_turn.send_replace(turn);
        wait_for("the WebSocket", || *echo.borrow() == turn + 1 || clients.is_finished());
        wait_for("some requests", || answered.load(Ordering::Relaxed) >= before + 100 || clients.is_finished());
    };
    let mut slowest = Duration::ZERO;
    for turn in 1..=SWITCHES {
        let switching = Instant::now();
        let target = apps.ports[usize::try_from(turn % 2).unwrap()].to_string();
        background.run(["update", "app", "--target", &target, "--wait-healthy"]).ok();
        slowest = slowest.max(switching.elapsed());
        apps.turn.send_replace(turn);
        if turn == SWITCHES / 2 || turn == SWITCHES {
            background.run(["restart", "--drain", "10m"]).ok();
            routers.push(background.pid());
        }
        check(turn);
    }
    check(OVER - 1);
    apps.turn.send_replace(OVER);
    stop.store(true, Ordering::Relaxed);
    let seen = clients.join().unwrap();
    eprintln!(
        "{} of {held} held and {} other requests over {SWITCHES} switches and {} restarts, {} failed; all in flight after \
         {in_flight_after:?}, the slowest switch took {slowest:?}, {:?} in all",
        seen.held,
        answered.load(Ordering::Relaxed),
        routers.len() - 1,
        seen.failures.len(),
        began.elapsed(),
    );
    assert_eq!(seen.failures, [""; 0]);
    assert_eq!(seen.held, held);
    // What was replaced ends once what it had has.
    routers.pop();
    wait_for("the end of those before", || routers.iter().all(|pid| has_ended(*pid)));
}

/// A target that is asked for its health, and answers when the test says so.
struct Patient {
    listener: std::net::TcpListener,
}

impl Patient {
    fn start() -> Self {
        Self { listener: std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap() }
    }

    fn port(&self) -> String {
        self.listener.local_addr().unwrap().port().to_string()
    }

    /// The next check.
    fn asked(&self) -> std::net::TcpStream {
        let (mut io, _) = self.listener.accept().unwrap();
        let mut head = [0; 1024];
        let n = io.read(&mut head).unwrap();
        assert!(head[..n].starts_with(b"GET /health "));
        io
    }

    fn says(io: &mut std::net::TcpStream, status: &str) {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        io.write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn an_update_that_is_interrupted_changes_nothing() {
    let router = Router::start();
    let (app, patient) = (App::start("old"), Patient::start());
    router.run(&["add", "app", &app.target()]).ok();
    let before = router.routes();
    let mut update =
        Running::spawn(&mut router.desk.command(["update", "app", "--target", &patient.port(), "--wait-healthy"]));
    let mut check = patient.asked();
    update.signal(Signal::INT);
    assert!(!update.wait().success());
    // With whoever asked, the check has ended, and the target is not asked again.
    assert!(matches!(check.read(&mut [0]), Ok(0) | Err(_)), "its connection is closed");
    assert_eq!(get(router.proxy, "app.localhost", "/x"), (200, "old/x".to_owned()));
    assert_eq!(target(&router.routes()), target(&before));
}

fn target(routes: &serde_json::Value) -> (&serde_json::Value, &serde_json::Value) {
    (&routes[0]["targetHost"], &routes[0]["targetPort"])
}

#[test]
fn what_waits_for_health_is_not_cut_by_a_restart() {
    let background = Background::new();
    background.desk.write("patient.toml", "listen = \"127.0.0.1:0\"\n[health]\ntimeout = \"20s\"\n");
    background.run(["start", "--config", "patient.toml"]).ok();
    let (app, patient) = (App::start("old"), Patient::start());
    background.run(["add", "app", &app.target()]).ok();
    let args = ["update", "app", "--target", &patient.port(), "--wait-healthy"];
    let update = Running::spawn(&mut background.command(args));
    let mut check = patient.asked();
    let restart = Running::spawn(&mut background.command(["restart"]));
    // The door is shut once the restart is under way.
    wait_for("the shut door", || !background.desk.home().join("control.sock").exists());
    Patient::says(&mut check, "200 OK");
    Patient::says(&mut patient.asked(), "200 OK");
    update.ended().ok();
    restart.ended().ok();
    let routes = background.run(["list", "--json"]).ok().json();
    assert_eq!(routes[0]["targetPort"].to_string(), patient.port());
}
