//! `doctor`.

use std::process::ExitCode;

use mastra_router::Home;

use super::Outcome;
use crate::doctor::{self, Finding, Group, Status};
use crate::output::Output;

pub(crate) async fn run(home: &Home, home_given: bool, output: &Output) -> Outcome {
    let found = doctor::examine(home, home_given).await;
    let all = || found.iter().flat_map(|(_, findings)| findings);
    let count = |status| all().filter(|finding| finding.status == status).count();
    let (failed, warned) = (count(Status::Fail), count(Status::Warn));
    if output.json {
        output.json(&all().collect::<Vec<&Finding>>());
    } else {
        show(&found, output);
        output.say(&match (failed, warned) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, warned) => format!("Nothing is wrong; {}.", counted(warned, "warning")),
            (failed, 0) => format!("{}.", counted(failed, "problem")),
            (failed, warned) => format!("{}, {}.", counted(failed, "problem"), counted(warned, "warning")),
        });
    }
    Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A heading for each group, and below each finding that is none to live with the command that mends it.
fn show(found: &[(Group, Vec<Finding>)], output: &Output) {
    let shown = |finding: &&Finding| !output.quiet || finding.status != Status::Ok;
    let width = found.iter().flat_map(|(_, f)| f).filter(shown).map(|f| f.check.len()).max().unwrap_or_default();
    let mut last = None;
    for (group, findings) in found {
        for finding in findings.iter().filter(shown) {
            if last != Some(*group) {
                if last.is_some() {
                    output.line("");
                }
                output.line(group.0);
                last = Some(*group);
            }
            let Finding { check, status, message, fix, .. } = finding;
            output.dotted(&format!("  {}  {check:width$}  {message}", status.shown()));
            if let Some(fix) = fix {
                output.line(&format!("  {:6}  {:width$}  → {fix}", "", ""));
            }
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
