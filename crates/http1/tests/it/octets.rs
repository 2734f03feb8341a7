//! Every octet at every place of what decides about framing: put over, put in, and each byte left out.
//!
//! What is accepted must mean the same to a reader that is written another way, and to careless ones.

use http1::{BodyLength, Limits, RequestKind};

use crate::reading::{body, request, response};

fn variants(input: &[u8], mut check: impl FnMut(&[u8])) {
    for place in 0..=input.len() {
        for octet in 0..=255 {
            let mut inserted = input.to_vec();
            inserted.insert(place, octet);
            check(&inserted);
            if place < input.len() {
                let mut replaced = input.to_vec();
                replaced[place] = octet;
                check(&replaced);
            }
        }
        if place < input.len() {
            let mut removed = input.to_vec();
            removed.remove(place);
            check(&removed);
        }
    }
}

/// How a careless server reads a head: what counts as an end of line, and what it takes off a name and a value.
struct Careless {
    line_end: fn(&u8) -> bool,
    dropped: fn(u8) -> bool,
}

const CARELESS: [Careless; 4] = [
    Careless { line_end: |&byte| byte == b'\n', dropped: |byte| matches!(byte, b' ' | b'\t' | b'\r') },
    Careless { line_end: |&byte| byte == b'\n', dropped: |byte| byte <= b' ' || byte == 0x7f },
    Careless { line_end: |&byte| byte == b'\n' || byte == b'\r', dropped: |byte| byte <= b' ' },
    Careless { line_end: |&byte| byte == b'\n', dropped: |byte| byte.is_ascii_whitespace() || byte >= 0x80 },
];

impl Careless {
    /// What the head announces, and where its first line without a colon behind it is: the end of the head.
    fn read(&self, head: &[u8]) -> BodyLength {
        let mut length = BodyLength::Empty;
        for line in head.split(self.line_end).skip(1) {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let clean = |bytes: &[u8]| {
                let kept: Vec<u8> = bytes.iter().copied().filter(|&byte| !(self.dropped)(byte)).collect();
                String::from_utf8_lossy(&kept).to_ascii_lowercase()
            };
            match (clean(&line[..colon]).as_str(), clean(&line[colon + 1..])) {
                ("transfer-encoding", value) if value.contains("chunked") => length = BodyLength::Chunked,
                ("content-length", value) if length == BodyLength::Empty => {
                    length = BodyLength::Length(value.parse().unwrap_or(u64::MAX));
                }
                _ => {}
            }
        }
        length
    }
}

fn end_of_head(input: &[u8]) -> Option<usize> {
    input.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// The head and what all careless readers make of it, if they agree.
fn careless(input: &[u8], len: usize) -> BodyLength {
    let head = &input[..len];
    let readings = CARELESS.map(|reader| reader.read(head));
    assert!(readings.iter().all(|reading| *reading == readings[0]), "{:?}", head.escape_ascii().to_string());
    readings[0]
}

const REQUESTS: [&str; 4] = [
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nA: b\r\n\r\nhello",
    "POST / HTTP/1.1\r\nContent-Length:12\r\nHost: a\r\n\r\n",
    "\r\nPOST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\nA: Content-Length: 5\r\n\r\n",
];

#[test]
fn requests() {
    let mut accepted = 0;
    for input in REQUESTS {
        variants(input.as_bytes(), |input| {
            let shown = input.escape_ascii().to_string();
            match request(input) {
                Ok(Some(head)) => {
                    accepted += 1;
                    // An empty line in front is no part of the search for the one that ends it.
                    let lead = if input.starts_with(b"\r\n") { 2 } else { 0 };
                    assert_eq!(end_of_head(&input[lead..]).map(|end| end + lead), Some(head.len), "{shown}");
                    assert_eq!(careless(&input[lead..], head.len - lead), head.body, "{shown}");
                }
                // Left waiting only where a strict reader sees no end of a head either.
                Ok(None) => assert!(end_of_head(input).is_none_or(|end| end == 4), "{shown}"),
                Err(_) => {}
            }
        });
    }
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn responses() {
    for input in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        variants(input.as_bytes(), |input| {
            let shown = input.escape_ascii().to_string();
            match response(input, RequestKind::Other) {
                Ok(Some(head)) => {
                    assert_eq!(end_of_head(input), Some(head.len), "{shown}");
                    let announced = match careless(input, head.len) {
                        // Neither of these has a body, so nothing but its status may say so.
                        _ if input.starts_with(b"HTTP/1.1 1") => BodyLength::Empty,
                        _ if input.starts_with(b"HTTP/1.1 204") => BodyLength::Empty,
                        BodyLength::Empty => BodyLength::UntilClose,
                        other => other,
                    };
                    assert_eq!(head.body, announced, "{shown}");
                }
                Ok(None) => assert_eq!(end_of_head(input), None, "{shown}"),
                Err(_) => {}
            }
        });
    }
}

/// The payload of a chunked body and its end, for one that is whole, strict and without trailers.
fn dechunk(mut input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let whole = input.len();
    let mut payload = Vec::new();
    loop {
        let end = input.windows(2).position(|window| window == b"\r\n")?;
        let line = std::str::from_utf8(&input[..end]).ok()?;
        let size = line.split(';').next()?;
        if size.starts_with('+') || line.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
            return None;
        }
        let size = usize::from_str_radix(size, 16).ok()?;
        input = &input[end + 2..];
        if size == 0 {
            return input.starts_with(b"\r\n").then(|| (payload, whole - input.len() + 2));
        }
        payload.extend_from_slice(input.get(..size)?);
        input = input[size..].strip_prefix(b"\r\n")?;
    }
}

#[test]
fn chunks() {
    let mut accepted = 0;
    for input in
        ["5\r\nhello\r\n0\r\n\r\nGET", "0b;a=b\r\nhello world\r\n1\r\n\r\r\n00\r\n\r\n", "2\r\n\r\n\r\n0\r\n\r\n"]
    {
        variants(input.as_bytes(), |input| {
            let shown = input.escape_ascii().to_string();
            let Ok(body) = body(BodyLength::Chunked, input, &[], &Limits::default()) else {
                assert_eq!(dechunk(input), None, "{shown}");
                return;
            };
            if body.done && body.trailers.is_none() {
                accepted += 1;
                assert_eq!(dechunk(input), Some((body.payload, body.taken)), "{shown}");
            } else {
                assert_eq!(dechunk(input), None, "{shown}");
            }
        });
    }
    assert!(accepted > 1000, "{accepted}");
}
