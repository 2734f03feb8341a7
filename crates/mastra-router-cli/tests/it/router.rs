//! A router in a process of its own, and commands that are run beside it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing that works takes this long, on however busy a machine.
pub(crate) const MOST: Duration = Duration::from_secs(60);

/// A directory that stands for a person's: the router's home, the leases and the temporary files are below it.
pub(crate) struct Desk {
    dir: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command, which finds nothing of the machine's real user.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mastra-router"));
        command
            .args(args)
            .env("HOME", self.dir.path())
            .env("MASTRA_ROUTER_HOME", self.home())
            .env("TMPDIR", self.path("tmp"))
            // A router that a command started would stay; the tests that are about it take this away.
            .env("MASTRA_ROUTER_NO_START", "1")
            .env_remove("MASTRA_ROUTER_IDLE_EXIT")
            .env_remove("MASTRA_ROUTER_LOG")
            .env_remove("SUDO_UID")
            .env_remove("MASTRA_ROUTER_CERT_DIR")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Ran {
        Running::spawn(&mut self.command(args)).ended()
    }
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Its stdout, one value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It failed with this exit code and error code, and said all of `parts`.
    #[track_caller]
    pub(crate) fn failed(self, exit: i32, code: &str, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(exit), "{self:?}");
        assert!(self.stderr.contains(&format!("error[{code}]: ")), "no {code}: {self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?}: {self:?}");
        }
        self
    }
}

/// A command that runs. It is killed and waited for when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<thread::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::of(command.spawn().unwrap())
    }

    /// One that runs already.
    pub(crate) fn of(mut child: Child) -> Self {
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = Arc::new(Mutex::new(String::new()));
        let stderr_reader = child.stderr.take().map(|pipe| {
            let stderr = stderr.clone();
            thread::spawn(move || {
                let mut reader = BufReader::new(pipe);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    stderr.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                    line.clear();
                }
            })
        });
        Self { child, stdout, stderr, stderr_reader }
    }

    /// With a stderr that is closed as soon as it runs.
    pub(crate) fn spawn_unheard(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        drop(child.stderr.take());
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout, stderr: Arc::default(), stderr_reader: None }
    }

    /// The next line of stdout; empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    #[track_caller]
    pub(crate) fn json_line(&mut self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}, {}", self.stderr()))
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < MOST, "it does not end; stderr: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn ended(mut self) -> Ran {
        let pipe = self.stdout.take();
        let reader = thread::spawn(move || {
            let mut stdout = String::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_string(&mut stdout).unwrap();
            }
            stdout
        });
        let code = self.wait().code();
        let stdout = reader.join().unwrap();
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().unwrap();
        }
        Ran { code, stdout, stderr: self.stderr() }
    }

    /// As the shell has it after `| head -1`.
    pub(crate) fn closed_stdout(mut self) -> Self {
        self.stdout = None;
        self
    }

    /// Waits until stderr holds `text`.
    #[track_caller]
    pub(crate) fn until_said(&self, text: &str) {
        wait_for(text, || self.stderr().contains(text));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a fact.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let began = Instant::now();
    while !fact() {
        assert!(began.elapsed() < MOST, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// `serve`, ready.
pub(crate) struct Router {
    pub(crate) process: Running,
    pub(crate) ready: Value,
    pub(crate) proxy: SocketAddr,
    pub(crate) desk: Arc<Desk>,
}

impl Router {
    pub(crate) fn start() -> Self {
        Self::start_at(Arc::new(Desk::new()), &[])
    }

    /// With this configuration file.
    pub(crate) fn configured(text: &str) -> Self {
        let desk = Desk::new();
        desk.write("mastra-router.toml", text);
        Self::start_at(Arc::new(desk), &["--config", "mastra-router.toml"])
    }

    pub(crate) fn start_at(desk: Arc<Desk>, args: &[&str]) -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0"].iter().chain(args);
        let mut process = Running::spawn(&mut desk.command(args));
        let ready = process.json_line();
        assert_eq!(ready["event"], "ready", "{ready}");
        let proxy = ready["listen"][0].as_str().unwrap().parse().unwrap();
        Self { process, ready, proxy, desk }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.desk.run(args)
    }

    /// Its routes, as a fact to compare: what was refused must have changed nothing.
    pub(crate) fn routes(&self) -> Value {
        self.run(&["list", "--json"]).ok().json()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.desk.home().join("control.sock")
    }

    /// The same home, after this router has ended.
    pub(crate) fn desk(self) -> Arc<Desk> {
        self.desk.clone()
    }
}

pub(crate) fn entries(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
}
