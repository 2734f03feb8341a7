//! Following how a route is used.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::watch;

use crate::life::RouteActivity;
use crate::table::RouteTable;

/// How a route is used, from now on. What comes between two looks is left out: the last one is what is.
pub struct Activities(Pin<Box<dyn Stream<Item = RouteActivity> + Send>>);

impl Activities {
    pub(crate) fn new(stream: impl Stream<Item = RouteActivity> + Send + 'static) -> Self {
        // An end may be asked for again.
        Self(Box::pin(stream.fuse()))
    }

    /// The use of the route with this id, until it is gone or wakes nothing any more. `None` where that is so already.
    pub(crate) fn of(id: &str, mut routes: watch::Receiver<Arc<RouteTable>>) -> Option<Self> {
        let id = id.to_owned();
        let activity_in = |table: &RouteTable, id: &str| table.get(id).and_then(|route| route.life.activity().cloned());
        activity_in(&routes.borrow_and_update(), &id)?;
        Some(Self::new(stream::unfold((routes, 0, None), move |(mut routes, mut seen, mut of)| {
            let id = id.clone();
            async move {
                loop {
                    let activity = activity_in(&routes.borrow_and_update(), &id)?;
                    // Of another process's route nothing was told yet.
                    if !of.as_ref().is_some_and(|of| Arc::ptr_eq(of, &activity)) {
                        (seen, of) = (0, Some(activity.clone()));
                    }
                    tokio::select! {
                        now = activity.changed(&mut seen) => return Some((now, (routes, seen, of))),
                        changed = routes.changed() => changed.ok()?,
                    }
                }
            }
        })))
    }

    /// How it is, once that is another than what was told last; the first time at once. `None` once the route is gone, or
    /// the router has stopped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<RouteActivity> {
        self.0.next().await
    }
}

impl fmt::Debug for Activities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activities").finish_non_exhaustive()
    }
}
