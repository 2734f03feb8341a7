//! Which program a command runs in the end: behind `npx`, a script of `package.json`, `python -m` and their like.

use std::path::Path;

use serde_json::Value;

/// A program that is run, and what it is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// Whether options that are added to the command come to the program only behind two hyphens.
    pub(super) needs_hyphens: bool,
}

/// Options that lead to another package than the one of the directory.
const ELSEWHERE: &[&str] = &["-w", "--workspace", "--prefix", "-C", "--dir", "--filter", "-F", "--cwd"];
/// Options of `npx` and its like that are followed by a value.
const WITH_VALUE: &[&str] = &["-p", "--package", "--with", "--python", "--from"];

impl Invocation {
    /// What these words run in `dir`; `None` where that is not known.
    pub(super) fn of(words: &[String], dir: &Path) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        let next = rest.first().map(String::as_str);
        match stem(first) {
            "npx" | "pnpx" | "bunx" => Self::of(after_options(rest), dir),
            "env" | "cross-env" => Self::of(after_assignments(rest), dir),
            "uv" | "poetry" | "pipenv" | "pdm" if next == Some("run") => Self::of(after_options(rest.get(1..)?), dir),
            "bundle" if next == Some("exec") => Self::of(rest.get(1..)?, dir),
            "npm" | "pnpm" | "yarn" | "bun" if rest.iter().any(|word| ELSEWHERE.contains(&word.as_str())) => None,
            "npm" => Self::of_npm(rest, dir),
            "pnpm" | "yarn" | "bun" => Self::of_pnpm(rest, dir),
            "node" => Self::of_file(after_options(rest)),
            "python" | "python3" | "py" if next == Some("-m") => {
                let (program, args) = rest.get(1..)?.split_first()?;
                Some(Self::new(program, args))
            }
            "python" | "python3" | "py" => {
                let (file, args) = rest.split_first()?;
                Some(Self::new(file.rsplit('/').next()?, args))
            }
            program => Some(Self::new(program, rest)),
        }
    }

    /// What the last command of a text runs that a shell is given; `None` where options after the text would not come to it.
    pub(super) fn of_text(text: &str, dir: &Path) -> Option<Self> {
        let last = text.rsplit(['&', '|', ';', '\n']).find(|part| !part.trim().is_empty())?;
        if text.trim_end().ends_with(['&', ';', ')', '}']) || last.contains('#') {
            return None;
        }
        let words: Vec<String> = last.split_ascii_whitespace().map(str::to_owned).collect();
        let words = after_assignments(&words);
        let words = words.strip_prefix(&["exec".to_owned()]).unwrap_or(words);
        Self::of(words, dir)
    }

    fn new(program: &str, args: &[String]) -> Self {
        Self { program: program.to_owned(), args: args.to_vec(), needs_hyphens: false }
    }

    fn of_file(words: &[String]) -> Option<Self> {
        let (file, args) = words.split_first()?;
        Some(Self::new(stem(file), args))
    }

    /// Takes options for its own, but for those behind two hyphens.
    fn of_npm(words: &[String], dir: &Path) -> Option<Self> {
        let (command, rest) = words.split_first()?;
        let hyphens = rest.iter().position(|word| word == "--");
        let found = match command.as_str() {
            "run" | "run-script" => {
                let (script, _) = rest.split_first()?;
                let args = hyphens.and_then(|at| rest.get(at + 1..)).unwrap_or_default();
                Self::of_script(script, args, dir)?
            }
            "start" => Self::of_script("start", hyphens.and_then(|at| rest.get(at + 1..)).unwrap_or_default(), dir)?,
            "exec" | "x" => {
                let words: Vec<String> = rest.iter().filter(|word| *word != "--").cloned().collect();
                Self::of(after_options(&words), dir)?
            }
            _ => return None,
        };
        Some(Self { needs_hyphens: hyphens.is_none(), ..found })
    }

    /// Hands on what comes after a script or a program.
    fn of_pnpm(words: &[String], dir: &Path) -> Option<Self> {
        let (command, rest) = words.split_first()?;
        match command.as_str() {
            "exec" | "dlx" | "x" => Self::of(after_options(rest), dir),
            "run" => {
                let (script, args) = rest.split_first()?;
                Self::of_script(script, args, dir)
            }
            script if script.starts_with('-') => None,
            script => match script_of(script, dir) {
                Some(_) => Self::of_script(script, rest, dir),
                None => Self::of(words, dir).filter(|_| !is_runner(script)),
            },
        }
    }

    /// What is added to a script comes after its last command.
    fn of_script(name: &str, args: &[String], dir: &Path) -> Option<Self> {
        let text = script_of(name, dir)?;
        let last = text.rsplit(['&', '|', ';']).next()?;
        let words: Vec<String> = last.split_ascii_whitespace().map(str::to_owned).collect();
        let words = after_assignments(&words);
        // A script that runs a script: how often options would have to be handed on is more than can be told here.
        if words.first().is_some_and(|word| is_runner(stem(word))) {
            return None;
        }
        let mut found = Self::of(words, dir)?;
        found.args.extend_from_slice(args);
        Some(found)
    }
}

fn is_runner(program: &str) -> bool {
    matches!(program, "npm" | "pnpm" | "yarn" | "bun")
}

/// A script of the package that the package managers would find from `dir`.
fn script_of(name: &str, dir: &Path) -> Option<String> {
    let text = dir.ancestors().find_map(|dir| std::fs::read_to_string(dir.join("package.json")).ok())?;
    let package: Value = serde_json::from_str(&text).ok()?;
    Some(package.get("scripts")?.get(name)?.as_str()?.to_owned())
}

/// The name of a program, without its directory and the ending that its system or its language gives it.
fn stem(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    [".js", ".mjs", ".cjs", ".cmd", ".exe"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

fn after_options(mut words: &[String]) -> &[String] {
    while let Some((first, rest)) = words.split_first().filter(|(first, _)| first.starts_with('-')) {
        words = if WITH_VALUE.contains(&first.as_str()) { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

fn after_assignments(words: &[String]) -> &[String] {
    let count = words.iter().take_while(|word| word.contains('=') && !word.starts_with('-')).count();
    words.get(count..).unwrap_or_default()
}
