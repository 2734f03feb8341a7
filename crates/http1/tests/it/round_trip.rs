//! What is written is read back as it was.

use http1::{
    BodyLength, BodyWriter, Fields, HeadScan, Limits, Parsed, RequestHead, RequestKind, ResponseHead, Target, end_head,
    slots, write_field, write_length, write_request_line, write_status_line,
};
use proptest::prelude::*;

use crate::reading::{body, request, response};

/// As a relay writes it: the framing anew, the fields one by one.
fn write_fields(out: &mut Vec<u8>, fields: Fields<'_>, length: BodyLength) {
    for field in fields.iter() {
        let framing = ["content-length", "transfer-encoding"];
        if framing.iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            write_length(out, length);
        } else {
            write_field(out, field.name, field.value);
        }
    }
    end_head(out);
}

fn rewrite_request(input: &[u8]) -> Vec<u8> {
    let mut slots = slots();
    let Ok(Parsed::Complete(head)) =
        RequestHead::parse(input, &mut slots, &Limits::default(), &mut HeadScan::default())
    else {
        panic!("{:?}", input.escape_ascii().to_string());
    };
    let target = match head.target {
        Target::Origin(target) => target.to_owned(),
        Target::Absolute { scheme, authority, path } => format!("{scheme}://{authority}{path}"),
        Target::Asterisk => "*".to_owned(),
    };
    let mut out = Vec::new();
    write_request_line(&mut out, head.method, &target);
    write_fields(&mut out, head.fields, head.body);
    out
}

fn rewrite_response(input: &[u8]) -> Vec<u8> {
    let mut slots = slots();
    let parsed =
        ResponseHead::parse(input, &mut slots, &Limits::default(), &mut HeadScan::default(), RequestKind::Other);
    let Ok(Parsed::Complete(head)) = parsed else { panic!("{:?}", input.escape_ascii().to_string()) };
    let mut out = Vec::new();
    write_status_line(&mut out, head.status, head.reason);
    let length = head.content_length.map_or(head.body, BodyLength::Length);
    write_fields(&mut out, head.fields, length);
    out
}

fn framing() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any::<u64>().prop_map(|length| format!("Content-Length: {length}\r\n")),
        Just("transfer-encoding:CHUNKED \r\n".to_owned()),
    ]
}

/// Lines of fields whose names mean nothing.
fn field_lines() -> impl Strategy<Value = String> {
    let line = ("x-[!#$%&'*+.^_`|~0-9A-Za-z-]{0,12}", "[ \t]{0,3}", "[ -~\t\u{e9}]{0,20}");
    prop::collection::vec(line.prop_map(|(name, space, value)| format!("{name}:{space}{value}\r\n")), 0..12)
        .prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn requests(
        method in "[A-Z]{1,32}",
        target in prop_oneof!["/[a-z0-9/.?&=%|^{}]{0,30}", "https?://[a-z0-9.-]{1,9}(:[0-9]{1,4})?/[a-z?=]{0,9}"],
        before in field_lines(),
        framing in framing(),
        after in field_lines(),
    ) {
        prop_assume!(method != "CONNECT");
        let input = format!("{method} {target} HTTP/1.1\r\n{before}Host: a.localhost\r\n{framing}{after}\r\n");
        let once = rewrite_request(input.as_bytes());
        prop_assert_eq!(request(&once).unwrap().unwrap().len, once.len());
        let (first, second) = (request(input.as_bytes()).unwrap().unwrap(), request(&once).unwrap().unwrap());
        prop_assert_eq!(first.body, second.body);
        // Values differ in nothing but the framing's spelling.
        let normal = |text: String| text.replace("CHUNKED", "chunked").replace("transfer-encoding", "Transfer-Encoding");
        let debug = |text: String| normal(text).replace(&format!("{:?}", b"CHUNKED"), &format!("{:?}", b"chunked"));
        prop_assert_eq!(debug(first.text), debug(second.text));
        prop_assert_eq!(rewrite_request(&once), once);
    }

    #[test]
    fn responses(
        status in 200u16..600,
        reason in "[ -~\t\u{e9}]{0,20}",
        before in field_lines(),
        framing in framing(),
        after in field_lines(),
    ) {
        let input = format!("HTTP/1.1 {status} {reason}\r\n{before}{framing}{after}\r\n");
        let once = rewrite_response(input.as_bytes());
        let read = |input: &[u8]| response(input, RequestKind::Other).unwrap().unwrap();
        prop_assert_eq!(read(input.as_bytes()).body, read(&once).body);
        prop_assert_eq!(rewrite_response(&once), once);
    }

    #[test]
    fn bodies(
        runs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        trailers in prop::option::of(Just(&b"A: b\r\nC: \r\n"[..])),
        splits in prop::collection::vec(0usize..3000, 0..20),
        length in prop_oneof![Just(BodyLength::Chunked), Just(BodyLength::Length(0)), Just(BodyLength::UntilClose)],
    ) {
        let payload = runs.concat();
        let length = if length == BodyLength::Length(0) { BodyLength::Length(payload.len() as u64) } else { length };
        let mut writer = BodyWriter::new(length);
        let mut written = Vec::new();
        for run in &runs {
            let mut room = [0; 20];
            written.extend_from_slice(writer.before(run.len(), &mut room));
            written.extend_from_slice(run);
            written.extend_from_slice(writer.after());
        }
        prop_assert_eq!(writer.finish(trailers, &mut written), Ok(()));
        let end = written.len();
        if length != BodyLength::UntilClose {
            written.extend_from_slice(b"GET / HTTP/1.1\r\n");
        }
        let mut splits = splits;
        splits.sort_unstable();
        let read = body(length, &written, &splits, &Limits::default()).unwrap();
        prop_assert!(read.done);
        prop_assert_eq!(read.payload, payload);
        prop_assert_eq!(read.taken, end);
        let expected = trailers.filter(|_| length == BodyLength::Chunked).map(<[u8]>::to_vec);
        prop_assert_eq!(read.trailers, expected);
    }

    #[test]
    fn arbitrary_bytes_split_anyhow(input in prop::collection::vec(any::<u8>(), 0..200), split in 0usize..200) {
        let split = split.min(input.len());
        let limits = Limits::default();
        prop_assert_eq!(
            body(BodyLength::Chunked, &input, &[split], &limits),
            body(BodyLength::Chunked, &input, &[], &limits)
        );
        let _ = request(&input);
        let _ = response(&input, RequestKind::Other);
    }
}
