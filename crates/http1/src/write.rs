//! Heads are written anew, never copied: what goes out is only what was understood.

use crate::framing::BodyLength;
use crate::octets::first_control;

/// Writes a request line, always of HTTP/1.1. Method and target must be valid.
#[inline]
pub fn write_request_line(out: &mut Vec<u8>, method: &str, target: &str) {
    debug_assert!(is_word(method.as_bytes()) && is_word(target.as_bytes()), "{method:?} {target:?}");
    out.reserve(method.len() + target.len() + 12);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes a status line, always of HTTP/1.1. The status has three digits; the reason may be empty.
#[inline]
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    debug_assert!((100..=999).contains(&status) && is_value(reason), "{status} {reason:?}");
    let digit = |place: u16| b'0' + (status / place % 10) as u8;
    out.reserve(reason.len() + 15);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line. Name and value must be valid, as those of a parsed head are.
#[inline]
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(is_word(name.as_bytes()) && is_value(value), "{name:?} {value:?}");
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the field that announces a body: `Content-Length`, `Transfer-Encoding: chunked`, or none for the other two.
#[inline]
pub fn write_length(out: &mut Vec<u8>, length: BodyLength) {
    match length {
        BodyLength::Empty | BodyLength::UntilClose => {}
        BodyLength::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// Writes the empty line.
#[inline]
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn is_word(bytes: &[u8]) -> bool {
    !bytes.is_empty() && first_control(bytes).is_none() && !bytes.contains(&b' ')
}

fn is_value(mut bytes: &[u8]) -> bool {
    while let Some(at) = first_control(bytes) {
        if bytes[at] != b'\t' {
            return false;
        }
        bytes = &bytes[at + 1..];
    }
    true
}
