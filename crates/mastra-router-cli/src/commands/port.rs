//! `port`.

use std::process::ExitCode;

use mastra_router::RouterControl;
use mastra_router::control::ControlClient;
use serde_json::json;

use super::Outcome;
use crate::cli::Port;
use crate::output::Output;

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
