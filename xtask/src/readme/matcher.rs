//! Does an output look as printed?

/// Whether `actual` is what `expected` says. In `expected`, `...` alone on a line stands for any
/// number of lines, and within a line for any text. Space at the end of a line does not count.
pub(super) fn matches(expected: &str, actual: &str) -> bool {
    lines_match(&lines(expected), &lines(actual))
}

/// Whether an output that is still being written already begins as `expected` says.
pub(super) fn begins(expected: &str, actual: &str) -> bool {
    let mut expected = lines(expected);
    expected.push(ANYTHING);
    lines_match(&expected, &lines(actual))
}

const ANYTHING: &str = "...";

fn lines(text: &str) -> Vec<&str> {
    text.trim_end().lines().map(str::trim_end).collect()
}

fn lines_match(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&ANYTHING, rest)) => (0..=actual.len()).any(|skipped| lines_match(rest, &actual[skipped..])),
        Some((line, rest)) => {
            actual.split_first().is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others))
        }
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    let Some((start, rest)) = expected.split_once(ANYTHING) else {
        return expected == actual;
    };
    let Some(mut left) = actual.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split(ANYTHING).collect();
    let end = parts.pop().unwrap_or_default();
    // The first place where a middle part fits leaves the most for those after it.
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_matches_itself() {
        assert!(matches("", ""));
        assert!(matches("a\nb\n", "a  \nb\n\n"));
        assert!(!matches("a\nb", "a"));
        assert!(!matches("a", "a\nb"));
        assert!(!matches("", "something"));
        assert!(!matches("a\n\nb", "a\nb"));
    }

    #[test]
    fn dots_within_a_line_stand_for_any_text() {
        assert!(matches("pid ... on ...", "pid 12 on 127.0.0.1:80"));
        assert!(matches("[...]", "[]"));
        assert!(matches("a...b...c", "a1bb2bc"));
        assert!(!matches("a...b", "a\nb"));
        assert!(!matches("a...b", "xab"));
        assert!(!matches("ab...ba", "aba"));
        assert!(!matches("...b...", "aaa"));
    }

    #[test]
    fn dots_alone_stand_for_any_lines() {
        assert!(matches("...", ""));
        assert!(matches("a\n...\nd", "a\nb\nc\nd"));
        assert!(matches("a\n...\nd", "a\nd"));
        assert!(matches("...\nd\n...", "a\nd\nd\nx"));
        assert!(!matches("a\n...\nd", "a\nb"));
    }

    #[test]
    fn an_unfinished_output_can_begin_right() {
        assert!(begins("{...}", "{\"event\":\"ready\"}\nmore"));
        assert!(begins("a", "a"));
        assert!(!begins("a\nb", "a"));
    }
}
