//! Trust stores, on directories that stand for machines, with the real tools where this one has them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod authority;
mod bundle;
mod fake;
mod java;
mod nss;
mod other_systems;
mod system;
