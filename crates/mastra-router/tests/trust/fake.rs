//! A directory that stands for a machine, and tools that write down what they were asked for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mastra_router::trust::{CaCertificate, Machine, Outcome, StoreKind, StoreOutcome, TrustStores};
use tempfile::TempDir;

use crate::authority;

pub(crate) struct Fake {
    dir: TempDir,
    pub(crate) machine: Machine,
}

impl Fake {
    /// A machine without programs.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let machine = Machine::at(at("root"), at("home"), vec![at("bin")]);
        Self { dir, machine }
    }

    pub(crate) fn with_os(release: &str) -> Self {
        let fake = Self::new();
        fake.write("etc/os-release", release);
        // What it is depends on the directory, not on the machine that runs the test.
        let root = fake.machine.root.clone();
        Self {
            machine: Machine { java_home: None, ..Machine::at(root, fake.home(""), fake.machine.path.clone()) },
            ..fake
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self, path: &str) -> PathBuf {
        self.machine.home.join(path)
    }

    /// A file below the root of the machine.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.machine.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.file(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn cert_dir(&self) -> PathBuf {
        self.path("certs")
    }

    /// A new authority, in place of the one before.
    pub(crate) fn authority(&self, name: &str) -> CaCertificate {
        authority::make(&self.cert_dir(), name)
    }

    /// A program that notes its arguments and does `script`, in which `$ROOT` is the machine's root.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        let (log, root) = (self.path("log"), self.machine.root.display());
        let text = format!(
            "#!/bin/sh\nprintf '%s\\n' \"{name}${{*:+ }}$*\" >> '{}'\nPATH=/usr/bin:/bin:/usr/sbin:/sbin ROOT='{root}'\n{script}\n",
            log.display()
        );
        program(&self.path("bin").join(name), &text);
    }

    /// This machine's own program; false where it has none.
    pub(crate) fn real(&self, name: &str) -> bool {
        let Some(program) = installed(name) else { return false };
        symlink(program, self.path("bin").join(name)).unwrap();
        true
    }

    /// What the tools were asked for since the last look.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn stores(&self, kind: StoreKind) -> TrustStores {
        TrustStores::find(&self.machine, &self.cert_dir(), &[kind])
    }

    pub(crate) fn record(&self) -> Vec<String> {
        let text = fs::read_to_string(self.cert_dir().join("trusted")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// Writes a program by another process: one that this process writes could not be run while a child that another test
/// has just forked still holds it open.
fn program(path: &Path, text: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Where a program of this machine is. Where all have to be there, one that is missing is a failure; all but Java, which is
/// large, and whose store is opt in.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = name != "keytool" && std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!required, "{name} is not installed");
        eprintln!("skipped: {name} is needed");
    }
    found
}

#[track_caller]
pub(crate) fn one(outcomes: Vec<StoreOutcome>) -> StoreOutcome {
    let [outcome] = <[StoreOutcome; 1]>::try_from(outcomes).unwrap();
    outcome
}

#[track_caller]
pub(crate) fn reason(outcome: &StoreOutcome) -> &str {
    match &outcome.outcome {
        Outcome::Failed { reason } | Outcome::Unavailable { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}
