//! The door through which other processes use a router: JSON over a Unix socket that only its user can open.

mod client;
mod counted;
mod data_lines;
mod server;
#[expect(missing_docs, reason = "the fields are those of the core types they are named after")]
pub mod wire;

pub use client::ControlClient;
pub use server::{ControlServer, ServerInfo};
