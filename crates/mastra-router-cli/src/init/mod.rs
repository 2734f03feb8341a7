//! `init`: a `mastra-router.toml` for the project that is here.

mod found;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use self::found::Found;
use crate::cli::Init;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::project_file::{FILE_NAME, SCHEMA, SCHEMA_URL};

/// Writes the file, or prints it.
///
/// # Errors
/// `EXISTS` where there is one; it is never written over.
pub(crate) fn init(args: &Init, output: &Output) -> Result<ExitCode, Failure> {
    if args.schema {
        output.bytes(SCHEMA.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let dir = std::env::current_dir()?;
    let found = found::in_dir(&dir)?;
    let text = text(&found);
    if args.dry_run {
        output.bytes(text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    write(&dir.join(FILE_NAME), &text)?;
    if output.json {
        let apps: Vec<&str> = found.iter().map(|found| found.key.as_str()).collect();
        output.json(&serde_json::json!({ "file": FILE_NAME, "apps": apps }));
        return Ok(ExitCode::SUCCESS);
    }
    output.line(FILE_NAME);
    output.say(&match found.len() {
        0 => format!("nothing was found to run: add [apps.NAME] to {FILE_NAME}"),
        _ => "look it through, then: mastra-router up".to_owned(),
    });
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let mut file = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure {
                code: "EXISTS".to_owned(),
                message: format!("there is a {FILE_NAME} already; it is left as it is"),
                hint: Some("mastra-router init --dry-run shows what it would be".to_owned()),
                exit: Exit::Conflict,
            });
        }
        Err(error) => return Err(Failure::failed("IO_ERROR", format!("{}: {error}", path.display()))),
    };
    Ok(file.write_all(text.as_bytes())?)
}

fn text(found: &[Found]) -> String {
    let mut text = format!("#:schema {SCHEMA_URL}\n\n# The servers of this project: mastra-router up runs them all.\n");
    if found.is_empty() {
        text.push_str(
            "#\n# [apps.web]\n# command = \"npm run dev\"\n# dir = \"web\"\n# depends_on = [\"api\"]\n#\n# [apps.api]\n\
             # command = \"uvicorn main:app --reload\"\n# health = \"/health\"\n",
        );
    }
    for Found { key, what, command, dir } in found {
        text.push_str(&format!("\n# {what}\n[apps.{key}]\ncommand = {}\n", quoted(command)));
        if !dir.is_empty() {
            text.push_str(&format!("dir = {}\n", quoted(dir)));
        }
    }
    text
}

/// A basic string of TOML, which JSON's escapes are good for.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
