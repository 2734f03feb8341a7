//! However the bytes are cut into reads, the result is the same.

use http1::{BodyLength, HeadScan, Limits, RequestKind};

use crate::reading::{body, request, request_resumed, response, response_resumed};

const REQUESTS: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPOST /a?b HTTP/1.1\r\nHost: a.localhost:80\r\nA: \tb \r\nContent-Length: 3\r\nConnection: close, a\r\n\r\nabc",
    "GET http://[::1]/ HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x01\n",
    "GET / HTTP/1.0\r\n\r\nGET",
    "GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nB\r\nC: \0\r\n\r\n",
    "GET / HTTP/1.7\r\nB\r\n\r\n",
    "G=T / HTTP/1.7\r\nB\n",
    "GET /< HTTP/1.1\r\nHost: a\r\nB :c\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n d\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a,b\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

const RESPONSES: [&str; 7] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.0 404\r\n\r\nabc",
    "HTTP/1.1 101 \u{e9}\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n\0",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "<html>\r\n\r\n",
];

const BODIES: [&str; 6] = [
    "5\r\nhello\r\n0\r\n\r\nGET",
    "00a;b=c\r\n0123456789\r\n1\r\n\n\r\n0;d\r\nA: b\r\nHost: c\r\nD:\r\n\r\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\r\n10000000000000000\r\n",
    "0\r\nA : b\r\n\r\n",
];

/// Byte by byte with one scan, then in two parts at each place, each time against the whole at once.
fn every_split<T: PartialEq + std::fmt::Debug, E: PartialEq + std::fmt::Debug>(
    input: &[u8],
    mut parse: impl FnMut(&[u8], &mut HeadScan) -> Result<Option<T>, E>,
) {
    let whole = parse(input, &mut HeadScan::default());
    assert_ne!(whole, Ok(None), "{:?}", input.escape_ascii().to_string());
    let mut slow = HeadScan::default();
    let mut result = Ok(None);
    for end in 0..=input.len() {
        if matches!(result, Ok(None)) {
            result = parse(&input[..end], &mut slow);
        }
        let mut scan = HeadScan::default();
        let part = parse(&input[..end], &mut scan);
        if part == Ok(None) {
            assert_eq!(parse(input, &mut scan), whole, "cut at {end}");
            assert_eq!(parse(input, &mut scan), whole, "asked again, cut at {end}");
        } else {
            assert_eq!(part, whole, "cut at {end}");
        }
    }
    assert_eq!(result, whole);
}

#[test]
fn requests() {
    for input in REQUESTS {
        every_split(input.as_bytes(), |input, scan| request_resumed(input, scan, &Limits::default()));
        assert!(!matches!(request(input.as_bytes()), Ok(None)));
    }
    let limits = Limits { head_bytes: 50, target_bytes: 10, ..Limits::default() };
    for input in [
        "GET /aaaaaaaaaa HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /aaaaaaaaaa\0 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: aaaaaaaaaaaaaaaaaaaaa\r\nB: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0\r\n\r\n",
    ] {
        every_split(input.as_bytes(), |input, scan| request_resumed(input, scan, &limits));
    }
    let many = format!("GET / HTTP/1.1\r\n{}B\r\nC\0", "A:\r\n".repeat(140));
    every_split(many.as_bytes(), |input, scan| request_resumed(input, scan, &Limits::default()));
}

#[test]
fn responses() {
    for input in RESPONSES {
        for to in [RequestKind::Head, RequestKind::Other] {
            every_split(input.as_bytes(), |input, scan| response_resumed(input, scan, to));
            assert!(!matches!(response(input.as_bytes(), to), Ok(None)));
        }
    }
}

#[test]
fn bodies() {
    let limits = Limits::default();
    for input in BODIES {
        let input = input.as_bytes();
        let whole = body(BodyLength::Chunked, input, &[], &limits);
        let every: Vec<_> = (0..input.len()).collect();
        assert_eq!(body(BodyLength::Chunked, input, &every, &limits), whole);
        for first in 0..input.len() {
            for second in first..input.len() {
                assert_eq!(body(BodyLength::Chunked, input, &[first, second], &limits), whole, "{first} {second}");
            }
        }
    }
}
