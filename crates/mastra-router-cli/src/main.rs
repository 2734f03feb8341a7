//! The `mastra-router` command.
fn main() {}
