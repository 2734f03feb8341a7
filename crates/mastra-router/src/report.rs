//! What a supervisor says of the command behind a route: its last lines, and whether it has ended.

use std::collections::VecDeque;

use crate::error::{Result, RouterError};
use crate::lease::RouteLease;
use crate::terminal::{escape_length, is_harmless, sequence_length};

/// Lines that are kept of a command's output: what says why it does not start stands in the last of them.
const LINES_MOST: usize = 20;
/// Longest line that is kept, in bytes.
const LINE_MOST: usize = 400;
/// Longest text that is kept of how a command ended, in bytes.
const ENDED_MOST: usize = 200;

/// What is known of the command behind a route. A report takes the place of the one before it. It is kept in memory, for as
/// long as there is the route, and never saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandReport {
    /// The last lines it wrote, oldest first. The last 20 are kept, 400 bytes of each, without what would control a terminal.
    pub output: Vec<String>,
    /// How it ended ("exited with 1"); `None` while it runs or starts. A target that does not listen is not waited for then.
    pub ended: Option<String>,
    /// The process the route is leased to. Nobody else may report on a leased route.
    pub lease: Option<RouteLease>,
}

impl CommandReport {
    /// The report as it can be shown, in its bounds.
    ///
    /// # Errors
    /// [`RouterError::InvalidField`] for an end that is not said in words.
    pub(crate) fn checked(&self) -> Result<Self> {
        let mut output: VecDeque<String> = VecDeque::with_capacity(LINES_MOST);
        for line in self.output.iter().flat_map(|text| text.split('\n')).rev() {
            if output.len() == LINES_MOST {
                break;
            }
            output.push_front(plain(line, LINE_MOST));
        }
        let ended = self.ended.as_deref().map(|ended| plain(ended, ENDED_MOST));
        if ended.as_deref().is_some_and(|ended| ended.trim().is_empty()) {
            let value = self.ended.clone().unwrap_or_default();
            return Err(RouterError::InvalidField { field: "ended", value, reason: "it is empty" });
        }
        Ok(Self { output: output.into(), ended, lease: self.lease.clone() })
    }
}

/// A line as a terminal would show it in the end, in `most` bytes: without escape sequences, with what a carriage return
/// left of it, and with nothing that turns the direction of reading.
fn plain(line: &str, most: usize) -> String {
    const CUT: char = '…';
    let mut out = String::with_capacity(line.len().min(most));
    let mut rest = line;
    let mut is_over = false;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\u{1b}' => escape_length(rest.as_bytes()),
            // A control sequence introducer of eight bits.
            '\u{9b}' => c.len_utf8() + sequence_length(rest.as_bytes().get(c.len_utf8()..).unwrap_or_default()),
            c => c.len_utf8(),
        };
        rest = rest.get(length..).unwrap_or_default();
        match c {
            '\r' if !rest.is_empty() => {
                out.clear();
                is_over = false;
            }
            '\t' if !is_over => out.push_str("    "),
            '\u{8}' => _ = out.pop(),
            c if !is_harmless(c) || is_over => {}
            c => out.push(c),
        }
        if out.len() > most {
            is_over = true;
        }
    }
    if is_over {
        let mut end = most - CUT.len_utf8();
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push(CUT);
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_a_terminal_leaves_them() {
        for (line, want) in [
            ("", ""),
            ("plain ünï → ✓", "plain ünï → ✓"),
            ("\u{1b}[32mready\u{1b}[0m in \u{1b}[1m5 ms\u{1b}[22m", "ready in 5 ms"),
            ("\u{1b}[38;2;1;2;3mx\u{1b}[K\u{1b}[2J\u{1b}[?25l", "x"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\b", "alinkb"),
            ("\u{1b}(Bx\u{1b}=y\u{1b}", "xy"),
            ("\u{9b}31mx\u{9c}", "x"),
            ("10 %\r50 %\r100 %", "100 %"),
            ("done\r", "done"),
            ("a\tb\u{0}\u{7}\u{7f}", "a    b"),
            ("ab\u{8}c", "ac"),
            ("\u{202e}gpj.exe\u{2066}", "gpj.exe"),
            ("  indented   ", "  indented"),
            ("\u{1b}[31", ""),
            ("\u{1b}]0;without an end", ""),
            ("<script>&amp;", "<script>&amp;"),
        ] {
            assert_eq!(plain(line, LINE_MOST), want, "{line:?}");
        }
    }

    #[test]
    fn lines_are_bounded() {
        for (line, most, want) in [
            ("0123456789", 10, "0123456789"),
            ("0123456789a", 10, "0123456…"),
            ("012345ü789", 10, "012345…"),
            ("üüüüüü", 10, "üüü…"),
            ("0123456789a\rshort", 10, "short"),
        ] {
            assert_eq!(plain(line, most), want, "{line}");
        }
        assert!(plain(&"\t".repeat(1000), LINE_MOST).len() <= LINE_MOST);
    }

    #[test]
    fn the_last_lines_are_kept() {
        let output: Vec<String> = (0..30).map(|i| format!("line {i}\nmore {i}")).collect();
        let report = CommandReport { output, ..CommandReport::default() }.checked().unwrap();
        assert_eq!(report.output.len(), LINES_MOST);
        assert_eq!((report.output[0].as_str(), report.output[19].as_str()), ("line 20", "more 29"));
    }

    #[test]
    fn an_end_is_said_in_words() {
        let report = |ended: &str| CommandReport { ended: Some(ended.into()), ..CommandReport::default() }.checked();
        assert_eq!(report("exited\u{1b}[0m with 1").unwrap().ended.as_deref(), Some("exited with 1"));
        for bad in ["", " ", "\u{1b}[0m", "\n"] {
            assert_eq!(report(bad).unwrap_err().code(), "INVALID_FIELD", "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_gets_out_of_hand(text in "(\u{1b}|\\[|\\]|[0-9;m]|\r|\t|\u{8}|\u{202e}|ü|x|\\PC){0,600}") {
            let line = plain(&text, LINE_MOST);
            proptest::prop_assert!(line.len() <= LINE_MOST);
            proptest::prop_assert!(!line.chars().any(|c| !is_harmless(c)), "{:?}", line);
        }
    }
}
