use http1::{BodyLength, HeadScan, Limits, MAX_FIELDS, Parsed, RequestHead, Target, Version, is_authority, slots};

use crate::reading::{request, request_resumed};

/// Parses a whole good head and hands it to the check.
fn accepted<T>(input: impl AsRef<[u8]>, check: impl FnOnce(RequestHead<'_>) -> T) -> T {
    let input = input.as_ref();
    let mut slots = slots();
    match RequestHead::parse(input, &mut slots, &Limits::default(), &mut HeadScan::default()) {
        Ok(Parsed::Complete(head)) => check(head),
        other => panic!("{:?}: {other:?}", input.escape_ascii().to_string()),
    }
}

fn refused(input: impl AsRef<[u8]>, status: u16, reason: &str) {
    let input = input.as_ref();
    let shown = input.escape_ascii().to_string();
    match request(input) {
        Err(error) => assert_eq!((error.status(), error.reason()), (status, reason), "{shown}"),
        Ok(head) => panic!("{shown}: accepted: {head:?}"),
    }
}

/// A request with these field lines besides `Host`.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_usual_request() {
    let input = "\r\nPOST /a?b=c HTTP/1.1\r\nhost: app.localhost:4111\r\nX-A:\t1 \r\nx-a: \r\nCookie: \u{e9}=\t1\r\n\
                 Content-Length: 007\r\nExpect: 100-Continue\r\nConnection: Keep-Alive\r\n\r\nrest";
    accepted(input, |head| {
        assert_eq!((head.method, head.target, head.version), ("POST", Target::Origin("/a?b=c"), Version::Http11));
        assert_eq!((head.host, head.body), (Some("app.localhost:4111"), BodyLength::Length(7)));
        assert!(head.keep_alive && head.expect_continue && head.upgrade.is_none());
        assert_eq!(head.len, input.len() - 4);
        assert_eq!((head.fields.len(), head.fields.is_empty()), (7, false));
        let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(fields[1..4], [("X-A", &b"1"[..]), ("x-a", b""), ("Cookie", "\u{e9}=\t1".as_bytes())]);
        assert_eq!(head.fields.get("X-a"), Some(&b"1"[..]));
        assert_eq!(head.fields.get("x-b"), None);
    });
}

#[test]
fn framing_and_connection() {
    for (lines, body) in [
        ("", BodyLength::Empty),
        ("Content-Length: 0\r\n", BodyLength::Length(0)),
        ("content-length:18446744073709551615\r\n", BodyLength::Length(u64::MAX)),
        ("Transfer-Encoding: Chunked\r\n", BodyLength::Chunked),
        ("Transfer_Encoding: gzip\r\nContent_Length: 3\r\n", BodyLength::Empty),
    ] {
        accepted(with(lines), |head| assert_eq!(head.body, body, "{lines}"));
    }
    for (lines, keep_alive) in [
        ("", true),
        ("Connection: keep-alive\r\n", true),
        ("Connection: x, CLOSE,\r\n", false),
        ("Connection: x\r\nConnection: close\r\n", false),
        ("Connection: closed\r\n", true),
    ] {
        accepted(with(lines), |head| assert_eq!(head.keep_alive, keep_alive, "{lines}"));
    }
    for (lines, upgrade) in [
        ("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Connection: upgrade\r\nUpgrade: h2c, foo/2\r\nContent-Length: 0\r\n", Some("h2c, foo/2")),
        ("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", Some("h2c")),
        ("Upgrade: websocket\r\n", None),
        ("Upgrade: websocket\r\nContent-Length: 3\r\n", None),
        ("Connection: upgrade\r\n", None),
    ] {
        accepted(with(lines), |head| assert_eq!(head.upgrade, upgrade, "{lines}"));
    }
    let old = "POST / HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\n\
               Expect: 100-continue\r\n\r\n";
    accepted(old, |head| {
        assert!(!head.keep_alive && !head.expect_continue);
        assert_eq!((head.host, head.upgrade, head.version), (None, None, Version::Http10));
    });
    accepted(with("Expect: 100-continue\r\n"), |head| assert!(!head.expect_continue));
}

#[test]
fn hop_by_hop_fields() {
    accepted(with("Connection: close, te, X-A,\r\nConnection: keep-alive, Cookie\r\n"), |head| {
        for name in ["x-a", "COOKIE", "connection", "Keep-Alive", "TE", "upgrade", "transfer-encoding", "close"] {
            assert!(head.fields.is_hop_by_hop(name), "{name}");
        }
        for name in ["x-b", "host", "content-length", "trailer", "x", "accept"] {
            assert!(!head.fields.is_hop_by_hop(name), "{name}");
        }
    });
    accepted(with("Connection: keep-alive\r\nX-A: Cookie\r\n"), |head| {
        for name in ["proxy-connection", "Proxy-Authenticate", "Proxy-Authorization"] {
            assert!(head.fields.is_hop_by_hop(name), "{name}");
        }
        assert!(!head.fields.is_hop_by_hop("cookie"));
    });
}

