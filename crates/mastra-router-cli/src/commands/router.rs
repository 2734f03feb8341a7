//! `port`, `status`, `stop`.

use std::process::ExitCode;
use std::time::Duration;

use mastra_router::control::ControlClient;
use mastra_router::{Home, RouterControl, RouterError};
use serde_json::json;

use super::Outcome;
use crate::cli::Port;
use crate::failure::Failure;
use crate::output::Output;

/// The drain timeout and what the rest of an orderly end takes.
const STOP_MOST: Duration = Duration::from_secs(30);

pub(crate) async fn port(args: &Port, client: &ControlClient, output: &Output) -> Outcome {
    let mut ports = Vec::with_capacity(args.count.into());
    for _ in 0..args.count {
        match client.allocate_port().await {
            Ok(port) => ports.push(port),
            Err(error) => {
                for port in ports {
                    // What counts is why there are not enough.
                    let _ = client.release_port(port).await;
                }
                return Err(error.into());
            }
        }
    }
    if output.json {
        output.json(&json!({ "ports": ports }));
    } else {
        ports.iter().for_each(|port| output.line(&port.to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn status(client: &ControlClient, output: &Output) -> Outcome {
    let router = client.status().await?;
    if output.json {
        output.json(&router);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![
        ["router".to_owned(), format!("● running, version {}, pid {}", router.version, router.pid)],
        ["since".to_owned(), router.started_at],
        ["listening".to_owned(), router.listen.join(", ")],
        ["routes".to_owned(), format!("{} under {} ({})", router.routes, router.base_domain, router.strategy)],
        ["home".to_owned(), router.home],
        ["saved in".to_owned(), router.state_file.unwrap_or_else(|| "nothing is saved".to_owned())],
    ];
    rows.extend(router.warnings.into_iter().map(|warning| ["warning".to_owned(), warning]));
    for [name, value] in rows {
        output.line(&format!("{name:10}  {value}"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn stop(client: &ControlClient, home: &Home, output: &Output) -> Outcome {
    client.stop().await?;
    let gone = async {
        // The lock is given up last, by an orderly end and by any other.
        while let Err(RouterError::HomeInUse { .. }) = home.lock() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(STOP_MOST, gone).await {
        Ok(()) => {
            output.say("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Err(_) => Err(Failure::failed("STOP_TIMEOUT", "the router has not stopped within 30 seconds")),
    }
}
