//! The one place that writes to the terminal: data on stdout, talk on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use mastra_router::terminal::is_harmless;
use mastra_router::{RouteInfo, RouteStatus};
use serde::Serialize;
use serde_json::json;

use crate::cli::Cli;
use crate::failure::Failure;

/// How to talk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Whether stdout shows colours.
    pub(crate) color: bool,
    /// Whether stdout is a terminal.
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(cli: &Cli) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let is_terminal = io::stdout().is_terminal();
        Self { json: cli.json, quiet: cli.quiet, color: is_terminal && !plain, is_terminal }
    }

    /// A line of data.
    pub(crate) fn line(&self, text: &str) {
        // A reader that has gone (`| head`) is no failure.
        let _ = writeln!(io::stdout(), "{}", printable(text));
    }

    /// A line of data with a dot that says how things are.
    pub(crate) fn dotted(&self, text: &str) {
        let text = printable(text);
        let _ = writeln!(io::stdout(), "{}", if self.color { colored(&text) } else { text });
    }

    /// A value as one line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let text = json_text(value);
        let mut out = io::stdout();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }

    /// A unified diff, as programs read it: tabs and the carriage returns of line ends stand for themselves.
    pub(crate) fn diff(&self, text: &str) {
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let line = line.strip_suffix('\n').unwrap_or(line);
            let (line, end) = line.strip_suffix('\r').map_or((line, "\n"), |line| (line, "\r\n"));
            let cells: Vec<String> = line.split('\t').map(printable).collect();
            out.push_str(&cells.join("\t"));
            out.push_str(end);
        }
        let _ = io::stdout().write_all(out.as_bytes());
    }

    /// Bytes that are made for where they go already.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mut out = io::stdout();
            let _ = out.write_all(bytes).and_then(|()| out.flush());
        }
    }

    /// Something to tell a person.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            err(&printable(text));
        }
    }

    /// Whether there is a terminal to ask on.
    pub(crate) fn asks(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a person, where there is one; `None` where there is no terminal to ask on.
    pub(crate) fn confirm(&self, question: &str) -> Option<bool> {
        if !self.asks() {
            return None;
        }
        let _ = write!(io::stderr(), "{} [y/N] ", printable(question)).and_then(|()| io::stderr().flush());
        let mut answer = String::new();
        let _ = io::stdin().read_line(&mut answer);
        Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Rows under their headings, in columns.
    pub(crate) fn table<const N: usize>(&self, headings: [&str; N], rows: &[[String; N]]) {
        let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
        let mut widths = headings.map(|h| h.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = String::new();
        let headings = headings.map(str::to_owned);
        for (i, row) in std::iter::once(&headings).chain(&rows).enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            let line = line.trim_end();
            let _ = match (i, self.color) {
                (0, true) => writeln!(out, "\u{1b}[2m{line}\u{1b}[0m"),
                (_, true) => writeln!(out, "{}", colored(line)),
                _ => writeln!(out, "{line}"),
            };
        }
        let _ = io::stdout().write_all(out.as_bytes());
    }

    /// Says why the command failed.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            let error = json!({ "code": failure.code, "message": failure.message, "hint": failure.hint });
            err(&json_text(&json!({ "error": error })));
        } else {
            err(&format!("error[{}]: {}", failure.code, printable(&failure.message)));
            if let Some(hint) = &failure.hint {
                err(&format!("  hint: {}", printable(hint)));
            }
        }
        ExitCode::from(failure.exit as u8)
    }
}

/// A line on stderr. Where nobody reads it any more there is nobody to tell.
fn err(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A status with a dot for the eye; the word says it.
pub(crate) fn status(status: RouteStatus) -> String {
    let dot = match status {
        RouteStatus::Active => "●",
        RouteStatus::Pending => "○",
        RouteStatus::Unhealthy | RouteStatus::Error => "✗",
    };
    format!("{dot} {status}")
}

/// Where a route stands, as [`status`].
pub(crate) fn standing(route: &RouteInfo) -> String {
    if route.sleeping { "○ sleeping".to_owned() } else { status(route.status) }
}

pub(crate) fn colored(line: &str) -> String {
    line.replace('●', "\u{1b}[32m●\u{1b}[0m").replace('○', "\u{1b}[33m○\u{1b}[0m").replace('✗', "\u{1b}[31m✗\u{1b}[0m")
}

/// Text in which nothing moves the cursor, changes the terminal or turns the direction of reading.
pub(crate) fn printable(text: &str) -> String {
    if text.chars().all(is_harmless) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_harmless(c) { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// A value as JSON that does none of this either: JSON lets more stand for itself than terminals do.
fn json_text(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    if text.chars().all(is_harmless) {
        return text;
    }
    // Outside of strings, all is ASCII; what is not harmless has one UTF-16 unit.
    text.chars().map(|c| if is_harmless(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect()
}

/// What clap says of the command line: help on stdout, errors on stderr.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    if !error.use_stderr() {
        let _ = error.print();
    } else if std::env::args_os().any(|a| a == "--json") {
        let message = text.trim_start_matches("error: ").lines().next().unwrap_or_default();
        let hint = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).unwrap_or("mastra-router --help");
        err(&json_text(&json!({ "error": { "code": "USAGE", "message": message, "hint": hint } })));
    } else if text.lines().all(|line| printable(line) == line) {
        let _ = error.print();
    } else {
        // The arguments it repeats are not for the terminal to obey.
        text.lines().for_each(|line| err(&printable(line)));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_speaks_to_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(printable("shop → ünï"), "shop → ünï");
        assert_eq!(json_text(&"\u{9b}2J\u{202e}ü\n"), "\"\\u009b2J\\u202eü\\n\"");
    }
}
