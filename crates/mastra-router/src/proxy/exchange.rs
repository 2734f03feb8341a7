//! One request and its answer, over the two sides that one task owns.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use http1::{BodyLength, Buffer, HeadScan, Relay, RelayError, poll_fill};
use tokio::time::Instant;

use super::Shared;
use super::answer::Failure;
use super::client::{Downstream, Next};
use super::request::Plan;
use super::response::{self, AnswerHead, Answered, Outgoing};
use super::tunnel;
use super::upstream::{self, ConnectError, Upstream, UpstreamIo};
use super::worker::{self, Tracked};
use crate::life::{Activity, Waiting};

/// A 1xx says little and comes seldom: one for each stage of a long job, not a stream of them.
const INTERIM_MOST: usize = 100;
/// Pauses between attempts on a target that refuses: short enough to be felt as none, long enough to cost nothing.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_MOST: Duration = Duration::from_millis(200);

/// How an attempt on one upstream connection ended before the answer.
enum Attempt<H> {
    Answered(Answered<H>),
    /// The connection broke before a byte of the answer came.
    NoAnswer,
    /// The client's body is no body.
    BadBody(&'static str),
    ClientLeft,
}

/// How long a browser that loads a page waits before it gets ours instead: what starts faster is loaded without one.
const PAGE_AFTER: Duration = Duration::from_millis(300);

/// Forwards a request and relays its answer.
///
/// Dropping it closes the upstream's connection, and leaves the client's side in the middle of a message.
pub(crate) async fn forward<D: Downstream>(client: &mut D, mut plan: Plan, shared: &Shared) -> Next {
    let _open = if plan.route.spec.wake { plan.route.life.activity().map(Activity::open) } else { None };
    let head = std::mem::take(&mut plan.head);
    let mut upload = Relay::new(head, D::framed(plan.body), plan.body, &shared.limits);
    if D::MANY {
        upload = upload.with_small_buffers();
    }
    let mut retried = false;
    loop {
        let kept = if retried { None } else { upstream::reuse(&plan.route.spec.target, !plan.idempotent) };
        let mut upstream = match kept {
            Some(upstream) => upstream,
            None => match connect(client, &mut plan, shared).await {
                Ok(upstream) => upstream,
                Err(Some(failure)) => return client.fail(&failure, &plan, shared).await,
                Err(None) => return Next::Close,
            },
        };
        let mut exchange = Exchange { upload: &mut upload, upload_over: false, upload_failed: false, answer: None };
        let attempt = exchange.answered(client, &mut upstream, &plan, shared).await;
        match attempt {
            Attempt::Answered(answered) => {
                return exchange.relay(client, upstream, answered, &plan, shared).await;
            }
            Attempt::ClientLeft => return Next::Close,
            Attempt::BadBody(reason) => {
                let failure = Failure::BadRequest { status: 400, reason };
                return client.fail(&failure, &plan, shared).await;
            }
            // An upstream may close a connection that was idle at any moment. That is no fault of the request's: it may
            // be sent again, once, if nothing of it was or if that does no harm.
            Attempt::NoAnswer => {
                let again = upstream.reused && !retried && (plan.idempotent || !upload.has_begun()) && upload.rewind();
                if !again {
                    let (name, target) = names(&plan);
                    return client.fail(&Failure::NoAnswer { name, target }, &plan, shared).await;
                }
                retried = true;
            }
        }
    }
}

fn names(plan: &Plan) -> (String, String) {
    (plan.route.spec.name.to_string(), plan.route.spec.target.to_string())
}

/// Connects to the plan's target, again and again while it refuses and may be starting. `Err(None)`: the client left.
async fn connect<D: Downstream>(client: &mut D, plan: &mut Plan, shared: &Shared) -> Result<Upstream, Option<Failure>> {
    let mut wait: Option<Wait> = None;
    loop {
        let waits = wait.is_some();
        let attempt = async {
            let target = &plan.route.spec.target;
            if waits && upstream::has_just_refused(target) {
                return Err(ConnectError::Refused);
            }
            let attempt = upstream::connect(target, shared.config.connect_timeout, &shared.tls.targets).await;
            if matches!(attempt, Err(ConnectError::Refused)) {
                upstream::refused(target);
                (shared.suspect)(&plan.route.id);
            }
            attempt
        };
        let error = match unless_left(client, attempt).await {
            None => return Err(None),
            Some(Ok(upstream)) => {
                plan.route.life.is_up();
                if wait.is_some() {
                    (shared.suspect)(&plan.route.id);
                }
                return Ok(upstream);
            }
            Some(Err(error)) => error,
        };
        let (name, target) = names(plan);
        let failure = match error {
            ConnectError::Refused => {
                let wait = wait.get_or_insert_with(|| Wait::new(plan, shared));
                if let Some(failure) = wait.over(plan) {
                    failure
                } else {
                    if client.has_left() || unless_left(client, wait.rest()).await.is_none() {
                        return Err(None);
                    }
                    wait.follow(plan, shared);
                    continue;
                }
            }
            ConnectError::TimedOut => Failure::TimedOut { name, target },
            ConnectError::Tls(error) => Failure::NoTls { name, target, error: error.to_string() },
            ConnectError::Descriptors => Failure::Overloaded,
            ConnectError::Failed(error) => Failure::Unreachable { name, target, error: error.to_string() },
        };
        return Err(Some(failure));
    }
}

/// A request that waits for its target to listen.
struct Wait {
    since: Instant,
    /// Whether the target had not listened before.
    first: bool,
    most: Duration,
    pause: Duration,
    /// Whether there is no such route any more.
    gone: bool,
    _counted: Option<Waiting>,
}

impl Wait {
    fn new(plan: &Plan, shared: &Shared) -> Self {
        let life = &plan.route.life;
        let first = plan.route.spec.wake || !life.was_up();
        let most = if first { shared.config.start_timeout } else { shared.config.restart_grace };
        let _counted = life.activity().map(Activity::wait);
        Self { since: Instant::now(), first, most, pause: RETRY_FIRST, gone: false, _counted }
    }

