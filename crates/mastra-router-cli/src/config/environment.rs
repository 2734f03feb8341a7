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

/// The variables that are set and not empty, as one file that says all of it.
///
/// # Errors
/// `CONFIG_INVALID` that names the variable.
pub(super) fn settings() -> Result<ConfigFile, Failure> {
    let mut all = Table::new();
    for key in KEYS {
        let name = variable(key);
        let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) else { continue };
        let invalid = |message: &str| {
            let hint = Some(format!("unset {name}"));
            Failure::usage("CONFIG_INVALID", format!("${name}: {}", message.trim()), hint)
        };
        let text = value.to_str().ok_or_else(|| invalid("it is no text"))?;
        put(&mut all, key, parse(key, text).map_err(|error| invalid(&error))?);
    }
    refuse_mistyped()?;
    ConfigFile::of_table(all).map_err(|error| Failure::usage("CONFIG_INVALID", error.message(), None))
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
        !OTHERS.contains(&name.as_str()) && !name.starts_with("TEST") && KEYS.iter().all(|key| variable(key) != full)
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
fn parse(key: &str, text: &str) -> Result<Value, String> {
    let fault_of = |value: &Value| {
        let mut table = Table::new();
        put(&mut table, key, value.clone());
        ConfigFile::of_table(table).err()
    };
    let toml = toml::de::ValueDeserializer::parse(text).ok().and_then(|de| Value::deserialize(de).ok());
    let bit = Some(text).filter(|text| matches!(*text, "0" | "1")).map(|text| Value::from(text == "1"));
    if let Some(value) = [toml, bit].into_iter().flatten().find(|value| fault_of(value).is_none()) {
        return Ok(value);
    }
    let value = match text.contains(',') {
        true => Value::from(text.split(',').map(|part| Value::from(part.trim())).collect::<Vec<_>>()),
        false => Value::from(text),
    };
    match fault_of(&value) {
        None => Ok(value),
        Some(error) => Err(error.message().to_owned()),
    }
}

/// Puts the value of a setting where a file has it.
fn put(all: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => _ = all.insert(key.to_owned(), value),
        Some((table, key)) => {
            let inner = all.entry(table).or_insert_with(|| Value::from(Table::new()));
            if let Value::Table(inner) = inner {
                inner.insert(key.to_owned(), value);
            }
        }
    }
}
