//! `config show`: what a router would be that is started here and now.

use std::process::ExitCode;

use mastra_router::Home;
use serde_json::{Map, Value, json};

use super::Outcome;
use super::settings::{effective, may_serve};
use crate::cli::ConfigShow;
use crate::config;
use crate::output::Output;

pub(crate) fn show(args: &ConfigShow, home: &Home, output: &Output) -> Outcome {
    let configured = effective(&args.serve, args.serve.chosen(), home)?;
    configured.warnings.iter().for_each(|warning| output.say(warning));
    if let Err(refused) = may_serve(&configured) {
        output.say(&format!("no router starts with that: {}", refused.message));
    }
    let entries = config::entries(&configured);
    if output.json {
        let with_origins = entries.into_iter().map(|(key, value)| {
            let origin = configured.origin(key).to_string();
            (key.to_owned(), json!({ "value": value, "origin": origin }))
        });
        output.json(&with_origins.collect::<Map<_, _>>());
        return Ok(ExitCode::SUCCESS);
    }
    let rows = entries
        .iter()
        .map(|(key, value)| [(*key).to_owned(), in_words(key, value), configured.origin(key).to_string()]);
    if args.origin {
        output.table(["SETTING", "VALUE", "ORIGIN"], &rows.collect::<Vec<_>>());
    } else {
        output.table(["SETTING", "VALUE"], &rows.map(|[key, value, _]| [key, value]).collect::<Vec<_>>());
    }
    Ok(ExitCode::SUCCESS)
}

/// As it is written in a file, `-` where there is nothing.
fn in_words(key: &str, value: &Value) -> String {
    match value {
        Value::Null if key == "threads" => "one a core, four at most".to_owned(),
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(|item| in_words(key, item)).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
