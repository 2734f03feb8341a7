//! What a command is told through its environment.

use std::ffi::OsString;
use std::path::Path;

/// Where servers are asked to listen: what other machines cannot reach.
const HOST: &str = "127.0.0.1";

/// The variables of a server, which go before those of the same name that are set already.
pub(crate) fn variables(port: u16, url: &str, ca: &Path) -> Vec<(&'static str, OsString)> {
    let host = url.split("://").nth(1).unwrap_or_default().split(['/', ':']).next().unwrap_or_default();
    let mut variables: Vec<(&str, OsString)> = vec![
        ("PORT", port.to_string().into()),
        ("HOST", HOST.into()),
        // Its default is every address.
        ("MASTRA_HOST", HOST.into()),
        // Without it, Studio calls localhost instead of the name it was opened under.
        ("MASTRA_AUTO_DETECT_URL", "true".into()),
        ("MASTRA_ROUTER_URL", url.into()),
        ("UVICORN_PORT", port.to_string().into()),
        // Vite answers 403 to hosts that it does not know. With a dot, those below are known too.
        ("__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS", format!(".{host}").into()),
    ];
    let is_set = std::env::var_os("NODE_EXTRA_CA_CERTS").is_some_and(|value| !value.is_empty());
    if !is_set && ca.is_file() {
        variables.push(("NODE_EXTRA_CA_CERTS", ca.into()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::MARKER;

    #[test]
    fn the_readme_names_every_variable() {
        let variables = variables(1, "https://shop.mastra.local:3000", Path::new("/"));
        for (name, value) in variables.into_iter().chain([(MARKER, OsString::new())]) {
            assert!(include_str!("../../../../README.md").contains(&format!("`{name}`")), "{name}");
            if name == "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS" {
                assert_eq!(value, ".shop.mastra.local");
            }
        }
    }
}
