//! Ports for the servers of one machine, each given out once among all processes of a user.

mod blocked;
mod lease;
mod manager;
mod probe;

pub use lease::LeaseFile;
pub use manager::PortManager;
