//! Settings of the environment: `MASTRA_ROUTER_` and the key, as `MASTRA_ROUTER_PROXY_POOL_SIZE`.

use serde::Deserialize;
use toml::{Table, Value};

use super::keys::KEYS;
use super::{ConfigFile, nearest};
use crate::failure::Failure;

/// Variables that had a name of their own before the settings had.
const OWN_NAMES: [(&str, &str); 2] =
    [("tls.cert_dir", "MASTRA_ROUTER_CERT_DIR"), ("hosts.path", "MASTRA_ROUTER_HOSTS_FILE")];

/// All of ours begin with it.
const PREFIX: &str = "MASTRA_ROUTER_";
/// Variables that are no settings of a router.
const OTHERS: [&str; 8] = ["BIN", "COMPLETE", "HOME", "IDLE_EXIT", "LOG", "NO_START", "RUN", "URL"];

/// The variables that are set and not empty, each as a file that says only this.
///
/// # Errors
/// `CONFIG_INVALID` that names the variable.
pub(super) fn settings() -> Result<Vec<(String, ConfigFile)>, Failure> {
    let mut found = Vec::new();
    for key in KEYS {
        let name = variable(key);
        let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) else { continue };
        let invalid = |message: &str| {
            let hint = Some(format!("unset {name}"));
            Failure::usage("CONFIG_INVALID", format!("${name}: {}", message.trim()), hint)
        };
        let text = value.to_str().ok_or_else(|| invalid("it is no text"))?;
        found.push((name.clone(), parse(key, text).map_err(|error| invalid(&error))?));
    }
    refuse_mistyped()?;
    Ok(found)
}

/// The first variable that is wrong: its name, and what is wrong.
pub(crate) fn check() -> Option<(String, Failure)> {
    let failure = settings().err()?;
    let name = failure.message.strip_prefix('$')?.split(':').next()?.to_owned();
    Some((name, failure))
}

/// A variable that is almost one of ours is none of ours, and was meant to be.
fn refuse_mistyped() -> Result<(), Failure> {
    for name in unknown_names() {
        if let Some(meant) = nearest(&name, KEYS.map(variable).iter().map(|known| &known[PREFIX.len()..])) {
            let message = format!("${PREFIX}{name}: there is no such setting");
            return Err(Failure::usage("CONFIG_INVALID", message, Some(format!("did you mean {PREFIX}{meant}?"))));
        }
    }
    Ok(())
}

/// What is said of variables that begin as ours do, and that nothing reads.
pub(super) fn unknown() -> Vec<String> {
    unknown_names().map(|name| format!("${PREFIX}{name} is no setting, and not heeded")).collect()
}

/// Without what all begin with.
fn unknown_names() -> impl Iterator<Item = String> {
    let names =
        std::env::vars_os().filter(|(_, value)| !value.is_empty()).filter_map(|(name, _)| name.into_string().ok());
    let ours = names.filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned));
    ours.filter(|name| {
        let full = format!("{PREFIX}{name}");
        !OTHERS.contains(&name.as_str()) && !name.starts_with("TEST_") && KEYS.iter().all(|key| variable(key) != full)
    })
}

/// The variable of a setting.
pub(crate) fn variable(key: &str) -> String {
    match OWN_NAMES.into_iter().find(|(of, _)| *of == key) {
        Some((_, name)) => name.to_owned(),
        None => format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase()),
    }
}

/// A value as TOML has it, 1 and 0 for true and false, or else the text that it is; several with commas between them.
fn parse(key: &str, text: &str) -> Result<ConfigFile, String> {
    let value = toml::de::ValueDeserializer::parse(text).ok().and_then(|de| Value::deserialize(de).ok());
    if let Some(file) = value.and_then(|value| file(key, value).ok()) {
        return Ok(file);
    }
    let bit = Some(text).filter(|text| matches!(*text, "0" | "1")).map(|text| Value::from(text == "1"));
    if let Some(file) = bit.and_then(|bit| file(key, bit).ok()) {
        return Ok(file);
    }
    let strings = |text: &str| text.split(',').map(|part| Value::from(part.trim())).collect::<Vec<_>>();
    let value = if text.contains(',') { Value::from(strings(text)) } else { Value::from(text) };
    file(key, value).map_err(|error| error.message().to_owned())
}

fn file(key: &str, value: Value) -> Result<ConfigFile, toml::de::Error> {
    let (table, key) = key.rsplit_once('.').map_or((None, key), |(table, key)| (Some(table), key));
    let inner = Table::from_iter([(key.to_owned(), value)]);
    ConfigFile::of_table(match table {
        Some(table) => Table::from_iter([(table.to_owned(), Value::from(inner))]),
        None => inner,
    })
}
