//! What the documents say is true of the code.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail as tests do")]

mod console;
mod contract;
mod examples;
mod layers;
mod programs;
mod tables;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of all code blocks of a kind.
fn blocks<'t>(markdown: &'t str, kind: &str) -> Vec<&'t str> {
    let open = format!("```{kind}\n");
    markdown.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}
