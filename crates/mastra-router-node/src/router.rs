//! `LocalEdgeRouter`: one of this process, or a daemon's.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mastra_router::control::ControlClient;
use mastra_router::{EdgeRouterProvider, Home, LocalEdgeRouter, RouterControl, RouterError};
use napi::Env;
use napi::bindgen_prelude::{block_on, spawn, within_runtime_if_available};
use napi_derive::napi;
use tokio::task::AbortHandle;

use crate::config::NativeConfig;
use crate::error::to_js;
use crate::events::{self, Listener, NativeEvent, NativeRequest};
use crate::hosts::NativeHosts;
use crate::live;
use crate::route::{NativeHealth, NativeProxied, NativeRouteConfig, NativeRouteInfo, NativeRouteUpdate};
use crate::tls::NativeTls;

#[napi]
pub struct NativeRouter {
    router: Router,
    /// What tells JavaScript of events and requests.
    following: Mutex<[Option<AbortHandle>; 2]>,
}

#[derive(Clone)]
enum Router {
    Own(Arc<LocalEdgeRouter>),
    /// That of another process, and its home.
    Daemon(ControlClient, Home),
}

/// How long a daemon may take to answer what the program waits for without doing anything else.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How long it may take for an answer that waits for nothing but the daemon.
const SOON: Duration = Duration::from_secs(20);

impl Router {
    /// Waits no longer than this for a daemon, which may be stopped.
    async fn within<R>(&self, most: Duration, call: impl Future<Output = Result<R, RouterError>>) -> napi::Result<R> {
        let Self::Daemon(_, home) = self else { return call.await.map_err(to_js) };
        let late = |_| RouterError::Unreachable {
            socket: home.socket_path(),
            reason: format!("it did not answer within {} s", most.as_secs()),
        };
        tokio::time::timeout(most, call).await.map_err(late).and_then(|answer| answer).map_err(to_js)
    }
}

impl Router {
    fn control(&self) -> &dyn RouterControl {
        match self {
            Self::Own(router) => &**router,
            Self::Daemon(client, _) => client,
        }
    }
}

#[napi]
impl NativeRouter {
    #[napi(constructor)]
    pub fn new(env: &Env, config: NativeConfig) -> napi::Result<Self> {
        let config = config.read().map_err(to_js)?;
        // The library makes its tasks on the runtime it finds.
        let router = within_runtime_if_available(|| LocalEdgeRouter::new(config)).map_err(to_js)?;
        let router = Arc::new(router);
        live::add(env, &router)?;
        Ok(Self::of(Router::Own(router)))
    }

    /// The router that runs in a home, or in the user's.
    #[napi]
    pub async fn connect(home: Option<String>) -> napi::Result<Self> {
        let home = Home::resolve(home.map(PathBuf::from));
        Ok(Self::of(Router::Daemon(ControlClient::connect(&home).await.map_err(to_js)?, home)))
    }

    fn of(router: Router) -> Self {
        Self { router, following: Mutex::default() }
    }

    #[napi]
    pub async fn register_route(&self, config: NativeRouteConfig) -> napi::Result<NativeRouteInfo> {
        let router = self.router.clone();
        let config = config.read().map_err(to_js)?;
        Ok(router.control().register_route(config).await.map_err(to_js)?.into())
    }

    #[napi]
    pub async fn update_route(&self, route_id: String, update: NativeRouteUpdate) -> napi::Result<NativeRouteInfo> {
        let router = self.router.clone();
        let update = update.read().map_err(to_js)?;
        Ok(router.control().update_route(&route_id, update).await.map_err(to_js)?.into())
    }

    #[napi]
    pub async fn remove_route(&self, route_id: String) -> napi::Result<()> {
        let router = self.router.clone();
        router.within(SOON, router.control().remove_route(&route_id)).await
    }

    #[napi]
    pub async fn get_route(&self, deployment_id: String) -> napi::Result<Option<NativeRouteInfo>> {
        let router = self.router.clone();
        Ok(router.within(SOON, router.control().get_route(&deployment_id)).await?.map(Into::into))
    }

    /// By id, deployment or name.
    #[napi]
    pub async fn find_route(&self, key: String) -> napi::Result<Option<NativeRouteInfo>> {
        let router = self.router.clone();
        Ok(router.within(SOON, router.control().find_route(&key)).await?.map(Into::into))
    }

    #[napi]
    pub async fn list_routes(&self, project_id: String) -> napi::Result<Vec<NativeRouteInfo>> {
        let router = self.router.clone();
        Ok(router.within(SOON, router.control().list_routes(&project_id)).await?.into_iter().map(Into::into).collect())
    }

    #[napi]
    pub async fn check_route_health(&self, route_id: String) -> napi::Result<NativeHealth> {
        let router = self.router.clone();
        Ok(router.control().check_route_health(&route_id).await.map_err(to_js)?.into())
    }

    #[napi]
    pub async fn allocate_port(&self) -> napi::Result<u16> {
        let router = self.router.clone();
        router.within(SOON, router.control().allocate_port()).await
    }

    #[napi]
    pub async fn release_port(&self, port: u32) -> napi::Result<bool> {
        let Ok(port) = u16::try_from(port) else { return Ok(false) };
        let router = self.router.clone();
        router.within(SOON, router.control().release_port(port)).await
    }

