//! The parts of the library against real sockets, files and processes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod health_check;
mod health_monitor;
mod ports;
mod ports_processes;
mod server;
mod span;
