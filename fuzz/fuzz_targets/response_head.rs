//! A head that is accepted has no doubtful byte, means the same written anew, and does not depend on how it was cut.
#![no_main]

use http1::{
    BodyLength, HeadScan, Limits, Parsed, RequestKind, ResponseHead, end_head, slots, write_field, write_length,
    write_status_line,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { head_bytes: 4096, target_bytes: 256, trailer_bytes: 256 };

fuzz_target!(|input: &[u8]| {
    let [cut, to, input @ ..] = input else { return };
    let to = if to & 1 == 1 { RequestKind::Head } else { RequestKind::Other };
    let mut slots_whole = slots();
    let whole = ResponseHead::parse(input, &mut slots_whole, &LIMITS, &mut HeadScan::default(), to);

    // In two reads: the same head or the same fault.
    let mut scan = HeadScan::default();
    let part = &input[..(*cut as usize).min(input.len())];
    let mut slots_part = slots();
    let partial = ResponseHead::parse(part, &mut slots_part, &LIMITS, &mut scan, to);
    let mut slots_rest = slots();
    let resumed = match partial {
        Ok(Parsed::Partial) => ResponseHead::parse(input, &mut slots_rest, &LIMITS, &mut scan, to),
        other => other,
    };
    assert_eq!(format!("{whole:?}"), format!("{resumed:?}"));

    let Ok(Parsed::Complete(head)) = whole else { return };
    let bytes = &input[..head.len];
    assert_eq!(bytes.windows(4).position(|window| window == b"\r\n\r\n"), Some(head.len - 4));
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
    assert_eq!(head.content_length.is_some(), count("content-length") == 1);
    assert!((100..=599).contains(&head.status));
    let bodiless = head.status < 200 || head.status == 204 || head.status == 304 || to == RequestKind::Head;
    assert_eq!(bodiless, head.body == BodyLength::Empty);
    assert!(!head.keep_alive || head.body != BodyLength::UntilClose);

    let mut written = Vec::new();
    write_status_line(&mut written, head.status, head.reason);
    let mut forwarded = Vec::new();
    for field in head.fields.iter() {
        if !head.fields.is_hop_by_hop(field.name) && !field.name.eq_ignore_ascii_case("content-length") {
            forwarded.push(field);
            write_field(&mut written, field.name, field.value);
        }
    }
    write_length(&mut written, head.body);
    end_head(&mut written);

    let limits = Limits { head_bytes: usize::MAX, ..LIMITS };
    let mut slots_again = slots();
    let again = ResponseHead::parse(&written, &mut slots_again, &limits, &mut HeadScan::default(), to);
    let Ok(Parsed::Complete(again)) = again else { panic!("{again:?}") };
    assert_eq!((again.status, again.reason, again.body), (head.status, head.reason, head.body));
    assert_eq!(again.len, written.len());
    let fields: Vec<_> = again.fields.iter().take(forwarded.len()).collect();
    assert_eq!(fields, forwarded);
});
