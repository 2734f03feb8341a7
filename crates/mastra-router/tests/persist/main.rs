//! Saved state: what a router was told is there after a restart, whatever became of the router and of its file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod configured;
mod damage;
mod desk;
mod leased;
mod leases;
mod refused;
mod restart;
mod settings;
#[path = "../parts/span.rs"]
mod span;
