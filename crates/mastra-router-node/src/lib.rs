//! The native half of `@mastra/router-local`: the library's objects as JavaScript sees them.
//!
//! Everything here only translates. Checking of arguments, dates, logging and the shape of the public classes are
//! TypeScript's (`ts/`); what a router does is the library's.
#![allow(
    unsafe_code,
    reason = "Node-API is a C interface; napi's macros generate the calls, nothing here is written so"
)]
#![allow(missing_docs, reason = "napi's macros generate public items without")]

mod config;
pub mod console;
mod error;
mod events;
mod health;
mod hosts;
mod live;
mod ports;
mod proxy;
mod route;
mod router;
mod runtime;
mod tls;
