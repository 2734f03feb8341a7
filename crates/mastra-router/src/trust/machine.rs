//! The machine whose stores are looked at: where its files are, whose they are, and which programs it has.

use std::path::{Path, PathBuf};
use std::time::Instant;

/// The kind of system, by which stores are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Linux.
    Linux,
    /// Linux in Windows, whose browsers are often those of Windows.
    Wsl,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// The user who called sudo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A machine, or a directory that stands for one.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kind of system.
    pub platform: Platform,
    /// The root of its files: `/`.
    pub root: PathBuf,
    /// The home of the user whose browsers are meant.
    pub home: PathBuf,
    /// Where that user's programs keep settings: `$XDG_CONFIG_HOME`, else `~/.config`.
    pub config_home: PathBuf,
    /// Where that user's programs keep data: `$XDG_DATA_HOME`, else `~/.local/share`.
    pub data_home: PathBuf,
    /// Where its programs are.
    pub path: Vec<PathBuf>,
    /// `$JAVA_HOME`.
    pub java_home: Option<PathBuf>,
    /// Under sudo, the user whom files in the home belong to.
    pub run_as: Option<RunAs>,
    /// When a tool that still runs is ended, however much longer it may usually take; none for whoever can wait.
    pub deadline: Option<Instant>,
}

/// Where the tools of a system's store are, which the path of an ordinary user leaves out.
const SYSTEM_PATH: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Machine {
    /// This machine, for the user whose home this is. Under sudo, what is made in the home is given to `run_as`.
    pub fn this(home: PathBuf, run_as: Option<RunAs>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut path: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
        path.extend(SYSTEM_PATH.map(PathBuf::from));
        let mut machine = Self::at(PathBuf::from("/"), home, path);
        machine.run_as = run_as;
        // Under sudo these are root's, if they are there at all.
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        machine.java_home = variable("JAVA_HOME");
        if run_as.is_none() {
            machine.config_home = variable("XDG_CONFIG_HOME").unwrap_or(machine.config_home);
            machine.data_home = variable("XDG_DATA_HOME").unwrap_or(machine.data_home);
        }
        machine
    }

    /// A machine whose files are below `root`, with programs in the directories of `path` only.
    pub fn at(root: PathBuf, home: PathBuf, path: Vec<PathBuf>) -> Self {
        Self {
            platform: Platform::of(&root),
            config_home: home.join(".config"),
            data_home: home.join(".local/share"),
            root,
            home,
            path,
            java_home: None,
            run_as: None,
            deadline: None,
        }
    }

    /// A file of the machine, by its absolute path there.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Where a program is.
    pub(super) fn program(&self, name: &str) -> Option<PathBuf> {
        self.path.iter().map(|dir| dir.join(name)).find(|file| is_program(file))
    }

    /// The identifiers of the distribution, its own first: `ubuntu`, `debian`.
    pub(super) fn distribution(&self) -> Vec<String> {
        let release = ["/etc/os-release", "/usr/lib/os-release"]
            .iter()
            .find_map(|path| std::fs::read_to_string(self.file(path)).ok())
            .unwrap_or_default();
        let value = |key: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_ascii_lowercase()
        };
        format!("{} {}", value("ID"), value("ID_LIKE")).split_whitespace().map(str::to_owned).collect()
    }

    /// What the distribution calls itself.
    pub(super) fn distribution_name(&self) -> Option<String> {
        let release = std::fs::read_to_string(self.file("/etc/os-release")).ok()?;
        let name = release.lines().find_map(|line| line.strip_prefix("NAME="))?.trim_matches(['"', '\'']);
        name.split_whitespace().next().map(str::to_owned)
    }
}

impl Platform {
    fn of(root: &Path) -> Self {
        let kernel = std::fs::read_to_string(root.join("proc/sys/kernel/osrelease")).unwrap_or_default();
        match std::env::consts::OS {
            "macos" => Self::MacOs,
            "windows" => Self::Windows,
            _ if kernel.to_ascii_lowercase().contains("microsoft") => Self::Wsl,
            _ => Self::Linux,
        }
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
