//! The one runtime that the routers of a process share.

use std::time::Duration;

use napi::bindgen_prelude::create_custom_tokio_runtime;

/// What is done here is control work: registrations, health checks. Requests are forwarded on the proxy's own threads.
const WORKERS: usize = 2;
/// Threads for work that blocks, which are there only while there is some.
const BLOCKING_MOST: usize = 16;
const BLOCKING_KEPT: Duration = Duration::from_secs(1);

#[napi_derive::module_init]
fn start() {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING_MOST)
        .thread_keep_alive(BLOCKING_KEPT)
        .thread_name("mastra-router")
        .enable_all();
    // Where it cannot be made, napi makes one with its own settings.
    if let Ok(runtime) = builder.build() {
        create_custom_tokio_runtime(runtime);
    }
}
