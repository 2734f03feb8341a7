//! What of a text a terminal would obey, or a reader be deceived by: the one list of it, for all that shows what others wrote.

/// Whether a character stands for itself wherever it is shown: no control, no line separator, and none that turns the
/// direction of reading.
pub fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Bytes of the escape sequence (ECMA-48) that `bytes` begin with, one without an end up to the end of `bytes`; 0 where they
/// begin with none. It ends within UTF-8 only between two characters.
pub fn escape_length(bytes: &[u8]) -> usize {
    const ESCAPE: u8 = 0x1b;
    if bytes.first() != Some(&ESCAPE) {
        return 0;
    }
    let rest = bytes.get(2..).unwrap_or_default();
    2 + match bytes.get(1) {
        // Parameters and intermediate bytes, then a final one.
        Some(b'[') => sequence_length(rest),
        // Strings, as titles and links are: to BEL, or to a string terminator of one byte or two.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => {
            let ends = |(at, byte): (usize, &u8)| match (*byte, rest.get(at + 1)) {
                (7, _) => Some(at + 1),
                (ESCAPE, Some(b'\\')) | (0xc2, Some(0x9c)) => Some(at + 2),
                // Another sequence, which ends it.
                (ESCAPE, _) => Some(at),
                _ => None,
            };
            rest.iter().enumerate().find_map(ends).unwrap_or(rest.len())
        }
        // Intermediate bytes, then a final one.
        Some(0x20..=0x2f) => {
            let intermediate = rest.iter().take_while(|byte| matches!(byte, 0x20..=0x2f)).count();
            intermediate + usize::from(rest.get(intermediate).is_some_and(|byte| matches!(byte, 0x30..=0x7e)))
        }
        Some(0x30..=0x7e) => 0,
        // The begin of another sequence, or of a character.
        Some(_) | None => return 1,
    }
}

/// Bytes of a control sequence after its introducer.
pub(crate) fn sequence_length(bytes: &[u8]) -> usize {
    let parameters = bytes.iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
    parameters + usize::from(bytes.get(parameters).is_some_and(|byte| matches!(byte, 0x40..=0x7e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_have_their_length() {
        for (text, rest) in [
            ("\u{1b}[1;32mok", "ok"),
            ("\u{1b}[31>mok", "ok"),
            ("\u{1b}[31", ""),
            ("\u{1b}[3üm", "üm"),
            ("\u{1b}]0;title\u{7}ok", "ok"),
            ("\u{1b}]8;;http://x\u{1b}\\ok", "ok"),
            ("\u{1b}]0;x\u{9c}ok", "ok"),
            ("\u{1b}]0;x\u{1b}[1mok", "\u{1b}[1mok"),
            ("\u{1b}]0;never", ""),
            ("\u{1b}(Bok", "ok"),
            ("\u{1b}(ü", "ü"),
            ("\u{1b}cok", "ok"),
            ("\u{1b}ü", "ü"),
            ("\u{1b}", ""),
            ("ok", "ok"),
            ("", ""),
        ] {
            assert_eq!(text.get(escape_length(text.as_bytes())..), Some(rest), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn characters_stay_whole(text in "\u{1b}(\u{1b}|\\[|\\]|P|\\(|[0-9;m]|\u{9c}|\u{7}|ü|\\PC){0,40}") {
            let length = escape_length(text.as_bytes());
            proptest::prop_assert!(length > 0 && text.is_char_boundary(length), "{length} of {text:?}");
        }
    }
}
