//! A line of an app, as it may be shown: it cannot move the cursor, change the terminal or pass for another app's.

use mastra_router::terminal::{escape_length, is_harmless};

/// How much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Text in its colours; what is no UTF-8 is replaced. For terminals.
    Colors,
    /// Text; what is no UTF-8 is replaced. For terminals.
    Text,
    /// Text, and what is no UTF-8 byte for byte. For files and pipes.
    Bytes,
}

const ESCAPE: u8 = 0x1b;

/// `line` without sequences that do more than colour, and with other controls as text.
pub(crate) fn clean(line: &[u8], keep: Keep) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut has_colors = false;
    let (mut was_cut, mut has_invalid) = (false, false);
    let mut rest = line;
    while let Some((&first, after)) = rest.split_first() {
        if first == ESCAPE {
            let (sequence, after) = rest.split_at(escape_length(rest));
            if keep == Keep::Colors && is_color(sequence) {
                out.extend_from_slice(sequence);
                has_colors = true;
            } else {
                was_cut = true;
            }
            rest = after;
            continue;
        }
        let length = after.iter().position(|byte| *byte == ESCAPE).map_or(rest.len(), |at| at + 1);
        let (text, after) = rest.split_at(length);
        for chunk in text.utf8_chunks() {
            chunk.valid().chars().for_each(|c| push(&mut out, c));
            match keep {
                Keep::Bytes => {
                    out.extend_from_slice(chunk.invalid());
                    has_invalid |= !chunk.invalid().is_empty();
                }
                Keep::Colors | Keep::Text if !chunk.invalid().is_empty() => push(&mut out, char::REPLACEMENT_CHARACTER),
                Keep::Colors | Keep::Text => {}
            }
        }
        rest = after;
    }
    if was_cut && has_invalid {
        // The halves of a character that stood around a sequence are one now, which may be any.
        return clean(&out, keep);
    }
    if has_colors {
        out.extend_from_slice(b"\x1b[0m");
    }
    out
}

fn push(out: &mut Vec<u8>, c: char) {
    if c == '\t' || is_harmless(c) {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.extend(c.escape_unicode().map(|c| u8::try_from(c).unwrap_or(b'?')));
    }
}

fn is_color(sequence: &[u8]) -> bool {
    let parameters = sequence.strip_prefix(b"\x1b[").and_then(|rest| rest.strip_suffix(b"m"));
    parameters.is_some_and(|text| text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        let check = |line: &[u8], expected: [&[u8]; 3]| {
            for (keep, expected) in [Keep::Colors, Keep::Text, Keep::Bytes].into_iter().zip(expected) {
                let got = clean(line, keep);
                assert_eq!(got, expected, "{line:?} {keep:?}: {:?}", String::from_utf8_lossy(&got));
            }
        };
        let same = |line: &'static [u8]| [line, line, line];
        check("plain ü →\t路".as_bytes(), same("plain ü →\t路".as_bytes()));
        check(b"\x1b[1;32mok\x1b[39m", [b"\x1b[1;32mok\x1b[39m\x1b[0m", b"ok", b"ok"]);
        check(b"a\x1b[2J\x1b[H\x1b[?25lb", same(b"ab"));
        check(b"\x1b]0;owned\x07t\x1b]8;;http://x\x1b\\l", same(b"tl"));
        check(b"\x1bc\x1b(Bx", same(b"x"));
        check(b"x\x1b[31", same(b"x"));
        check(b"x\x1b]0;never", same(b"x"));
        check(b"x\x1b", same(b"x"));
        check(b"\x1b[31>mx", same(b"x"));
        check(b"a\x07\x08b", same(b"a\\u{7}\\u{8}b"));
        check("a\u{202e}b\u{9b}2J".as_bytes(), same(b"a\\u{202e}b\\u{9b}2J"));
        check(b"\xff\x9bx", ["\u{fffd}\u{fffd}x".as_bytes(), "\u{fffd}\u{fffd}x".as_bytes(), b"\xff\x9bx"]);
        check("\x1bü".as_bytes(), same("ü".as_bytes()));
        let two = "a\u{fffd}\u{fffd}b".as_bytes();
        check(b"a\xc2\x1b[m\x9bb", [b"a\xef\xbf\xbd\x1b[m\xef\xbf\xbdb\x1b[0m", two, b"a\\u{9b}b"]);
        check(
            b"a\xe2\x1b[2J\x80\x1b[K\xaeb",
            ["a\u{fffd}\u{fffd}\u{fffd}b".as_bytes(), "a\u{fffd}\u{fffd}\u{fffd}b".as_bytes(), b"a\\u{202e}b"],
        );
    }

    proptest::proptest! {
        #[test]
        fn no_escape_gets_through(line in proptest::collection::vec(0_u8..=255, 0..200)) {
            for keep in [Keep::Text, Keep::Bytes] {
                let got = clean(&line, keep);
                proptest::prop_assert!(!got.iter().any(|b| *b < 0x20 && *b != b'\t' || *b == 0x7f), "{got:?}");
            }
            let got = clean(&line, Keep::Colors);
            let text = String::from_utf8(got).unwrap();
            for part in text.split('\u{1b}').skip(1) {
                proptest::prop_assert!(part.starts_with('[') && part.contains('m'), "{text:?}");
            }
        }
    }
}
