//! The JSON schema of the file, for editors.

/// As it is printed and committed.
pub(crate) const SCHEMA: &str = include_str!("../../schema/mastra-router.schema.json");
/// Where editors find it.
pub(crate) const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/mastra-ai/mastra/main/crates/mastra-router-cli/schema/mastra-router.schema.json";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::ConfigFile;

    /// What `text` is refused with, as the parser says it.
    fn refused(text: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        ConfigFile::parse(&path, "").err().map(|failure| failure.message)
    }

    /// Every table: its heading in a file, and its schema.
    fn tables(schema: &Value) -> Vec<(String, &Value)> {
        let mut found = vec![(String::new(), schema)];
        for (key, value) in schema["properties"].as_object().unwrap() {
            if value["properties"].is_object() {
                found.push((format!("[{key}]\n"), value));
            } else if value["items"]["properties"].is_object() {
                found.push((format!("[[{key}]]\n"), &value["items"]));
            } else if value["additionalProperties"]["properties"].is_object() {
                found.push((format!("[{key}.x]\n"), &value["additionalProperties"]));
            }
        }
        found
    }

    /// A value that the schema allows, as TOML.
    fn example(of: &Value) -> Vec<String> {
        let toml = |value: &Value| match value {
            Value::Object(map) => {
                let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                format!("{{ {} }}", entries.join(", "))
            }
            value => value.to_string(),
        };
        let listed = ["examples", "enum"].iter().filter_map(|key| of[*key].as_array()).flatten();
        let mut values: Vec<String> = listed.chain(of.get("default")).map(toml).collect();
        if values.is_empty() {
            values.push(match of["type"].as_str() {
                Some("boolean") => "true".to_owned(),
                Some("integer") => of["minimum"].to_string(),
                _ => "\"x\"".to_owned(),
            });
        }
        values
    }

    #[test]
    fn it_has_the_keys_of_the_parser() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        assert_eq!(schema["$id"], SCHEMA_URL);
        let tables = tables(&schema);
        assert!(tables.len() >= 9, "{}", tables.len());
        for (heading, table) in tables {
            let said = refused(&format!("{heading}zzz = 1\n")).unwrap();
            let accepted: BTreeSet<&str> = said.split('`').skip(1).step_by(2).filter(|key| *key != "zzz").collect();
            let described: BTreeSet<&str> =
                table["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(accepted, described, "{heading}{said}");
            assert_eq!(table["additionalProperties"], Value::Bool(false), "{heading}");
        }
    }

    #[test]
    fn it_has_the_types_of_the_parser() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        for (heading, table) in tables(&schema) {
            let required: Vec<&str> =
                table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = table["properties"].as_object().unwrap();
            let others = |key: &str| -> String {
                let others = required.iter().filter(|other| **other != key);
                others.map(|other| format!("{other} = {}\n", example(&properties[*other])[0])).collect()
            };
            for (key, of) in properties.iter().filter(|(_, of)| !is_table(of)) {
                assert!(of["description"].is_string(), "{heading}{key}");
                for value in example(of) {
                    let text = format!("{heading}{}{key} = {value}\n", others(key));
                    assert_eq!(refused(&text), None, "{text}");
                }
                let text = format!("{heading}{}{key} = 1.5\n", others(key));
                assert!(refused(&text).is_some(), "{text}");
            }
            for key in &required {
                assert!(refused(&format!("{heading}{}", others(key))).is_some(), "{heading} without {key}");
            }
        }
    }

    fn is_table(of: &Value) -> bool {
        of["properties"].is_object()
            || of["items"]["properties"].is_object()
            || of["additionalProperties"]["properties"].is_object()
    }
}
