//! Tells the others and the screen where an app stands.

use std::collections::HashMap;
use std::time::SystemTime;

use mastra_router::{RouteInfo, RouteStatus, RouterEvent};
use tokio::sync::watch;

use super::held::Holding;
use super::report::{Report, State};
use super::screen::Message;
use crate::run::News;

/// What tells routes apart for people: their name and their prefix.
pub(crate) type RouteKey = (String, Option<String>);

/// What the router says of the routes of a project.
#[derive(Debug, Default)]
pub(crate) struct Checked(HashMap<RouteKey, Check>);

#[derive(Debug)]
struct Check {
    /// When the route was checked last.
    at: Option<SystemTime>,
    status: RouteStatus,
    error: Option<String>,
}

impl Checked {
    pub(crate) fn of(routes: Vec<RouteInfo>) -> Self {
        let mut checked = Self::default();
        routes.into_iter().for_each(|route| checked.set(route));
        checked
    }

    /// With what has happened; whether that changes anything of `project`.
    pub(crate) fn after(&mut self, event: RouterEvent, project: &str) -> bool {
        match event {
            RouterEvent::Registered(route) | RouterEvent::Updated(route) | RouterEvent::Checked { route, .. }
                if route.project_id == project =>
            {
                self.set(route);
                true
            }
            // What is gone is not there to be checked: that is found out elsewhere.
            _ => false,
        }
    }

    fn set(&mut self, route: RouteInfo) {
        let check = Check { at: route.last_health_check, status: route.status, error: route.last_error };
        self.0.insert((route.subdomain, route.path_prefix), check);
    }
}

/// Where an app stands, and who is told.
pub(super) struct Teller<'a> {
    pub(super) report: &'a watch::Sender<Report>,
    pub(super) holding: &'a Holding<'a>,
    pub(super) at: usize,
}

impl Teller<'_> {
    pub(super) fn set(&self, change: impl FnOnce(&mut Report)) {
        let before = self.report.borrow().clone();
        let mut now = before.clone();
        change(&mut now);
        if now != before {
            self.say(now);
        }
    }

    /// Says so also where it is nothing new.
    pub(super) fn say(&self, now: Report) {
        self.report.send_replace(now.clone());
        let _ = self.holding.sink.messages.send(Message::State { app: self.at, report: now });
    }

    fn note(&self, text: String) {
        let _ = self.holding.sink.messages.send(Message::Note { app: Some(self.at), text });
    }

    pub(super) fn news(&self, news: News) {
        match news {
            News::Answers { port, unwell } => self.set(|report| {
                report.port = Some(port);
                report.is_ready = true;
                report.state = unwell.map_or(State::Healthy, |why| State::Unhealthy { why });
            }),
            News::Listens { port } => self.set(|report| {
                report.port = Some(port);
                report.is_ready = true;
                report.state = State::Listening;
            }),
            News::Waits => {}
            News::WaitsLong => self.note(format!(
                "nothing listens after {} seconds; still waiting. Does it take its port another way than by PORT? In the \
                 command, {{port}} stands for it.",
                crate::run::NEVER.as_secs()
            )),
            News::NoAnswer { port } => self.note(format!("port {port} does not answer HTTP")),
            News::BadPort { port, why } => self.note(format!("port {port} cannot be routed to: {why}")),
            News::Lost { why } => self.note(format!("the route is lost: {why}. It goes on without.")),
        }
    }

    /// What the router says of a server that is there, where it has looked after `known_at`.
    pub(super) fn checked(&self, all: &Checked, key: &RouteKey, known_at: SystemTime) {
        let Some(check) = all.0.get(key).filter(|check| check.at.is_some_and(|at| at > known_at)) else { return };
        self.set(|report| match (check.status, &report.state) {
            (RouteStatus::Active, State::Listening | State::Unhealthy { .. }) => report.state = State::Healthy,
            (RouteStatus::Unhealthy | RouteStatus::Error, State::Healthy | State::Unhealthy { .. }) => {
                let why = check.error.clone().unwrap_or_else(|| "its check failed".to_owned());
                report.state = State::Unhealthy { why };
            }
            _ => {}
        });
    }
}
