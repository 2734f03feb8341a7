//! Classes of octets, and the search for control bytes.

/// `tchar` of RFC 9110 section 5.6.2.
const TOKEN: u8 = 1;
/// What a request target may be made of; see [`is_target`].
const TARGET: u8 = 2;
/// What a host name may be made of; see [`is_host_name`].
const HOST: u8 = 4;

static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let byte = octet as u8;
        let alphanumeric = byte.is_ascii_alphanumeric();
        if alphanumeric || one_of(byte, b"!#$%&'*+-.^_`|~") {
            class[octet] |= TOKEN;
        }
        if byte.is_ascii_graphic() && !one_of(byte, b"#\"<>") {
            class[octet] |= TARGET;
        }
        if alphanumeric || one_of(byte, b"-._~") {
            class[octet] |= HOST;
        }
        octet += 1;
    }
    class
};

const fn one_of(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

#[inline]
fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| CLASS[byte as usize] & class != 0)
}

/// A token: method, field name, connection option.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// Bytes a target is accepted with: visible ASCII without `#`, `"`, `<` and `>`.
///
/// RFC 3986 also forbids ``\ ^ ` { | } [ ]`` where a browser sends them (WHATWG URL leaves them alone in a query, most of
/// them in a path), so they pass. The four that are refused are ones every browser escapes: `#` starts a fragment,
/// which some servers cut off and others do not, and the others only ever come from a program that forgot to escape.
#[inline]
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TARGET)
}

/// Unreserved characters of RFC 3986. Percent-encoding and sub-delimiters, which `reg-name` grants too, are no part of
/// any name that DNS or a browser knows, and servers disagree about them.
#[inline]
pub(crate) fn is_host_name(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, HOST)
}

/// Removes spaces and tabs at both ends (OWS).
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The position of the first byte below 0x20 or equal to 0x7F.
///
/// Eight bytes at a time: subtracting a byte's bound sets its top bit if it was smaller. A borrow can only spoil bytes
/// above one that was found, and the lowest is taken.
#[inline]
pub(crate) fn first_control(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES * 0x80;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let delete = word ^ (ONES * 0x7f);
        let found = (word.wrapping_sub(ONES * 0x20) & !word | delete.wrapping_sub(ONES) & !delete) & TOPS;
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let tail = rest.iter().position(u8::is_ascii_control)?;
    Some(words.len() * 8 + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_control_finds_each_control_byte_at_each_place() {
        for length in 0..40 {
            assert_eq!(first_control(&vec![b'a'; length]), None);
            for place in 0..length {
                for octet in 0..=255u8 {
                    let mut bytes = vec![0xff; length];
                    bytes[place] = octet;
                    assert_eq!(first_control(&bytes), octet.is_ascii_control().then_some(place), "{octet} {length}");
                    // One after it must not hide it, nor be taken for it.
                    bytes[place + 1..].fill(0x1f);
                    let expected = if octet.is_ascii_control() { Some(place) } else { Some(place + 1) };
                    assert_eq!(first_control(&bytes), expected.filter(|&at| at < length));
                }
            }
        }
    }
}
