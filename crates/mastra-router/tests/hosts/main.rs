//! The hosts file: against real files, processes, mounts and full disks.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod desk;
mod ended;
mod file;
mod follower;
mod generated;
mod killed;
mod mounts;
mod processes;
mod router;
