//! The table of apps below their logs, on a terminal.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::report::{Report, State};
use super::screen::Shown;

/// Lines do not run over the edge while these are drawn; what is above is counted in lines.
const NO_WRAP: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// Longest text of a state.
const STATE_MAX: usize = 60;

/// What is drawn, and what of.
pub(super) struct Live {
    rows: Vec<Report>,
    /// Lines that are on the terminal, below the logs.
    drawn: usize,
}

impl Live {
    pub(super) fn new(apps: &[Shown]) -> Self {
        let row = |_: &Shown| Report::new(State::Waiting { others: Vec::new() });
        Self { rows: apps.iter().map(row).collect(), drawn: 0 }
    }

    pub(super) fn set(&mut self, at: usize, report: Report) {
        if let Some(row) = self.rows.get_mut(at) {
            *row = report;
        }
    }

    /// What takes the table away, writes `logs`, and draws it again, unless it `is_over`; then its last form stays.
    pub(super) fn drawn_below(&mut self, logs: &[u8], apps: &[Shown], color: bool, is_over: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if self.drawn > 0 {
            out.extend_from_slice(format!("\u{1b}[{}A\r\u{1b}[J", self.drawn).as_bytes());
        }
        out.extend_from_slice(logs);
        let lines = self.lines(apps, height(), Instant::now());
        self.drawn = lines.len() + 1;
        // An empty line between the logs and the table.
        let mut table = format!("{NO_WRAP}\n");
        for (at, line) in lines.iter().enumerate() {
            let _ = match (at, color) {
                (0, true) => writeln!(table, "\u{1b}[2m{line}\u{1b}[0m"),
                (_, true) => writeln!(table, "{}", crate::output::colored(line)),
                _ => writeln!(table, "{line}"),
            };
        }
        table.push_str(WRAP);
        if is_over {
            self.drawn = 0;
        }
        out.extend_from_slice(table.as_bytes());
        out
    }

    /// The heading and the rows, no more than leave half of the terminal to the logs.
    fn lines(&self, apps: &[Shown], height: usize, now: Instant) -> Vec<String> {
        let cells: Vec<[String; 4]> = apps.iter().zip(&self.rows).map(|(app, row)| cells(app, row, now)).collect();
        let heading = ["NAME", "URL", "STATUS", "UPTIME"].map(str::to_owned);
        let most = (height / 2).max(3) - 1;
        let left_out = if cells.len() > most { cells.len() - (most - 1) } else { 0 };
        let widths = widths(std::iter::once(&heading).chain(&cells));
        let rows = std::iter::once(&heading).chain(cells.iter().take(cells.len() - left_out));
        let mut lines: Vec<String> = rows.map(|row| line(row, widths)).collect();
        if left_out > 0 {
            lines.push(format!("and {left_out} more"));
        }
        lines
    }
}

fn cells(app: &Shown, row: &Report, now: Instant) -> [String; 4] {
    let shown: String = crate::output::printable(&row.state.cell());
    let state = match shown.char_indices().nth(STATE_MAX) {
        Some((at, _)) => format!("{}…", shown.get(..at).unwrap_or_default()),
        None => shown,
    };
    let uptime = row.since.map(|since| uptime(now.saturating_duration_since(since))).unwrap_or_default();
    let restarts = match row.restarts {
        0 => String::new(),
        1 => " (1 restart)".to_owned(),
        count => format!(" ({count} restarts)"),
    };
    [app.key.clone(), app.url.clone(), state, format!("{uptime}{restarts}").trim_start().to_owned()]
}

fn widths<'a>(rows: impl Iterator<Item = &'a [String; 4]>) -> [usize; 4] {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn line(row: &[String; 4], widths: [usize; 4]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let _ = write!(line, "{cell:width$}  ");
    }
    line.trim_end().to_owned()
}

fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h {minutes:02}m"),
    }
}

/// Lines of the terminal.
fn height() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    size.map(|size| usize::from(size.ws_row)).filter(|rows| *rows > 0).unwrap_or(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(count: usize) -> (Live, Vec<Shown>) {
        let apps = super::super::screen::shown((0..count).map(|at| (format!("app{at}"), format!("http://app{at}"))));
        (Live::new(&apps), apps)
    }

    #[test]
    fn rows_in_columns() {
        let (mut live, apps) = live(2);
        let now = Instant::now();
        live.set(
            0,
            Report { since: now.checked_sub(Duration::from_secs(61)), restarts: 2, ..Report::new(State::Healthy) },
        );
        live.set(1, Report::new(State::Failed { why: "\u{1b}[2J".to_owned() + &"x".repeat(99) }));
        let lines = live.lines(&apps, 24, now);
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["NAME", "URL", "STATUS", "UPTIME"]);
        assert!(
            lines[1].contains("app0  http://app0  ● healthy") && lines[1].ends_with("1m 01s (2 restarts)"),
            "{lines:?}"
        );
        assert!(lines[2].contains("\\u{1b}") && lines[2].ends_with('…'), "{lines:?}");
    }

    #[test]
    fn a_low_terminal_shows_less() {
        for (height, rows) in [(24, 11), (4, 2), (0, 2)] {
            let lines = live(50).0.lines(&live(50).1, height, Instant::now());
            assert_eq!(lines.len(), rows + 1, "{height}");
            assert_eq!(lines.last().unwrap(), &format!("and {} more", 50 - (rows - 1)));
        }
        assert_eq!(live(3).0.lines(&live(3).1, 24, Instant::now()).len(), 4);
    }

    #[test]
    fn it_is_drawn_over_itself() {
        let (mut live, apps) = live(1);
        let first = String::from_utf8(live.drawn_below(b"a\n", &apps, false, false)).unwrap();
        assert!(first.starts_with("a\n") && first.ends_with(WRAP));
        let below = first.matches('\n').count() - 1;
        let second = String::from_utf8(live.drawn_below(b"", &apps, false, true)).unwrap();
        assert!(second.starts_with(&format!("\u{1b}[{below}A\r\u{1b}[J")), "{second:?}");
    }

    #[test]
    fn times() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m 00s"), (3599, "59m 59s"), (3600, "1h 00m"), (90_000, "25h 00m")]
        {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }
}
