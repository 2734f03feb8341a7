//! The router over TLS, over HTTP/2, and in front of targets that speak either.

pub(crate) mod client;
mod frames;
mod h2c;
mod http2;
mod lifecycle;
mod listener;
mod memory;
mod requests;
mod streams;
mod targets;
mod websocket;
