//! `uninstall`.

use std::path::Path;
use std::process::ExitCode;

use mastra_router::Home;
use mastra_router::trust::CommandLine;
use serde_json::{Value, json};

use super::Outcome;
use crate::cli::Uninstall;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::uninstall::{self, Inventory, Item, Kind, Outcome as Became, Report};

pub(crate) async fn run(args: Uninstall, home_given: bool, home: &Home, output: &Output) -> Outcome {
    let mut inventory = Inventory::look(&args, home).await?;
    if args.dry_run || inventory.is_empty() {
        let report = uninstall::preview(inventory);
        show(&report, args.dry_run, output);
        return Ok(ExitCode::SUCCESS);
    }
    if !args.yes {
        let report = uninstall::preview(inventory);
        let lines = report.items.iter().map(|(item, outcome)| line(item, outcome));
        let question = lines.collect::<Vec<_>>();
        if output.asks() {
            question.iter().for_each(|line| output.say(line));
        }
        if output.confirm("Remove all this?") == Some(false) {
            return Err(Failure::failed("DECLINED", "nothing was changed"));
        }
        // It may have taken a while.
        inventory = Inventory::look(&args, home).await?;
    }
    let report = uninstall::apply(inventory, home).await?;
    show(&report, false, output);
    ended(&report, || again_by_sudo(&args, home_given, home))
}

fn show(report: &Report, dry_run: bool, output: &Output) {
    if output.json {
        let items: Vec<Value> = report.items.iter().map(|(item, outcome)| item_json(item, outcome)).collect();
        let kept: Vec<Value> = report
            .kept
            .iter()
            .map(|(path, reason)| json!({ "path": path.to_string_lossy(), "reason": reason }))
            .collect();
        return output.json(&json!({ "dryRun": dry_run, "items": items, "kept": kept }));
    }
    for (item, outcome) in &report.items {
        output.line(&line(item, outcome));
        let is_left = outcome.is_left();
        item.commands.iter().filter(|_| is_left).for_each(|command| output.line(&format!("    {command}")));
    }
    for (path, reason) in &report.kept {
        output.line(&format!("stays          {}: {reason}", path.display()));
    }
    if report.items.is_empty() {
        output.say("nothing to remove");
    }
}

fn line(item: &Item, outcome: &Became) -> String {
    let what = &item.what;
    match (item.kind, outcome) {
        (Kind::Router, Became::Would) => format!("would stop     {what}"),
        (_, Became::Would) => format!("would remove   {what}"),
        (Kind::Router, Became::Removed) => format!("stopped        {what}"),
        (_, Became::Removed) => format!("removed        {what}"),
        (_, Became::NeedsPrivilege { reason }) => format!("needs root     {what}: {reason}"),
        (_, Became::Failed { reason }) => format!("not removed    {what}: {reason}"),
    }
}

fn item_json(item: &Item, outcome: &Became) -> Value {
    let (word, reason) = match outcome {
        Became::Would => ("would-remove", None),
        Became::Removed => ("removed", None),
        Became::NeedsPrivilege { reason } => ("needs-privilege", Some(reason)),
        Became::Failed { reason } => ("failed", Some(reason)),
    };
    let paths: Vec<_> = item.paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    json!({
        "kind": item.kind.as_str(), "what": item.what, "paths": paths, "outcome": word, "reason": reason,
        "commands": item.commands.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn ended(report: &Report, by_sudo: impl FnOnce() -> CommandLine) -> Outcome {
    let left = || report.items.iter().map(|(_, outcome)| outcome).filter(|outcome| outcome.is_left());
    let denied = left().filter(|outcome| matches!(outcome, Became::NeedsPrivilege { .. })).count();
    let all = left().count();
    if all == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let of = report.items.len();
    let hint = (denied > 0).then(|| by_sudo().to_string());
    if denied == all {
        let message = format!("{denied} of {of} can be removed by root only");
        return Err(Failure { hint, exit: Exit::Privilege, ..Failure::failed("NEEDS_PRIVILEGE", message) });
    }
    Err(Failure { hint, ..Failure::failed("UNINSTALL_INCOMPLETE", format!("{all} of {of} could not be removed")) })
}

/// The same command, by root, finding the same files: sudo keeps no variable of ours.
fn again_by_sudo(args: &Uninstall, home_given: bool, home: &Home) -> CommandLine {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let program = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
    let known = ["/usr/local/bin/", "/usr/bin/", "/bin/"].iter().any(|dir| program.starts_with(dir));
    let program = if known || program.is_empty() { "mastra-router".to_owned() } else { program };
    let mut words = vec!["sudo".to_owned(), program, "uninstall".into(), "--yes".into()];
    let given = |path: &Option<std::path::PathBuf>, name| path.clone().or_else(|| set(name).map(Into::into));
    let home = (home_given || set("MASTRA_ROUTER_HOME").is_some()).then(|| home.path().to_owned());
    for (flag, path) in [
        ("--home", home),
        ("--cert-dir", given(&args.cert_dir.cert_dir, "MASTRA_ROUTER_CERT_DIR")),
        ("--hosts-file", given(&args.hosts_file, "MASTRA_ROUTER_HOSTS_FILE")),
        ("--backup-dir", args.backup_dir.clone()),
    ] {
        if let Some(path) = path {
            let path = std::path::absolute(&path).unwrap_or(path);
            words.extend([flag.to_owned(), Path::new(&path).to_string_lossy().into_owned()]);
        }
    }
    CommandLine::new(words)
}
