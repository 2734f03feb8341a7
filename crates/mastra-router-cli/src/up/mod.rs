//! `up`: all servers of a project, each behind a name.

mod back_off;
mod claims;
mod clean;
mod held;
mod hold;
mod lines;
mod live;
mod plan;
mod report;
mod screen;
mod supervision;
mod tail;
mod teller;
mod usage;
mod waking;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mastra_router::EdgeRouterProvider;
use mastra_router::control::ControlClient;
use rustix::process::Signal;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Semaphore, watch};

use self::claims::Claimed;
use self::held::{Holding, Start};
pub(crate) use self::hold::hold;
use self::lines::{BUDGET, Sink};
use self::plan::Plan;
use self::report::{Report, State};
use self::screen::{Message, Screen};
use self::supervision::{Stop, Supervision};
use self::tail::Tail;
use self::teller::Checked;
use self::usage::Usage;
use self::waking::Waking;
use crate::cli::Up;
use crate::config::cert_dir;
use crate::daemon::reach::Reach;
use crate::failure::Failure;
use crate::output::Output;
use crate::run::{self, Received, Serving, Signals};

/// Between two looks for a router that is there again.
const BACK_EVERY: Duration = Duration::from_millis(500);
/// How long the last lines may take to be shown, where the terminal is held up.
const SHOW_MOST: Duration = Duration::from_secs(2);

/// Runs the apps of a project until they are to end, or have ended.
///
/// # Errors
/// Where something keeps one from being started; then none is, and nothing is left behind.
pub(crate) async fn up(args: Up, reach: Reach<'_>, output: &Output) -> Result<ExitCode, Failure> {
    // From now on: what is started is not left alone.
    let mut signals = Signals::new()?;
    let home = reach.home;
    run::refuse_sudo(home)?;
    let mut plan = Plan::read(&args, &std::env::current_dir()?)?;
    let client = reach.client().await?;
    let router = client.status().await?.pid;
    let project = plan.project.clone();
    let others = std::mem::take(&mut plan.others);
    let taken = claims::take(plan, &client, home, args.force).await?;
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let wants_color = output.color && !output.json && !is_dumb;
    let starts = claims::starts(&taken, &others, &project, &client, &cert_dir(home).join("ca.pem"), wants_color).await;

    let (messages, to_show) = unbounded_channel();
    let shown = taken.iter().map(|one| (one.app.key.clone(), one.claim.route.public_url.clone()));
    let screen = Screen::start(screen::shown(shown), to_show, *output)?;
    let sink = Sink { messages, budget: Arc::new(Semaphore::new(BUDGET)) };
    let holding = Holding { home, router, grace: args.grace, sink };
    let (stop, stopped) = watch::channel(Stop::No);
    let (checked, latest) = watch::channel(Checked::default());
    let (reports, apps) = supervisions(taken, starts, &holding, router, &stopped, &latest);
    let all = join_all(apps.into_iter().map(Supervision::run));
    let signal = tokio::select! {
        // The apps first: those that sleep say so before all are said to be there.
        biased;
        signal = until_over(all, &mut signals, &stop) => signal,
        () = keep_looking(&client, &project.plain_name, &checked) => None,
        () = announce(reports.clone(), &holding.sink) => None,
    };
    drop(holding);
    screen.finished(SHOW_MOST).await;
    let has_failed = reports.iter().any(|report| matches!(report.borrow().state, State::Failed { .. }));
    // As shells have it, for those who ask whether it was ended.
    let code = signal.map_or(i32::from(has_failed), |signal| 128 + signal.as_raw());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// The apps, each with whom it waits for at its start and at its end.
fn supervisions<'u>(
    taken: Vec<Claimed>,
    starts: Vec<Start>,
    holding: &'u Holding<'u>,
    router: u32,
    stop: &watch::Receiver<Stop>,
    checked: &watch::Receiver<Checked>,
) -> (Vec<watch::Receiver<Report>>, Vec<Supervision<'u>>) {
    let first = |one: &Claimed| if one.app.wake { State::Asleep } else { State::Waiting { others: Vec::new() } };
    let (senders, receivers): (Vec<_>, Vec<_>) =
        taken.iter().map(|one| watch::channel(Report::new(first(one)))).unzip();
    let names: Vec<(String, Vec<String>)> = taken
        .iter()
        .map(|one| (one.app.key.clone(), one.app.depends_on.iter().map(|needed| needed.key.clone()).collect()))
        .collect();
    let mut apps = Vec::new();
    for (at, ((one, start), report)) in taken.into_iter().zip(starts).zip(senders).enumerate() {
        let all = || names.iter().zip(&receivers);
        let needs = all().filter(|((key, _), _)| one.app.depends_on.iter().any(|needed| needed.key == *key));
        let needs = needs.map(|((key, _), report)| (key.clone(), report.clone())).collect();
        let needed_by = all().filter(|((_, needs), _)| needs.contains(&one.app.key));
        let needed_by = needed_by.map(|(_, report)| report.clone()).collect();
        let waking = one.app.wake.then(|| Waking::new(Usage::new(one.claim.told()), one.app.idle));
        let (news, to_hear) = unbounded_channel();
        let tell = move |_: &run::Claim, what: run::News| _ = news.send(what);
        let mut serving = Serving::new(one.claim, one.port.number, one.app.key.clone(), router, tell);
        serving.until_healthy = one.app.health.is_some();
        apps.push(Supervision {
            at,
            start,
            serving,
            news: to_hear,
            _port: one.port,
            holding,
            checked: checked.clone(),
            stop: stop.clone(),
            needs,
            needed_by,
            report,
            ready_since: None,
            tail: Arc::new(Tail::default()),
            waking,
        });
    }
    (receivers, apps)
}

