//! The route of a run: taken, led to where the server listens, and given up.

use std::time::Duration;

use mastra_router::control::ControlClient;
use mastra_router::{
    EdgeRouterProvider, LeaseUpdate, RouteConfig, RouteInfo, RouteLease, RouteStatus, RouteUpdate, RouterControl,
    RouterError, RouterEvent,
};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use crate::failure::{Exit, Failure};

/// A route may go between the refusal that names it and the look at it. More often than this, that is no accident.
const ATTEMPTS: usize = 5;
/// The router is on this machine. One that takes longer has other worries, and the command waits to be ended.
const END_MOST: Duration = Duration::from_secs(2);

/// A route that is ours for as long as this process runs.
pub(crate) struct Claim {
    client: ControlClient,
    config: RouteConfig,
    lease: RouteLease,
    /// What takes the name over, where another has it.
    hint: String,
    pub(crate) route: RouteInfo,
    standing: watch::Sender<Standing>,
    /// Whether it has to be taken anew: whoever did that may have been dropped half-way.
    is_forgotten: bool,
    /// What happens to routes, while there is a router that tells.
    news: Option<Receiver<RouterEvent>>,
}

/// Which route it is, and in which router: what either forgets with its end has to be told anew where one is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) route_id: String,
    /// When the router was started.
    router_since: String,
}

/// What it takes to talk of a route with the router.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) client: ControlClient,
    pub(crate) lease: RouteLease,
    pub(crate) standing: watch::Receiver<Standing>,
}

/// What a server says when it is asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Healthy,
    /// It answers HTTP, and not as one that is healthy; why.
    Unwell(String),
    None,
}

/// Whether a route is still ours.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    /// The router that had it was ended, and the one of now does not have it.
    Forgotten,
    /// Somebody else has taken the name, or removed the route.
    Lost(String),
}

impl Claim {
    /// Takes the name. One that another process has is taken over with `force`, or where that process has ended.
    ///
    /// # Errors
    /// `ROUTE_CONFLICT`, and what else a registration fails with.
    pub(crate) async fn take(
        client: ControlClient,
        config: RouteConfig,
        force: bool,
        hint: String,
    ) -> Result<Self, Failure> {
        let Some(lease) = config.lease.clone() else { return Err(Failure::failed("IO_ERROR", "there is no lease")) };
        let router_since = client.status().await?.started_at;
        let route = take(&client, &config, force, &hint).await?;
        let news = Some(client.subscribe());
        let (standing, _) = watch::channel(Standing { route_id: route.route_id.to_string(), router_since });
        Ok(Self { client, config, lease, hint, route, standing, is_forgotten: false, news })
    }

    /// For those who talk of the route while it is followed.
    pub(crate) fn told(&self) -> Told {
        Told { client: self.client.clone(), lease: self.lease.clone(), standing: self.standing.subscribe() }
    }

    /// Has the router look whether anything listens, so that it does not say so of what has ended.
    pub(crate) async fn check(&self) {
        // Where that fails, its own checks find it.
        let _ = self.client.check_route_health(self.route.route_id.as_str()).await;
    }

    /// Leads the route to another port.
    ///
    /// # Errors
    /// As an update. `ROUTE_NOT_FOUND` where it is not ours any more.
    pub(crate) async fn lead_to(&mut self, port: u16) -> Result<(), RouterError> {
        self.config.target_port = port;
        let update =
            RouteUpdate { target_port: Some(port), leased_to: Some(self.lease.clone()), ..RouteUpdate::default() };
        self.route = self.client.update_route(self.route.route_id.as_str(), update).await?;
        Ok(())
    }

    /// Whether the server answers, and how. One that does not know the path of health checks, where none was asked
    /// for, is checked at its root from then on, if it is healthy there.
    pub(crate) async fn answers(&mut self) -> Answer {
        let id = self.route.route_id.to_string();
        let Ok(health) = self.client.check_route_health(&id).await else { return Answer::None };
        if !health.healthy && health.status_code.is_some() && self.config.health_path.is_none() {
            let at = |path: &str| RouteUpdate {
                health_path: Some(path.to_owned()),
                leased_to: Some(self.lease.clone()),
                ..RouteUpdate::default()
            };
            match self.client.update_route(&id, at("/")).await {
                Ok(route) if route.status == RouteStatus::Active => {
                    self.config.health_path = Some("/".to_owned());
                    return Answer::Healthy;
                }
                Ok(_) => _ = self.client.update_route(&id, at("")).await,
                // Whether the route is ours is found out elsewhere.
                Err(_) => {}
            }
        }
        match (health.healthy, health.status_code, health.error) {
            (true, ..) => Answer::Healthy,
            (false, Some(status), why) => Answer::Unwell(why.unwrap_or_else(|| format!("it answered {status}"))),
            (false, None, _) => Answer::None,
        }
    }

