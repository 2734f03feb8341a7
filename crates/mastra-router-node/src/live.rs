//! Routers that are not closed, so that a program that ends without closing them leaves nothing behind.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mastra_router::LocalEdgeRouter;
use napi::Env;
use napi::bindgen_prelude::block_on;

/// How long the end of a program may wait for its lines to go from the hosts file.
const LEAVING_MOST: Duration = Duration::from_secs(2);

thread_local! {
    /// Those of this thread's JavaScript.
    static ROUTERS: RefCell<Vec<Weak<LocalEdgeRouter>>> = const { RefCell::new(Vec::new()) };
}

/// Has the router leave when this JavaScript environment ends, unless it was closed before.
pub(crate) fn add(env: &Env, router: &Arc<LocalEdgeRouter>) -> napi::Result<()> {
    ROUTERS.with_borrow_mut(|routers| {
        if routers.capacity() == 0 {
            // A worker that is terminated runs nothing of its own any more, but this.
            env.add_env_cleanup_hook((), |()| leave())?;
        }
        routers.retain(|router| router.strong_count() > 0);
        routers.push(Arc::downgrade(router));
        Ok(())
    })
}

/// Takes back what would outlive the process. For the end of a program, which does not wait for promises.
#[napi_derive::napi]
pub(crate) fn leave() {
    let routers: Vec<_> = ROUTERS.with_borrow_mut(|routers| routers.drain(..).filter_map(|r| r.upgrade()).collect());
    if routers.is_empty() {
        return;
    }
    block_on(async {
        let all = async {
            for router in &routers {
                router.leave().await;
            }
        };
        let _ = tokio::time::timeout(LEAVING_MOST, all).await;
    });
}
