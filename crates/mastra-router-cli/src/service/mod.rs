//! `service`: the router as what the system's service manager runs.
//!
//! Each manager says which files it reads and which commands it takes, in a module of its own; what is done with them, and
//! taken back where it fails, is the same for all and stands here.

mod definition;
mod launchd;
mod systemd;
mod task_scheduler;
mod tools;
mod xml;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mastra_router::trust::{CommandLine, CommandOutput};
use mastra_router::{Home, InvokingUser};

pub(crate) use self::definition::Definition;
use self::launchd::Launchd;
use self::systemd::Systemd;
use self::task_scheduler::TaskScheduler;
use self::tools::{run, run_all};
use crate::cli::{ManagerKind, Scope};
use crate::failure::{Exit, Failure};

/// Tells our files from those of others.
const MARK: &str = "Written by mastra-router service install; mastra-router service uninstall removes it.";

/// A file that a manager reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceFile {
    pub(crate) path: PathBuf,
    pub(crate) content: Vec<u8>,
}

impl ServiceFile {
    /// What stands in it, for people.
    pub(crate) fn text(&self) -> String {
        decoded(&self.content)
    }
}

/// What a manager says of the service; `None` where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) enabled: Option<bool>,
    pub(crate) running: Option<bool>,
}

/// A service manager, by its files and commands.
pub(crate) trait Manager {
    fn name(&self) -> &'static str;
    /// `user` or `system`.
    fn scope(&self) -> &'static str;
    /// Where its files are, if they are.
    fn paths(&self) -> Vec<PathBuf>;
    fn files(&self, definition: &Definition) -> Vec<ServiceFile>;
    /// Why the manager cannot run this.
    fn refuses(&self, _definition: &Definition) -> Option<&'static str> {
        None
    }
    /// Succeeds where the manager is there, and changes nothing.
    fn probe(&self) -> CommandLine;
    /// Before files that are there already are changed; these may fail.
    fn before_change(&self) -> Vec<CommandLine> {
        Vec::new()
    }
    /// After the files were written, or found to be as they should.
    fn installing(&self, is_changed: bool) -> Vec<CommandLine>;
    /// Before the files are removed.
    fn removing(&self) -> Vec<CommandLine>;
    /// After they were.
    fn removed(&self) -> Vec<CommandLine>;
    /// What a service writes that is the manager's to name.
    fn leaves(&self) -> Vec<PathBuf> {
        Vec::new()
    }
    fn state(&self, run: &dyn Fn(&CommandLine) -> Option<CommandOutput>) -> State;
    /// What tells a person more.
    fn more(&self) -> CommandLine;
}

/// The manager that is meant.
///
/// # Errors
/// `SERVICE_UNSUPPORTED` for a service of the machine that the manager cannot have.
pub(crate) fn manager(scope: &Scope, home: &Home) -> Result<Box<dyn Manager>, Failure> {
    let user = InvokingUser::current();
    let this = match std::env::consts::OS {
        "macos" => ManagerKind::Launchd,
        "windows" => ManagerKind::TaskScheduler,
        _ => ManagerKind::Systemd,
    };
    let kind = scope.manager.unwrap_or(this);
    if scope.system && kind != ManagerKind::Systemd {
        return Err(Failure {
            hint: Some("leave --system out".to_owned()),
            ..Failure::failed("SERVICE_UNSUPPORTED", "only systemd can open ports for a router that runs as a user")
        });
    }
    let dir = |default: PathBuf| scope.unit_dir.clone().unwrap_or(default);
    Ok(match kind {
        ManagerKind::Systemd if scope.system => {
            Box::new(Systemd { dir: dir("/etc/systemd/system".into()), system: true })
        }
        ManagerKind::Systemd => Box::new(Systemd { dir: dir(systemd::user_dir(&user)), system: false }),
        ManagerKind::Launchd => Box::new(Launchd {
            dir: dir(user.home.join("Library/LaunchAgents")),
            log: user.home.join("Library/Logs/mastra-router.log"),
            uid: user.sudo.map_or_else(|| rustix::process::getuid().as_raw(), |(uid, _)| uid),
        }),
        ManagerKind::TaskScheduler => Box::new(TaskScheduler::of_this_user(dir(home.path().to_owned()))),
    })
}

/// What the manager's files are to be.
///
/// # Errors
/// `SERVICE_UNSUPPORTED` where the manager cannot run it.
pub(crate) fn files(manager: &dyn Manager, definition: &Definition) -> Result<Vec<ServiceFile>, Failure> {
    match manager.refuses(definition) {
        None => Ok(manager.files(definition)),
        Some(why) => Err(Failure {
            hint: Some("move the command to another directory".to_owned()),
            ..Failure::failed("SERVICE_UNSUPPORTED", format!("{} cannot be run: {why}", definition.program))
        }),
    }
}

