//! The JSON schema of the file, for editors.

/// As it is printed and committed.
pub(crate) const SCHEMA: &str = include_str!("../../schema/mastra-router.schema.json");
/// Where editors find it.
pub(crate) const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/mastra-ai/mastra/main/crates/mastra-router-cli/schema/mastra-router.schema.json";
