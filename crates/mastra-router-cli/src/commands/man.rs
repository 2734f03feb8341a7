//! `man`: the manual pages, of the same definition as `--help`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use super::Outcome;
use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

/// Prints the page of the command, or writes it and those of its subcommands into a directory.
pub(crate) fn man(dir: Option<&Path>, output: &Output) -> Outcome {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = dir else {
        let (_, page) = page(command)?;
        // A reader that has gone is no failure.
        let _ = io::stdout().write_all(page.as_bytes());
        return Ok(ExitCode::SUCCESS);
    };
    let failed = |error: io::Error| {
        let failure = Failure::failed("FILE_ERROR", format!("cannot write in {}: {error}", dir.display()));
        Failure { hint: Some("name a directory that you can write to".to_owned()), ..failure }
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let mut left = vec![command];
    let mut written = 0;
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned());
        let (name, page) = page(command)?;
        std::fs::write(dir.join(name), page).map_err(failed)?;
        written += 1;
    }
    output.say(&format!("{written} pages; man {}/mastra-router.1 shows the first", dir.display()));
    Ok(ExitCode::SUCCESS)
}

/// What the page of a command is called, and what is in it.
fn page(command: clap::Command) -> io::Result<(String, String)> {
    let page = Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text)?;
    // What follows the options are lines in columns, which stay as they are.
    let text = String::from_utf8_lossy(&text)
        .replace(".SH EXTRA\n", ".SH NOTES\n.nf\n")
        .replace("\n.SH VERSION\n", "\n.fi\n.SH VERSION\n");
    Ok((page.get_filename(), text))
}
