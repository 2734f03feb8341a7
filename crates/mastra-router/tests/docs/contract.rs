//! One contract, checked in Rust and in TypeScript: neither suite has a check that the other has not.

use crate::{read, root};

/// What there is in TypeScript only: its dates and its `undefined`, and listeners and iterators, which are channels here.
const TYPESCRIPT_ONLY: &[&str] = &[
    "a_listener_that_is_taken_off_is_told_nothing_more",
    "an_iterator_of_events_ends_when_the_router_is_closed",
    "dates_are_date_objects",
    "what_is_absent_is_undefined",
];

/// A check's name, in snake case, and whether it is only of routers with a proxy.
type Check = (String, bool);

#[test]
fn both_suites_have_the_same_checks() {
    let (rust, typescript) = (in_rust(), in_typescript());
    assert!(rust.len() >= 25, "{rust:?}");
    for (name, _) in &rust {
        assert!(!TYPESCRIPT_ONLY.contains(&name.as_str()), "{name} is an exception, and there is a check");
    }
    for name in TYPESCRIPT_ONLY {
        assert!(typescript.iter().any(|check| check.0 == *name), "{name} is an exception, and there is no check");
    }
    let shared: Vec<Check> =
        typescript.into_iter().filter(|(name, _)| !TYPESCRIPT_ONLY.contains(&name.as_str())).collect();
    assert_eq!(rust, shared);
}

/// What `contract!` is given.
fn in_rust() -> Vec<Check> {
    let main = read("crates/mastra-router/tests/contract/main.rs");
    let (_, listed) = main.split_once("\ncontract! {").unwrap();
    let (all, proxied) = listed.split_once("proxied {").unwrap();
    let names = |text: &str, proxied| -> Vec<Check> {
        text.split_whitespace().filter(|word| word.contains('_')).map(|name| (name.to_owned(), proxied)).collect()
    };
    sorted([names(all, false), names(proxied, true)].concat())
}

/// The `name` of every check, with its `kinds` where it has some.
fn in_typescript() -> Vec<Check> {
    let dir = root().join("crates/mastra-router-node/test/contract");
    let mut checks = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for check in text.split("    name: '").skip(1) {
            let (name, rest) = check.split_once('\'').unwrap();
            let (head, _) = rest.split_once("async check(").unwrap();
            checks.push((snake_case(name), head.contains("kinds: PROXIED")));
        }
    }
    sorted(checks)
}

fn snake_case(name: &str) -> String {
    name.to_lowercase().split(' ').collect::<Vec<_>>().join("_")
}

fn sorted(mut checks: Vec<Check>) -> Vec<Check> {
    checks.sort();
    checks
}
