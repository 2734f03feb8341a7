//! The relay between real sockets.

use std::future::poll_fn;

use http1::{BodyError, BodyLength, Buffer, Limits, Relay, RelayError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Sends `sent` through a relay, and returns how the relay ended, what came out, and what was left in its buffer.
async fn relayed(
    head: &str,
    from: BodyLength,
    to: BodyLength,
    sent: &[u8],
) -> (Result<(), RelayError>, Vec<u8>, Vec<u8>) {
    let (mut sender, mut source) = pair().await;
    let (mut destination, mut receiver) = pair().await;
    let mut relay = Relay::new(head.as_bytes().to_vec(), from, to, &Limits::default());
    let relaying = async move {
        let mut buffer: Option<Buffer> = None;
        let ended = poll_fn(|cx| relay.poll(&mut source, &mut buffer, &mut destination, cx)).await;
        (ended, buffer.map(|b| b.filled().to_vec()).unwrap_or_default())
    };
    let sending = async {
        // In pieces that have nothing to do with the framing.
        for piece in sent.chunks(977) {
            sender.write_all(piece).await.unwrap();
        }
        sender.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut all = Vec::new();
        receiver.read_to_end(&mut all).await.unwrap();
        all
    };
    let ((ended, left), (), out) = tokio::join!(relaying, sending, receiving);
    (ended, out, left)
}

fn chunked(payload: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in payload.chunks(size) {
        out.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// The payload of a chunked message, by a reader that has nothing in common with the crate's.
fn dechunked(mut input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let end = input.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&input[..end]).unwrap(), 16).unwrap();
        input = &input[end + 2..];
        if size == 0 {
            assert_eq!(input, b"\r\n");
            return out;
        }
        out.extend_from_slice(&input[..size]);
        assert_eq!(&input[size..size + 2], b"\r\n");
        input = &input[size + 2..];
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn chunks_of_any_size_come_out_as_the_same_payload() {
    for (len, size) in [(0, 1), (1, 1), (5000, 3), (70_000, 1000), (1 << 20, 1 << 16), (3 << 20, 1 << 20)] {
        let (ended, out, left) =
            relayed("HEAD", BodyLength::Chunked, BodyLength::Chunked, &chunked(&payload(len), size)).await;
        ended.unwrap();
        assert!(left.is_empty());
        assert_eq!(&out[..4], b"HEAD");
        assert!(dechunked(&out[4..]) == payload(len), "{len} bytes in chunks of {size}");
    }
}

#[tokio::test]
async fn a_body_with_a_length_ends_where_the_next_message_begins() {
    let mut sent = payload(300_000);
    sent.extend_from_slice(b"next");
    let length = BodyLength::Length(300_000);
    let (ended, out, left) = relayed("", length, length, &sent).await;
    ended.unwrap();
    assert!(out == payload(300_000));
    assert_eq!(left, b"next");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_gets_an_end_of_its_own() {
    let (ended, out, _) = relayed("", BodyLength::UntilClose, BodyLength::Chunked, &payload(100_000)).await;
    ended.unwrap();
    assert!(dechunked(&out) == payload(100_000));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_ended() {
    for (from, sent) in [
        (BodyLength::Length(10), &b"12345"[..]),
        (BodyLength::Chunked, b"a\r\n12345"),
        (BodyLength::Chunked, b"5\r\n12345\r\n"),
        (BodyLength::Chunked, b"5\r\n12345\r\n0\r\n"),
    ] {
        let (ended, out, _) = relayed("", from, BodyLength::Chunked, sent).await;
        assert!(matches!(ended, Err(RelayError::Body(BodyError::Truncated))), "{ended:?}");
        assert!(!out.ends_with(b"0\r\n\r\n"));
    }
}

#[tokio::test]
async fn only_what_is_still_there_can_be_sent_again() {
    let (mut near, mut far) = pair().await;
    let mut relay = Relay::new(b"HEAD".to_vec(), BodyLength::Empty, BodyLength::Empty, &Limits::default());
    let (mut source, _keep) = pair().await;
    let mut buffer = None;
    for _ in 0..2 {
        poll_fn(|cx| relay.poll(&mut source, &mut buffer, &mut near, cx)).await.unwrap();
        let mut got = [0; 4];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"HEAD");
        assert!(relay.has_begun() && relay.rewind());
    }
    // A head whose body is still to come is gone once it was sent.
    let mut relay = Relay::new(b"HEAD".to_vec(), BodyLength::Length(1), BodyLength::Length(1), &Limits::default());
    poll_fn(|cx| {
        assert!(relay.poll(&mut source, &mut buffer, &mut near, cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    assert!(relay.has_begun() && !relay.rewind());
}

#[test]
fn a_buffer_grows_once_and_starts_anew_when_it_is_empty() {
    let mut buffer = Buffer::small();
    buffer.room().fill(1);
    buffer.filled_more(usize::MAX);
    assert_eq!(buffer.filled().len(), http1::SMALL);
    buffer.make_room();
    assert_eq!(buffer.room().len(), http1::LARGE - http1::SMALL);
    assert!(buffer.filled().iter().all(|b| *b == 1));
    buffer.consume(http1::SMALL - 1);
    buffer.make_room();
    assert_eq!(buffer.filled(), [1]);
    assert_eq!(buffer.room().len(), http1::LARGE - 1);
    buffer.consume(5);
    assert!(buffer.is_empty());
    assert_eq!(buffer.room().len(), http1::LARGE);
}
