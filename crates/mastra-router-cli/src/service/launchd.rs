//! launchd of macOS: an agent of the user. Written from `launchd.plist(5)` and `launchctl(1)`, and not run there yet.

use std::fmt::Write as _;
use std::path::PathBuf;

use mastra_router::trust::{CommandLine, CommandOutput};

use super::definition::Definition;
use super::xml::escaped;
use super::{MARK, Manager, ServiceFile, State};

const LABEL: &str = "ai.mastra.router";

#[derive(Debug)]
pub(super) struct Launchd {
    pub(super) dir: PathBuf,
    /// Where what it writes goes.
    pub(super) log: PathBuf,
    pub(super) uid: u32,
}

impl Manager for Launchd {
    fn name(&self) -> &'static str {
        "launchd"
    }

    fn scope(&self) -> &'static str {
        "user"
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.dir.join(format!("{LABEL}.plist"))]
    }

    fn files(&self, definition: &Definition) -> Vec<ServiceFile> {
        let content = self.plist(definition).into_bytes();
        self.paths().into_iter().map(|path| ServiceFile { path, content: content.clone() }).collect()
    }

    fn probe(&self) -> CommandLine {
        CommandLine::new(["launchctl", "managername"])
    }

    fn installing(&self, is_changed: bool) -> Vec<CommandLine> {
        let target = self.target();
        let enable = CommandLine::new(["launchctl", "enable", &target]);
        let bootstrap = || {
            let file = self.paths().first().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
            CommandLine::new(["launchctl", "bootstrap", &self.domain(), &file])
        };
        match is_changed {
            true => vec![enable, bootstrap()],
            // Does nothing where it runs.
            false => vec![enable, CommandLine::new(["launchctl", "kickstart", &target])],
        }
    }

    fn before_change(&self) -> Vec<CommandLine> {
        // What is loaded is the file as it was.
        self.removing()
    }

    fn removing(&self) -> Vec<CommandLine> {
        vec![CommandLine::new(["launchctl", "bootout", &self.target()])]
    }

    fn removed(&self) -> Vec<CommandLine> {
        Vec::new()
    }

    fn leaves(&self) -> Vec<PathBuf> {
        vec![self.log.clone()]
    }

    fn state(&self, run: &dyn Fn(&CommandLine) -> Option<CommandOutput>) -> State {
        let disabled = run(&CommandLine::new(["launchctl", "print-disabled", &self.domain()]));
        let is_disabled = |text: String| {
            text.lines().any(|line| {
                let line = line.trim();
                line.starts_with(&format!("\"{LABEL}\"")) && (line.ends_with("disabled") || line.ends_with("true"))
            })
        };
        let loaded = run(&CommandLine::new(["launchctl", "print", &self.target()]));
        State {
            enabled: disabled.map(|tool| !is_disabled(tool.stdout)),
            running: loaded
                .map(|tool| tool.success && tool.stdout.lines().any(|line| line.trim() == "state = running")),
        }
    }

    fn more(&self) -> CommandLine {
        CommandLine::new(["launchctl", "print", &self.target()])
    }
}

impl Launchd {
    fn domain(&self) -> String {
        format!("gui/{}", self.uid)
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain())
    }

    fn plist(&self, definition: &Definition) -> String {
        let Definition { program, args, env, .. } = definition;
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        text.push_str("<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" ");
        text.push_str("\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n");
        let _ = writeln!(text, "<!-- {MARK} -->\n<plist version=\"1.0\">\n<dict>");
        let _ = writeln!(text, "  <key>Label</key>\n  <string>{LABEL}</string>");
        text.push_str("  <key>ProgramArguments</key>\n  <array>\n");
        for word in std::iter::once(program).chain(args) {
            let _ = writeln!(text, "    <string>{}</string>", escaped(word));
        }
        text.push_str("  </array>\n");
        if !env.is_empty() {
            text.push_str("  <key>EnvironmentVariables</key>\n  <dict>\n");
            for (name, value) in env {
                let _ = writeln!(text, "    <key>{}</key>\n    <string>{}</string>", escaped(name), escaped(value));
            }
            text.push_str("  </dict>\n");
        }
        text.push_str("  <key>RunAtLoad</key>\n  <true/>\n");
        text.push_str("  <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n");
        let log = escaped(&self.log.to_string_lossy());
        let _ = writeln!(text, "  <key>StandardErrorPath</key>\n  <string>{log}</string>\n</dict>\n</plist>");
        text
    }
}
