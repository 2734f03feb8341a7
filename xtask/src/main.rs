//! What contributors and CI run: `cargo xtask test` and its relatives.
use std::process::ExitCode;

mod bench;
mod chromium;
mod command;
mod coverage;
mod debian;
mod e2e;
mod failure;
mod fuzz;
mod node;
mod npm;
mod process;
mod python;
mod summary;
mod terminal;
mod test;
mod workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command::parse(&arguments) {
        Ok(command) => command.run(),
        Err(wrong) => {
            terminal::error(&wrong);
            ExitCode::from(2)
        }
    }
}
