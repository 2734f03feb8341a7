//! The tables of `mastra-router.toml` that are of `run` and `up`, as they are written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// `[apps.<name>]`, each with its place.
pub(crate) type AppTables = BTreeMap<String, Spanned<AppTable>>;

/// `[run]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RunTable {
    pub(super) name: Option<Spanned<String>>,
    pub(super) branch: Option<Spanned<String>>,
}

/// One app.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppTable {
    pub(super) command: Spanned<CommandValue>,
    #[serde(default)]
    pub(super) dir: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) path_prefix: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) strip_prefix: Option<bool>,
    #[serde(default)]
    pub(super) port: Option<Spanned<u16>>,
    #[serde(default)]
    pub(super) health: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) env: BTreeMap<Spanned<String>, EnvValue>,
    #[serde(default)]
    pub(super) depends_on: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) wake: bool,
    #[serde(default)]
    pub(super) idle: Option<Spanned<String>>,
}

/// What is run.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "it takes a command, \"npm run dev\", or its words, [\"npm\", \"run\", \"dev\"]")]
pub(super) enum CommandValue {
    /// By a shell.
    Text(String),
    /// By itself.
    Words(Vec<String>),
}

/// The value of a variable.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a variable takes a text, a whole number, true or false")]
pub(super) enum EnvValue {
    Text(String),
    Number(i64),
    Bool(bool),
}

impl EnvValue {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }
}
