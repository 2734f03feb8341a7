//! Saved state: routes and leases in a journal that a follower of the table writes, and the settings a router was asked for.

mod journal;
mod look;
mod record;
mod rewriting;
mod saver;
mod settings;
mod store;

pub use look::SavedState;
pub(crate) use saver::{Saver, UndoRoutes};
pub use settings::SavedSettings;
pub(crate) use store::{Opened, Snapshot, Store};
