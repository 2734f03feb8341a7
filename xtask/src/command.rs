//! The command line: what was asked for, and who does it.
use std::process::ExitCode;

use crate::failure::Failure;
use crate::test::STEPS;
use crate::workspace::Workspace;
use crate::{bench, coverage, e2e, fuzz, terminal, test};

const USAGE: &str = "\
Usage: cargo xtask <command>

  test [--only STEP]... [--list]   everything CI runs: format, lints, tests, README, browser
  e2e                              only the end-to-end tests, on a release build
  coverage                         line coverage of the Rust tests, at least 85 %
  bench [ARGS...]                  the project's benchmarks (cargo bench)
  fuzz [--seconds N]               every fuzz target, N seconds each (default 60)";

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    List,
    Test { only: Vec<String> },
    E2e,
    Coverage,
    Bench { arguments: Vec<String> },
    Fuzz { seconds: u32 },
}

/// Reads the arguments after `cargo xtask`; an error is a sentence for the person who typed them.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    let Some((name, rest)) = arguments.split_first() else {
        return Ok(Command::Help);
    };
    match name.as_str() {
        "help" | "--help" | "-h" => Ok(Command::Help),
        "test" => parse_test(rest),
        "bench" => Ok(Command::Bench { arguments: rest.to_vec() }),
        "fuzz" => parse_fuzz(rest),
        "e2e" => nothing_more(rest, Command::E2e),
        "coverage" => nothing_more(rest, Command::Coverage),
        other => Err(format!("unknown command `{other}`\n{USAGE}")),
    }
}

fn parse_test(rest: &[String]) -> Result<Command, String> {
    let mut only = Vec::new();
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--list" => return Ok(Command::List),
            "--only" => {
                let name = rest.next().ok_or("--only needs the name of a step; --list shows them")?;
                if !STEPS.iter().any(|step| step.name == name) {
                    return Err(format!("no step is called `{name}`; `cargo xtask test --list` shows them"));
                }
                only.push(name.clone());
            }
            other => return Err(format!("unexpected argument `{other}`\n{USAGE}")),
        }
    }
    Ok(Command::Test { only })
}

fn parse_fuzz(rest: &[String]) -> Result<Command, String> {
    match rest {
        [] => Ok(Command::Fuzz { seconds: 60 }),
        [flag, number] if flag == "--seconds" => match number.parse() {
            Ok(seconds) => Ok(Command::Fuzz { seconds }),
            Err(_) => Err(format!("--seconds needs a whole number, not `{number}`")),
        },
        _ => Err(format!("fuzz takes --seconds N\n{USAGE}")),
    }
}

fn nothing_more(rest: &[String], command: Command) -> Result<Command, String> {
    match rest.first() {
        None => Ok(command),
        Some(argument) => Err(format!("unexpected argument `{argument}`\n{USAGE}")),
    }
}

impl Command {
    pub(crate) fn run(self) -> ExitCode {
        let workspace = match Workspace::find() {
            Ok(workspace) => workspace,
            Err(failure) => return exit(Err(failure)),
        };
        match self {
            Self::Help => terminal::line(USAGE),
            Self::List => {
                for step in STEPS {
                    terminal::line(&format!("{:<10} {}", step.name, step.about));
                }
            }
            Self::Test { only } => return test::run(&workspace, &only),
            Self::E2e => return exit(e2e::run(&workspace)),
            Self::Coverage => return exit(coverage::run(&workspace)),
            Self::Bench { arguments } => return exit(bench::run(&workspace, &arguments)),
            Self::Fuzz { seconds } => return exit(fuzz::run(&workspace, seconds)),
        }
        ExitCode::SUCCESS
    }
}

fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::error(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn commands_are_told_apart() {
        assert_eq!(parsed(""), Ok(Command::Help));
        assert_eq!(parsed("test"), Ok(Command::Test { only: vec![] }));
        assert_eq!(parsed("test --list"), Ok(Command::List));
        assert_eq!(parsed("test --only e2e --only fmt"), Ok(Command::Test { only: vec!["e2e".into(), "fmt".into()] }));
        assert_eq!(parsed("fuzz --seconds 5"), Ok(Command::Fuzz { seconds: 5 }));
        assert_eq!(parsed("bench -- lookup"), Ok(Command::Bench { arguments: vec!["--".into(), "lookup".into()] }));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["tests", "test --only", "test --only nothing", "test now", "e2e now", "fuzz --seconds x"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
