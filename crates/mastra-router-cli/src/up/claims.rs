//! The names of all apps, taken before any of them is started.

use std::ffi::OsString;
use std::path::Path;

use mastra_router::control::ControlClient;
use mastra_router::{Home, RouteLease, RouterControl};

use super::held::Start;
use super::plan::Plan;
use crate::failure::Failure;
use crate::project_file::{App, AppCommand};
use crate::run::{self, Claim, LeasedPort, environment, habits};

/// An app that has its name and its port.
pub(crate) struct Claimed {
    pub(crate) app: App,
    pub(crate) claim: Claim,
    pub(crate) port: LeasedPort,
}

/// Takes the names and ports of all, or of none.
///
/// # Errors
/// `ROUTE_CONFLICT` where another has a name, and what else a registration or a port fails with.
pub(crate) async fn take(
    plan: Plan,
    client: &ControlClient,
    home: &Home,
    force: bool,
) -> Result<Vec<Claimed>, Failure> {
    let mut taken: Vec<Claimed> = Vec::new();
    for app in plan.apps {
        match take_one(&app, &plan.project, client, home, force).await {
            Ok((claim, port)) => taken.push(Claimed { app, claim, port }),
            Err(failure) => {
                for other in taken {
                    other.claim.end().await;
                }
                return Err(failure);
            }
        }
    }
    taken.iter().for_each(|one| one.port.remember());
    Ok(taken)
}

async fn take_one(
    app: &App,
    project: &run::Project,
    client: &ControlClient,
    home: &Home,
    force: bool,
) -> Result<(Claim, LeasedPort), Failure> {
    let name = project.name_of(&app.name);
    // Apps on one host are told apart by their prefixes.
    let label = format!("{name}{}", app.path_prefix.as_deref().unwrap_or_default());
    let port = LeasedPort::take(home, &project.dir.to_string_lossy(), &label, app.port)?;
    let shown = match &app.command {
        AppCommand::Shell(text) => text.clone(),
        AppCommand::Words(words) => words.join(" "),
    };
    let mut config = app.route(&name, &project.plain_name, port.number);
    config.lease = Some(RouteLease {
        command: Some(run::cut(&shown)),
        folder: Some(run::cut(&app.dir.to_string_lossy())),
        ..RouteLease::of_this_process()
    });
    let hint = "mastra-router up --force takes it over".to_owned();
    let claim = Claim::take(client.clone(), config, force, hint).await?;
    Ok((claim, port))
}

/// What each is started as: with where it is, and where all others are.
pub(crate) async fn starts(
    taken: &[Claimed],
    others: &[App],
    project: &run::Project,
    client: &ControlClient,
    authority: &Path,
    wants_color: bool,
) -> Vec<Start> {
    let mut urls: Vec<(String, String)> =
        taken.iter().map(|one| (one.app.url_variable(), one.claim.route.public_url.clone())).collect();
    for other in others {
        // One that somebody else runs is of use too.
        if let Ok(Some(route)) = client.find_route(&project.name_of(&other.name)).await
            && route.path_prefix == other.path_prefix
        {
            urls.push((other.url_variable(), route.public_url));
        }
    }
    taken.iter().map(|one| start(one, &urls, authority, wants_color)).collect()
}

fn start(one: &Claimed, urls: &[(String, String)], authority: &Path, wants_color: bool) -> Start {
    let Claimed { app, claim, port } = one;
    let port = port.number;
    let mut variables: Vec<(OsString, OsString)> = urls.iter().map(|(name, url)| (name.into(), url.into())).collect();
    let own = environment::variables(port, &claim.route.public_url, authority);
    variables.extend(own.into_iter().map(|(name, value)| (name.into(), value)));
    // Its output comes to a pipe, where Python would keep it back.
    for (name, value) in [("PYTHONUNBUFFERED", "1")].into_iter().chain(wants_color.then_some(("FORCE_COLOR", "1"))) {
        if std::env::var_os(name).is_none() {
            variables.push((name.into(), value.into()));
        }
    }
    // What is written is stronger than what we say.
    let given = app.env.iter().map(|(name, value)| (name.into(), value.replace("{port}", &port.to_string()).into()));
    variables.extend(given);
    let command = match &app.command {
        AppCommand::Shell(text) => {
            let text = habits::text_for_port(text, port, &app.dir);
            vec!["sh".into(), "-c".into(), text.into()]
        }
        AppCommand::Words(words) => {
            let words = words.iter().map(OsString::from).collect();
            habits::for_port(words, port, &app.dir)
        }
    };
    Start { command, variables, dir: app.dir.clone() }
}
