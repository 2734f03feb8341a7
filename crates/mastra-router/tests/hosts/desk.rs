//! A hosts file in a directory of its own, and other processes that work on it: this binary runs itself.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mastra_router::{
    EdgeRouterProvider, HostsConfig, HostsEdit, HostsManager, HostsMode, HostsOwner, HostsOwnerKind, HostsSettings,
    LocalEdgeRouter, LocalEdgeRouterConfig, RouteConfig, RoutingStrategy,
};
use tempfile::TempDir;

const TASK: &str = "MASTRA_ROUTER_TEST_HOSTS";

pub(crate) const PLAIN: &[u8] =
    b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.0.0.7 printer.lan # upstairs\n";

pub(crate) struct Desk {
    pub(crate) dir: TempDir,
    pub(crate) file: PathBuf,
    pub(crate) backups: PathBuf,
}

impl Desk {
    /// Without a hosts file yet.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (file, backups) = (dir.path().join("hosts"), dir.path().join("backups"));
        Self { dir, file, backups }
    }

    pub(crate) fn with(content: &[u8]) -> Self {
        let desk = Self::empty();
        std::fs::write(&desk.file, content).unwrap();
        desk
    }

    pub(crate) fn settings(&self, owner: &str) -> HostsSettings {
        settings(&self.file, &self.backups, owner)
    }

    pub(crate) fn manager(&self, owner: &str) -> HostsManager {
        HostsManager::new(self.settings(owner)).unwrap()
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        std::fs::read(&self.file).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.content()).unwrap()
    }

    /// The names in the block.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.manager("reader").entries().unwrap().into_iter().map(|entry| entry.name).collect()
    }

    /// What is in the file's directory, and in that of the backups.
    pub(crate) fn listing(&self) -> (Vec<String>, Vec<String>) {
        (listed(self.dir.path()), listed(&self.backups))
    }
}

pub(crate) fn settings(file: &Path, backups: &Path, owner: &str) -> HostsSettings {
    HostsSettings {
        path: Some(file.to_owned()),
        backup_dir: Some(backups.to_owned()),
        suffixes: vec!["mastra.local".to_owned()],
        ..HostsSettings::new(owner_of(owner))
    }
}

/// An owner that is the process which asks.
pub(crate) const PROGRAM: &str = "(this program)";
pub(crate) const ROUTER: &str = "(a router of this process)";

fn owner_of(owner: &str) -> HostsOwner {
    match owner {
        PROGRAM => HostsOwner::of_process(HostsOwnerKind::Program),
        ROUTER => HostsOwner::of_process(HostsOwnerKind::Router),
        named => HostsOwner::parse(named).unwrap(),
    }
}

pub(crate) fn listed(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The file as it was before anything of ours was in it, read by other means than the code under test.
pub(crate) fn outside(content: &[u8]) -> Vec<u8> {
    let text = |line: &[u8]| String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
    let (mut out, mut inside) = (Vec::new(), false);
    for line in content.split_inclusive(|b| *b == b'\n') {
        match text(line).as_str() {
            "# BEGIN MASTRA LOCAL ROUTING" => {
                assert!(!inside, "a block in a block");
                inside = true;
            }
            "# END MASTRA LOCAL ROUTING" => {
                assert!(inside, "an end without a beginning");
                inside = false;
            }
            _ if inside => {}
            _ => out.extend_from_slice(line),
        }
    }
    assert!(!inside, "a block without an end");
    out
}

/// What another process does.
pub(crate) enum Task {
    /// Adds names one after the other, each as a change of its own.
    AddEach(Vec<String>),
    /// Adds a name and says how it went.
    Add(String),
    /// Adds and removes names without an end.
    Churn,
    /// Adds names and lives on.
    Hold(Vec<String>),
    /// Runs a router that saves nothing, with a route of this name, and lives on.
    Route(String),
}

/// A command that carries a task out in another process.
pub(crate) fn process(file: &Path, backups: &Path, owner: &str, task: &Task) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "desk::worker", "--nocapture"]).env(TASK, described(file, backups, owner, task));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// As [`process`], after `script` was run in a mount namespace of its own, which ends with the process.
pub(crate) fn process_with_mounts(script: &str, file: &Path, backups: &Path, task: &Task) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("set -e\n{script}\n\"$0\" --exact desk::worker --nocapture\n{LOOK}\n"));
    command.arg(std::env::current_exe().unwrap());
    command.env(TASK, described(file, backups, "mounted", task)).env("HOSTS", file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the file is like from within.
const LOOK: &str = r#"echo; echo "content:"; cat "$HOSTS""#;

fn described(file: &Path, backups: &Path, owner: &str, task: &Task) -> String {
    let (kind, names) = match task {
        Task::AddEach(names) => ("each", names.join(" ")),
        Task::Add(name) => ("add", name.clone()),
        Task::Churn => ("churn", String::new()),
        Task::Hold(names) => ("hold", names.join(" ")),
        Task::Route(name) => ("route", name.clone()),
    };
    [file.to_str().unwrap(), backups.to_str().unwrap(), owner, kind, &names].join("\n")
}

/// Not a test by itself: what the other processes do.
#[test]
fn worker() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [file, backups, owner, kind, names] = task.split('\n').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let hosts = HostsManager::new(settings(Path::new(file), Path::new(backups), owner)).unwrap();
    match kind {
        "each" => names.split(' ').for_each(|name| assert!(hosts.add([name]).unwrap().changed)),
        "add" => match hosts.add([names]) {
            Ok(change) => println!("\nchanged {}", change.changed),
            Err(error) => println!("\nfailed {} {error}", error.code()),
        },
        "hold" => {
            hosts.add(names.split(' ')).unwrap();
            hold(hosts.owner());
        }
        "route" => run_router(Path::new(file), Path::new(backups), names, || hold(hosts.owner())),
        _ => churn(&hosts),
    }
}

fn config(file: &Path, backups: &Path) -> LocalEdgeRouterConfig {
    LocalEdgeRouterConfig {
        strategy: RoutingStrategy::ReverseProxy,
        proxy_port: 0,
        enable_hosts_file: HostsMode::Required,
        hosts: HostsConfig {
            path: Some(file.to_owned()),
            backup_dir: Some(backups.to_owned()),
            ..HostsConfig::default()
        },
        ..LocalEdgeRouterConfig::default()
    }
}

/// A router that saves nothing, with a route whose name is in the file.
pub(crate) async fn router_with(file: &Path, backups: &Path, name: &str) -> LocalEdgeRouter {
    let router = LocalEdgeRouter::start(config(file, backups)).await.unwrap();
    router.register_route(RouteConfig::new("d", "p", name, "localhost", 1)).await.unwrap();
    router
}

fn run_router(file: &Path, backups: &Path, name: &str, then: impl FnOnce()) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _router = runtime.block_on(router_with(file, backups, name));
    then();
}

/// Says who it is, and lives until it is killed.
fn hold(owner: &HostsOwner) {
    let _ = writeln!(std::io::stdout(), "\nholding {owner}");
    loop {
        std::thread::park();
    }
}

fn churn(hosts: &HostsManager) {
    let _ = writeln!(std::io::stdout(), "\nchurning");
    for round in 0_usize.. {
        // From a line to many pages, longer and shorter in turn.
        let count = [1, 400, 3, 150, 0][round % 5];
        let names = (0..count).map(|i| format!("round{round}-{i}.mastra.local")).collect();
        hosts.apply(&HostsEdit::Set(names)).unwrap();
    }
}