/// Waits for the end of all; the first signal asks them to end in order, the second at once. The first is returned.
async fn until_over(
    all: impl Future<Output = Vec<()>>,
    signals: &mut Signals,
    stop: &watch::Sender<Stop>,
) -> Option<Signal> {
    let mut all = std::pin::pin!(all);
    let mut first = None;
    loop {
        let received = tokio::select! {
            _ = &mut all => return first,
            received = signals.next() => received,
        };
        if let Received::End { signal, .. } = received {
            let how = if first.is_none() { Stop::InOrder } else { Stop::AtOnce };
            stop.send_replace(how);
            first.get_or_insert(signal);
        }
    }
}

/// Follows what the router says of the apps, also one that is there again.
async fn keep_looking(client: &ControlClient, project: &str, checked: &watch::Sender<Checked>) {
    // Whether one listens is asked here, and not again and again within each call.
    let client = client.clone().with_patience(Duration::ZERO);
    loop {
        if let Ok(mut events) = client.events().await {
            let mut is_known = false;
            loop {
                // What was missed, too, is in the state.
                if !is_known && let Ok(routes) = client.list_routes(project).await {
                    checked.send_replace(Checked::of(routes));
                    is_known = true;
                }
                match events.recv().await {
                    Ok(event) => _ = checked.send_if_modified(|checked| checked.after(event, project)),
                    Err(RecvError::Lagged(_)) => is_known = false,
                    Err(RecvError::Closed) => break,
                }
            }
        }
        tokio::time::sleep(BACK_EVERY).await;
    }
}

/// Says once that all apps are there; never returns.
async fn announce(reports: Vec<watch::Receiver<Report>>, sink: &Sink) {
    for mut report in reports {
        let is_there = |report: &Report| report.is_ready || matches!(report.state, State::Exited | State::Asleep);
        let there = report.wait_for(is_there).await;
        if there.is_err() {
            std::future::pending().await
        }
    }
    let _ = sink.messages.send(Message::Ready);
    std::future::pending().await
}
