//! The command as people and scripts use it: real processes, each with a home of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod app;
mod commands;
mod completions;
mod config;
mod config_places;
mod config_show;
mod daemon;
mod demo;
mod doctor;
mod ending;
mod home;
mod hosts;
mod kills;
mod load;
mod man;
mod open;
mod refused;
mod restart;
mod router;
mod run;
mod run_names;
mod run_places;
mod run_signals;
mod saved;
mod service;
mod terminal;
mod trust;
mod uninstall;
mod up;
mod up_ends;
mod up_logs;
mod up_projects;
mod up_terminal;
mod up_wake;