#[test]
fn targets() {
    let absolute = |scheme, authority, path| Target::Absolute { scheme, authority, path };
    for (method, target, expected) in [
        ("GET", "/", Target::Origin("/")),
        ("GET", "//a/../b%2f%zz", Target::Origin("//a/../b%2f%zz")),
        ("GET", "/a|b^{c}[d]`e?f=\\g'", Target::Origin("/a|b^{c}[d]`e?f=\\g'")),
        ("OPTIONS", "*", Target::Asterisk),
        ("GET", "http://a", absolute("http", "a", "/")),
        ("GET", "HTTPS://[::1]:80/x?y", absolute("HTTPS", "[::1]:80", "/x?y")),
        ("GET", "ws://a.b:1/?x=http://c", absolute("ws", "a.b:1", "/?x=http://c")),
        ("OPTIONS", "http://a:8", absolute("http", "a:8", "*")),
        ("OPTIONS", "http://a/", absolute("http", "a", "/")),
    ] {
        accepted(format!("{method} {target} HTTP/1.1\r\nHost: b\r\n\r\n"), |head| assert_eq!(head.target, expected));
    }
    for target in [
        "a",
        "a:80",
        "*",
        "?a",
        "",
        "http:/a",
        "http://",
        "http:///a",
        "http://a?b",
        "http://u@a/",
        "http://a:99999/",
        "http://a,b/",
        "ftp://a/",
        "://a/",
        "/a#b",
        "/#",
        "/\\",
        "/a\\?b",
        "/\"",
        "/<",
        "/>",
        "http://a\\b/",
        "http://a/\\",
    ] {
        refused(format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n"), 400, "bad_target");
    }
    for octet in (0x80..=0xff).chain([0, b'\t', 0x1f, 0x7f]) {
        let input = [b"GET /".as_slice(), &[octet], b" HTTP/1.1\r\nHost: b\r\n\r\n"].concat();
        refused(input, 400, if octet >= 0x80 || octet == b'\t' { "bad_target" } else { "control_byte" });
    }
    refused("GET /\u{e9} HTTP/1.1\r\nHost: b\r\n\r\n", 400, "bad_target");
}

#[test]
fn hosts() {
    for host in ["a", "A-b_c~.d.", "1.2.3.4:0", "a:65535", "a:00080", "[::1]", "[::ffff:1.2.3.4]:443", "xn--p1ai"] {
        assert!(is_authority(host), "{host}");
        accepted(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), |head| assert_eq!(head.host, Some(host)));
    }
    for host in [
        "",
        ":80",
        "a:",
        "a:65536",
        "a:000080",
        "a:+1",
        "a:-1",
        "a:1:2",
        "a:b",
        "::1",
        "[::1",
        "[::1]80",
        "[::1]:",
        "[]",
        "[::1%25lo]",
        "[fe80::1%1]",
        "[v1.a]",
        "[1.2.3.4]",
        "a b",
        "a,b",
        "a@b",
        "a/b",
        "a%41",
        "\u{e9}",
        "a\\b",
        "a;b",
        "a?b",
        "a#b",
        "'a'",
        "a\tb",
        "[::1]a",
        &"a".repeat(255),
        &format!("{}:80", "a.".repeat(128)),
    ] {
        assert!(!is_authority(host), "{host}");
        refused(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), 400, "bad_host");
    }
    refused("GET / HTTP/1.1\r\n\r\n", 400, "missing_host");
    refused("GET http://a/ HTTP/1.1\r\n\r\n", 400, "missing_host");
    refused("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, "repeated_host");
    refused("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400, "repeated_host");
    refused("GET / HTTP/1.0\r\nHost: \r\n\r\n", 400, "bad_host");
}

#[test]
fn request_lines_refused() {
    for (line, status, reason) in [
        ("CONNECT a:443 HTTP/1.1", 405, "connect"),
        ("CONNECT / HTTP/1.1", 405, "connect"),
        ("PRI * HTTP/2.0", 505, "unsupported_version"),
        ("GET / HTTP/1.2", 505, "unsupported_version"),
        ("GET / HTTP/0.9", 505, "unsupported_version"),
        ("GET / http/1.1", 400, "bad_version"),
        ("GET / HTTP/1", 400, "bad_version"),
        ("GET / HTTP/1.1 ", 400, "bad_version"),
        ("GET /  HTTP/1.1", 400, "bad_version"),
        ("GET / a HTTP/1.1", 400, "bad_version"),
        ("GET  / HTTP/1.1", 400, "bad_target"),
        ("GET /", 400, "bad_request_line"),
        ("GET", 400, "bad_request_line"),
        ("GET\t/ HTTP/1.1", 400, "bad_method"),
        ("G(T / HTTP/1.1", 400, "bad_method"),
        (" GET / HTTP/1.1", 400, "leading_whitespace"),
        ("\tGET / HTTP/1.1", 400, "leading_whitespace"),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1", 400, "bad_method"),
        ("\u{e9} / HTTP/1.1", 400, "bad_method"),
        ("GET / HTTP/1.1\r", 400, "lone_carriage_return"),
        ("\n\nGET / HTTP/1.1", 400, "lone_line_feed"),
        ("\r\n\r\nGET / HTTP/1.1", 400, "extra_empty_line"),
        ("\x16\x03\x01", 400, "control_byte"),
    ] {
        refused(format!("{line}\r\nHost: a\r\n\r\n"), status, reason);
    }
    accepted(format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(32)), |head| assert_eq!(head.method.len(), 32));
    // A client of HTTP/2 by prior knowledge sends exactly this.
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version");
}