    /// Returns when something has happened after which the route may not be ours any more, the end of the router among it.
    /// What happened before the router began to tell, and while none does, is missed.
    ///
    /// Dropping it loses nothing.
    pub(crate) async fn may_be_lost(&mut self) {
        loop {
            let Some(news) = &mut self.news else { return std::future::pending().await };
            match news.recv().await {
                Ok(RouterEvent::Cleared) | Err(RecvError::Lagged(_)) => return,
                Ok(RouterEvent::Removed(route)) if route.route_id == self.route.route_id => return,
                Ok(RouterEvent::Updated(route)) if route.route_id == self.route.route_id => {
                    if !route.lease.is_some_and(|lease| lease.is_of_same_process(&self.lease)) {
                        return;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Closed) => {
                    self.news = None;
                    return;
                }
            }
        }
    }

    /// Lets the router go, which ends by itself where nobody listens to it any more.
    pub(crate) fn listen_no_more(&mut self) {
        self.news = None;
    }

    /// Whether a router tells what happens to routes.
    pub(crate) fn is_told(&self) -> bool {
        self.news.is_some()
    }

    /// Looks whether the route is ours.
    ///
    /// # Errors
    /// Where no router answers.
    pub(crate) async fn held(&mut self) -> Result<Held, RouterError> {
        let since = self.client.status().await?.started_at;
        let found = self.client.find_route(self.route.route_id.as_str()).await?;
        let is_same_router = self.standing.borrow().router_since == since;
        self.standing.send_if_modified(|standing| {
            standing.router_since = since;
            !is_same_router
        });
        if self.news.is_none() {
            self.news = Some(self.client.subscribe());
        }
        Ok(match found.and_then(|route| route.lease) {
            Some(lease) if lease.is_of_same_process(&self.lease) => Held::Yes,
            Some(lease) => Held::Lost(format!("it is that of {} now", owner(&lease))),
            None if is_same_router && !self.is_forgotten => Held::Lost("it was removed".to_owned()),
            None => {
                self.is_forgotten = true;
                Held::Forgotten
            }
        })
    }

    /// Takes the name anew from a router that does not know of it.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) async fn take_again(&mut self) -> Result<(), Failure> {
        self.route = take(&self.client, &self.config, false, &self.hint).await?;
        self.is_forgotten = false;
        self.standing.send_modify(|standing| standing.route_id = self.route.route_id.to_string());
        Ok(())
    }

    /// Takes the route out and ends its streams, if it is ours.
    pub(crate) async fn end(&self) {
        let end = self.client.end_lease(self.route.route_id.as_str(), &self.lease);
        // Where that fails, the router finds that this process has ended.
        let _ = tokio::time::timeout(END_MOST, end).await;
    }
}

async fn take(client: &ControlClient, config: &RouteConfig, force: bool, hint: &str) -> Result<RouteInfo, Failure> {
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let error = match client.register_route(config.clone()).await {
            Ok(route) => return Ok(route),
            Err(error) if ["ROUTE_EXISTS", "ROUTE_CONFLICT"].contains(&error.code()) => error,
            Err(error) => return Err(error.into()),
        };
        let routes = client.all_routes().await?;
        let named = |r: &&RouteInfo| r.subdomain == config.subdomain && r.path_prefix == config.path_prefix;
        let deployed = |r: &&RouteInfo| r.deployment_id == config.deployment_id;
        // One of our own is there where its taking was given up half-way.
        let is_free = |lease: &RouteLease| {
            lease.has_ended() || config.lease.as_ref().is_some_and(|own| own.is_of_same_process(lease))
        };
        match routes.iter().find(named).or_else(|| routes.iter().find(deployed)) {
            Some(holder) if force || holder.lease.as_ref().is_some_and(is_free) => {
                match client.update_route(holder.route_id.as_str(), over(config, holder)).await {
                    Err(error) if error.code() == "ROUTE_NOT_FOUND" && left > 0 => {}
                    taken => return Ok(taken?),
                }
            }
            Some(holder) => return Err(conflict(config, holder, hint)),
            None if left == 0 => return Err(error.into()),
            None => {}
        }
    }
}

/// An update that makes the route of another the one of `config`, while it is still that other's.
fn over(config: &RouteConfig, holder: &RouteInfo) -> RouteUpdate {
    RouteUpdate {
        deployment_id: None,
        path_prefix: Some(config.path_prefix.clone().unwrap_or_default()),
        health_path: Some(config.health_path.clone().unwrap_or_default()),
        lease: config.lease.clone().map(LeaseUpdate::To),
        leased_to: holder.lease.clone(),
        ..RouteUpdate::from(config.clone())
    }
}

fn conflict(config: &RouteConfig, holder: &RouteInfo, hint: &str) -> Failure {
    let name = format!("{}{}", config.subdomain, config.path_prefix.as_deref().unwrap_or_default());
    let message = match &holder.lease {
        Some(lease) => format!("{name} is taken by {}", owner(lease)),
        None => format!("{name} is taken: it leads to {}", holder.target),
    };
    Failure { code: "ROUTE_CONFLICT".to_owned(), message, hint: Some(hint.to_owned()), exit: Exit::Conflict }
}

/// Who has a route, for people.
fn owner(lease: &RouteLease) -> String {
    let command = lease.command.as_ref().map(|command| format!(", which runs {command}")).unwrap_or_default();
    let folder = lease.folder.as_ref().map(|folder| format!(" in {folder}")).unwrap_or_default();
    format!("pid {}{command}{folder}", lease.pid)
}
