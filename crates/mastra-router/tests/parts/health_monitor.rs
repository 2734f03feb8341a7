//! The health of many routes over time.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use mastra_router::{
    CheckKind, CheckOutcome, HealthChecker, HealthMonitor, HealthPath, HealthSettings, Route, RouteConfig,
    RouteRegistry, RouteSpec, RouteStatus, RouteUpdate,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::server::{OK, Server, refusing, wait_for};

const HOUR: Duration = Duration::from_secs(3600);

struct Setup {
    registry: RouteRegistry,
    monitor: HealthMonitor,
    outcomes: mpsc::UnboundedReceiver<CheckOutcome>,
    /// Dies with the last thing that could still report a check.
    alive: Weak<dyn Fn(CheckOutcome) + Send + Sync>,
}

fn setup(interval: Duration) -> Setup {
    let registry = RouteRegistry::new(true);
    let (send, outcomes) = mpsc::unbounded_channel();
    let on_checked: Arc<dyn Fn(CheckOutcome) + Send + Sync> = Arc::new(move |outcome| drop(send.send(outcome)));
    let alive = Arc::downgrade(&on_checked);
    let checker = HealthChecker::new(HealthPath::parse("/health").unwrap().unwrap(), Duration::from_secs(20), 3);
    let settings = HealthSettings { interval, most_per_second: u32::MAX, ..HealthSettings::default() };
    let monitor = HealthMonitor::new(checker, settings, registry.reader(), on_checked);
    Setup { registry, monitor, outcomes, alive }
}

fn spec(name: &str, port: u16) -> RouteSpec {
    RouteSpec::parse(&RouteConfig::new(name, "p", name, "127.0.0.1", port)).unwrap()
}

fn move_to(registry: &RouteRegistry, route: &Route, port: u16) -> Arc<Route> {
    let update = RouteUpdate { target_port: Some(port), ..RouteUpdate::default() };
    registry.update(route.id.as_str(), |spec| spec.updated(&update)).unwrap()
}

#[tokio::test]
async fn checks_move_the_status_and_a_move_starts_anew() {
    let mut t = setup(HOUR);
    let server = Server::start(|_| OK.to_owned()).await;
    let (_refuses, refused) = refusing("127.0.0.1:0");
    let route = t.registry.add(spec("a", refused.port())).unwrap();
    assert_eq!(t.monitor.record(&route).status, RouteStatus::Pending);

    let health = t.monitor.check(&route, CheckKind::First).await;
    let record = t.monitor.record(&route);
    assert_eq!((record.status, record.failures, &record.last_error), (RouteStatus::Pending, 0, &health.error));
    assert!(record.last_check.is_some() && record.last_latency.is_some() && record.last_error.is_some());
    for (failures, status) in [(1, RouteStatus::Pending), (2, RouteStatus::Pending), (3, RouteStatus::Unhealthy)] {
        t.monitor.check(&route, CheckKind::Counted).await;
        let record = t.monitor.record(&route);
        assert_eq!((record.failures, record.status), (failures, status));
    }

    let moved = move_to(&t.registry, &route, server.address.port());
    assert_eq!(t.monitor.record(&moved), mastra_router::HealthRecord::default());
    assert!(t.monitor.check(&moved, CheckKind::First).await.healthy);
    assert_eq!(t.monitor.record(&moved).status, RouteStatus::Active);
    assert_eq!(t.monitor.record(&moved).last_error, None);
    assert_eq!(t.monitor.record(&route).status, RouteStatus::Pending, "of the old target nothing is known any more");

    let mut told = Vec::new();
    while let Ok(outcome) = t.outcomes.try_recv() {
        told.push((outcome.kind, outcome.before, outcome.record.status, outcome.health.healthy));
    }
    use CheckKind::{Counted, First};
    use RouteStatus::{Active, Pending, Unhealthy};
    assert_eq!(
        told,
        [
            (First, Pending, Pending, false),
            (Counted, Pending, Pending, false),
            (Counted, Pending, Pending, false),
            (Counted, Pending, Unhealthy, false),
            (First, Pending, Active, true),
        ]
    );
}

#[tokio::test]
async fn callers_at_one_time_share_a_check_and_any_may_leave() {
    let mut t = setup(HOUR);
    let server = Server::gated().await;
    let route = t.registry.add(spec("a", server.address.port())).unwrap();
    let check = |kind| {
        let (monitor, route) = (t.monitor.clone(), route.clone());
        tokio::spawn(async move { monitor.check(&route, kind).await })
    };
    let first = check(CheckKind::Counted);
    wait_for("the check has begun", || server.seen.connections() == 1).await;
    let others: Vec<_> = (0..10).map(|_| check(CheckKind::Counted)).collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    server.seen.answers.add_permits(1);
    for other in others {
        assert!(other.await.unwrap().healthy);
    }
    assert_eq!(server.seen.connections(), 1);
    assert!(t.outcomes.try_recv().is_ok());
    assert!(t.outcomes.try_recv().is_err(), "one check, one outcome");

    let alone = check(CheckKind::Counted);
    wait_for("the next check has begun", || server.seen.connections() == 2).await;
    alone.abort();
    wait_for("nobody waits, so it was given up", || server.seen.gone.load(Ordering::SeqCst) == 1).await;
    server.seen.answers.add_permits(1);
    assert!(t.monitor.check(&route, CheckKind::Counted).await.healthy, "the route is not stuck");
}

