//! Saved settings.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use mastra_router::{RoutingStrategy, SavedSettings};
use tempfile::TempDir;

use crate::desk::entries;

fn full() -> SavedSettings {
    SavedSettings {
        listen: vec!["127.0.0.1:0".parse().unwrap(), "[::1]:8080".parse().unwrap()],
        base_domain: Some("dev.test".into()),
        strategy: Some(RoutingStrategy::PortMapping),
        tls: Some(true),
    }
}

#[test]
fn they_come_back_as_they_were() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    assert_eq!(SavedSettings::load(&state).unwrap(), Default::default());
    assert!(!state.exists(), "looking touches nothing");
    for settings in [full(), SavedSettings::default(), SavedSettings { listen: Vec::new(), ..full() }] {
        settings.save(&state).unwrap();
        assert_eq!(SavedSettings::load(&state).unwrap(), (settings, None));
    }
    assert_eq!(entries(&state).len(), 1);
    assert_eq!(fs::metadata(state.join("settings.json")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_used_is_kept_and_named() {
    for (text, kind) in [
        ("", "corrupt"),
        ("{", "corrupt"),
        ("{}", "corrupt"),
        ("{\"version\":1,\"listen\":[\"0.0.0.0:80\"]}", "corrupt"),
        ("{\"version\":1,\"listen\":\"x\"}", "corrupt"),
        ("{\"version\":1,\"baseDomain\":\"a b\"}", "corrupt"),
        ("{\"version\":1,\"strategy\":\"other\"}", "corrupt"),
        ("{\"version\":1,\"more\":1}", "corrupt"),
        ("{\"version\":2,\"more\":1}", "newer"),
    ] {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("settings.json"), text).unwrap();
        let (settings, warning) = SavedSettings::load(dir.path()).unwrap();
        assert_eq!(settings, SavedSettings::default(), "{text}");
        let aside = entries(dir.path());
        assert_eq!(aside.len(), 1);
        let name = aside[0].display().to_string();
        assert!(name.contains(&format!("settings.json.{kind}-")), "{text}: {name}");
        assert!(warning.unwrap().contains(&name));
        assert_eq!(fs::read_to_string(&aside[0]).unwrap(), text);
    }
}

#[test]
fn links_are_not_followed() {
    let dir = TempDir::new().unwrap();
    let (state, elsewhere) = (dir.path().join("state"), dir.path().join("elsewhere"));
    full().save(&state).unwrap();
    fs::rename(state.join("settings.json"), &elsewhere).unwrap();
    symlink(&elsewhere, state.join("settings.json")).unwrap();
    assert_eq!(SavedSettings::load(&state).unwrap_err().code(), "FILE_ERROR");
    SavedSettings::default().save(&state).unwrap();
    assert_eq!(SavedSettings::load(&state).unwrap(), Default::default());
    assert!(
        fs::read_to_string(&elsewhere).unwrap().contains("dev.test"),
        "the link was replaced, not what it leads to"
    );
}