#[test]
fn fields_refused() {
    for (lines, status, reason) in [
        ("A: b\n", 400, "lone_line_feed"),
        ("A: b\rc\r\n", 400, "lone_carriage_return"),
        ("A: b\r\r\n", 400, "lone_carriage_return"),
        ("A: b\n\r\n", 400, "lone_line_feed"),
        ("A: \0\r\n", 400, "control_byte"),
        ("A: \x7f\r\n", 400, "control_byte"),
        ("A\x0b: b\r\n", 400, "control_byte"),
        (" A: b\r\n", 400, "line_folding"),
        ("A: b\r\n\tc\r\n", 400, "line_folding"),
        ("A: b\r\n \r\n", 400, "line_folding"),
        ("A : b\r\n", 400, "space_before_colon"),
        ("A\t: b\r\n", 400, "space_before_colon"),
        ("Content-Length : 3\r\n", 400, "space_before_colon"),
        (": b\r\n", 400, "bad_field_name"),
        ("A\r\n", 400, "bad_field_name"),
        ("A B: c\r\n", 400, "bad_field_name"),
        ("A(: c\r\n", 400, "bad_field_name"),
        ("\u{e9}: c\r\n", 400, "bad_field_name"),
        ("Content-Length: +1\r\n", 400, "bad_content_length"),
        ("Content-Length: -1\r\n", 400, "bad_content_length"),
        ("Content-Length: 1 1\r\n", 400, "bad_content_length"),
        ("Content-Length: 1, 1\r\n", 400, "bad_content_length"),
        ("Content-Length: 0x1\r\n", 400, "bad_content_length"),
        ("Content-Length: 1_0\r\n", 400, "bad_content_length"),
        ("Content-Length:\r\n", 400, "bad_content_length"),
        ("Content-Length: \u{661}\r\n", 400, "bad_content_length"),
        ("Content-Length: 18446744073709551616\r\n", 400, "bad_content_length"),
        ("Content-Length: 184467440737095516150\r\n", 400, "bad_content_length"),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400, "repeated_content_length"),
        ("Content-Length: 1\r\ncontent-length: 2\r\n", 400, "repeated_content_length"),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400, "both_lengths"),
        ("Transfer-Encoding: gzip\r\nContent-Length: 0\r\n", 400, "both_lengths"),
        ("Transfer-Encoding: gzip\r\n", 501, "unknown_transfer_coding"),
        ("Transfer-Encoding: identity\r\n", 501, "unknown_transfer_coding"),
        ("Transfer-Encoding: xchunked\r\n", 501, "unknown_transfer_coding"),
        ("Transfer-Encoding:\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: gzip, chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked, chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked,\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked;a=b\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: \"chunked\"\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked identity\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked\u{a0}\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, "bad_transfer_encoding"),
        ("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n", 400, "bad_transfer_encoding"),
        ("Expect: 200-ok\r\n", 417, "bad_expect"),
        ("Expect: 100-continue, x\r\n", 417, "bad_expect"),
        ("Expect:\r\n", 417, "bad_expect"),
        ("Connection: a b\r\n", 400, "bad_connection"),
        ("Connection: \"close\"\r\n", 400, "bad_connection"),
        (&format!("Connection: a{}\r\n", ",".repeat(32)), 400, "bad_connection"),
        (&format!("Connection: {}\r\n", ",".repeat(60_000)), 400, "bad_connection"),
        (&"Connection: a\r\n".repeat(33), 400, "bad_connection"),
        (&format!("Connection: {}\r\n", "a".repeat(1025)), 400, "bad_connection"),
        (&format!("Connection: {}\r\n", "a".repeat(600)).repeat(2), 400, "bad_connection"),
        ("Connection: upgrade\r\nUpgrade: a\r\nContent-Length: 1\r\n", 400, "upgrade_with_body"),
        ("Connection: upgrade\r\nUpgrade: a\r\nTransfer-Encoding: chunked\r\n", 400, "upgrade_with_body"),
        ("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: a\r\n", 400, "bad_upgrade"),
        ("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\nUpgrade: c\r\n", 400, "bad_upgrade"),
        ("Connection: upgrade\r\nUpgrade: a b\r\n", 400, "bad_upgrade"),
        ("Connection: upgrade\r\nUpgrade:\r\n", 400, "bad_upgrade"),
        ("Connection: upgrade\r\nUpgrade: a/\r\n", 400, "bad_upgrade"),
    ] {
        refused(with(lines), status, reason);
    }
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "transfer_encoding_in_http10");
}

