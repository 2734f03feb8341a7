//! `service install`, `status`, `uninstall`.

use std::process::ExitCode;

use mastra_router::control::ControlClient;
use mastra_router::trust::CommandLine;
use mastra_router::{Home, HomeHolder, InvokingUser};
use serde_json::json;

use super::Outcome;
use super::daemon::{answering, until_ended};
use crate::cli::{Install, Scope, Service, ServiceUninstall};
use crate::config::Chosen;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::project_file;
use crate::service::{self, Definition, Manager, ServiceFile};

pub(crate) async fn run(command: Service, home: &Home, output: &Output) -> Outcome {
    match command {
        Service::Install(args) => install(&args, home, output).await,
        Service::Status(scope) => status(&scope, home, output),
        Service::Uninstall(args) => uninstall(&args, home, output),
    }
}

async fn install(args: &Install, home: &Home, output: &Output) -> Outcome {
    let manager = service::manager(&args.scope, home)?;
    let definition = Definition::new(&args.serve, home, args.scope.system)?;
    if let Chosen::OfProject = args.serve.chosen()
        && let Some(file) = std::env::current_dir().ok().and_then(|dir| project_file::nearest(&dir))
    {
        let file = file.display();
        output.say(&format!("the service is for all projects: {file} is not heeded (--config {file})"));
    }
    let files = service::files(&*manager, &definition)?;
    if args.dry_run {
        let before = service::installed(&*manager)?;
        let changing = if before.is_empty() { Vec::new() } else { manager.before_change() };
        let is_changed = before != files;
        let mut commands = Vec::new();
        if answering(home).await.is_some() && !is_run_by(&*manager, &before, &files) {
            commands.push(CommandLine::new(["mastra-router", "stop"]));
        }
        commands.extend(changing.into_iter().filter(|_| is_changed));
        commands.extend(manager.installing(is_changed));
        show(&files, &commands, output);
        return Ok(ExitCode::SUCCESS);
    }
    may_change(&args.scope, "install")?;
    service::check(&*manager)?;
    if !is_run_by(&*manager, &service::installed(&*manager)?, &files) {
        make_room(home, output).await?;
    }
    service::install(&*manager, &files)?;
    let state = service::state(&*manager);
    if output.json {
        let paths: Vec<_> = files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
        output.json(&json!({
            "manager": manager.name(), "scope": manager.scope(), "files": paths,
            "enabled": state.enabled, "running": state.running,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    files.iter().for_each(|file| output.line(&file.path.display().to_string()));
    let runs = if state.running == Some(true) { "and running" } else { "and told to run" };
    output.say(&format!("installed {runs}; {} tells more", manager.more()));
    if manager.name() == "systemd" && !args.scope.system {
        output.say("It runs while you are logged in; always: loginctl enable-linger");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the service is as it should be and runs.
fn is_run_by(manager: &dyn Manager, before: &[ServiceFile], files: &[ServiceFile]) -> bool {
    before == files && service::state(manager).running == Some(true)
}

/// A router that was started otherwise has the home that the service needs. Its routes are saved.
async fn make_room(home: &Home, output: &Output) -> Result<(), Failure> {
    let Some(router) = answering(home).await else { return Ok(()) };
    output.say(&format!("stopping the router that runs (pid {}); the service's has its routes", router.pid));
    ControlClient::new(home).stop().await?;
    until_ended(home, router.pid).await
}

/// Files of the machine are root's; those of a user are never made by root.
fn may_change(scope: &Scope, action: &str) -> Result<(), Failure> {
    let is_root = rustix::process::geteuid().is_root();
    if scope.system && !is_root && scope.unit_dir.is_none() {
        return Err(Failure {
            hint: Some(format!("sudo mastra-router service {action} --system")),
            exit: Exit::Privilege,
            ..Failure::failed("NEEDS_PRIVILEGE", "services of the machine are changed by root only")
        });
    }
    if !scope.system && InvokingUser::current().sudo.is_some() {
        return Err(Failure {
            hint: Some(format!("run it as yourself: mastra-router service {action}")),
            ..Failure::failed("SERVICE_AS_ROOT", "under sudo, the service of the user who called it cannot be changed")
        });
    }
    Ok(())
}

/// Exactly the files and the commands.
fn show(files: &[ServiceFile], commands: &[CommandLine], output: &Output) {
    if output.json {
        let files: Vec<_> =
            files.iter().map(|file| json!({ "path": file.path.to_string_lossy(), "content": file.text() })).collect();
        let commands: Vec<_> = commands.iter().map(ToString::to_string).collect();
        return output.json(&json!({ "dryRun": true, "files": files, "commands": commands }));
    }
    for file in files {
        output.line(&format!("==> {}", file.path.display()));
        file.text().lines().for_each(|line| output.line(line.trim_start_matches('\u{feff}')));
        output.line("");
    }
    commands.iter().for_each(|command| output.line(&command.to_string()));
}

fn status(scope: &Scope, home: &Home, output: &Output) -> Outcome {
    let manager = service::manager(scope, home)?;
    let files = service::installed(&*manager)?;
    let is_installed = !files.is_empty();
    let state = service::state(&*manager);
    if output.json {
        let paths: Vec<_> = files.iter().map(|file| file.path.to_string_lossy().into_owned()).collect();
        output.json(&json!({
            "manager": manager.name(), "scope": manager.scope(), "installed": is_installed,
            "enabled": is_installed && state.enabled == Some(true), "running": is_installed && state.running == Some(true),
            "files": paths,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    if !is_installed {
        output.dotted("○ not installed: mastra-router service install");
        return Ok(ExitCode::SUCCESS);
    }
    let word = |fact: Option<bool>, yes: &str, no: &str| match fact {
        Some(true) => format!("● {yes}"),
        Some(false) => format!("✗ {no}"),
        None => format!("○ {} says nothing", manager.name()),
    };
    let places: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    output.dotted(&format!("installed  ● installed, {} ({})", manager.name(), manager.scope()));
    output.dotted(&format!("enabled    {}", word(state.enabled, "enabled", "not enabled")));
    output.dotted(&format!("running    {}", word(state.running, "running", "not running")));
    output.line(&format!("files      {}", places.join(", ")));
    if let Ok(HomeHolder::Process(Some(pid))) = home.holder() {
        output.line(&format!("router     pid {pid}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn uninstall(args: &ServiceUninstall, home: &Home, output: &Output) -> Outcome {
    let manager = service::manager(&args.scope, home)?;
    let files = service::installed(&*manager)?;
    let paths: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    if args.dry_run && !files.is_empty() {
        let commands: Vec<String> =
            manager.removing().iter().chain(&manager.removed()).map(ToString::to_string).collect();
        if output.json {
            output.json(&json!({ "dryRun": true, "files": paths, "commands": commands }));
        } else {
            paths.iter().for_each(|path| output.line(&format!("would remove {path}")));
            commands.iter().for_each(|command| output.line(&format!("would run    {command}")));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !files.is_empty() {
        may_change(&args.scope, "uninstall")?;
        remove(&*manager, &files)?;
    }
    if output.json {
        output.json(&json!({ "dryRun": args.dry_run, "files": paths, "commands": [] }));
    } else if files.is_empty() {
        output.say("nothing to remove");
    } else {
        paths.iter().for_each(|path| output.line(&format!("removed {path}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(manager: &dyn Manager, files: &[ServiceFile]) -> Result<(), Failure> {
    service::uninstall(manager, files).map_err(|failure| match failure.exit {
        Exit::Privilege => {
            let system = if manager.scope() == "system" { " --system" } else { "" };
            Failure { hint: Some(format!("sudo mastra-router service uninstall{system}")), ..failure }
        }
        _ => failure,
    })
}
