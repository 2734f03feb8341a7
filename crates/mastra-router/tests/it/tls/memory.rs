//! What the router costs, measured in a process that does nothing else.

use futures_util::future::join_all;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{Http2, Secure, get, head};
use super::frames::{Frames, floods, opened};
use crate::streaming::{BOUND, push};
use crate::upstream::{Recorder, Upstream};
use crate::wire::{Wire, within};

/// Whether this is the process that measures. If not, one is started for this test and waited for.
async fn is_alone(test: &str) -> bool {
    const ALONE: &str = "MASTRA_ROUTER_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args([&format!("tls::memory::{test}"), "--exact", "--nocapture"]).env(ALONE, "1").kill_on_drop(true);
    let output = within("the end of a process", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const MIB: usize = 1 << 20;
/// As many as a connection may have.
const STREAMS: usize = 250;

#[tokio::test]
async fn a_thousand_answers_of_a_mebibyte_on_one_connection() {
    if !is_alone("a_thousand_answers_of_a_mebibyte_on_one_connection").await {
        return;
    }
    let edge = Secure::start().await;
    let mut upstream = Upstream::start().await;
    edge.edge.route("app", upstream.port()).await;
    let serving = tokio::spawn(async move {
        loop {
            let mut peer = upstream.accept().await;
            tokio::spawn(async move {
                let block = [b'x'; 16 * 1024];
                while peer.head_or_end().await.is_some() {
                    peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MIB}\r\n\r\n")).await;
                    for _ in 0..MIB / block.len() {
                        peer.send(&block).await;
                    }
                }
            });
        }
    });
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 24);
    let client = edge.http2_with(&builder).await;
    let before = resident();
    let tasks: Vec<_> = (0..1000).map(|_| tokio::spawn(one(client.requests.clone()))).collect();
    let (mut first, mut most) = (0, 0);
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(within("an answer", task).await.unwrap(), MIB);
        most = most.max(resident());
        if i == 300 {
            first = most;
        }
    }
    serving.abort();
    let (first, most) = ((first - before) / MIB, (most - before) / MIB);
    eprintln!("{first} MiB after 300 of 1,000 streams, {most} MiB after all");
    // 250 streams at a time, client and upstreams included. It is what is under way that costs, not what was.
    assert!(most < 192 && most - first < 32, "{first} MiB, then {most} MiB");
}

async fn one(requests: h2::client::SendRequest<bytes::Bytes>) -> usize {
    let mut requests = requests.ready().await.unwrap();
    let (answer, _stream) = requests.send_request(get("/"), true).unwrap();
    let (_, mut body) = head(answer).await.unwrap();
    let mut got = 0;
    while let Some(data) = within("data", body.data()).await {
        let data = data.unwrap();
        got += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    got
}

#[tokio::test]
async fn clients_that_read_nothing() {
    if !is_alone("clients_that_read_nothing").await {
        return;
    }
    let (edge, mut upstream) = (Secure::start().await, Upstream::start().await);
    edge.edge.route("app", upstream.port()).await;
    let client = edge.http2().await;
    let before = resident();
    let mut held: Vec<(Wire, h2::client::ResponseFuture)> = Vec::new();
    for _ in 0..STREAMS {
        let (answer, _stream) = client.begin(get("/"), true).await;
        let mut peer = upstream.accept().await;
        peer.request().await;
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        held.push((peer, answer));
    }
    let block = [b'x'; 65536];
    let nothing = AtomicUsize::new(0);
    join_all(held.iter_mut().map(|(peer, _)| push(peer, &block, BOUND, &nothing))).await;
    let grown = resident().saturating_sub(before) / MIB;
    eprintln!("{grown} MiB for {STREAMS} streams that are not read");
    assert!(grown < 32, "{grown} MiB");
}

#[tokio::test]
async fn floods_of_frames() {
    if !is_alone("floods_of_frames").await {
        return;
    }
    let (edge, recorder) = (Secure::start().await, Recorder::start().await);
    edge.edge.route("app", recorder.port).await;
    let other: Http2 = edge.http2().await;
    static SENT: AtomicUsize = AtomicUsize::new(0);
    for (what, flood) in floods() {
        let mut frames = Frames::start(&edge).await;
        opened(&mut frames, &flood).await;
        let before = resident();
        // Nobody reads what the router says to it.
        SENT.store(0, Ordering::Relaxed);
        let many = flood.repeat(1 + 65_536 / flood.len());
        while SENT.load(Ordering::Relaxed) < 16 * MIB {
            match tokio::time::timeout(Duration::from_millis(500), frames.write(&many)).await {
                Ok(true) => SENT.fetch_add(many.len(), Ordering::Relaxed),
                _ => break,
            };
        }
        other.serves().await;
        let grown = resident().saturating_sub(before) / MIB;
        eprintln!("{what}: {} MiB sent, {grown} MiB grown", SENT.load(Ordering::Relaxed) / MIB);
        assert!(grown < 48, "{what}: {grown} MiB");
        drop(frames);
        other.serves().await;
    }
}