/// The files of ours that are there.
///
/// # Errors
/// `SERVICE_FOREIGN` for one that somebody else wrote, `FILE_ERROR` for one that cannot be read.
pub(crate) fn installed(manager: &dyn Manager) -> Result<Vec<ServiceFile>, Failure> {
    let mut found = Vec::new();
    for path in manager.paths() {
        match fs::symlink_metadata(&path).and_then(|meta| if meta.is_file() { fs::read(&path) } else { Ok(Vec::new()) })
        {
            Ok(content) if decoded(&content).contains(MARK) => found.push(ServiceFile { path, content }),
            Ok(_) => return Err(foreign(&path)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(failed("read", &path, &error)),
        }
    }
    Ok(found)
}

/// Whether the service is as these files say, and what its manager says of it.
pub(crate) fn state(manager: &dyn Manager) -> State {
    manager.state(&|command| run(command).ok())
}

/// Writes the files and has the manager run the service. Where that fails, the files are what they were.
///
/// # Errors
/// `NO_SERVICE_MANAGER`, `NEEDS_PRIVILEGE`, `SERVICE_FOREIGN`, `SERVICE_FAILED`, `FILE_ERROR`.
pub(crate) fn install(manager: &dyn Manager, files: &[ServiceFile]) -> Result<(), Failure> {
    let before = installed(manager)?;
    let is_changed = before != files;
    if is_changed && !before.is_empty() {
        // It may well not run.
        manager.before_change().iter().for_each(|command| drop(run(command)));
    }
    let done = files
        .iter()
        .filter(|file| !before.contains(file))
        .try_for_each(|file| write(file).map_err(|error| failed("write", &file.path, &error)))
        .and_then(|()| run_all(manager, &manager.installing(is_changed)));
    if done.is_err() && is_changed {
        for file in files {
            let _ = match before.iter().find(|old| old.path == file.path) {
                Some(old) => write(old),
                None => fs::remove_file(&file.path),
            };
        }
        manager.removed().iter().for_each(|command| drop(run(command)));
    }
    done
}

/// Fails where there is no such manager, or it does not answer.
///
/// # Errors
/// `NO_SERVICE_MANAGER`.
pub(crate) fn check(manager: &dyn Manager) -> Result<(), Failure> {
    let why = match run(&manager.probe()) {
        Ok(tool) if tool.success => return Ok(()),
        Ok(tool) => tool.last_words(),
        Err(error) => error.to_string(),
    };
    let message = format!("{} does not run on this machine: {why}", manager.name());
    Err(Failure {
        hint: Some("start the router from what runs when you log in: mastra-router start".to_owned()),
        ..Failure::failed("NO_SERVICE_MANAGER", message)
    })
}

/// Stops the service and removes the files, with what it has written. What is gone already is passed over.
///
/// # Errors
/// `NEEDS_PRIVILEGE`, `SERVICE_FAILED`, `FILE_ERROR`; then the files are there.
pub(crate) fn uninstall(manager: &dyn Manager, files: &[ServiceFile]) -> Result<(), Failure> {
    // Without a manager there is nothing that runs.
    let is_there = check(manager).is_ok();
    for command in manager.removing().iter().filter(|_| is_there) {
        let tool = run(command).ok();
        if state(manager).running == Some(true) {
            let why = tool.map(|tool| tool.last_words()).unwrap_or_default();
            return Err(Failure::failed("SERVICE_FAILED", format!("the service does not stop: {command}: {why}")));
        }
    }
    for file in files {
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &file.path, &error)),
            _ => {}
        }
    }
    manager.leaves().iter().for_each(|path| drop(fs::remove_file(path)));
    manager.removed().iter().filter(|_| is_there).for_each(|command| drop(run(command)));
    Ok(())
}

/// Beside its place, then there whole.
fn write(file: &ServiceFile) -> io::Result<()> {
    let dir = file.path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let mut new = tempfile::Builder::new().prefix(".mastra-router-").tempfile_in(dir)?;
    new.write_all(&file.content)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(mode)?;
    new.as_file().sync_all()?;
    new.persist(&file.path)?;
    Ok(())
}

fn foreign(path: &Path) -> Failure {
    Failure {
        code: "SERVICE_FOREIGN".to_owned(),
        message: format!("{} is not of mastra-router, and is left as it is", path.display()),
        hint: Some(
            CommandLine::new(["mv".into(), path.to_string_lossy(), format!("{}.other", path.display()).into()])
                .to_string(),
        ),
        exit: Exit::Conflict,
    }
}

fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let (code, exit) = if denied { ("NEEDS_PRIVILEGE", Exit::Privilege) } else { ("FILE_ERROR", Exit::Failed) };
    Failure { exit, ..Failure::failed(code, format!("cannot {action} {}: {error}", path.display())) }
}

/// UTF-16 where its mark says so.
fn decoded(content: &[u8]) -> String {
    match content.strip_prefix(&[0xff, 0xfe]) {
        Some(rest) => {
            let units: Vec<u16> = rest.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(content).into_owned(),
    }
}
