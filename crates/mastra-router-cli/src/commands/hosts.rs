//! `hosts sync`, `list`, `clean`, `restore`.

use std::path::Path;
use std::process::ExitCode;

use mastra_router::control::ControlClient;
use mastra_router::{
    Home, HostsChange, HostsEdit, HostsManager, HostsOwner, HostsSettings, RouterControl, RouterError,
};
use serde_json::json;

use super::Outcome;
use crate::cli::{Hosts, HostsCommand};
use crate::failure::Failure;
use crate::output::Output;

/// `home_given` tells a home that was named from one that was found: under sudo, only the latter is found again.
pub(crate) async fn run(
    args: Hosts,
    home_given: bool,
    home: &Home,
    client: &ControlClient,
    output: &Output,
) -> Outcome {
    let mut settings = HostsSettings {
        path: args.hosts_file.clone(),
        backup_dir: args.backup_dir.clone(),
        ..HostsSettings::new(HostsOwner::of_home(home.path()))
    };
    let mut hint = None;
    let edit = match &args.command {
        HostsCommand::List => return list(&HostsManager::new(settings)?, output),
        HostsCommand::Sync { force, allow } => {
            let (base, names) = names(client).await?;
            settings.suffixes.clone_from(allow);
            if is_local(&base) {
                settings.suffixes.push(base);
            } else if !allow.contains(&base) {
                hint = Some(format!("mastra-router hosts sync --allow {base}"));
            }
            settings.force = *force;
            HostsEdit::Sync(names)
        }
        HostsCommand::Clean => HostsEdit::Clean,
        HostsCommand::Restore => HostsEdit::Restore,
    };
    let hosts = HostsManager::new(settings)?;
    if args.dry_run {
        show(&hosts, hosts.preview(&edit)?, output);
        return Ok(ExitCode::SUCCESS);
    }
    let change = hosts.apply(&edit).map_err(|error| failure(error, &args, home_given, home))?;
    tell(&hosts, change, &edit, output).map_err(|failure| Failure { hint: hint.or(failure.hint), ..failure })
}

/// Whether no name below this domain can be one that the network has. Any other domain is believed to be the router's when
/// somebody says so at a terminal: this command runs as root, and who answers on the socket may be any program of its user.
pub(crate) fn is_local(base: &str) -> bool {
    // `printer.local` is a name of multicast DNS; `shop.mastra.local` is not.
    ["localhost", "test", "internal"].contains(&base.rsplit('.').next().unwrap_or_default()) || base.ends_with(".local")
}

/// The running router's base domain, and the hosts of its routes.
async fn names(client: &ControlClient) -> Result<(String, Vec<String>), RouterError> {
    let base = client.status().await?.base_domain;
    let routes = client.all_routes().await?;
    let mut names: Vec<String> = routes.iter().map(|route| format!("{}.{base}", route.subdomain)).collect();
    names.sort_unstable();
    names.dedup();
    Ok((base, names))
}

fn list(hosts: &HostsManager, output: &Output) -> Outcome {
    let entries = hosts.entries()?;
    let owner = |owner: Option<HostsOwner>| owner.map(|owner| owner.to_string());
    if output.json {
        let row =
            |e: mastra_router::HostsEntry| json!({ "name": e.name, "address": e.address, "owner": owner(e.owner) });
        output.json(&entries.into_iter().map(row).collect::<Vec<_>>());
    } else if entries.is_empty() {
        output.say(&format!("No names of ours in {}", hosts.path().display()));
    } else {
        let row = |e: mastra_router::HostsEntry| [e.name, e.address.to_string(), owner(e.owner).unwrap_or_default()];
        output.table(["NAME", "ADDRESS", "OWNER"], &entries.into_iter().map(row).collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}

/// What would be done.
fn show(hosts: &HostsManager, change: HostsChange, output: &Output) {
    if output.json {
        return output.json(&change_json(hosts, &change));
    }
    output.diff(&change.diff);
    if !change.changed {
        output.say(&format!("{} would stay as it is", hosts.path().display()));
    }
    for (_, error) in change.refused {
        output.say(&format!("left out: {error}"));
    }
}

/// What was done. Names that were left out are a failure, though the others were written.
fn tell(hosts: &HostsManager, change: HostsChange, edit: &HostsEdit, output: &Output) -> Outcome {
    let path = hosts.path().display();
    if output.json {
        output.json(&change_json(hosts, &change));
    } else if !change.changed {
        output.say(&format!("{path} is as it should be"));
    } else {
        let count = |n: usize| if n == 1 { "1 name".to_owned() } else { format!("{n} names") };
        output.say(&match edit {
            HostsEdit::Sync(names) => format!("{} in {path}", count(names.len() - change.refused.len())),
            HostsEdit::Restore => format!("{path} is what it was before the last change"),
            _ => format!("{path} has no names of ours any more"),
        });
    }
    let mut refused = change.refused.into_iter().map(|(_, error)| error);
    let Some(first) = refused.next() else { return Ok(ExitCode::SUCCESS) };
    for error in refused {
        output.say(&format!("left out: {error}"));
    }
    Err(first.into())
}

fn change_json(hosts: &HostsManager, change: &HostsChange) -> serde_json::Value {
    let refused = |(name, error): &(String, RouterError)| json!({ "name": name, "code": error.code(), "message": error.to_string() });
    json!({
        "path": hosts.path(),
        "changed": change.changed,
        "backup": change.backup,
        "refused": change.refused.iter().map(refused).collect::<Vec<_>>(),
        "diff": change.diff,
    })
}

/// Where privilege is missing, the one command is this one, run by root, and finding the same router and the same files.
fn failure(error: RouterError, args: &Hosts, home_given: bool, home: &Home) -> Failure {
    let denied = matches!(error, RouterError::HostsDenied { .. });
    let mut failure = Failure::from(error);
    if denied {
        failure.hint = Some(as_root(args, home_given, home));
    }
    failure
}

fn as_root(args: &Hosts, home_given: bool, home: &Home) -> String {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut command = "sudo mastra-router hosts ".to_owned();
    match &args.command {
        HostsCommand::Sync { force, allow } => {
            command.push_str(if *force { "sync --force" } else { "sync" });
            allow.iter().for_each(|domain| command.push_str(&format!(" --allow {}", quoted(Path::new(domain)))));
        }
        HostsCommand::List => command.push_str("list"),
        HostsCommand::Clean => command.push_str("clean"),
        HostsCommand::Restore => command.push_str("restore"),
    }
    // sudo keeps no variable of ours.
    let hosts_file = args.hosts_file.clone().or_else(|| set("MASTRA_ROUTER_HOSTS_FILE").map(Into::into));
    let home = (home_given || set("MASTRA_ROUTER_HOME").is_some()).then(|| home.path().to_owned());
    for (flag, path) in [("--home", home), ("--hosts-file", hosts_file), ("--backup-dir", args.backup_dir.clone())] {
        if let Some(path) = path {
            let path = std::path::absolute(&path).unwrap_or(path);
            command.push_str(&format!(" {flag} {}", quoted(&path)));
        }
    }
    command
}

/// As a shell reads it.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.chars().all(|c| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '@' | ':')) {
        return path.into_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_that_the_network_does_not_have() {
        for local in ["localhost", "mastra.local", "test", "a.internal"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["npmjs.org", "com", "dev", "local.com", "notlocal", "home.arpa", "local", "x.home.arpa"] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn paths_for_a_shell() {
        assert_eq!(quoted(Path::new("/home/ann/.mastra")), "/home/ann/.mastra");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