#[test]
fn faults_of_a_head_that_is_not_whole() {
    for (input, status, reason) in [
        ("\n", 400, "lone_line_feed"),
        ("\rG", 400, "lone_carriage_return"),
        ("\r\n\r\n", 400, "extra_empty_line"),
        (" ", 400, "leading_whitespace"),
        ("GET /\0", 400, "control_byte"),
        ("GET /\r\n", 400, "bad_request_line"),
        ("GET / HTTP/1.1\n", 400, "lone_line_feed"),
        ("GET / HTTP/3.0\r\n", 505, "unsupported_version"),
        ("GET / HTTP/1.1\r\nA b\r\n", 400, "bad_field_name"),
        ("GET / HTTP/1.1\r\nA: b\r\n ", 400, "line_folding"),
        ("GET / HTTP/1.1\r\nA: b\rc", 400, "lone_carriage_return"),
        // The first fault counts, whichever is found first.
        ("GET / HTTP/1.9\r\nA: b\0", 505, "unsupported_version"),
        ("GET / HTTP/1.1\r\nA b\r\nHost: a\r\nC\0", 400, "bad_field_name"),
    ] {
        refused(input, status, reason);
    }
    for input in
        ["", "\r", "\r\n", "\r\n\r", "G", "GET /", "GET / HTTP/1.1\r\nHost: a", "GET / HTTP/1.1\r\nHost: a\r\n\r"]
    {
        assert_eq!(request(input.as_bytes()), Ok(None), "{input:?}");
    }
}

#[test]
fn limits() {
    let limits = Limits { head_bytes: 200, target_bytes: 20, ..Limits::default() };
    let parse = |input: &[u8]| {
        request_resumed(input, &mut HeadScan::default(), &limits).map_err(|error| (error.status(), error.reason()))
    };
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(bytes - 1));
    assert!(matches!(parse(target(20).as_bytes()), Ok(Some(_))));
    assert_eq!(parse(target(21).as_bytes()), Err((414, "target_too_long")));
    assert_eq!(parse(&target(100).as_bytes()[..24]), Ok(None));
    assert_eq!(parse(&target(100).as_bytes()[..25]), Err((414, "target_too_long")));
    assert_eq!(parse(target(1000).as_bytes()), Err((414, "target_too_long")));

    let head = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nB: ";
        format!("{start}{}\r\n\r\nGET /", "b".repeat(bytes - start.len() - 4))
    };
    assert!(matches!(parse(head(200).as_bytes()), Ok(Some(_))));
    assert_eq!(parse(head(201).as_bytes()), Err((431, "head_too_large")));
    assert_eq!(parse(&head(300).as_bytes()[..199]), Ok(None));
    assert_eq!(parse(&head(300).as_bytes()[..200]), Err((431, "head_too_large")));

    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A:\r\n".repeat(count - 1));
    assert!(matches!(request(fields(MAX_FIELDS).as_bytes()), Ok(Some(_))));
    refused(fields(MAX_FIELDS + 1), 431, "too_many_fields");
    let whole = fields(MAX_FIELDS + 1);
    refused(&whole[..whole.len() - 2], 431, "too_many_fields");
}
