//! `open`: a route, or the router's own page, in the browser.

use std::io::ErrorKind;
use std::process::ExitCode;
use std::time::Duration;

use mastra_router::control::ControlClient;
use mastra_router::{RouterControl, RoutingStrategy};
use serde_json::json;

use super::Outcome;
use super::look::find;
use crate::config;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::run::Project;

/// What opens a browser has failed by then, or has not.
const FAILS_WITHIN: Duration = Duration::from_millis(1500);

pub(crate) async fn open(name: Option<&str>, client: &ControlClient, output: &Output) -> Outcome {
    let url = url(name, client, output).await?;
    let opened = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || open::that_detached_with_timeout(url, FAILS_WITHIN)).await
    };
    let failed = match opened {
        Ok(Ok(())) => None,
        // What is said beyond that is of the program that opens it, and in its words.
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Some("there is no program that opens one".to_owned()),
        Ok(Err(_)) => Some("the program that opens one failed".to_owned()),
        Err(_) => Some("it was given up".to_owned()),
    };
    // Also where it failed: whoever sits at another machine can open it there.
    match output.json {
        true => output.json(&json!({ "url": url, "opened": failed.is_none() })),
        false => output.line(&url),
    }
    let Some(why) = failed else { return Ok(ExitCode::SUCCESS) };
    let failure = Failure::failed("OPEN_FAILED", format!("no browser could be opened: {why}"));
    Err(Failure { hint: Some(format!("open {url} yourself")), ..failure })
}

/// The URL of the route that is named; else of the project's that is here, if it has one; else of the router's own page.
async fn url(name: Option<&str>, client: &ControlClient, output: &Output) -> Result<String, Failure> {
    if let Some(name) = name {
        return Ok(find(name, client).await?.public_url);
    }
    let project = Project::described(&std::env::current_dir()?)?.name;
    if let Some(route) = client.find_route(&project).await? {
        return Ok(route.public_url);
    }
    let router = client.status().await?;
    match router.url {
        Some(url) if router.strategy == config::strategy(RoutingStrategy::ReverseProxy) => {
            output
                .say(&format!("no route is called {project}, as the project here is; this is the page of all routes"));
            Ok(url)
        }
        // Under port mapping there is none.
        _ => Err(Failure {
            hint: Some("mastra-router list".to_owned()),
            exit: Exit::NotFound,
            ..Failure::failed("NAME_MISSING", format!("which route? None is called {project}, as the project here is"))
        }),
    }
}
