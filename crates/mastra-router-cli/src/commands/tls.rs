//! `tls trust`, `untrust`, `status`, `issue`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mastra_router::trust::{
    CaCertificate, CommandLine, Fingerprint, Machine, Mode, Outcome as Became, RunAs, StoreKind, StoreOutcome,
    StoreReport, StoreState, TrustStores,
};
use mastra_router::{InvokingUser, RouterError};
use serde_json::{Value, json};

use super::Outcome;
use crate::cli::{CertDir, Issue, Kind, Stores, Tls, Trust, TrustStatus, Untrust};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// The authority's certificate in its directory.
const CA_FILE: &str = "ca.pem";

pub(crate) fn run(command: Tls, output: &Output) -> Outcome {
    match command {
        Tls::Trust(args) => trust(&args, output),
        Tls::Untrust(args) => untrust(&args, output),
        Tls::Status(args) => status(&args, output),
        Tls::Issue(args) => issue(&args),
    }
}

/// This machine, and the directory of the authority on it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) machine: Machine,
    pub(super) cert_dir: PathBuf,
    /// Whether the directory is the one that every command finds by itself, under sudo too.
    is_default: bool,
}

impl Place {
    /// Of the invoking user, under sudo too.
    pub(super) fn of(args: &CertDir) -> Self {
        let user = InvokingUser::current();
        let variable = std::env::var_os("MASTRA_ROUTER_CERT_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let given = args.cert_dir.clone().or(variable);
        let is_default = given.is_none();
        let cert_dir = given.unwrap_or_else(|| user.home.join(".mastra/certs"));
        let cert_dir = std::path::absolute(&cert_dir).unwrap_or(cert_dir).components().collect();
        let machine = Machine::this(user.home, user.sudo.map(|(uid, gid)| RunAs { uid, gid }));
        Self { machine, cert_dir, is_default }
    }

    fn stores(&self, kinds: &[StoreKind]) -> TrustStores {
        TrustStores::find(&self.machine, &self.cert_dir, kinds)
    }

    /// The same command, by sudo and for what only root may change.
    fn by_sudo(&self, action: &str, outcomes: &[StoreOutcome]) -> CommandLine {
        let program = std::env::current_exe().unwrap_or_default().to_string_lossy().into_owned();
        // Where sudo looks too, the name is enough.
        let known = ["/usr/local/bin/", "/usr/bin/", "/bin/"].iter().any(|dir| program.starts_with(dir));
        let program = if known || program.is_empty() { "mastra-router".to_owned() } else { program };
        let needs = |kind: &StoreKind| outcomes.iter().any(|o| o.kind == *kind && o.outcome == Became::NeedsPrivilege);
        let kinds: Vec<&str> = StoreKind::ALL.iter().filter(|kind| needs(kind)).map(|kind| kind.as_str()).collect();
        let mut words = vec!["sudo".to_owned(), program, "tls".into(), action.into(), "--only".into(), kinds.join(",")];
        if !self.is_default {
            words.extend(["--cert-dir".to_owned(), self.cert_dir.to_string_lossy().into_owned()]);
        }
        CommandLine::new(words)
    }
}

/// The authority of a directory.
pub(super) fn authority(cert_dir: &Path) -> Result<CaCertificate, Failure> {
    CaCertificate::read(&cert_dir.join(CA_FILE)).map_err(|error| match error {
        RouterError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Failure {
            code: "AUTHORITY_MISSING".to_owned(),
            message: format!("there is no local authority in {}", cert_dir.display()),
            hint: Some("name the directory of one: --cert-dir DIR".to_owned()),
            exit: Exit::NotFound,
        },
        error => unhinted(error),
    })
}

/// The hint for files speaks of the router's home, which is not meant here.
pub(super) fn unhinted(error: RouterError) -> Failure {
    let is_file = matches!(error, RouterError::File { .. });
    let failure = Failure::from(error);
    if is_file {
        Failure { hint: Some("choose another directory: --cert-dir DIR".to_owned()), ..failure }
    } else {
        failure
    }
}

fn trust(args: &Trust, output: &Output) -> Outcome {
    let place = Place::of(&args.cert_dir);
    let ca = authority(&place.cert_dir)?;
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
    let ca = match authority(&place.cert_dir) {
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
    let ca = authority(&place.cert_dir)?;
    let recorded = recorded(&place.cert_dir)?;
    let reports = place.stores(&kinds(&args.stores, &recorded)).status(&ca).map_err(unhinted)?;
    if output.json {
        let stores: Vec<Value> = reports.iter().map(report_json).collect();
        output.json(&json!({ "authority": authority_json(&ca), "stores": stores }));
        return Ok(ExitCode::SUCCESS);
    }
    let permitted = if ca.permitted.is_empty() { "every name".to_owned() } else { ca.permitted.join(", ") };
    let rows = [
        ("authority", ca.path.display().to_string()),
        ("subject", ca.subject.clone()),
        ("fingerprint", ca.fingerprint.to_string()),
        ("valid until", humantime::format_rfc3339_seconds(ca.not_after).to_string()),
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
    Ok(ExitCode::SUCCESS)
}

/// Certificates are made by the TLS part; this is the place where it is asked for one.
fn issue(args: &Issue) -> Outcome {
    let ca = authority(&Place::of(&args.cert_dir).cert_dir)?;
    let out = args.out.as_deref().unwrap_or_else(|| ca.path.parent().unwrap_or(Path::new(".")));
    let message = format!("a certificate for {} in {} cannot be made yet", args.name, out.display());
    Err(Failure::failed("ISSUE_FAILED", message))
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
    let hint = (denied > 0).then(|| place.by_sudo(action, outcomes).to_string());
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

fn authority_json(ca: &CaCertificate) -> Value {
    json!({
        "path": ca.path.to_string_lossy(),
        "subject": ca.subject,
        "fingerprint": ca.fingerprint.to_string(),
        "notBefore": humantime::format_rfc3339_seconds(ca.not_before).to_string(),
        "notAfter": humantime::format_rfc3339_seconds(ca.not_after).to_string(),
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
