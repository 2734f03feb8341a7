//! systemd: a unit of the user's manager, or of the machine's with a socket that holds the ports.

use std::fmt::Write as _;
use std::path::PathBuf;

use mastra_router::InvokingUser;
use mastra_router::trust::{CommandLine, CommandOutput};

use super::definition::Definition;
use super::{MARK, Manager, ServiceFile, State};

const SERVICE: &str = "mastra-router.service";
const SOCKET: &str = "mastra-router.socket";

/// What the router has no need of. All of it works in a user's manager, which may do no more than filter calls.
const HARDENING: &str = "\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
";

/// What only the machine's manager can take away. The home of the user, /etc/hosts and /proc stay as they are: state,
/// names and the ends of processes are there.
const HARDENING_OF_SYSTEM: &str = "\
CapabilityBoundingSet=
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
";

#[derive(Debug)]
pub(super) struct Systemd {
    pub(super) dir: PathBuf,
    pub(super) system: bool,
}

impl Manager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn scope(&self) -> &'static str {
        if self.system { "system" } else { "user" }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let mut names = vec![SERVICE];
        if self.system {
            names.push(SOCKET);
        }
        names.into_iter().map(|name| self.dir.join(name)).collect()
    }

    fn files(&self, definition: &Definition) -> Vec<ServiceFile> {
        let text = |name, text: String| ServiceFile { path: self.dir.join(name), content: text.into_bytes() };
        let mut files = vec![text(SERVICE, service(definition))];
        if self.system {
            files.push(text(SOCKET, socket(definition)));
        }
        files
    }

    fn refuses(&self, definition: &Definition) -> Option<&'static str> {
        let special = |c: char| matches!(c, '"' | '\'' | '\\') || c.is_ascii_control();
        definition.program.contains(special).then_some("systemd runs no program with quotes or backslashes in its path")
    }

    fn probe(&self) -> CommandLine {
        self.systemctl(&["show-environment"])
    }

    fn installing(&self, is_changed: bool) -> Vec<CommandLine> {
        let units: &[&str] = if self.system { &[SOCKET, SERVICE] } else { &[SERVICE] };
        let enable = || self.systemctl(&[&["enable", "--now"], units].concat());
        let reload = || self.systemctl(&["daemon-reload"]);
        match (is_changed, self.system) {
            (false, _) => vec![enable()],
            // A socket whose addresses change has to let go of the old ones before.
            (true, true) => vec![reload(), self.systemctl(&["stop", SERVICE, SOCKET]), enable()],
            (true, false) => {
                vec![reload(), self.systemctl(&["enable", SERVICE]), self.systemctl(&["restart", SERVICE])]
            }
        }
    }

    fn removing(&self) -> Vec<CommandLine> {
        let units: &[&str] = if self.system { &[SERVICE, SOCKET] } else { &[SERVICE] };
        vec![self.systemctl(&[&["disable", "--now"], units].concat())]
    }

    fn removed(&self) -> Vec<CommandLine> {
        vec![self.systemctl(&["daemon-reload"])]
    }

    fn state(&self, run: &dyn Fn(&CommandLine) -> Option<CommandOutput>) -> State {
        let says = |verb, unit| run(&self.systemctl(&[verb, unit])).map(|tool| tool.stdout.trim().to_owned());
        let enabled = says("is-enabled", if self.system { SOCKET } else { SERVICE });
        let running = says("is-active", SERVICE);
        State { enabled: enabled.map(|word| word == "enabled"), running: running.map(|word| word == "active") }
    }

    fn more(&self) -> CommandLine {
        match self.system {
            true => self.systemctl(&["status", SERVICE, SOCKET]),
            false => self.systemctl(&["status", SERVICE]),
        }
    }
}

/// Where units of the user are.
pub(super) fn user_dir(user: &InvokingUser) -> PathBuf {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    // Under sudo it is root's.
    let config = config.filter(|dir| dir.is_absolute() && user.sudo.is_none());
    config.unwrap_or_else(|| user.home.join(".config")).join("systemd/user")
}

impl Systemd {
    fn systemctl(&self, args: &[&str]) -> CommandLine {
        let user: &[&str] = if self.system { &[] } else { &["--user"] };
        CommandLine::new([&["systemctl"], user, args].concat())
    }
}

fn service(definition: &Definition) -> String {
    let Definition { program, args, env, user, sockets: _ } = definition;
    let mut text = format!("# {MARK}\n[Unit]\nDescription=mastra-router, names instead of ports for local servers\n");
    if user.is_some() {
        let _ = writeln!(text, "Requires={SOCKET}\nAfter={SOCKET} network.target");
    }
    let command: Vec<String> = args.iter().map(|arg| word(arg, true)).collect();
    let _ = writeln!(text, "\n[Service]\nType=exec\nExecStart={} {}", word(program, false), command.join(" "));
    for (name, value) in env {
        let _ = writeln!(text, "Environment={}", quoted(&format!("{name}={value}")));
    }
    if let Some((uid, gid)) = user {
        let _ = writeln!(text, "User={uid}\nGroup={gid}");
    }
    // A mistake in the flags is not mended by another start.
    text.push_str("Restart=on-failure\nRestartSec=2\nRestartPreventExitStatus=2\n");
    text.push_str(HARDENING);
    if user.is_some() {
        text.push_str(HARDENING_OF_SYSTEM);
    }
    let target = if user.is_some() { "multi-user.target" } else { "default.target" };
    let _ = writeln!(text, "\n[Install]\nWantedBy={target}");
    text
}

fn socket(definition: &Definition) -> String {
    let mut text = format!("# {MARK}\n[Unit]\nDescription=Ports of mastra-router\n\n[Socket]\n");
    for address in &definition.sockets {
        let _ = writeln!(text, "ListenStream={address}");
    }
    // With both families on every address, the two of one port would be in each other's way.
    text.push_str("BindIPv6Only=ipv6-only\n\n[Install]\nWantedBy=sockets.target\n");
    text
}

/// A word of a command line, as `systemd.service(5)` reads it. The program itself is no place for variables.
fn word(text: &str, has_variables: bool) -> String {
    let text = if has_variables { text.replace('$', "$$") } else { text.to_owned() };
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=@+,[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { quoted(&text) }
}

/// In quotes, without specifiers.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        for (text, shown) in [
            ("/usr/bin/x", "/usr/bin/x"),
            ("[::1]:3000", "[::1]:3000"),
            ("/a b", "\"/a b\""),
            ("50%", "\"50%%\""),
            ("$HOME", "\"$$HOME\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nExecStartPre=/bin/evil", "\"a\\x0aExecStartPre=/bin/evil\""),
            ("", "\"\""),
            (";", "\";\""),
            ("ü", "\"ü\""),
        ] {
            assert_eq!(word(text, true), shown);
        }
        assert_eq!(word("/opt/$x", false), "\"/opt/$x\"");
    }
}