    /// What is to be answered instead of waiting on.
    fn over(&self, plan: &Plan) -> Option<Failure> {
        let (name, target) = names(plan);
        let waited = self.since.elapsed();
        let report = plan.route.life.report();
        if let Some(how) = &report.ended {
            let (how, output) = (how.clone(), report.output.clone());
            return Some(Failure::Ended { name, target, how, output, comes_back: plan.navigates });
        }
        if self.gone || waited >= self.most && !plan.navigates {
            return Some(Failure::Refused { name, target, waited_secs: waited.as_secs() });
        }
        let shows_page = plan.navigates && waited >= PAGE_AFTER.min(self.most);
        shows_page.then(|| Failure::Starting { name, target, first: self.first, output: report.output.clone() })
    }

    /// A pause before the next attempt.
    fn rest(&mut self) -> impl Future<Output = ()> + use<> {
        let left = self.most.saturating_sub(self.since.elapsed());
        let pause = self.pause;
        self.pause = (pause * 2).min(RETRY_MOST);
        tokio::time::sleep(pause.min(left))
    }

    /// The route may have been moved in the meantime; then that is where the request belongs, and the wait begins anew.
    fn follow(&mut self, plan: &mut Plan, shared: &Shared) {
        let now = worker::with_table(|table, _| table.get(plan.route.id.as_str()).cloned());
        let Some(route) = now else {
            self.gone = true;
            return;
        };
        let moved = route.spec.target != plan.route.spec.target;
        plan.route = route;
        if moved {
            *self = Self::new(plan, shared);
        }
    }
}

/// What `future` gives, or `None` as soon as the client has left.
async fn unless_left<D: Downstream, F: Future>(client: &mut D, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => client.poll_left(cx).map(|()| None),
    })
    .await
}

/// Whether the streams of the plan's route are to end.
fn is_cut(plan: &Plan) -> bool {
    plan.route.cut.load(Ordering::Acquire)
}

/// What `future` gives, or `None` as soon as the plan's route is cut.
async fn unless_cut<F: Future>(plan: &Plan, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| if is_cut(plan) { Poll::Ready(None) } else { future.as_mut().poll(cx).map(Some) }).await
}

/// Has this task woken when a route is cut. One that is a connection's own is woken anyway.
async fn cuttable<D: Downstream>() -> Option<Tracked> {
    if !D::MANY {
        return None;
    }
    Some(poll_fn(|cx| Poll::Ready(worker::track(cx.waker()))).await)
}

struct Exchange<'u> {
    upload: &'u mut Relay,
    upload_over: bool,
    /// The upstream takes no more of the request; its answer may tell why.
    upload_failed: bool,
    /// What has been read of the answer and not been used.
    answer: Option<Buffer>,
}

