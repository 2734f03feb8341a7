//! One shell that runs the examples.
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::block::Command;
use super::matcher;
use crate::failure::Failure;
use crate::process::{self, Run};

/// Long enough for a loaded machine; only an example that hangs takes it.
const PATIENCE: Duration = Duration::from_secs(60);
/// The port that the README speaks of.
const PRINTED_PORT: &str = "3000";

/// Ends its shell, and everything that shell started, when dropped.
#[derive(Debug)]
pub(super) struct Session {
    shell: Child,
    commands: ChildStdin,
    finished: Receiver<String>,
    directory: PathBuf,
    port: u16,
    count: usize,
}

impl Session {
    /// Starts bash with `binary`'s directory first in PATH and a state directory of its own.
    pub(super) fn start(binary: &Path, scratch: &Path) -> Result<Self, Failure> {
        let bin = binary.parent().filter(|_| binary.is_file());
        let bin = bin.ok_or_else(|| Failure::failed(format!("{} is not built", binary.display())))?;
        let (directory, home) = (scratch.join("work"), scratch.join("home"));
        std::fs::create_dir_all(&directory)?;
        std::fs::create_dir_all(&home)?;
        let port = free_port()?;
        let mut bash = Process::new("bash");
        bash.args(["--noprofile", "--norc", "-s"])
            .current_dir(&directory)
            .env("PATH", process::path_with(&[bin]))
            .env("MASTRA_ROUTER_HOME", &home)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        #[cfg(unix)]
        // A group of its own, so that what the examples leave running can be ended with it.
        std::os::unix::process::CommandExt::process_group(&mut bash, 0);
        let mut shell = bash.spawn().map_err(|error| Failure::unavailable(format!("bash: {error}")))?;
        let (Some(commands), Some(stdout)) = (shell.stdin.take(), shell.stdout.take()) else {
            return Err(Failure::failed("bash has no stdin or stdout"));
        };
        let (sender, finished) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { shell, commands, finished, directory, port, count: 0 })
    }

    /// Writes a file that the README shows to where its commands run.
    pub(super) fn write_file(&self, name: &str, content: &str) -> Result<(), Failure> {
        std::fs::write(self.directory.join(name), self.with_port(content))?;
        Ok(())
    }

    /// Runs one command; an error says how what it did differs from what is printed.
    pub(super) fn run(&mut self, command: &Command) -> Result<(), String> {
        self.count += 1;
        let output = self.directory.with_file_name(format!("{}.out", self.count));
        let text = listening_at(&self.with_port(&command.text), self.port);
        let expected = self.with_port(&command.expected);
        let (end, status) = if command.background { ("&", "0") } else { ("", "$?") };
        let script = format!("{{ {text}\n}} >'{}' 2>&1 </dev/null {end}\necho \"{status}\"\n", output.display());
        self.commands.write_all(script.as_bytes()).map_err(|error| format!("the shell is gone: {error}"))?;
        let status = match self.finished.recv_timeout(PATIENCE) {
            Ok(status) => status,
            Err(RecvTimeoutError::Timeout) => return Err(format!("did not end within {} s", PATIENCE.as_secs())),
            Err(RecvTimeoutError::Disconnected) => return Err("the shell ended".into()),
        };
        if command.background {
            return self.wait_until_up(&output, &expected);
        }
        let actual = read(&output);
        if !matcher::matches(&expected, &actual) {
            return Err(difference(&expected, &actual));
        }
        if status != command.status.to_string() {
            return Err(format!("exit status {status}, expected {}\n{actual}", command.status));
        }
        Ok(())
    }

    /// A background command is up when it has printed what it should, or else when the port answers.
    fn wait_until_up(&self, output: &Path, expected: &str) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let up = if expected.trim().is_empty() {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            } else {
                matcher::begins(expected, &read(output))
            };
            if up {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(difference(expected, &read(output)));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn with_port(&self, text: &str) -> String {
        text.replace(&format!(":{PRINTED_PORT}"), &format!(":{}", self.port))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let group = format!("-{}", self.shell.id());
        // TERM lets a router clean up after itself; KILL is for what does not end.
        let _ = Run::new("kill", &["-TERM", "--", &group]).read();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && Run::new("kill", &["-0", "--", &group]).read().is_some() {
            let _ = self.shell.try_wait();
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = Run::new("kill", &["-KILL", "--", &group]).read();
        let _ = self.shell.wait();
    }
}

/// `cargo run --release --` is the command itself; a router without an address gets the free port.
fn listening_at(text: &str, port: u16) -> String {
    let text = match text.strip_prefix("cargo run --release -- ") {
        Some(rest) => format!("mastra-router {rest}"),
        None => text.to_owned(),
    };
    let mut words = text.split_whitespace();
    let starts = words.next() == Some("mastra-router") && matches!(words.next(), Some("serve" | "demo"));
    if starts && !text.contains("--listen") { format!("{text} --listen 127.0.0.1:{port}") } else { text }
}

/// Nothing keeps the port until the router binds it: another process could take it, and the run would say so.
fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn read(output: &Path) -> String {
    std::fs::read(output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn difference(expected: &str, actual: &str) -> String {
    format!("--- printed in README.md\n{}\n--- what it did\n{}\n---", expected.trim_end(), actual.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_without_an_address_get_the_free_port() {
        assert_eq!(listening_at("mastra-router serve", 7), "mastra-router serve --listen 127.0.0.1:7");
        assert_eq!(listening_at("cargo run --release -- demo", 7), "mastra-router demo --listen 127.0.0.1:7");
        assert_eq!(listening_at("mastra-router demo --listen [::1]:9", 7), "mastra-router demo --listen [::1]:9");
        assert_eq!(listening_at("mastra-router list", 7), "mastra-router list");
        assert_eq!(listening_at("echo serve", 7), "echo serve");
    }
}
