//! What is written of a route, and how it is read back.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Result, RouterError};
use crate::lease::RouteLease;
use crate::life::RouteLife;
use crate::route::{Route, RouteConfig, RouteId, RouteOrigin, RouteSpec};
use crate::target::TargetScheme;

/// JSON has no greater whole numbers that every reader takes for the same.
const SEQUENCE_MAX: u64 = 1 << 53;

/// One change of the saved state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "nearly all changes are the large one, and few are held at a time")]
pub(super) enum Change {
    /// A route is there, in the place of an older one with its id.
    Put(RouteRecord),
    /// The route with this id is gone.
    Remove(String),
    /// This port is leased.
    Lease(u16),
    /// This port was given back.
    Release(u16),
}

/// A route. A new field needs a new version of the file, since an older router would drop what it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RouteRecord {
    pub(super) id: String,
    pub(super) sequence: u64,
    created_at: String,
    deployment: String,
    project: String,
    name: String,
    scheme: String,
    /// Never an address that the host's name had: it is resolved anew.
    host: String,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_prefix: Option<String>,
    strip_prefix: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health_path: Option<String>,
    wildcard: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseRecord>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    wake: bool,
}

/// The process a route ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LeaseRecord {
    namespace: u64,
    pid: u32,
    start: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
}

impl From<&Route> for RouteRecord {
    fn from(route: &Route) -> Self {
        let spec = &route.spec;
        Self {
            id: route.id.to_string(),
            sequence: route.sequence,
            created_at: humantime::format_rfc3339_nanos(route.created_at).to_string(),
            deployment: spec.deployment_id.to_string(),
            project: spec.project_id.to_string(),
            name: spec.name.as_str().to_owned(),
            scheme: spec.target.scheme().as_str().to_owned(),
            host: spec.target.host_text(),
            port: spec.target.port(),
            tls: spec.tls,
            path_prefix: spec.path_prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
            strip_prefix: spec.strip_prefix,
            health_path: spec.health_path.as_ref().map(|path| path.as_str().to_owned()),
            wildcard: spec.wildcard,
            lease: spec.lease.as_deref().cloned().map(LeaseRecord::from),
            wake: spec.wake,
        }
    }
}

impl From<RouteLease> for LeaseRecord {
    fn from(RouteLease { namespace, pid, start, command, folder }: RouteLease) -> Self {
        Self { namespace, pid, start, command, folder }
    }
}

impl From<LeaseRecord> for RouteLease {
    fn from(LeaseRecord { namespace, pid, start, command, folder }: LeaseRecord) -> Self {
        Self { namespace, pid, start, command, folder }
    }
}

