//! The system's hosts file: a block of our own in it, and a follower that keeps it in step with the routes.

mod backups;
mod block;
mod change;
mod defaults;
mod disk;
mod ended;
mod follower;
mod manager;
mod metadata;
mod name;
mod owner;
mod scratch;

pub use change::{HostsChange, HostsEdit, HostsEntry, HostsSettings};
pub use follower::HostsFollower;
pub use manager::HostsManager;
pub use owner::{HostsOwner, HostsOwnerKind};
