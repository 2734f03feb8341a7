//! `tls trust`, `untrust`, `status`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use mastra_router::trust::{
    CaCertificate, CommandLine, Fingerprint, Mode, Outcome as Became, StoreKind, StoreOutcome, StoreReport, StoreState,
    TrustStores,
};
use serde_json::{Value, json};

use super::Outcome;
use super::authority::{self, Place, unhinted};
use crate::cli::{Kind, Stores, Tls, Trust, TrustStatus, Untrust};
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(crate) fn run(command: Tls, output: &Output) -> Outcome {
    match command {
        Tls::Trust(args) => trust(&args, output),
        Tls::Untrust(args) => untrust(&args, output),
        Tls::Status(args) => status(&args, output),
        Tls::Issue(args) => authority::issue(&args, output),
        Tls::Renew(args) => authority::renew(&args, output),
    }
}

fn trust(args: &Trust, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    let ca = authority::find_or_make(&place, &args.base_domain)?;
    let stores = place.stores(&kinds(&args.stores, &[]));
    if stores.is_empty() {
        let message = "no store of the chosen kinds was found on this machine";
        return Err(Failure { exit: Exit::NotFound, ..Failure::failed("NO_STORE", message) });
    }
    let mut outcomes = stores.trust(&ca, Mode::DryRun).map_err(unhinted)?;
    let is_to_change = outcomes.iter().any(|o| o.outcome == Became::WouldChange);
    if !args.dry_run && is_to_change {
        let permitted = ca.permitted.join(", ");
        output.say(&format!("{} ({})", ca.subject, ca.fingerprint));
        output.say(&format!("Browsers and programs of this machine will accept what it signs for {permitted}."));
        if outcomes.iter().any(|o| o.kind == StoreKind::Java && o.outcome == Became::WouldChange) {
            output.say("Java heeds no limits of an authority: it will accept what this one signs for any name.");
        }
        if !args.yes && output.confirm("Trust it?") == Some(false) {
            return Err(Failure::failed("DECLINED", "nothing was changed"));
        }
        outcomes = stores.trust(&ca, Mode::Apply).map_err(unhinted)?;
    }
    finish("trust", &place, Some(&ca), &outcomes, output)
}

fn untrust(args: &Untrust, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    // It may have been deleted since; what was recorded and what was named are enough.
    let ca = match authority::find(&place) {
        Ok(ca) => Some(ca),
        Err(failure) if failure.code == "AUTHORITY_MISSING" => None,
        Err(failure) => return Err(failure),
    };
    let recorded = recorded(&place.cert_dir)?;
    let mode = if args.dry_run { Mode::DryRun } else { Mode::Apply };
    let stores = place.stores(&kinds(&args.stores, &recorded));
    let outcomes = stores.untrust(ca.as_ref(), &args.fingerprint, mode).map_err(unhinted)?;
    finish("untrust", &place, ca.as_ref(), &outcomes, output)
}

