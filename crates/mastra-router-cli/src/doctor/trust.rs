//! Which stores trust the authority, where anything is served over TLS or an authority is there to be trusted.

use std::thread;

use mastra_router::trust::{CaCertificate, StoreKind, StoreReport, StoreState, TrustStores};

use super::{Finding, Scene};

const CHECK: &str = "trust";

pub(super) fn check(scene: &Scene) -> Vec<Finding> {
    let path = scene.cert_dir.join("ca.pem");
    let Ok(ca) = CaCertificate::read(&path) else {
        // A certificate of the user's own has an authority of its own, and one that is damaged is told elsewhere.
        return Vec::new();
    };
    let recorded = TrustStores::recorded_kinds(&scene.cert_dir).unwrap_or_default();
    let kinds = StoreKind::ALL.into_iter().filter(|kind| *kind != StoreKind::Java || recorded.contains(kind));
    // Each kind at one time with the others: a tool may take its time.
    let each: Vec<_> = kinds
        .map(|kind| {
            let (scene, ca) = (scene.clone(), ca.clone());
            thread::spawn(move || TrustStores::find(&scene.machine, &scene.cert_dir, &[kind]).status(&ca))
        })
        .collect();
    let mut found = Vec::new();
    for thread in each {
        match thread.join() {
            Ok(Ok(reports)) => found.extend(reports.iter().map(|report| finding(scene, report))),
            Ok(Err(error)) => {
                let fix = scene.command("tls status");
                found.push(Finding::fail(CHECK, error.code(), error.to_string(), fix));
            }
            Err(_) => {}
        }
    }
    found
}

fn finding(scene: &Scene, report: &StoreReport) -> Finding {
    let store = &report.store;
    let trust = || format!("mastra-router tls trust --only {}{}", report.kind, of_dir(scene));
    match &report.state {
        StoreState::Trusted => Finding::ok(CHECK, format!("{store} trusts the authority")),
        StoreState::NotTrusted => {
            Finding::warn(CHECK, "NOT_TRUSTED", format!("{store} does not trust the authority"), trust())
        }
        StoreState::Stale(_) => {
            let message = format!("{store} trusts another authority of this name, and not this one");
            Finding::warn(CHECK, "NOT_TRUSTED", message, trust())
        }
        StoreState::Unavailable { reason, remedy } => {
            let fix = remedy
                .as_ref()
                .map_or_else(|| format!("mastra-router tls status{}", of_dir(scene)), ToString::to_string);
            Finding::warn(CHECK, "STORE_UNAVAILABLE", format!("{store} cannot be looked at: {reason}"), fix)
        }
    }
}

/// The flag that names another directory than every command finds.
pub(super) fn of_dir(scene: &Scene) -> String {
    match scene.cert_dir == mastra_router::default_cert_dir() {
        true => String::new(),
        false => format!(" --cert-dir {}", super::quoted(&scene.cert_dir)),
    }
}
