use http1::{BodyLength, HeadScan, Limits, Parsed, RequestKind, ResponseHead, Version, slots};

use crate::reading::response;

fn accepted<T>(input: impl AsRef<[u8]>, to: RequestKind, check: impl FnOnce(ResponseHead<'_>) -> T) -> T {
    let input = input.as_ref();
    let mut slots = slots();
    match ResponseHead::parse(input, &mut slots, &Limits::default(), &mut HeadScan::default(), to) {
        Ok(Parsed::Complete(head)) => check(head),
        other => panic!("{:?}: {other:?}", input.escape_ascii().to_string()),
    }
}

fn refused(input: impl AsRef<[u8]>, reason: &str) {
    let input = input.as_ref();
    let shown = input.escape_ascii().to_string();
    match response(input, RequestKind::Other) {
        Err(error) => assert_eq!(error.reason(), reason, "{shown}"),
        Ok(head) => panic!("{shown}: accepted: {head:?}"),
    }
}

#[test]
fn status_lines() {
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::Http11, 200, &b"OK"[..]),
        ("HTTP/1.1 200 ", Version::Http11, 200, b""),
        ("HTTP/1.1 200", Version::Http11, 200, b""),
        ("HTTP/1.0 599  a\tb \u{e9}", Version::Http10, 599, " a\tb \u{e9}".as_bytes()),
        ("HTTP/1.1 100 Continue", Version::Http11, 100, b"Continue"),
    ] {
        accepted(format!("{line}\r\n\r\n"), RequestKind::Other, |head| {
            assert_eq!((head.version, head.status, head.reason), (version, status, reason));
        });
    }
    let input = b"HTTP/1.1 200 \xff\x80\r\nA: \xfe\r\n\r\n";
    accepted(input, RequestKind::Other, |head| assert_eq!(head.reason, b"\xff\x80"));
    for (line, reason) in [
        ("<html>", "not_http"),
        ("http/1.1 200 OK", "not_http"),
        ("\r\nHTTP/1.1 200 OK", "not_http"),
        (" HTTP/1.1 200 OK", "not_http"),
        ("\x15\x03\x01", "not_http"),
        ("HTTP/x", "not_http"),
        ("HTTP/2 200", "unsupported_version"),
        ("HTTP/1.2 200 OK", "unsupported_version"),
        ("HTTP/11 200 OK", "unsupported_version"),
        ("HTTP/0.9 200 OK", "unsupported_version"),
        ("HTTP/1.1\t200 OK", "bad_status_line"),
        ("HTTP/1.1  200 OK", "bad_status_line"),
        ("HTTP/1.1 20 OK", "bad_status_line"),
        ("HTTP/1.1 2000 OK", "bad_status_line"),
        ("HTTP/1.1 200\tOK", "bad_status_line"),
        ("HTTP/1.1 +20 OK", "bad_status_line"),
        ("HTTP/1.1 099 OK", "bad_status"),
        ("HTTP/1.1 600 OK", "bad_status"),
        ("HTTP/1.1 000", "bad_status"),
        ("HTTP/1.1 200 O\0K", "control_byte"),
        ("HTTP/1.1 200 OK\n", "lone_line_feed"),
        ("HTTP/1.1 200 OK\r", "lone_carriage_return"),
    ] {
        refused(format!("{line}\r\n\r\n"), reason);
    }
    // Called what it is at the first byte that tells.
    for (input, reason) in [
        ("<", "not_http"),
        ("HTTQ", "not_http"),
        ("HTTP/2", "unsupported_version"),
        ("HTTP/1.1\r", "bad_status_line"),
        ("HTTP/1.1 099 A\r\n", "bad_status"),
        ("HTTP/1.1 200 A\r\nB\r\n", "bad_field_name"),
    ] {
        refused(input, reason);
    }
}

#[test]
fn body_lengths() {
    use BodyLength::{Chunked, Empty, Length, UntilClose};
    use RequestKind::{Head, Other};
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    const FIVE: &str = "Content-Length: 5\r\n";
    const ZERO: &str = "Content-Length: 0\r\n";
    for (status, lines, to, body, content_length, keep_alive) in [
        (200, "", Other, UntilClose, None, false),
        (200, FIVE, Other, Length(5), Some(5), true),
        (200, ZERO, Other, Length(0), Some(0), true),
        (200, CHUNKED, Other, Chunked, None, true),
        (200, "", Head, Empty, None, true),
        (200, FIVE, Head, Empty, Some(5), true),
        (200, CHUNKED, Head, Empty, None, true),
        (304, "", Other, Empty, None, true),
        (304, FIVE, Other, Empty, Some(5), true),
        (304, CHUNKED, Other, Empty, None, false),
        (204, "", Other, Empty, None, true),
        (204, ZERO, Other, Empty, Some(0), true),
        (204, FIVE, Other, Empty, Some(5), false),
        (204, CHUNKED, Other, Empty, None, false),
        (103, "", Other, Empty, None, true),
        (101, CHUNKED, Other, Empty, None, false),
        (205, ZERO, Other, Length(0), Some(0), true),
        (404, "Connection: close\r\nContent-Length: 1\r\n", Other, Length(1), Some(1), false),
    ] {
        accepted(format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), to, |head| {
            assert_eq!(
                (head.body, head.content_length, head.keep_alive),
                (body, content_length, keep_alive),
                "{status} {lines}"
            );
        });
    }
    accepted("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", Other, |head| {
        assert_eq!((head.body, head.keep_alive), (Length(1), false));
    });
}

#[test]
fn upgrades() {
    let input = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x01";
    accepted(input, RequestKind::Other, |head| {
        assert_eq!((head.upgrade, head.body, head.len), (Some("websocket"), BodyLength::Empty, input.len() - 1));
    });
    accepted("HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nContent-Length: 0\r\n\r\n", RequestKind::Other, |head| {
        assert_eq!(head.upgrade, None);
    });
}

#[test]
fn framing_refused() {
    for (lines, reason) in [
        ("Content-Length: 5, 5\r\n", "bad_content_length"),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "repeated_content_length"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "both_lengths"),
        ("Transfer-Encoding: gzip, chunked\r\n", "bad_transfer_encoding"),
        ("Transfer-Encoding: gzip\r\n", "unknown_transfer_coding"),
        ("A : b\r\n", "space_before_colon"),
        ("A: b\r\n c\r\n", "line_folding"),
    ] {
        for status in [200, 204, 304, 100] {
            refused(format!("HTTP/1.1 {status} X\r\n{lines}\r\n"), reason);
        }
    }
    refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http10");
    let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(64 * 1024));
    refused(endless, "head_too_large");
    refused(format!("HTTP/1.1 200 OK\r\n{}", "A: a\r\n".repeat(129)), "too_many_fields");
}
