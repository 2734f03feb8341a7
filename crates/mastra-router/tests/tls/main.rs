//! Certificates against real files, processes, handshakes, and the clients people use.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod authority;
mod cache;
mod certificate;
mod clients;
mod files;
mod fixed;
mod foreign;
mod handshakes;
mod issued;
mod own;
mod place;
mod processes;
mod program;
mod replaced;
mod server;
mod wild;
