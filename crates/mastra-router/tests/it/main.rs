//! The router in this process, between clients and upstreams that tests write and read by hand.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; Clippy exempts test functions, not their helpers"
)]

mod cold;
mod edge;
mod hostile;
mod leases;
mod legitimate;
mod moving;
mod requests;
mod router;
mod routing;
mod streaming;
mod taking_over;
mod tls;
mod upstream;
mod upstreams;
mod waking;
mod websocket;
mod wire;
