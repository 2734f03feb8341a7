//! The table at the end of a run.
use std::fmt;
use std::time::Duration;

use crate::failure::Failure;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Outcome {
    /// With `strict`, what cannot run counts as failed.
    pub(crate) fn of(result: Result<(), Failure>, strict: bool) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Failure::Unavailable(what)) if !strict => Self::Skipped(what),
            Err(failure) => Self::Failed(failure.to_string()),
        }
    }

    fn word_and_reason(&self) -> (&'static str, &str) {
        match self {
            Self::Passed => ("ok", ""),
            Self::Failed(why) => ("failed", why),
            Self::Skipped(why) => ("skipped", why),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.word_and_reason() {
            (word, "") => f.write_str(word),
            (word, reason) => write!(f, "{word}: {reason}"),
        }
    }
}

/// The steps that ran. Displayed, its last line is `N passed, N failed, N skipped`.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    steps: Vec<(&'static str, Outcome, Duration)>,
}

impl Summary {
    pub(crate) fn add(&mut self, name: &'static str, outcome: Outcome, took: Duration) {
        self.steps.push((name, outcome, took));
    }

    pub(crate) fn any_failed(&self) -> bool {
        self.steps.iter().any(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.steps.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for (name, outcome, took) in &self.steps {
            match outcome {
                Outcome::Passed => passed += 1,
                Outcome::Failed(_) => failed += 1,
                Outcome::Skipped(_) => skipped += 1,
            }
            let (word, reason) = outcome.word_and_reason();
            let row = format!("{name:<widest$}  {word:<7}  {:>6.1} s  {reason}", took.as_secs_f64());
            writeln!(f, "{}", row.trim_end())?;
        }
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_run_fails_only_where_it_has_to_run() {
        let missing = || Err(Failure::unavailable("chromium"));
        assert_eq!(Outcome::of(missing(), false), Outcome::Skipped("chromium".into()));
        assert_eq!(Outcome::of(missing(), true), Outcome::Failed("cannot run here: chromium".into()));
        assert_eq!(Outcome::of(Ok(()), true), Outcome::Passed);
    }

    #[test]
    fn the_table_is_aligned_and_ends_with_the_count() {
        let mut summary = Summary::default();
        summary.add("fmt", Outcome::Passed, Duration::from_millis(1200));
        summary.add("clippy", Outcome::Failed("`cargo clippy` failed".into()), Duration::from_secs(61));
        summary.add("e2e", Outcome::Skipped("no browser".into()), Duration::ZERO);
        assert!(summary.any_failed());
        assert_eq!(
            summary.to_string(),
            "fmt     ok          1.2 s\n\
             clippy  failed     61.0 s  `cargo clippy` failed\n\
             e2e     skipped     0.0 s  no browser\n\
             1 passed, 1 failed, 1 skipped"
        );
    }
}
