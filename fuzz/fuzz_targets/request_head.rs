//! A head that is accepted has no doubtful byte, means the same written anew, and does not depend on how it was cut.
#![no_main]

use http1::{
    BodyLength, HeadScan, Limits, Parsed, RequestHead, Target, end_head, is_authority, slots, write_field,
    write_length, write_request_line,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 256, trailer_bytes: 256 };

fuzz_target!(|input: &[u8]| {
    let Some((&cut, input)) = input.split_first() else { return };
    let mut slots_whole = slots();
    let whole = RequestHead::parse(input, &mut slots_whole, &LIMITS, &mut HeadScan::default());

    // In two reads: the same head or the same fault.
    let mut scan = HeadScan::default();
    let part = &input[..(cut as usize).min(input.len())];
    let mut slots_part = slots();
    let partial = RequestHead::parse(part, &mut slots_part, &LIMITS, &mut scan);
    let mut slots_rest = slots();
    let resumed = match partial {
        Ok(Parsed::Partial) => RequestHead::parse(input, &mut slots_rest, &LIMITS, &mut scan),
        other => other,
    };
    assert_eq!(format!("{whole:?}"), format!("{resumed:?}"));

    let Ok(Parsed::Complete(head)) = whole else { return };
    let bytes = &input[..head.len];
    assert!(bytes.ends_with(b"\r\n\r\n") && head.len <= LIMITS.head_bytes);
    let lead = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    assert_eq!(bytes[lead..].windows(4).position(|window| window == b"\r\n\r\n"), Some(head.len - lead - 4));
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes[at + 1], b'\n'),
            b'\n' => assert_eq!(bytes[at - 1], b'\r'),
            b'\t' => {}
            _ => assert!(!byte.is_ascii_control()),
        }
    }
    let count = |name: &str| head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    assert_eq!(count("host"), usize::from(head.host.is_some()));
    assert!(head.host.is_none_or(is_authority));
    assert_ne!(head.body, BodyLength::UntilClose);
    assert_eq!(head.body == BodyLength::Chunked, count("transfer-encoding") == 1);
    assert_eq!(matches!(head.body, BodyLength::Length(_)), count("content-length") == 1);
    assert!(head.upgrade.is_none() || matches!(head.body, BodyLength::Empty | BodyLength::Length(0)));

    let target = match head.target {
        Target::Origin(target) => target.to_owned(),
        Target::Absolute { scheme, authority, path } => {
            assert!(is_authority(authority) && (path == "*" || path.starts_with('/')));
            format!("{scheme}://{authority}{}", path.trim_start_matches('*'))
        }
        Target::Asterisk => "*".to_owned(),
    };
    let mut written = Vec::new();
    write_request_line(&mut written, head.method, &target);
    let mut forwarded = Vec::new();
    for field in head.fields.iter() {
        if head.fields.is_hop_by_hop(field.name) || field.name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        // A nominated Host is the sender's folly; a relay writes its own.
        forwarded.push(field);
        write_field(&mut written, field.name, field.value);
    }
    if !forwarded.iter().any(|field| field.name.eq_ignore_ascii_case("host")) {
        write_field(&mut written, "Host", b"a");
    }
    write_length(&mut written, head.body);
    end_head(&mut written);

    let limits = Limits { head_bytes: usize::MAX, ..LIMITS };
    let mut slots_again = slots();
    let again = RequestHead::parse(&written, &mut slots_again, &limits, &mut HeadScan::default());
    let again = match again {
        Ok(Parsed::Complete(again)) => again,
        // The two fields a relay may have added can be the 129th.
        Err(error) if error.reason() == "too_many_fields" => return,
        other => panic!("{other:?}"),
    };
    assert_eq!((again.method, again.target, again.body), (head.method, head.target, head.body));
    assert_eq!(again.len, written.len());
    assert!(again.keep_alive && again.upgrade.is_none());
    assert!(forwarded.iter().all(|field| !again.fields.is_hop_by_hop(field.name)));
    let fields: Vec<_> = again.fields.iter().take(forwarded.len()).collect();
    assert_eq!(fields, forwarded);
});
