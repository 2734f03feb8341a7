//! The `mastra-router` command: parses, runs, and ends with a documented exit code.

mod cli;
mod commands;
mod config;
mod daemon;
mod doctor;
mod failure;
mod init;
mod output;
mod project_file;
mod repository;
mod run;
mod service;
mod uninstall;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::answer_shell();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let output = output::Output::new(&cli);
    match commands::run(cli, &output) {
        Ok(code) => code,
        Err(failure) => output.failure(&failure),
    }
}
