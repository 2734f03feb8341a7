//! A router that is killed while it saves: what it acknowledged is there after it, and every file can be read.
//!
//! `MASTRA_ROUTER_TEST_KILLS=1000 cargo test -p mastra-router-cli --test it kills::` kills it a thousand times; a seed that failed is
//! tried again with `MASTRA_SEED`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use mastra_router::control::ControlClient;
use mastra_router::{EdgeRouterProvider, Home, RouteConfig, RouteUpdate, RouterControl, RouterError};
use serde_json::Value;

use crate::router::{Desk, Running};

/// Callers at the same time, each with routes of its own.
const CALLERS: usize = 4;
/// Deployments of a caller.
const DEPLOYMENTS: u64 = 6;
/// Longest time from the first change to the kill, and from the start to a kill before it is ready.
const LONGEST: Duration = Duration::from_millis(40);

/// What a caller knows of its routes: the target's port, `None` where there is no route.
type Known = BTreeMap<String, Option<u16>>;

/// A caller's routes, and the change nobody has answered.
#[derive(Clone, Debug, Default)]
struct Caller {
    known: Known,
    in_flight: Option<(String, Option<u16>)>,
    acknowledged: usize,
}

#[test]
fn what_was_acknowledged_outlives_any_kill() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let kills = number("MASTRA_ROUTER_TEST_KILLS").unwrap_or(40);
    let seed = number("MASTRA_SEED").unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1);
    println!("MASTRA_SEED={seed}");
    let mut random = Random(seed);
    let desk = Desk::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut callers = vec![Caller::default(); CALLERS];
    let mut uncertain = 0;
    for kill in 0..kills {
        let mut router = Running::spawn(&mut desk.command(["serve", "--listen", "127.0.0.1:0"]));
        if kill % 8 == 7 {
            // Before it is ready, or just after.
            std::thread::sleep(random.below(LONGEST));
            router.child.kill().unwrap();
            router.wait();
            files_can_be_read(&desk);
            continue;
        }
        assert_eq!(router.json_line()["event"], "ready", "{}", router.stderr());
        let client = ControlClient::new(&Home::resolve(Some(desk.home())));
        let status = runtime.block_on(client.status()).unwrap();
        assert_eq!(status.warnings, [""; 0], "kill {kill}");
        compare(&mut callers, &runtime.block_on(client.all_routes()).unwrap(), kill);

        let ended = Arc::new(AtomicBool::new(false));
        runtime.block_on(async {
            let mut working = tokio::task::JoinSet::new();
            for (i, caller) in callers.iter().cloned().enumerate() {
                let (random, ended) = (Random(random.next() | 1), ended.clone());
                let done = caller.change(i, client.clone(), random, ended);
                working.spawn(async move { (i, done.await) });
            }
            tokio::time::sleep(random.below(LONGEST)).await;
            router.child.kill().unwrap();
            ended.store(true, Ordering::Relaxed);
            router.wait();
            for (i, caller) in working.join_all().await {
                uncertain += u64::from(caller.in_flight.is_some());
                callers[i] = caller;
            }
        });
        files_can_be_read(&desk);
    }
    let acknowledged: usize = callers.iter().map(|caller| caller.acknowledged).sum();
    println!("{kills} kills, {acknowledged} acknowledged changes, {uncertain} unanswered ones");
    assert!(acknowledged as u64 > kills && uncertain > 0, "it was killed while it worked");
}

impl Caller {
    /// Changes routes until the router is gone.
    async fn change(mut self, i: usize, client: ControlClient, mut random: Random, ended: Arc<AtomicBool>) -> Self {
        loop {
            let deployment = format!("c{i}-{}", random.next() % DEPLOYMENTS);
            let port = 1024 + (random.next() % 60_000) as u16;
            let known = self.known.get(&deployment).copied().flatten();
            let (wanted, outcome) = match (known, random.next() % 3) {
                (None, _) => {
                    let config = RouteConfig::new(&deployment, "p", &deployment, "127.0.0.1", port);
                    (Some(port), client.register_route(config).await.map(drop))
                }
                (Some(_), 0) => (None, client.remove_route(&deployment).await),
                (Some(_), _) => {
                    let update = RouteUpdate { target_port: Some(port), ..RouteUpdate::default() };
                    let route = client.get_route(&deployment).await;
                    let route = match route {
                        Ok(route) => route.unwrap_or_else(|| panic!("{deployment} is gone")),
                        Err(_) if ended.load(Ordering::Relaxed) => return self,
                        Err(error) => panic!("{error}"),
                    };
                    (Some(port), client.update_route(route.route_id.as_str(), update).await.map(drop))
                }
            };
            match outcome {
                Ok(()) => {
                    self.known.insert(deployment, wanted);
                    self.acknowledged += 1;
                }
                Err(RouterError::Unreachable { .. }) => {
                    self.in_flight = Some((deployment, wanted));
                    return self;
                }
                Err(error) => panic!("{deployment}: {error}"),
            }
        }
    }
}

/// What is there is what was acknowledged, and of a change that nobody answered all or nothing.
fn compare(callers: &mut [Caller], routes: &[mastra_router::RouteInfo], kill: u64) {
    let mut found: Known = routes.iter().map(|r| (r.deployment_id.clone(), Some(r.target.port()))).collect();
    for caller in &mut *callers {
        let in_flight = caller.in_flight.take();
        if let Some((deployment, _)) = &in_flight {
            caller.known.entry(deployment.clone()).or_default();
        }
        for (deployment, known) in &mut caller.known {
            let is = found.remove(deployment).flatten();
            let either = in_flight.as_ref().filter(|(changed, _)| changed == deployment).map(|(_, wanted)| *wanted);
            assert!(
                is == *known || Some(is) == either,
                "kill {kill}: {deployment} is {is:?}, not {known:?} or {either:?}"
            );
            *known = is;
        }
    }
    assert!(found.is_empty(), "kill {kill}: nobody asked for {found:?}");
    let sorted = routes.is_sorted_by_key(|route| route.created_at);
    assert!(sorted, "kill {kill}: the order of registration is kept");
}

/// Whole lines of JSON, but for an end that was cut off; and nothing was put aside.
fn files_can_be_read(desk: &Desk) {
    let Ok(entries) = std::fs::read_dir(desk.home()) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match name.as_str() {
            "routes.journal" => {
                let text = std::fs::read_to_string(&path).unwrap();
                let whole = &text[..text.rfind('\n').unwrap() + 1];
                whole.lines().for_each(|line| drop(serde_json::from_str::<Value>(line).unwrap()));
            }
            "settings.json" => drop(serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap()),
            "control.sock" | "daemon.sock" | "daemon.new" => {}
            "router.lock" | "routes.lock" | "routes.journal.new" | "settings.json.new" => {}
            _ => panic!("what is {name}?"),
        }
    }
}

/// Enough randomness for moments and choices.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64((self.next() % 10_000) as f64 / 10_000.0)
    }
}