fn status(args: &TrustStatus, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    let ca = authority::find(&place)?;
    let recorded = recorded(&place.cert_dir)?;
    let reports = place.stores(&kinds(&args.stores, &recorded)).status(&ca).map_err(unhinted)?;
    if output.json {
        let stores: Vec<Value> = reports.iter().map(report_json).collect();
        let issued: Vec<Value> = authority::issued(&place)
            .iter()
            .map(|c| json!({ "name": c.name, "path": c.path, "notAfter": seconds(c.not_after) }))
            .collect();
        output.json(&json!({ "authority": authority_json(&ca), "stores": stores, "certificates": issued }));
        return Ok(ExitCode::SUCCESS);
    }
    let permitted = if ca.permitted.is_empty() { "every name".to_owned() } else { ca.permitted.join(", ") };
    let rows = [
        ("authority", ca.path.display().to_string()),
        ("subject", ca.subject.clone()),
        ("fingerprint", ca.fingerprint.to_string()),
        ("valid until", seconds(ca.not_after)),
        ("signs for", permitted),
    ];
    for (name, value) in rows {
        output.line(&format!("{name:11}  {value}"));
    }
    output.line("");
    let rows: Vec<[String; 2]> = reports.iter().map(|r| [r.store.clone(), state(&r.state)]).collect();
    output.table(["STORE", "STATE"], &rows);
    reports.iter().for_each(|r| commands(&r.store, &r.commands, output));
    let others: BTreeSet<&Fingerprint> = reports.iter().flat_map(|r| &r.others).collect();
    for other in others {
        output.line("");
        output.line(&format!("another authority, {other}:"));
        output.line(&format!("  mastra-router tls untrust --fingerprint {}", other.hex()));
    }
    let issued = authority::issued(&place);
    if !issued.is_empty() {
        output.line("");
        let rows: Vec<[String; 2]> = issued.iter().map(|c| [c.name.clone(), seconds(c.not_after)]).collect();
        output.table(["CERTIFICATE", "VALID UNTIL"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn recorded(cert_dir: &Path) -> Result<Vec<StoreKind>, Failure> {
    Ok(TrustStores::recorded_kinds(cert_dir).map_err(unhinted)?.into_iter().collect())
}

/// Java's stores only where they were asked for, or something was put there.
fn kinds(args: &Stores, recorded: &[StoreKind]) -> Vec<StoreKind> {
    let mut kinds: Vec<StoreKind> = args.only.iter().map(|kind| kind_of(*kind)).collect();
    if kinds.is_empty() {
        kinds = vec![StoreKind::System, StoreKind::Nss];
        kinds.extend(recorded);
    }
    if args.java {
        kinds.push(StoreKind::Java);
    }
    kinds
}

fn kind_of(kind: Kind) -> StoreKind {
    match kind {
        Kind::System => StoreKind::System,
        Kind::Nss => StoreKind::Nss,
        Kind::Java => StoreKind::Java,
    }
}

/// Shows what became of each store; the exit code says whether anything is left to do.
fn finish(
    action: &str,
    place: &Place,
    ca: Option<&CaCertificate>,
    outcomes: &[StoreOutcome],
    output: &Output,
) -> Outcome {
    if output.json {
        let stores: Vec<Value> = outcomes.iter().map(outcome_json).collect();
        output.json(&json!({ "authority": ca.map(authority_json), "stores": stores }));
    } else if !outcomes.is_empty() {
        let rows: Vec<[String; 2]> = outcomes.iter().map(|o| [o.store.clone(), became(&o.outcome, action)]).collect();
        output.table(["STORE", "OUTCOME"], &rows);
        outcomes.iter().for_each(|o| commands(&o.store, &o.commands, output));
    } else {
        output.say("no store was found on this machine");
    }
    // A database of a form that no browser reads any more is nothing that could be done.
    let is_failed = |o: &&StoreOutcome| match &o.outcome {
        Became::Failed { .. } => true,
        Became::Unavailable { remedy, .. } => remedy.is_some(),
        _ => false,
    };
    let failed = outcomes.iter().filter(is_failed).count();
    let denied = outcomes.iter().filter(|o| o.outcome == Became::NeedsPrivilege).count();
    let hint = (denied > 0).then(|| place.again_by_sudo(action, outcomes).to_string());
    let of = outcomes.len();
    match (failed, denied) {
        (0, 0) => Ok(ExitCode::SUCCESS),
        (0, _) => Err(Failure {
            code: "NEEDS_PRIVILEGE".to_owned(),
            message: format!("{denied} of {of} stores can be changed by root only"),
            hint,
            exit: Exit::Privilege,
        }),
        _ => {
            let message = format!("{} of {of} stores were not changed", failed + denied);
            Err(Failure { hint, ..Failure::failed("STORE_FAILED", message) })
        }
    }
}

fn commands(store: &str, commands: &[CommandLine], output: &Output) {
    if !commands.is_empty() {
        output.line("");
        output.line(&format!("{store}:"));
        commands.iter().for_each(|command| output.line(&format!("  {command}")));
    }
}

fn state(state: &StoreState) -> String {
    match state {
        StoreState::Trusted => "● trusted".to_owned(),
        StoreState::NotTrusted => "○ not trusted".to_owned(),
        StoreState::Stale(_) => "○ not trusted; it trusts another one of this name".to_owned(),
        StoreState::Unavailable { reason, .. } => format!("✗ unavailable: {reason}"),
    }
}

fn became(outcome: &Became, action: &str) -> String {
    match outcome {
        Became::Trusted => "● trusted".to_owned(),
        Became::AlreadyTrusted => "● trusted already".to_owned(),
        Became::Removed(_) => "● removed".to_owned(),
        Became::NothingToRemove => "● was not there".to_owned(),
        Became::WouldChange => format!("○ would {action}"),
        Became::NeedsPrivilege => "✗ needs privilege".to_owned(),
        Became::Unavailable { reason, .. } => format!("✗ unavailable: {reason}"),
        Became::Failed { reason } => format!("✗ failed: {reason}"),
    }
}

/// A moment as RFC 3339 has it.
pub(crate) fn seconds(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn authority_json(ca: &CaCertificate) -> Value {
    json!({
        "path": ca.path.to_string_lossy(),
        "subject": ca.subject,
        "fingerprint": ca.fingerprint.to_string(),
        "notBefore": seconds(ca.not_before),
        "notAfter": seconds(ca.not_after),
        "permitted": ca.permitted,
    })
}

fn report_json(report: &StoreReport) -> Value {
    let (state, reason) = match &report.state {
        StoreState::Trusted => ("trusted", None),
        StoreState::NotTrusted => ("not-trusted", None),
        StoreState::Stale(_) => ("stale", None),
        StoreState::Unavailable { reason, .. } => ("unavailable", Some(reason)),
    };
    json!({
        "store": report.store, "kind": report.kind.as_str(), "state": state, "reason": reason,
        "others": report.others.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "commands": report.commands.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn outcome_json(outcome: &StoreOutcome) -> Value {
    let (became, reason) = match &outcome.outcome {
        Became::Trusted => ("trusted", None),
        Became::AlreadyTrusted => ("already-trusted", None),
        Became::Removed(_) => ("removed", None),
        Became::NothingToRemove => ("not-there", None),
        Became::WouldChange => ("would-change", None),
        Became::NeedsPrivilege => ("needs-privilege", None),
        Became::Unavailable { reason, .. } => ("unavailable", Some(reason)),
        Became::Failed { reason } => ("failed", Some(reason)),
    };
    let removed = match &outcome.outcome {
        Became::Removed(gone) => gone.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    };
    json!({
        "store": outcome.store, "kind": outcome.kind.as_str(), "outcome": became, "reason": reason, "removed": removed,
        "commands": outcome.commands.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