#[tokio::test]
async fn what_was_found_out_about_an_old_target_is_not_recorded() {
    let mut t = setup(HOUR);
    let server = Server::gated().await;
    for moves in [true, false] {
        let route = t.registry.add(spec("a", server.address.port())).unwrap();
        let before = server.seen.connections();
        let (monitor, checked) = (t.monitor.clone(), route.clone());
        let check = tokio::spawn(async move { monitor.check(&checked, CheckKind::First).await });
        wait_for("the check has begun", || server.seen.connections() == before + 1).await;
        if moves {
            move_to(&t.registry, &route, 1);
        } else {
            t.registry.clear();
        }
        server.seen.answers.add_permits(1);
        assert!(check.await.unwrap().healthy, "the caller is told");
        assert_eq!(t.monitor.record(&route), mastra_router::HealthRecord::default());
        assert!(t.outcomes.try_recv().is_err());
        t.registry.clear();
    }
}

#[tokio::test]
async fn all_routes_are_checked_and_new_ones_are_taken_up() {
    let t = setup(Duration::from_millis(50));
    let server = Server::start(|_| OK.to_owned()).await;
    let first = t.registry.add(spec("a", server.address.port())).unwrap();
    t.monitor.start(&Handle::current());
    t.monitor.start(&Handle::current());
    wait_for("checked again and again", || server.seen.connections() > 3).await;
    assert_eq!(t.monitor.record(&first).status, RouteStatus::Active);
    let second = t.registry.add(spec("b", server.address.port())).unwrap();
    wait_for("the new route is checked", || t.monitor.record(&second).status == RouteStatus::Active).await;
    t.registry.remove(second.id.as_str());
    wait_for("its record is gone", || t.monitor.record(&second).status == RouteStatus::Pending).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_routes_are_checked_sixty_four_at_a_time() {
    let t = setup(Duration::from_secs(1));
    let server = Server::start(|_| OK.to_owned()).await;
    let routes: Vec<_> =
        (0..10_000).map(|i| t.registry.add(spec(&format!("r{i}"), server.address.port())).unwrap()).collect();
    t.monitor.start(&Handle::current());
    let mut unchecked = routes.iter();
    let mut next = unchecked.next();
    wait_for("all are active", || {
        while let Some(route) = next
            && t.monitor.record(route).status == RouteStatus::Active
        {
            next = unchecked.next();
        }
        next.is_none()
    })
    .await;
    let most = server.seen.most_open.load(Ordering::SeqCst);
    assert!((2..=64).contains(&most), "{most} at one time");
}

#[tokio::test]
async fn a_suspect_is_checked_soon() {
    let mut t = setup(HOUR);
    let server = Server::start(|_| OK.to_owned()).await;
    let route = t.registry.add(spec("a", server.address.port())).unwrap();
    t.monitor.suspect(&route.id);
    t.monitor.start(&Handle::current());
    // A suspicion may come before the route is planned, and is lost then: real ones come with every refused request.
    wait_for("checked within the hour", || {
        t.monitor.suspect(&route.id);
        server.seen.connections() > 0
    })
    .await;
    assert_eq!(t.outcomes.recv().await.unwrap().kind, CheckKind::Counted);
}

#[tokio::test]
async fn stopping_gives_up_what_is_under_way_and_can_be_undone() {
    let t = setup(Duration::from_millis(10));
    let server = Server::gated().await;
    t.registry.add(spec("a", server.address.port())).unwrap();
    for round in 1..=2 {
        t.monitor.start(&Handle::current());
        assert!(t.monitor.is_started());
        wait_for("a check has begun", || server.seen.connections() == round).await;
        let begin = Instant::now();
        t.monitor.stopped().await;
        assert!(begin.elapsed() < Duration::from_secs(5), "the check's own timeout is 20 s");
        assert!(!t.monitor.is_started());
        wait_for("the check was given up", || server.seen.gone.load(Ordering::SeqCst) == round).await;
        t.monitor.stop();
        t.monitor.stopped().await;
    }
}

#[tokio::test]
async fn the_last_handle_ends_the_task() {
    let t = setup(Duration::from_millis(10));
    let server = Server::gated().await;
    t.registry.add(spec("a", server.address.port())).unwrap();
    let other = t.monitor.clone();
    t.monitor.start(&Handle::current());
    drop(t.monitor);
    wait_for("still checking", || server.seen.connections() == 1).await;
    drop(other);
    wait_for("all is let go", || t.alive.upgrade().is_none()).await;
}

#[tokio::test]
async fn callers_take_turns_and_none_waits_longer_than_the_timeout() {
    let registry = RouteRegistry::new(true);
    let server = Server::gated().await;
    for (timeout, error) in [(20_000, None), (300, Some("Health check timed out after 300ms"))] {
        registry.clear();
        let path = HealthPath::parse("/").unwrap().unwrap();
        let monitor = HealthMonitor::new(
            HealthChecker::new(path, Duration::from_millis(timeout), 3),
            HealthSettings { interval: HOUR, concurrency: 4, most_per_second: u32::MAX },
            registry.reader(),
            Arc::new(|_| {}),
        );
        let checks: Vec<_> = (0..100)
            .map(|i| {
                let route = registry.add(spec(&format!("r{i}"), server.address.port())).unwrap();
                let monitor = monitor.clone();
                tokio::spawn(async move { monitor.check(&route, CheckKind::First).await })
            })
            .collect();
        if error.is_none() {
            wait_for("all permits are taken", || server.seen.open.load(Ordering::SeqCst) == 4).await;
            server.seen.answers.add_permits(100);
        }
        for check in checks {
            let health = check.await.unwrap();
            assert_eq!(health.error.as_deref(), error);
            assert!(health.latency.unwrap() < Duration::from_secs(15));
        }
        if error.is_none() {
            assert_eq!(server.seen.most_open.load(Ordering::SeqCst), 4);
        }
    }
}
