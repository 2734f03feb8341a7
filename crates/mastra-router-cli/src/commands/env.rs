//! `env`: what a shell exports so that programs with roots of their own accept the local authority.

use std::path::PathBuf;
use std::process::ExitCode;

use mastra_router::trust::Exports;
use serde_json::{Map, Value};

use super::Outcome;
use super::authority::{self, Place, unhinted};
use crate::cli::{Env, Shell};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(args: &Env, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    let ca = authority::find_or_make(&place, &[])?;
    let current = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let prepared = Exports::prepare(&place.machine, &place.cert_dir, &ca, current).map_err(unhinted)?;
    for note in &prepared.notes {
        output.say(note);
    }
    let mut values = Vec::new();
    for export in &prepared.exports {
        let text = export.file.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| {
            let hint = "choose another directory: --cert-dir DIR".to_owned();
            let message = format!("{} cannot be written for a shell", export.file.display());
            Failure { hint: Some(hint), ..Failure::failed("FILE_ERROR", message) }
        })?;
        values.push((export.name, text));
    }
    if output.json {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        output.json(&values.collect::<Map<_, _>>());
    } else {
        let shell = args.shell.unwrap_or_else(|| of(std::env::var("SHELL").ok().as_deref()));
        values.iter().for_each(|(name, value)| output.line(&export(shell, name, value)));
    }
    Ok(ExitCode::SUCCESS)
}

/// By the name of the user's shell: what is not known is taken to read what sh reads.
fn of(shell: Option<&str>) -> Shell {
    match shell.unwrap_or_default().rsplit('/').next() {
        Some("fish") => Shell::Fish,
        Some("pwsh" | "powershell") => Shell::Powershell,
        _ => Shell::Sh,
    }
}

fn export(shell: Shell, name: &str, value: &str) -> String {
    match shell {
        Shell::Sh => format!("export {name}='{}'", value.replace('\'', "'\\''")),
        Shell::Fish => format!("set -gx {name} '{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
        Shell::Powershell => {
            // PowerShell takes typographic quotes for its own.
            let doubled: String = value
                .chars()
                .flat_map(|c| {
                    std::iter::repeat_n(c, if "'\u{2018}\u{2019}\u{201a}\u{201b}".contains(c) { 2 } else { 1 })
                })
                .collect();
            format!("$env:{name} = '{doubled}'")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let path = r"/home/o'neil/a b\$(id)`x`/ca.pem";
        assert_eq!(export(Shell::Sh, "A", path), r"export A='/home/o'\''neil/a b\$(id)`x`/ca.pem'");
        assert_eq!(export(Shell::Fish, "A", path), r"set -gx A '/home/o\'neil/a b\\$(id)`x`/ca.pem'");
        assert_eq!(export(Shell::Powershell, "A", "o'n\u{2019}s"), "$env:A = 'o''n\u{2019}\u{2019}s'");
    }

    #[test]
    fn shells() {
        assert_eq!(of(Some("/usr/bin/fish")), Shell::Fish);
        assert_eq!(of(Some("/bin/zsh")), Shell::Sh);
        assert_eq!(of(Some("pwsh")), Shell::Powershell);
        assert_eq!(of(None), Shell::Sh);
    }
}
