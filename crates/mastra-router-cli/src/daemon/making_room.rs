//! The old router's part when a new one takes its place.

use std::time::Duration;

use mastra_router::LocalEdgeRouter;

use super::door::Successor;
use super::hand_over::Given;
use crate::cli::Serve;
use crate::commands::serve::{Process, Running, Seat, Signals};
use crate::failure::Failure;
use crate::output::Output;

/// What became of it.
pub(crate) enum Room {
    /// The new one serves, and what was open here has ended.
    Made,
    /// There is no new one; this one serves.
    Kept(Running),
    /// Neither is to serve.
    Stop(Running),
}

/// Hands everything over to `successor`. Where that fails, this process goes on, on the same sockets.
///
/// # Errors
/// Where it cannot go on either.
pub(crate) async fn make_room(
    running: Running,
    mut successor: Successor,
    signals: &mut Signals,
    args: &Serve,
    output: &Output,
) -> Result<Room, Failure> {
    let prepared = async {
        let (lock, listeners) = (running.control.lock_copy()?, running.router.listeners().await?);
        successor.prepare(Given { lock, listeners }).await?;
        // For ourselves, should we have to go on.
        running.router.listeners().await
    };
    let prepared = tokio::select! {
        prepared = prepared => prepared,
        _ = signals.next() => return Ok(Room::Stop(running)),
        () = running.control.stop_requested() => return Ok(Room::Stop(running)),
    };
    let listeners = match prepared {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::warn!("another router wanted to take this one's place and could not: {error}");
            return Ok(Room::Kept(running));
        }
    };
    let Running { router, control, process: Some(process), .. } = running else {
        return Ok(Room::Kept(running));
    };
    let Process { door, origin, log, started_by, settings, predecessor } = process;
    let lock = control.close_within(calls_most(&router)).await;
    router.release().await;
    match successor.serves().await {
        Ok(()) => {
            door.leave();
            drop((lock, listeners));
            finish(&router, successor, signals).await;
            drop(predecessor);
            Ok(Room::Made)
        }
        Err(error) => {
            tracing::error!("the router that was to take this one's place failed, so this one goes on: {error}");
            drop(door);
            let seat = Seat { lock, listeners, log, started_by };
            let mut again = settings.start(args, seat, origin, output).await?;
            if let Some(process) = &mut again.process {
                process.predecessor = predecessor;
            }
            let drain = successor.drain;
            tokio::spawn(async move { router.hand_over(drain, std::future::pending()).await });
            Ok(Room::Kept(again))
        }
    }
}

/// How long calls may take that are under way. One that waits for a healthy target makes two checks; the router that takes
/// our place waits a minute for us.
fn calls_most(router: &LocalEdgeRouter) -> Duration {
    let [least, most, besides] = [15, 50, 5].map(Duration::from_secs);
    (router.config().health_check.timeout.saturating_mul(2).saturating_add(besides)).clamp(least, most)
}

/// Lets what is open go on to its end.
async fn finish(router: &LocalEdgeRouter, mut successor: Successor, signals: &mut Signals) {
    tracing::info!(
        "another router has taken this one's place (pid {}); this one ends with what is open",
        std::process::id()
    );
    let drain = successor.drain;
    let cut_short = async {
        tokio::select! {
            () = successor.gone() => {}
            _ = signals.next() => {}
        }
    };
    router.hand_over(drain, cut_short).await;
}