impl RouteRecord {
    /// The route, read as strictly as a registration is.
    ///
    /// # Errors
    /// The first field that is not valid.
    pub(super) fn route(self) -> Result<Route> {
        let invalid = |field, value: &str, reason| RouterError::InvalidField { field, value: value.to_owned(), reason };
        let digits = self.id.strip_prefix("route_").unwrap_or_default();
        if digits.len() != 8 || !digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid("id", &self.id, "it is not route_ and eight hexadecimal digits"));
        }
        if self.sequence >= SEQUENCE_MAX {
            return Err(invalid("sequence", &self.sequence.to_string(), "it is too great"));
        }
        let created_at = humantime::parse_rfc3339(&self.created_at)
            .map_err(|_| invalid("createdAt", &self.created_at, "it is no time"))?;
        let config = RouteConfig {
            target_scheme: TargetScheme::parse(&self.scheme)?,
            tls: self.tls,
            path_prefix: self.path_prefix,
            strip_prefix: Some(self.strip_prefix),
            health_path: self.health_path,
            wildcard: self.wildcard,
            lease: self.lease.map(RouteLease::from),
            wake: self.wake,
            ..RouteConfig::new(self.deployment, self.project, self.name, self.host, self.port)
        };
        Ok(Route {
            id: RouteId::from(self.id.as_str()),
            spec: RouteSpec::parse(&config)?,
            origin: RouteOrigin::Registered,
            target_revision: 0,
            sequence: self.sequence,
            created_at,
            cut: Arc::default(),
            life: RouteLife::new(self.wake),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    pub(in crate::persist) fn route(i: u64) -> Route {
        Route {
            id: RouteId::from(format!("route_{i:08x}").as_str()),
            spec: RouteSpec::parse(&RouteConfig::new(format!("d{i}"), "p", format!("n{i}"), "localhost", 1)).unwrap(),
            origin: RouteOrigin::Registered,
            target_revision: 0,
            sequence: i,
            created_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_234_567_890 + i),
            cut: Arc::default(),
            life: RouteLife::new(false),
        }
    }

    #[test]
    fn a_route_comes_back_as_it_was() {
        let plain = RouteConfig::new("d ü \"\\", "", "shop", "localhost", 1);
        let full = RouteConfig {
            target_scheme: TargetScheme::HttpsUnverified,
            tls: Some(false),
            path_prefix: Some("/api".into()),
            strip_prefix: Some(false),
            health_path: Some("/x?y=%20".into()),
            wildcard: true,
            wake: true,
            lease: Some(RouteLease { command: Some("npm run dev".into()), ..RouteLease::of_this_process() }),
            ..RouteConfig::new("d", "p", "a.b", "::1", 65535)
        };
        let named = RouteConfig::new("d", "p", "a", "db.example", 5432);
        for config in [RouteConfig { project_id: "p".into(), ..plain }, full, named] {
            let before = Route { spec: RouteSpec::parse(&config).unwrap(), ..route(7) };
            let json = serde_json::to_string(&RouteRecord::from(&before)).unwrap();
            let after = serde_json::from_str::<RouteRecord>(&json).unwrap().route().unwrap();
            assert_eq!(format!("{before:?}"), format!("{after:?}"));
        }
    }

    #[test]
    fn the_addresses_of_a_name_are_not_kept() {
        let mut before =
            Route { spec: RouteSpec::parse(&RouteConfig::new("d", "p", "a", "db.example", 1)).unwrap(), ..route(1) };
        let unpinned = RouteRecord::from(&before);
        before.spec.target = before.spec.target.pin(["127.0.0.9".parse().unwrap()]).unwrap();
        assert_eq!(RouteRecord::from(&before), unpinned);
    }

    #[test]
    fn what_could_not_be_registered_is_not_read_back() {
        let good = serde_json::to_value(RouteRecord::from(&route(1))).unwrap();
        let read = |json| {
            serde_json::from_value::<RouteRecord>(json).map_err(|e| e.to_string())?.route().map_err(|e| e.to_string())
        };
        assert!(read(good.clone()).is_ok());
        for (field, value) in [
            ("id", "\"route_1\""),
            ("id", "\"route_0000000G\""),
            ("id", "\"../etc/x\""),
            ("sequence", "9007199254740992"),
            ("sequence", "-1"),
            ("createdAt", "\"yesterday\""),
            ("deployment", "\"\""),
            ("deployment", "\"\\u001b[2J\""),
            ("project", "\"a\\nb\""),
            ("name", "\"a b\""),
            ("name", "\"router\""),
            ("scheme", "\"ftp\""),
            ("host", "\"169.254.169.254\""),
            ("host", "\"a/b\""),
            ("port", "0"),
            ("port", "65536"),
            ("pathPrefix", "\"/a/../b\""),
            ("healthPath", "\"x\""),
            ("wildcard", "1"),
            ("wake", "1"),
            ("unheardOf", "1"),
            ("lease", "{}"),
            ("lease", "{\"namespace\":1,\"pid\":0,\"start\":1}"),
        ] {
            let mut bad = good.clone();
            bad[field] = serde_json::from_str(value).unwrap();
            assert!(read(bad).is_err(), "{field} {value}");
        }
        for field in ["id", "sequence", "createdAt", "deployment", "name", "scheme", "host", "port", "stripPrefix"] {
            let mut bad = good.clone();
            bad.as_object_mut().unwrap().remove(field);
            assert!(read(bad).is_err(), "no {field}");
        }
    }
}
