//! The codec against tables, every split, every octet, and random messages.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod body;
mod octets;
mod reading;
mod relay;
mod request;
mod response;
mod round_trip;
mod splits;
