//! What this machine trusts: putting our authority into the stores of the system, of browsers and of Java, and taking
//! exactly that certificate out again.
//!
//! Every store is looked at, changed and reported by itself: one that fails never stops the others, and what was done is
//! looked up again before it is said. Everything runs the system's own tools, without a shell and with a time limit.

mod anchors;
mod browsers;
mod bundle;
mod certificate;
mod command;
mod java;
mod keychain;
mod machine;
mod nss;
mod record;
mod replace;
mod store;
mod stores;
mod unknown;
mod windows;

pub use bundle::{Export, Exports};
pub use certificate::{CaCertificate, Fingerprint};
pub use command::{CommandLine, CommandOutput};
pub use machine::{Machine, Platform, RunAs};
pub use store::{Mode, Outcome, StoreKind, StoreOutcome, StoreReport, StoreState};
pub use stores::TrustStores;
