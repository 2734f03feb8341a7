//! `open`: a route, or the router's own page, in the browser.

use std::process::ExitCode;
use std::time::Duration;

use mastra_router::control::ControlClient;
use serde_json::json;

use super::Outcome;
use super::look::find;
use crate::failure::Failure;
use crate::output::Output;

/// What opens a browser has failed by then, or has not.
const FAILS_WITHIN: Duration = Duration::from_millis(1500);

pub(crate) async fn open(name: Option<&str>, client: &ControlClient, output: &Output) -> Outcome {
    let url = match name {
        Some(name) => Some(find(name, client).await?.public_url),
        None => client.status().await?.url,
    };
    // Under port mapping there is no page of the router's own.
    let url = url.ok_or_else(|| Failure::usage("NAME_MISSING", "which route?", Some("mastra-router list".into())))?;
    let opened = {
        let url = url.clone();
        tokio::task::spawn_blocking(move || open::that_detached_with_timeout(url, FAILS_WITHIN)).await
    };
    match opened {
        Ok(Ok(())) if output.json => output.json(&json!({ "url": url })),
        Ok(Ok(())) => output.line(&url),
        failed => {
            let why = match failed {
                Ok(Err(error)) => error.to_string(),
                _ => "it was given up".to_owned(),
            };
            let message = format!("no browser could be opened: {why}");
            let failure = Failure::failed("OPEN_FAILED", message);
            return Err(Failure { hint: Some(format!("open {url} yourself")), ..failure });
        }
    }
    Ok(ExitCode::SUCCESS)
}
