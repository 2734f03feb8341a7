//! `[[routes]]`.

use mastra_router::{RouteConfig, RouteName, RouteSpec, Target};
use serde::Deserialize;

use super::source::Source;
use crate::failure::Failure;

/// Routes of files, each with its place.
#[derive(Debug, Default)]
pub(crate) struct ConfiguredRoutes {
    pub(crate) routes: Vec<RouteConfig>,
    places: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteEntry {
    name: String,
    target: String,
    #[serde(default)]
    path_prefix: Option<String>,
    #[serde(default)]
    strip_prefix: Option<bool>,
    #[serde(default)]
    health: Option<String>,
    #[serde(default)]
    project: Option<String>,
    #[serde(default)]
    deployment: Option<String>,
    #[serde(default)]
    wildcard: bool,
    #[serde(default)]
    tls: Option<bool>,
}

impl From<Vec<RouteConfig>> for ConfiguredRoutes {
    /// Routes that are written in no file.
    fn from(routes: Vec<RouteConfig>) -> Self {
        Self { routes, ..Self::default() }
    }
}

impl ConfiguredRoutes {
    /// Checks what is written, here rather than when it is registered, so that nothing listens yet where one is not valid.
    ///
    /// # Errors
    /// A failure that names the place.
    pub(super) fn read(entries: Vec<toml::Spanned<RouteEntry>>, source: &Source) -> Result<Self, Failure> {
        let mut configured = Self::default();
        for entry in entries {
            let offset = entry.span().start;
            let route = entry.into_inner();
            let target = Target::parse_text(&route.target)
                .map_err(|error| source.invalid(offset, &format!("routes.target of {:?}: {error}", route.name)))?;
            configured.routes.push(route.config(&target));
            configured.places.push(source.at(offset));
        }
        for (index, route) in configured.routes.iter().enumerate() {
            let valid = RouteName::parse(&route.subdomain).and_then(|_| RouteSpec::parse(route));
            valid.map_err(|error| configured.failure(index, error.into()))?;
        }
        Ok(configured)
    }

    /// `failure` of the route with this index, with the place where it is written.
    pub(crate) fn failure(&self, index: usize, mut failure: Failure) -> Failure {
        if let Some(place) = self.places.get(index) {
            failure.message = format!("{place}: {}", failure.message);
        }
        failure
    }

    /// Those of another file after these.
    pub(super) fn extend(&mut self, more: Self) {
        self.routes.extend(more.routes);
        self.places.extend(more.places);
    }
}

impl RouteEntry {
    fn config(self, target: &Target) -> RouteConfig {
        let deployment = self.deployment.unwrap_or_else(|| default_deployment(&self.name, self.path_prefix.as_deref()));
        let project = self.project.unwrap_or_else(|| "default".to_owned());
        RouteConfig {
            path_prefix: self.path_prefix,
            strip_prefix: self.strip_prefix,
            health_path: self.health,
            wildcard: self.wildcard,
            tls: self.tls,
            target_scheme: target.scheme(),
            ..RouteConfig::new(deployment, project, self.name, target.host_text(), target.port())
        }
    }
}

/// Name and path prefix make a route unique, so they make its deployment's id where none is given.
pub(crate) fn default_deployment(name: &str, path_prefix: Option<&str>) -> String {
    format!("{name}{}", path_prefix.unwrap_or_default())
}
