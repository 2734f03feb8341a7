//! Programs that take their port from the command line: what each has to be told. A program that is missing here works
//! all the same where it reads `PORT`, and is found where it listens where it does not.

use std::ffi::OsString;
use std::path::Path;

use super::invocation::Invocation;

/// What stands for the port, here and in a command that was typed.
const PORT: &str = "{port}";

/// A program and what it is told.
struct Habit {
    program: &'static str,
    when: When,
    /// What tells it the port, and to take no other.
    port: &'static [&'static str],
    /// Options that say the port already. Of a program that takes it as a word, none.
    port_options: &'static [&'static str],
    /// What tells it to listen where other machines cannot reach; empty where that is its default, or not known.
    host: &'static [&'static str],
}

/// The subcommands that serve. One that is not there is the empty one.
enum When {
    Always,
    Only(&'static [&'static str]),
    Unless(&'static [&'static str]),
}

use When::{Always, Only, Unless};

const LONG: &[&str] = &["--port", PORT];
const LONG_ONLY: &[&str] = &["--port"];
const BOTH: &[&str] = &["--port", "-p"];
const HOST: &[&str] = &["--host", "127.0.0.1"];
const NO_HOST: &[&str] = &[];

/// In the order of the alphabet, but for Vite, which many of the others are made of.
#[rustfmt::skip]
const HABITS: &[Habit] = &[
    Habit { program: "vite", when: Unless(&["build", "optimize"]), port: &["--port", PORT, "--strictPort"], port_options: LONG_ONLY, host: HOST },
    Habit { program: "astro", when: Only(&["", "dev", "preview"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "docusaurus", when: Only(&["start", "serve"]), port: LONG, port_options: BOTH, host: HOST },
    Habit { program: "eleventy", when: Always, port: LONG, port_options: LONG_ONLY, host: NO_HOST },
    Habit { program: "expo", when: Only(&["", "start"]), port: LONG, port_options: BOTH, host: NO_HOST },
    Habit { program: "fastapi", when: Only(&["dev", "run"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "flask", when: Only(&["run"]), port: LONG, port_options: BOTH, host: NO_HOST },
    Habit { program: "gatsby", when: Only(&["develop", "serve"]), port: LONG, port_options: BOTH, host: HOST },
    Habit { program: "http-server", when: Always, port: &["-p", PORT], port_options: BOTH, host: &["-a", "127.0.0.1"] },
    Habit { program: "http.server", when: Always, port: &[PORT], port_options: &[], host: &["--bind", "127.0.0.1"] },
    Habit { program: "hugo", when: Only(&["server", "serve"]), port: LONG, port_options: BOTH, host: NO_HOST },
    Habit { program: "jekyll", when: Only(&["serve", "server", "s"]), port: LONG, port_options: &["--port", "-P"], host: NO_HOST },
    Habit { program: "manage.py", when: Only(&["runserver"]), port: &[PORT], port_options: &[], host: NO_HOST },
    Habit { program: "next", when: Only(&["", "dev", "start"]), port: LONG, port_options: BOTH, host: &["--hostname", "127.0.0.1"] },
    Habit { program: "ng", when: Only(&["serve", "s", "dev"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "nuxi", when: Only(&["dev", "preview"]), port: LONG, port_options: BOTH, host: HOST },
    Habit { program: "nuxt", when: Only(&["dev", "preview"]), port: LONG, port_options: BOTH, host: HOST },
    Habit { program: "parcel", when: Unless(&["build", "watch"]), port: LONG, port_options: BOTH, host: HOST },
    Habit { program: "rails", when: Only(&["server", "s"]), port: LONG, port_options: BOTH, host: NO_HOST },
    Habit { program: "react-router", when: Only(&["dev"]), port: &["--port", PORT, "--strictPort"], port_options: LONG_ONLY, host: HOST },
    Habit { program: "rsbuild", when: Only(&["", "dev", "preview"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "rspack", when: Only(&["serve", "dev", "s"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "serve", when: Always, port: &["-l", "tcp://127.0.0.1:{port}"], port_options: &["-l", "--listen", "-p"], host: NO_HOST },
    Habit { program: "storybook", when: Only(&["dev"]), port: &["--port", PORT, "--ci"], port_options: BOTH, host: HOST },
    Habit { program: "streamlit", when: Only(&["run"]), port: &["--server.port", PORT], port_options: &["--server.port"], host: &["--server.address", "127.0.0.1"] },
    Habit { program: "uvicorn", when: Always, port: LONG, port_options: LONG_ONLY, host: NO_HOST },
    Habit { program: "vinxi", when: Only(&["dev", "start"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "vue-cli-service", when: Only(&["serve"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "webpack", when: Only(&["serve", "s"]), port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "webpack-dev-server", when: Always, port: LONG, port_options: LONG_ONLY, host: HOST },
    Habit { program: "wrangler", when: Only(&["dev"]), port: LONG, port_options: LONG_ONLY, host: &["--ip", "127.0.0.1"] },
];

/// The command as it is to be run in `dir` for this port: `{port}` in it is the port, or else a program whose habit is known
/// is told the port, unless it is already.
pub(crate) fn for_port(mut command: Vec<OsString>, port: u16, dir: &Path) -> Vec<OsString> {
    let port = port.to_string();
    let mut replaced = false;
    for word in &mut command {
        if let Some(text) = word.to_str().filter(|text| text.contains(PORT)) {
            *word = text.replace(PORT, &port).into();
            replaced = true;
        }
    }
    if !replaced {
        let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let added = Invocation::of(&words, dir).map(|invocation| added(&invocation)).unwrap_or_default();
        command.extend(added.into_iter().map(|word| word.replace(PORT, &port).into()));
    }
    command
}

/// The same for a text that a shell runs: what is added comes after its last command.
pub(crate) fn text_for_port(text: &str, port: u16, dir: &Path) -> String {
    if text.contains(PORT) {
        return text.replace(PORT, &port.to_string());
    }
    let added = Invocation::of_text(text, dir).map(|invocation| added(&invocation)).unwrap_or_default();
    let words = added.into_iter().map(|word| format!(" {}", word.replace(PORT, &port.to_string())));
    format!("{}{}", text.trim_end(), words.collect::<String>())
}

/// The words that come after a command.
fn added(invocation: &Invocation) -> Vec<&'static str> {
    let args: Vec<&str> = invocation.args.iter().map(String::as_str).collect();
    let Some(habit) = HABITS.iter().find(|habit| habit.program == invocation.program) else { return Vec::new() };
    // What comes after two hyphens is no option any more.
    if args.contains(&"--") || args.iter().any(|arg| matches!(*arg, "-h" | "--help" | "--version")) {
        return Vec::new();
    }
    let subcommand = args.first().filter(|arg| !arg.starts_with('-')).copied().unwrap_or_default();
    let serves = match habit.when {
        Always => true,
        Only(subcommands) => subcommands.contains(&subcommand),
        Unless(subcommands) => !subcommands.contains(&subcommand),
    };
    if !serves {
        return Vec::new();
    }
    let has_port = match habit.port_options {
        [] => args.iter().any(|arg| arg.rsplit(':').next().is_some_and(is_number) || names_port(arg)),
        options => args.iter().any(|arg| options.iter().any(|option| is_option(arg, option))),
    };
    let host_options: &[&str] = &["--host", "--hostname", "-H", "--bind", "-b", "--ip", "-a", "--server.address"];
    let has_host = args.iter().any(|arg| host_options.iter().any(|option| is_option(arg, option)));
    let mut added = Vec::new();
    if !has_port {
        added.extend(habit.port);
    }
    if !has_host {
        added.extend(habit.host);
    }
    if invocation.needs_hyphens && !added.is_empty() {
        added.insert(0, "--");
    }
    added
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// `$PORT`, `${PORT:-8000}`: in a text, the shell puts the port there.
fn names_port(text: &str) -> bool {
    let name = text.split_once('$').map_or("", |(_, name)| name.trim_start_matches('{'));
    name.strip_prefix("PORT").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

/// `--port`, `--port=1`, `-p`, `-p1`.
fn is_option(arg: &str, option: &str) -> bool {
    let Some(rest) = arg.strip_prefix(option) else { return false };
    rest.is_empty() || rest.starts_with('=') || (!option.starts_with("--") && is_number(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPTS: &str = r#"{"scripts": {
        "dev": "vite", "fixed": "vite --port 5173", "build": "vite build", "both": "tsc && NODE_ENV=x vite dev",
        "again": "npm run dev", "yarn": "yarn dev", "own": "node server.js", "next": "next dev -p 3000"
    }}"#;

    #[track_caller]
    fn check(typed: &str, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("package.json"), SCRIPTS).unwrap();
        let command = typed.split(' ').map(OsString::from).collect();
        let words = for_port(command, 4711, dir.path());
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(words.join(" "), expected, "{typed}");
    }

    #[test]
    fn what_is_added_to_a_text() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("package.json"), SCRIPTS).unwrap();
        for (typed, expected) in [
            ("npm run dev\n", "npm run dev -- --port 4711 --strictPort --host 127.0.0.1"),
            ("npm ci && next dev", "npm ci && next dev --port 4711 --hostname 127.0.0.1"),
            ("npm ci; A=1 exec next dev", "npm ci; A=1 exec next dev --port 4711 --hostname 127.0.0.1"),
            ("A=1 next dev", "A=1 next dev --port 4711 --hostname 127.0.0.1"),
            ("serve-it {port} && vite", "serve-it 4711 && vite"),
            ("vite | tee log", "vite | tee log"),
            ("vite &", "vite &"),
            ("vite > log", "vite > log --port 4711 --strictPort --host 127.0.0.1"),
            ("vite # here", "vite # here"),
            ("(vite)", "(vite)"),
            ("python3 -m http.server $PORT --bind ::1", "python3 -m http.server $PORT --bind ::1"),
            ("python3 -m http.server ${PORT:-8000} -d x", "python3 -m http.server ${PORT:-8000} -d x --bind 127.0.0.1"),
            ("python3 manage.py runserver 127.0.0.1:$PORT", "python3 manage.py runserver 127.0.0.1:$PORT"),
            ("python3 -m http.server -d $PORTAL", "python3 -m http.server -d $PORTAL 4711 --bind 127.0.0.1"),
            ("vite --port $PORT", "vite --port $PORT --host 127.0.0.1"),
            ("./own", "./own"),
        ] {
            assert_eq!(text_for_port(typed, 4711, dir.path()), expected, "{typed}");
        }
    }

    #[test]
    fn what_is_added() {
        let vite = "--port 4711 --strictPort --host 127.0.0.1";
        for (typed, expected) in [
            ("vite", vite),
            ("vite dev", vite),
            ("vite ./web --open", vite),
            ("./node_modules/.bin/vite", vite),
            ("node node_modules/vite/bin/vite.js", vite),
            ("npx vite", vite),
            ("npx -y -p vite@8 vite", vite),
            ("bunx vite", vite),
            ("pnpm exec vite", vite),
            ("pnpm vite", vite),
            ("pnpm dev", vite),
            ("yarn dev", vite),
            ("yarn run dev", vite),
            ("bun run dev", vite),
            ("pnpm yarn", ""),
            ("npm run dev", "-- --port 4711 --strictPort --host 127.0.0.1"),
            ("npm run both", "-- --port 4711 --strictPort --host 127.0.0.1"),
            ("npm run dev -- --open", vite),
            ("npm exec vite", "-- --port 4711 --strictPort --host 127.0.0.1"),
            ("npm exec -- vite", vite),
            ("env A=1 vite", vite),
            ("astro dev", "--port 4711 --host 127.0.0.1"),
            ("ng serve", "--port 4711 --host 127.0.0.1"),
            ("uvicorn app:app --reload", "--port 4711"),
            ("python3 -m uvicorn app:app", "--port 4711"),
            ("uv run uvicorn app:app", "--port 4711"),
            ("uv run --frozen fastapi dev", "--port 4711 --host 127.0.0.1"),
            ("next dev", "--port 4711 --hostname 127.0.0.1"),
            ("serve", "-l tcp://127.0.0.1:4711"),
            ("npx serve dist", "-l tcp://127.0.0.1:4711"),
            ("nuxt dev", "--port 4711 --host 127.0.0.1"),
            ("python3 -m http.server", "4711 --bind 127.0.0.1"),
            ("python -m http.server --directory x", "4711 --bind 127.0.0.1"),
            ("python3 manage.py runserver", "4711"),
        ] {
            check(typed, format!("{typed} {expected}").trim_end());
        }
    }

    #[test]
    fn the_readme_names_every_program() {
        let readme = include_str!("../../../../README.md");
        for Habit { program, .. } in HABITS {
            assert!(readme.contains(&format!("`{program}`")), "{program}");
        }
    }

    #[test]
    fn what_was_given_is_not_given_again() {
        for (typed, expected) in [
            ("vite --port 1", "--host 127.0.0.1"),
            ("vite --port=1 --host", ""),
            ("npm run fixed", "-- --host 127.0.0.1"),
            ("npm run next", "-- --hostname 127.0.0.1"),
            ("next dev -p3000 -H ::1", ""),
            ("serve -l 3000", ""),
            ("uvicorn app:app --port 1", ""),
            ("python3 -m http.server 8000", "--bind 127.0.0.1"),
            ("python3 -m http.server 8000 --bind ::1", ""),
            ("python3 manage.py runserver 0.0.0.0:8000", ""),
        ] {
            check(typed, format!("{typed} {expected}").trim_end());
        }
        check("vite --port {port}", "vite --port 4711");
        check("x http://localhost:{port}/a", "x http://localhost:4711/a");
    }

    #[test]
    fn what_is_left_as_it_is() {
        for typed in [
            "vite build",
            "npm run build",
            "vite --help",
            "vite -- x",
            "next build",
            "npm run again",
            "npm run own",
            "npm run nothing",
            "npm --prefix web run dev",
            "pnpm --filter web dev",
            "npm run dev -w web",
            "npm install vite",
            "npm",
            "npx",
            "node server.js",
            "node",
            "python3 app.py",
            "python3 -m",
            "sh -c vite",
            "env",
            "uv sync",
        ] {
            check(typed, typed);
        }
    }
}
