//! Whether targets answer: one check, and the checks of all routes over time.

mod answer;
mod checker;
mod dial;
mod monitor;
mod periodic;
mod record;
mod redirect;
mod schedule;

pub use checker::HealthChecker;
pub use monitor::{HealthMonitor, HealthSettings};
pub use record::{CheckKind, CheckOutcome, HealthRecord};
