//! The layers of ARCHITECTURE.md: who may use whom.

use std::collections::BTreeSet;
use std::path::Path;

const WORDS: &[&str] = &[
    "name",
    "target",
    "route",
    "config",
    "certificates",
    "constraints",
    "error",
    "event",
    "lease",
    "life",
    "report",
    "terminal",
];
const STATE: &[&str] = &["table", "registry", "ports", "holder", "directory", "process", "transport", "user"];
const PARTS: &[&str] = &["proxy", "health", "tls", "hosts", "persist"];
const TOOLS: &[&str] = &["trust"];
const WIRING: &[&str] = &["provider", "requests", "activity", "url", "local"];
const FACE: &[&str] = &["control", "home"];

/// What a module may use besides the words and itself.
fn allowed(module: &str) -> Vec<&'static str> {
    match module {
        _ if WORDS.contains(&module) => Vec::new(),
        _ if STATE.contains(&module) => STATE.to_vec(),
        _ if PARTS.contains(&module) => vec!["table", "holder", "directory", "process", "transport", "user"],
        _ if TOOLS.contains(&module) => Vec::new(),
        _ if WIRING.contains(&module) => [STATE, PARTS, WIRING].concat(),
        _ if FACE.contains(&module) => [&["provider", "requests", "activity", "user"], FACE].concat(),
        _ => panic!("{module} is in no layer: give it one, here and in ARCHITECTURE.md"),
    }
}

#[test]
fn modules_use_what_stands_above_them() {
    for (module, file, code) in sources() {
        let allowed = allowed(&module);
        for used in uses(&code) {
            let known = used == module || WORDS.contains(&used.as_str()) || allowed.contains(&used.as_str());
            assert!(known, "{file} uses crate::{used}, which {module} may not");
        }
    }
}

#[test]
fn only_local_names_all_parts() {
    let mut of_local = BTreeSet::new();
    for (module, file, code) in sources() {
        let parts: BTreeSet<String> =
            uses(&code).into_iter().filter(|used| PARTS.contains(&used.as_str()) && *used != module).collect();
        if module == "local" {
            of_local.extend(parts);
        } else {
            assert!(parts.len() < PARTS.len(), "{file} names all parts");
            assert!(!uses(&code).contains("registry"), "{file} names the registry");
        }
    }
    assert_eq!(of_local.len(), PARTS.len(), "local/ names all parts");
}

#[test]
fn words_do_no_io() {
    for (module, file, code) in sources().into_iter().filter(|(module, ..)| WORDS.contains(&module.as_str())) {
        for io in ["std::fs", "tokio", "socket2", "rustix", "TcpStream", "std::env", "std::process"] {
            assert!(!code.contains(io), "{file} of the words ({module}) has {io}");
        }
    }
}

#[test]
fn core_types_are_not_serialised() {
    for (_, file, code) in sources().into_iter().filter(|(module, ..)| module != "control" && module != "persist") {
        assert!(!code.contains("serde"), "{file} has serde, which is for control/ and persist/");
    }
}

#[test]
fn the_document_names_every_file() {
    let document = crate::read("ARCHITECTURE.md");
    for (module, file, _) in sources() {
        let named = document.contains(&format!("`{module}.rs`")) || document.contains(&format!("`{module}/`"));
        assert!(named, "ARCHITECTURE.md does not name {file}");
    }
}

/// Every source file but `lib.rs`: its module, its path, and its code without comments and tests.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut left = vec![root.clone()];
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let file = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                left.push(path);
            } else if file.ends_with(".rs") && file != "lib.rs" {
                let module = file.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
                let code = std::fs::read_to_string(&path).unwrap();
                let code = code.split("#[cfg(test)]\nmod ").next().unwrap();
                let code: Vec<&str> = code.lines().filter(|l| !l.trim_start().starts_with("//")).collect();
                found.push((module, file, code.join("\n")));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// The modules a file names.
fn uses(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    code.split("crate::").skip(1).map(name).collect()
}