impl Exchange<'_> {
    /// Sends the request and reads until there is an answer.
    async fn answered<D: Downstream>(
        &mut self,
        client: &mut D,
        upstream: &mut Upstream,
        plan: &Plan,
        shared: &Shared,
    ) -> Attempt<D::Head> {
        let mut scan = HeadScan::default();
        let mut interims = 0;
        let mut any = false;
        loop {
            let filled = poll_fn(|cx| self.poll_answer(client, &mut upstream.io, cx)).await;
            match filled {
                Err(attempt) => return attempt,
                Ok(0) if !any => return Attempt::NoAnswer,
                Ok(0) => return Attempt::Answered(Answered::Bad("truncated_head")),
                Ok(_) => any = true,
            }
            while let Some(buffer) = &mut self.answer {
                let close = self.upload_failed || worker::is_draining();
                let (taken, answered) = response::read(buffer.filled(), &mut scan, plan, close, shared);
                buffer.consume(taken);
                if buffer.is_empty() {
                    self.answer = None;
                }
                match answered {
                    Answered::Partial => break,
                    Answered::Interim(head) => {
                        interims += 1;
                        if interims > INTERIM_MOST {
                            return Attempt::Answered(Answered::Bad("too_many_interim_answers"));
                        }
                        if client.interim(head, plan).await.is_err() {
                            return Attempt::ClientLeft;
                        }
                    }
                    answered => return Attempt::Answered(answered),
                }
            }
        }
    }

    /// Moves the request on, watches the client, and reads what the upstream answers.
    fn poll_answer<D: Downstream>(
        &mut self,
        client: &mut D,
        upstream: &mut UpstreamIo,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Attempt<D::Head>>> {
        if let Poll::Ready(attempt) = self.poll_upload(client, upstream, cx) {
            return Poll::Ready(Err(attempt));
        }
        match poll_fill(upstream, &mut self.answer, false, cx) {
            Poll::Ready(Ok(n)) => Poll::Ready(Ok(n)),
            Poll::Ready(Err(_)) => Poll::Ready(Ok(0)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Moves the request's body on; once it is over, looks whether the client is still there. Ready only with what ends
    /// the exchange.
    fn poll_upload<D: Downstream>(
        &mut self,
        client: &mut D,
        upstream: &mut UpstreamIo,
        cx: &mut Context<'_>,
    ) -> Poll<Attempt<D::Head>> {
        if !self.upload_over {
            match client.poll_upload(self.upload, upstream, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(RelayError::Destination(_))) => self.upload_failed = true,
                Poll::Ready(Err(RelayError::Source(_))) => return Poll::Ready(Attempt::ClientLeft),
                Poll::Ready(Err(RelayError::Body(http1::BodyError::Truncated))) => {
                    return Poll::Ready(Attempt::ClientLeft);
                }
                Poll::Ready(Err(RelayError::Body(error))) => return Poll::Ready(Attempt::BadBody(error.reason())),
            }
            self.upload_over = true;
        }
        client.poll_left(cx).map(|()| Attempt::ClientLeft)
    }

    /// Relays the answer.
    async fn relay<D: Downstream>(
        mut self,
        client: &mut D,
        mut upstream: Upstream,
        answered: Answered<D::Head>,
        plan: &Plan,
        shared: &Shared,
    ) -> Next {
        let (status, out, from, reusable) = match answered {
            Answered::Final { status, out, from, reusable } => (status, out, from, reusable),
            Answered::Switched(head) => {
                let out = Outgoing { head, to: BodyLength::UntilClose, keep_alive: false };
                let Ok(down) = client.begin_answer(out, BodyLength::UntilClose, shared) else { return Next::Close };
                if let Some(observed) = &plan.observed {
                    observed.switched(D::Head::SWITCHED);
                }
                let _tracked = cuttable::<D>().await;
                let tunnel = tunnel::run(client, &mut upstream.io, self.answer, down, &shared.limits);
                return match unless_cut(plan, tunnel).await {
                    Some(tunnel::Ended::Both) => Next::Close,
                    Some(tunnel::Ended::Client) => {
                        upstream.io.reset_on_close();
                        Next::Close
                    }
                    Some(tunnel::Ended::Upstream) | None => Next::Reset,
                };
            }
            Answered::Bad(reason) => {
                drop(upstream);
                let (name, target) = names(plan);
                tracing::warn!(%name, %target, reason, "bad answer");
                return client.fail(&Failure::BadAnswer { name, target, reason }, plan, shared).await;
            }
            Answered::Partial | Answered::Interim(_) => return Next::Close,
        };
        let keep_alive = out.keep_alive;
        let Ok(mut download) = client.begin_answer(out, from, shared) else { return Next::Close };
        if let Some(observed) = &plan.observed {
            observed.answered(status);
        }
        // What has a length ends by itself.
        let endless = matches!(from, BodyLength::Chunked | BodyLength::UntilClose);
        let _tracked = if endless { cuttable::<D>().await } else { None };
        let ended = poll_fn(|cx| {
            if endless && is_cut(plan) {
                return Poll::Ready(Next::Reset);
            }
            match client.poll_download(&mut download, &mut upstream.io, &mut self.answer, cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Next::KeepAlive),
                Poll::Ready(Err(RelayError::Destination(_))) => return Poll::Ready(Next::Close),
                // The client must not take what it got for the whole.
                Poll::Ready(Err(_)) => return Poll::Ready(Next::Reset),
                Poll::Pending => {}
            }
            match self.poll_upload(client, &mut upstream.io, cx) {
                Poll::Ready(Attempt::BadBody(_)) => Poll::Ready(Next::Reset),
                Poll::Ready(_) => Poll::Ready(Next::Close),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        if !matches!(ended, Next::KeepAlive) {
            return ended;
        }
        client.end_answer(&download);
        let sent_all = self.upload_over && !self.upload_failed;
        if sent_all && reusable && self.answer.is_none() {
            upstream::keep(&plan.route.spec.target, upstream.io, shared.config.pool_size);
        }
        match (sent_all, keep_alive) {
            (true, true) => Next::KeepAlive,
            (true, false) => Next::Close,
            // The client may still be sending: closing now could destroy the answer before it is read.
            (false, _) => Next::Linger,
        }
    }
}
