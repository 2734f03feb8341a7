//! The text of a configuration file, and the places in it.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The text of a file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file; `hint` says what to do where that cannot be done.
    ///
    /// # Errors
    /// `CONFIG_UNREADABLE`.
    pub(super) fn read(path: &Path, hint: &str) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Failure::usage("CONFIG_UNREADABLE", message, Some(hint.to_owned()))
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or(&self.text).matches('\n').count() + 1
    }

    /// The file, line and column of an offset.
    pub(crate) fn at(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = self.line(offset);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }

    /// The key whose value begins at `offset`, where it stands on the same line.
    fn key(&self, offset: usize) -> Option<&str> {
        let line = self.text.get(..offset)?.rsplit('\n').next()?;
        let key = line.trim_end().strip_suffix('=')?.trim();
        (!key.is_empty() && !key.contains(['=', '#', '"', '{'])).then_some(key)
    }

    /// A failure that names the place, and the key that was meant where one was mistyped.
    pub(crate) fn invalid(&self, offset: usize, message: &str) -> Failure {
        let key = self.key(offset).map(|key| format!("{key}: ")).unwrap_or_default();
        let hint = match meant(message) {
            Some(key) => format!("did you mean {key:?}?"),
            None => "correct the file".to_owned(),
        };
        let message = format!("{}: {key}{message}", self.at(offset));
        Failure::usage("CONFIG_INVALID", message, Some(hint))
    }

    /// `failure`, with the place that it is of.
    pub(crate) fn placed(&self, offset: usize, mut failure: Failure) -> Failure {
        failure.message = format!("{}: {}", self.at(offset), failure.message);
        failure
    }
}

/// The key that is likeliest meant by the unknown one of this error.
fn meant(message: &str) -> Option<String> {
    let mut quoted = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    let unknown = quoted.next()?;
    nearest(unknown, quoted)
}

/// The one of these names that `name` is likeliest meant to be, if it is like any.
pub(crate) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let like = |other: &str| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let scored = names.into_iter().map(|other| (like(other), other)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, other)| other.to_owned())
}