    /// All routes, at once: those of a daemon are asked for over its socket while the caller waits.
    #[napi]
    pub fn all_routes(&self) -> napi::Result<Vec<NativeRouteInfo>> {
        let routes = match &self.router {
            Router::Own(router) => router.get_all_routes(),
            Router::Daemon(client, _) => block_on(self.router.within(AT_ONCE, client.all_routes()))?,
        };
        Ok(routes.into_iter().map(Into::into).collect())
    }

    /// Removes all routes of an own router; of a daemon's only these, and the caller waits for it.
    #[napi]
    pub fn clear_routes(&self, ids: Vec<String>) -> napi::Result<()> {
        match &self.router {
            Router::Own(router) => router.clear_routes(),
            Router::Daemon(client, _) => block_on(self.router.within(AT_ONCE, async {
                for id in &ids {
                    client.remove_route(id).await?;
                }
                Ok(())
            }))?,
        }
        Ok(())
    }

    #[napi]
    pub fn start_health_checking(&self) {
        if let Router::Own(router) = &self.router {
            within_runtime_if_available(|| router.start_health_checking());
        }
    }

    #[napi]
    pub fn stop_health_checking(&self) {
        if let Router::Own(router) = &self.router {
            router.stop_health_checking();
        }
    }

    #[napi]
    pub async fn start_proxy(&self) -> napi::Result<()> {
        match self.router.clone() {
            Router::Own(router) => router.start_proxy().await.map_err(to_js),
            // A daemon's runs for as long as it does.
            Router::Daemon(..) => Err(to_js(RouterError::ProxyRunning)),
        }
    }

    #[napi]
    pub async fn stop_proxy(&self) {
        if let Router::Own(router) = self.router.clone() {
            router.stop_proxy().await;
        }
    }

    /// The port the proxy got, while it runs.
    #[napi]
    pub fn proxy_port(&self) -> Option<u16> {
        match &self.router {
            Router::Own(router) => router.proxy_addresses().first().map(|address| address.port()),
            Router::Daemon(client, _) => {
                let status = block_on(self.router.within(AT_ONCE, client.status())).ok()?;
                status.listen.first().and_then(|address| address.parse::<std::net::SocketAddr>().ok()).map(|a| a.port())
            }
        }
    }

    /// The routes as a proxy sees them; of a daemon none.
    #[napi]
    pub fn proxy_routes(&self) -> Vec<NativeProxied> {
        let routes = match &self.router {
            Router::Own(router) => router.get_all_routes(),
            Router::Daemon(..) => Vec::new(),
        };
        routes.into_iter().map(Into::into).collect()
    }

    /// What of the saved state could not be put back.
    #[napi]
    pub fn warnings(&self) -> Vec<String> {
        match &self.router {
            Router::Own(router) => router.warnings().to_vec(),
            Router::Daemon(..) => Vec::new(),
        }
    }

    /// The router's own lines of the hosts file; nothing where it keeps none.
    #[napi]
    pub fn hosts(&self) -> Option<NativeHosts> {
        match &self.router {
            Router::Own(router) => router.hosts_manager().map(NativeHosts::of),
            Router::Daemon(..) => None,
        }
    }

    /// The router's own certificates; nothing where it serves none.
    #[napi]
    pub fn tls(&self) -> Option<NativeTls> {
        match &self.router {
            Router::Own(router) => router.tls_settings().map(NativeTls::of),
            Router::Daemon(..) => None,
        }
    }

    /// Tells `listener` of events from now on, in the place of the one before. A daemon's are there when this returns.
    #[napi]
    pub fn follow(
        &self,
        #[napi(ts_arg_type = "(event: NativeEvent) => void")] listener: Listener<NativeEvent>,
    ) -> napi::Result<()> {
        let events = match &self.router {
            Router::Own(router) => router.subscribe(),
            Router::Daemon(client, _) => block_on(self.router.within(AT_ONCE, client.events()))?,
        };
        self.set_following(0, Some(spawn(events::follow(events, listener)).abort_handle()));
        Ok(())
    }

    /// As [`NativeRouter::follow`], of the requests that the proxy answers.
    #[napi]
    pub fn follow_requests(
        &self,
        #[napi(ts_arg_type = "(request: NativeRequest) => void")] listener: Listener<NativeRequest>,
    ) -> napi::Result<()> {
        let requests = block_on(self.router.within(AT_ONCE, self.router.control().requests()))?;
        self.set_following(1, Some(spawn(events::follow_requests(requests, listener)).abort_handle()));
        Ok(())
    }

    #[napi]
    pub fn unfollow(&self) {
        self.set_following(0, None);
    }

    #[napi]
    pub fn unfollow_requests(&self) {
        self.set_following(1, None);
    }

    /// Closes an own router; a daemon's is left to run.
    #[napi]
    pub async fn close(&self) {
        if let Router::Own(router) = self.router.clone() {
            router.close().await;
        }
    }

    fn set_following(&self, which: usize, task: Option<AbortHandle>) {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = following.get_mut(which)
            && let Some(before) = std::mem::replace(place, task)
        {
            before.abort();
        }
    }
}

impl Drop for NativeRouter {
    fn drop(&mut self) {
        self.set_following(0, None);
        self.set_following(1, None);
    }
}
