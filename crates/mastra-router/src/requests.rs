//! Following the requests that a proxy answers.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::event::{RequestInfo, RequestObserver};

/// Requests a follower may fall behind by before it loses the oldest.
const KEPT: usize = 1024;

/// What a follower of requests is told.
#[derive(Clone, Debug)]
pub enum RequestNews {
    /// A request was answered.
    Answered(Arc<RequestInfo>),
    /// So many were, and are not told, since the follower fell behind.
    Missed(u64),
}

/// The requests that a router answers from now on. While one of these lives, the proxy tells of its requests; to drop it is
/// all that ends that.
pub struct Requests(Pin<Box<dyn Stream<Item = RequestNews> + Send>>);

impl Requests {
    pub(crate) fn new(stream: impl Stream<Item = RequestNews> + Send + 'static) -> Self {
        // An end may be asked for again.
        Self(Box::pin(stream.fuse()))
    }

    /// The next one; `None` once the router has stopped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<RequestNews> {
        self.0.next().await
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").finish_non_exhaustive()
    }
}

/// Hands a router's requests to its followers. It waits for none of them.
pub(crate) struct RequestFeed {
    /// `None` once the router has stopped.
    sender: RwLock<Option<broadcast::Sender<Arc<RequestInfo>>>>,
    /// What the proxy looks at: to ask the channel would take its lock.
    followers: Arc<AtomicUsize>,
}

impl RequestFeed {
    pub(crate) fn new() -> Self {
        Self { sender: RwLock::new(Some(broadcast::Sender::new(KEPT))), followers: Arc::default() }
    }

    /// The requests from now on; `None` where there will be none any more.
    pub(crate) fn follow(&self) -> Option<Requests> {
        let sender = self.sender.read().unwrap_or_else(PoisonError::into_inner);
        let receiver = sender.as_ref()?.subscribe();
        let follower = Follower::counted(&self.followers);
        Some(Requests::new(stream::unfold((receiver, follower), |(mut receiver, follower)| async move {
            let news = match receiver.recv().await {
                Ok(request) => RequestNews::Answered(request),
                Err(RecvError::Lagged(missed)) => RequestNews::Missed(missed),
                Err(RecvError::Closed) => return None,
            };
            Some((news, (receiver, follower)))
        })))
    }

    /// How many follow the requests.
    pub(crate) fn followers(&self) -> usize {
        self.followers.load(Ordering::Relaxed)
    }

    /// Ends what followers are told, once they have been told the rest.
    pub(crate) fn close(&self) {
        self.sender.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl RequestObserver for RequestFeed {
    fn is_watching(&self) -> bool {
        self.followers() > 0
    }

    fn answered(&self, request: RequestInfo) {
        if let Some(sender) = &*self.sender.read().unwrap_or_else(PoisonError::into_inner) {
            // Whoever listened may have left meanwhile.
            let _ = sender.send(Arc::new(request));
        }
    }
}

/// Counts for as long as it lives.
struct Follower(Arc<AtomicUsize>);

impl Follower {
    fn counted(followers: &Arc<AtomicUsize>) -> Self {
        followers.fetch_add(1, Ordering::Relaxed);
        Self(followers.clone())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
