//! The command as people and scripts use it: real processes, each with a home of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod app;
mod commands;
mod config;
mod demo;
mod ending;
mod home;
mod hosts;
mod refused;
mod router;
mod terminal;
