//! What an app writes, line by line.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::screen::{Log, Message, Stream};
use super::tail::Tail;

/// A line that is longer is shown in pieces: something has to be given up, since it may never end.
const LINE_MAX: usize = 4 << 20;
const READ: usize = 32 << 10;
/// After the app has ended, nothing is waited for longer than this, and no longer than that in all: a process that has its
/// pipe may live on anywhere.
const SILENCE: Duration = Duration::from_millis(200);
const AFTER_ALL: Duration = Duration::from_secs(2);

/// Where lines go, and how much of them may be under way.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) messages: UnboundedSender<Message>,
    pub(crate) budget: Arc<Semaphore>,
}

/// How much may be under way: what is not shown yet waits with the app that wrote it, not here.
pub(crate) const BUDGET: usize = 8 << 20;

/// Whose lines they are.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) app: usize,
    pub(crate) stream: Stream,
    pub(crate) tail: Arc<Tail>,
}

impl Sink {
    async fn line(&self, source: &Source, mut line: Vec<u8>) {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        source.tail.line(&line);
        let &Source { app, stream, .. } = source;
        let cost = u32::try_from((line.len() + 64).min(BUDGET)).unwrap_or(u32::MAX);
        let Ok(permit) = self.budget.clone().acquire_many_owned(cost).await else { return };
        let _ = self.messages.send(Message::Log(Log { app, stream, line, _permit: Some(permit) }));
    }
}

/// Hands on the lines of `from`, until its end or until a while after `ended`.
pub(crate) async fn follow(
    mut from: impl AsyncRead + Unpin,
    source: Source,
    sink: Sink,
    mut ended: watch::Receiver<bool>,
) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ];
    let mut deadline = None;
    loop {
        let count = match deadline {
            None => tokio::select! {
                read = from.read(&mut buffer) => read,
                _ = ended.wait_for(|ended| *ended) => {
                    deadline = Some(Instant::now() + AFTER_ALL);
                    continue;
                }
            },
            Some(deadline) if Instant::now() >= deadline => break,
            Some(_) => match timeout(SILENCE, from.read(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => break,
            },
        };
        let Ok(count @ 1..) = count else { break };
        for line in splitter.push(buffer.get(..count).unwrap_or_default()) {
            sink.line(&source, line).await;
        }
    }
    if let Some(line) = splitter.rest() {
        sink.line(&source, line).await;
    }
}

/// Cuts bytes into lines. A carriage return alone begins a new line too: what it would be written over is kept.
#[derive(Debug, Default)]
struct Splitter {
    begun: Vec<u8>,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for &byte in bytes {
            // The return before a line feed belongs to it.
            if byte != b'\n' && self.begun.last() == Some(&b'\r') {
                lines.push(std::mem::take(&mut self.begun));
            }
            match byte {
                b'\n' => lines.push(std::mem::take(&mut self.begun)),
                byte => self.begun.push(byte),
            }
            if self.begun.len() >= LINE_MAX {
                lines.push(std::mem::take(&mut self.begun));
            }
        }
        lines
    }

    fn rest(&mut self) -> Option<Vec<u8>> {
        (!self.begun.is_empty()).then(|| std::mem::take(&mut self.begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut lines: Vec<Vec<u8>> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        lines.extend(splitter.rest());
        lines
    }

    #[test]
    fn lines_are_whole() {
        assert_eq!(split(&[b"a\nb", b"c\n\n", b"d"]), [&b"a"[..], b"bc", b"", b"d"]);
        assert_eq!(split(&[b"a\r", b"\nb\rc\r\n"]), [&b"a\r"[..], b"b\r", b"c\r"]);
        assert_eq!(split(&[b"\xff\xfe\n"]), [b"\xff\xfe"]);
        let long = vec![b'x'; LINE_MAX + 1];
        assert_eq!(split(&[&long]).iter().map(Vec::len).collect::<Vec<_>>(), [LINE_MAX, 1]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_however_it_comes(bytes in proptest::collection::vec(0_u8..=255, 0..300), at in 0_usize..300) {
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            let lines = split(&[a, b]);
            proptest::prop_assert_eq!(&lines, &split(&[&bytes]));
            let kept: Vec<u8> = lines.concat();
            let all: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'\n').collect();
            proptest::prop_assert_eq!(kept, all);
        }
    }

    #[tokio::test]
    async fn a_pipe_that_others_hold_is_not_waited_for() {
        let (mut ours, theirs) = tokio::io::duplex(64);
        let (messages, mut received) = tokio::sync::mpsc::unbounded_channel();
        let sink = Sink { messages, budget: Arc::new(Semaphore::new(BUDGET)) };
        let (ended, has_ended) = watch::channel(false);
        tokio::io::AsyncWriteExt::write_all(&mut ours, b"last words").await.unwrap();
        ended.send_replace(true);
        let source = Source { app: 0, stream: Stream::Stdout, tail: Arc::default() };
        timeout(Duration::from_secs(30), follow(theirs, source, sink, has_ended)).await.unwrap();
        let Some(Message::Log(log)) = received.recv().await else { panic!("no line") };
        assert_eq!(log.line, b"last words");
        drop(ours);
    }
}
