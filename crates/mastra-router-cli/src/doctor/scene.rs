//! What every check begins with: the router that runs, if one does, and where its things are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mastra_router::control::ControlClient;
use mastra_router::control::wire::RouterJson;
use mastra_router::trust::Machine;
use mastra_router::{Home, HomeHolder, RouteInfo, RouterControl, SavedState};

use crate::cli::CertDir;
use crate::commands::authority::Place;
use crate::config::Places;
use crate::daemon::door::{self, Question};

/// How long the router is waited for. One that runs answers within milliseconds.
const ROUTER_MOST: Duration = Duration::from_millis(500);

/// Shared by all checks, which change nothing of it.
#[derive(Clone)]
pub(crate) struct Scene(Arc<Facts>);

pub(crate) struct Facts {
    pub(crate) home: Home,
    /// Whether the home was named on the command line; any other is found by every command of the same shell.
    pub(crate) home_given: bool,
    pub(crate) holder: Result<HomeHolder, String>,
    /// The router that answers on the control socket.
    pub(crate) router: Option<RouterJson>,
    pub(crate) routes: Vec<RouteInfo>,
    pub(crate) saved: Result<SavedState, String>,
    pub(crate) cert_dir: PathBuf,
    pub(crate) machine: Machine,
    /// The file that the router which runs was given.
    pub(crate) config: Option<PathBuf>,
    /// A certificate that the router serves in the place of issued ones.
    pub(crate) own_cert: Option<PathBuf>,
}

impl std::ops::Deref for Scene {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl Scene {
    pub(crate) async fn look(home: &Home, home_given: bool, tools_until: Instant) -> Self {
        let client = ControlClient::new(home);
        let asked = async {
            let router = client.status().await.ok()?;
            // None of them where there are too many to be told in time.
            Some((router, client.all_routes().await.unwrap_or_default()))
        };
        let asked = tokio::time::timeout(ROUTER_MOST, asked).await.ok().flatten();
        let (router, routes) = asked.map_or((None, Vec::new()), |(router, routes)| (Some(router), routes));
        let described = match router {
            Some(_) => tokio::time::timeout(ROUTER_MOST, door::ask(home, &Question::Describe)).await.ok(),
            None => None,
        };
        let origin = described.and_then(Result::ok).and_then(|described| described.origin);
        let own_cert = origin.as_ref().and_then(|origin| origin.path_of("--cert"));
        let config = origin.as_ref().and_then(|origin| origin.path_of("--config"));
        let given_dir = origin.as_ref().and_then(|origin| origin.path_of("--cert-dir"));
        let mut place = Place::of(&CertDir { cert_dir: given_dir.or_else(|| Places::of_user(home).ok()?.cert_dir) });
        place.machine.deadline = Some(tools_until);
        let (holder, saved) = (home.holder(), SavedState::look(home.path()));
        let facts = Facts {
            home: home.clone(),
            home_given,
            holder: holder.map_err(|error| error.to_string()),
            router,
            routes,
            saved: saved.map_err(|error| error.to_string()),
            cert_dir: place.cert_dir,
            machine: place.machine,
            config,
            own_cert,
        };
        Self(Arc::new(facts))
    }
}

impl Facts {
    /// The domain that routes live under: the running router's, else the one that was typed last.
    pub(crate) fn base_domain(&self) -> String {
        let saved = || self.saved.as_ref().ok().and_then(|saved| saved.settings.base_domain.clone());
        let running = self.router.as_ref().map(|router| router.base_domain.clone());
        running.or_else(saved).unwrap_or_else(|| "localhost".to_owned())
    }

    /// Whether any URL is `https`.
    pub(crate) fn is_https(&self) -> bool {
        let saved = || self.saved.as_ref().is_ok_and(|saved| saved.settings.tls == Some(true));
        let of_router = self.router.as_ref().and_then(|router| router.url.as_ref());
        of_router.map_or_else(saved, |url| url.starts_with("https:"))
            || self.routes.iter().any(|route| route.public_url.starts_with("https:"))
    }

    /// The hosts of the routes, each once.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let base = self.base_domain();
        let mut hosts: Vec<String> = self.routes.iter().map(|route| format!("{}.{base}", route.subdomain)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    /// A command of ours that finds the same router.
    pub(crate) fn command(&self, rest: &str) -> String {
        match self.home_given {
            true => format!("mastra-router {rest} --home {}", super::quoted(self.home.path())),
            false => format!("mastra-router {rest}"),
        }
    }
}
