//! How much an app that is woken by requests is used, as the router tells it: also one that was started anew.

use std::time::{Duration, Instant, SystemTime};

use mastra_router::{Activities, RouteActivity, RouterControl};

use crate::run::Told;

/// Pause after an attempt to follow that failed, while there is no router or it does not have the route yet.
const AGAIN: Duration = Duration::from_millis(250);

/// The use of one app.
pub(crate) struct Usage {
    told: Told,
    stream: Option<Activities>,
    /// When the router was started that told last.
    router_since: String,
    now: Option<RouteActivity>,
    /// How many had asked in vain when that was heeded last.
    heeded: u64,
    /// Since when nothing is open: as the router says it, and when that was heard here.
    idle: Option<(SystemTime, Instant)>,
}

impl Usage {
    pub(crate) fn new(told: Told) -> Self {
        Self { told, stream: None, router_since: String::new(), now: None, heeded: 0, idle: None }
    }

    /// Returns when it is another than before, once more after each connection. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            if self.stream.is_none() {
                self.follow().await;
            }
            let Some(stream) = &mut self.stream else { continue };
            match stream.next().await {
                Some(now) => return self.set(now),
                None => self.forget(),
            }
        }
    }

    /// How it is at this moment, and not when that was told last.
    pub(crate) async fn look(&mut self) {
        self.forget();
        self.changed().await;
    }

    /// Whether anybody has asked in vain since that was heeded last.
    pub(crate) fn is_asked(&self) -> bool {
        self.now.is_some_and(|now| now.asked > self.heeded)
    }

    /// All that was asked is answered, or will be.
    pub(crate) fn heed(&mut self) {
        self.heeded = self.now.map_or(self.heeded, |now| now.asked);
    }

    /// Since when nothing is open; `None` while something is, or nobody says.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.idle.filter(|_| self.now.is_some()).map(|(_, heard)| heard)
    }

    /// Whether more is open than waits in the router.
    pub(crate) fn is_served(&self) -> bool {
        self.now.is_some_and(|now| now.open > now.waiting)
    }

    /// What is not told any more is not so any more.
    fn forget(&mut self) {
        (self.stream, self.now) = (None, None);
    }

    fn set(&mut self, now: RouteActivity) {
        // Counting begins anew with a route, too.
        if now.asked < self.heeded {
            self.heeded = 0;
        }
        self.idle = match (now.idle_since, self.idle) {
            (Some(since), Some((same, heard))) if since == same => Some((same, heard)),
            (Some(since), _) => Some((since, Instant::now())),
            (None, _) => None,
        };
        self.now = Some(now);
    }

    async fn follow(&mut self) {
        let id = self.told.standing.borrow_and_update().route_id.clone();
        let followed = async {
            let stream = self.told.client.follow_activity(&id).await?;
            // Asked after it, so that no new router is taken for the old one.
            Ok::<_, mastra_router::RouterError>((stream, self.told.client.status().await?.started_at))
        };
        if let Ok((stream, since)) = followed.await {
            if since != self.router_since {
                (self.router_since, self.heeded) = (since, 0);
            }
            self.stream = Some(stream);
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            Ok(()) = self.told.standing.changed() => {}
        }
    }
}
