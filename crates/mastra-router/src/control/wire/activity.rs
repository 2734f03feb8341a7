//! The JSON forms of what a supervisor says and is told.

use serde::{Deserialize, Serialize};

use super::{LeaseJson, into, parse_time, time};
use crate::life::RouteActivity;
use crate::report::CommandReport;

/// What is said of a command, as [`CommandReport`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportJson {
    #[serde(default)]
    pub output: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseJson>,
}

/// How a route is used, as [`RouteActivity`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivityJson {
    pub waiting: u64,
    pub open: u64,
    pub asked: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<String>,
}

impl From<CommandReport> for ReportJson {
    fn from(CommandReport { output, ended, lease }: CommandReport) -> Self {
        Self { output, ended, lease: into(lease) }
    }
}

impl From<ReportJson> for CommandReport {
    fn from(ReportJson { output, ended, lease }: ReportJson) -> Self {
        Self { output, ended, lease: into(lease) }
    }
}

impl From<RouteActivity> for ActivityJson {
    fn from(RouteActivity { waiting, open, asked, idle_since }: RouteActivity) -> Self {
        Self { waiting, open, asked, idle_since: idle_since.map(time) }
    }
}

impl TryFrom<ActivityJson> for RouteActivity {
    type Error = String;

    fn try_from(ActivityJson { waiting, open, asked, idle_since }: ActivityJson) -> Result<Self, String> {
        Ok(Self { waiting, open, asked, idle_since: idle_since.as_deref().map(parse_time).transpose()? })
    }
}
