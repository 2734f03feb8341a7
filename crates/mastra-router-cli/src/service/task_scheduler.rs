//! The task scheduler of Windows: a task that begins when the user logs on. Written from the documentation of `schtasks` and
//! of its XML schema, and not run there yet.

use std::fmt::Write as _;
use std::path::PathBuf;

use mastra_router::trust::{CommandLine, CommandOutput};

use super::definition::Definition;
use super::xml::escaped;
use super::{MARK, Manager, ServiceFile, State};

const TASK: &str = "mastra-router";

#[derive(Debug)]
pub(super) struct TaskScheduler {
    /// Where the file is kept that the task was made from.
    dir: PathBuf,
    /// Whose logon begins it: `DOMAIN\user`.
    user: Option<String>,
}

impl Manager for TaskScheduler {
    fn name(&self) -> &'static str {
        "task scheduler"
    }

    fn scope(&self) -> &'static str {
        "user"
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![self.dir.join("mastra-router-task.xml")]
    }

    fn files(&self, definition: &Definition) -> Vec<ServiceFile> {
        // The scheduler takes UTF-16 alone, with its mark.
        let text = self.xml(definition).replace('\n', "\r\n");
        let content: Vec<u8> = std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        self.paths().into_iter().map(|path| ServiceFile { path, content: content.clone() }).collect()
    }

    fn probe(&self) -> CommandLine {
        CommandLine::new(["schtasks", "/?"])
    }

    fn installing(&self, is_changed: bool) -> Vec<CommandLine> {
        let file = self.paths().first().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let run = CommandLine::new(["schtasks", "/Run", "/TN", TASK]);
        match is_changed {
            true => vec![CommandLine::new(["schtasks", "/Create", "/TN", TASK, "/XML", &file, "/F"]), run],
            false => vec![run],
        }
    }

    fn before_change(&self) -> Vec<CommandLine> {
        vec![CommandLine::new(["schtasks", "/End", "/TN", TASK])]
    }

    fn removing(&self) -> Vec<CommandLine> {
        let delete = CommandLine::new(["schtasks", "/Delete", "/TN", TASK, "/F"]);
        self.before_change().into_iter().chain([delete]).collect()
    }

    fn removed(&self) -> Vec<CommandLine> {
        Vec::new()
    }

    fn state(&self, run: &dyn Fn(&CommandLine) -> Option<CommandOutput>) -> State {
        let Some(tool) = run(&CommandLine::new(["schtasks", "/Query", "/TN", TASK, "/FO", "CSV", "/NH"])) else {
            return State { enabled: None, running: None };
        };
        let status = tool.stdout.lines().next().and_then(|line| line.rsplit(',').next()).unwrap_or_default();
        let status = status.trim().trim_matches('"');
        State {
            enabled: Some(tool.success && status != "Disabled"),
            running: Some(tool.success && status == "Running"),
        }
    }

    fn more(&self) -> CommandLine {
        CommandLine::new(["schtasks", "/Query", "/TN", TASK, "/V", "/FO", "LIST"])
    }
}

impl TaskScheduler {
    pub(super) fn of_this_user(dir: PathBuf) -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let user = set("USERNAME").map(|name| match set("USERDOMAIN") {
            Some(domain) => format!("{domain}\\{name}"),
            None => name,
        });
        Self { dir, user }
    }

    fn xml(&self, definition: &Definition) -> String {
        let user = self.user.as_deref().map(|user| format!("<UserId>{}</UserId>", escaped(user))).unwrap_or_default();
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n");
        let _ = writeln!(text, "<!-- {MARK} -->");
        text.push_str("<Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\n");
        let _ = writeln!(text, "  <Triggers><LogonTrigger><Enabled>true</Enabled>{user}</LogonTrigger></Triggers>");
        let _ = writeln!(
            text,
            "  <Principals><Principal id=\"Author\">{user}<LogonType>InteractiveToken</LogonType>\
             <RunLevel>LeastPrivilege</RunLevel></Principal></Principals>"
        );
        text.push_str("  <Settings>\n    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n");
        text.push_str("    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n");
        text.push_str("    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n");
        text.push_str("    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n");
        text.push_str("    <RestartOnFailure><Interval>PT1M</Interval><Count>3</Count></RestartOnFailure>\n");
        text.push_str("  </Settings>\n");
        let args: Vec<String> = definition.args.iter().map(|arg| word(arg)).collect();
        let _ = writeln!(
            text,
            "  <Actions Context=\"Author\"><Exec><Command>{}</Command><Arguments>{}</Arguments></Exec></Actions>\n</Task>",
            escaped(&definition.program),
            escaped(&args.join(" "))
        );
        text
    }
}

/// A word of a command line, as programs of Windows take it apart: backslashes count twice before a quote alone.
fn word(text: &str) -> String {
    if !text.is_empty() && !text.contains([' ', '\t', '"']) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    let mut backslashes = 0;
    for c in text.chars() {
        match c {
            '\\' => backslashes += 1,
            '"' => {
                out.push_str(&"\\".repeat(backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        out.push(c);
    }
    out + &"\\".repeat(backslashes) + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        for (text, shown) in [
            (r"C:\x", r"C:\x"),
            (r"C:\a b", "\"C:\\a b\""),
            ("C:\\a b\\", "\"C:\\a b\\\\\""),
            ("a\"b", "\"a\\\"b\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
            ("", "\"\""),
        ] {
            assert_eq!(word(text), shown);
        }
    }
}
