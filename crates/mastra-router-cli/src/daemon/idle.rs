//! A router that a command started ends when nobody has had a use for it for a while.

use mastra_router::{LocalEdgeRouter, RouterControl};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::cli::IdleExit;

/// Ends once there was no route and no client of the control socket for the time that is set. Nothing is looked at in the
/// meantime: what happens says so.
pub(crate) async fn over(
    router: &LocalEdgeRouter,
    mut clients: watch::Receiver<usize>,
    mut setting: watch::Receiver<IdleExit>,
) {
    let mut events = router.subscribe();
    loop {
        let setting_now = *setting.borrow_and_update();
        let is_idle = *clients.borrow_and_update() == 0 && router.get_all_routes().is_empty();
        let time = async {
            match setting_now {
                IdleExit::After(time) if is_idle => tokio::time::sleep(time).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => return,
            // Both senders live as long as the router.
            Ok(()) = clients.changed() => {}
            Ok(()) = setting.changed() => {}
            event = events.recv() => if let Err(RecvError::Closed) = event { return },
        }
    }
}
