//! What a router was asked to be, so that it is the same after a restart: a small file that is replaced as a whole.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::config::RoutingStrategy;
use crate::directory::{Directory, refuse_open_ancestors};
use crate::error::{Result, RouterError};
use crate::name::BaseDomain;

const FILE: &str = "settings.json";
const NEW: &str = "settings.json.new";
const VERSION: u64 = 1;
/// A few addresses and a name are a few hundred bytes.
const FILE_MAX: u64 = 1 << 16;

/// Settings that somebody gave by hand; what is not set was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedSettings {
    /// Addresses of the proxy, as asked for: port 0 stays 0. Loopback ones only.
    pub listen: Vec<SocketAddr>,
    /// Domain that routes live under.
    pub base_domain: Option<String>,
    /// How routes are reached.
    pub strategy: Option<RoutingStrategy>,
    /// Whether URLs are `https`.
    pub tls: Option<bool>,
}

#[derive(Deserialize)]
struct VersionRecord {
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsRecord {
    version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listen: Vec<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base_domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strategy: Option<StrategyRecord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StrategyRecord {
    PortMapping,
    ReverseProxy,
}

impl SavedSettings {
    /// Reads the settings saved in a directory; none where there are none. A file that cannot be used is put aside under
    /// another name, which the second value tells.
    ///
    /// # Errors
    /// [`RouterError::File`] where the file cannot be read or put aside.
    pub fn load(dir: &Path) -> Result<(Self, Option<String>)> {
        let Some((directory, bytes)) = read(dir)? else { return Ok(Default::default()) };
        if let Some(settings) = Self::parse(&bytes) {
            return Ok((settings, None));
        }
        let newer = serde_json::from_slice::<VersionRecord>(&bytes).is_ok_and(|record| record.version > VERSION);
        let (kind, what) = if newer { ("newer", "was written by a newer version") } else { ("corrupt", "is damaged") };
        let kept = put_aside(&directory, kind).map_err(|source| RouterError::File {
            action: "put aside",
            path: directory.path_of(FILE),
            source,
        })?;
        let (path, kept) = (directory.path_of(FILE), kept.display().to_string());
        Ok((
            Self::default(),
            Some(format!("{} {what}; it is kept as {kept}, and nothing of it is used", path.display())),
        ))
    }

    /// As [`load`](Self::load), and leaves what cannot be used where it is.
    ///
    /// # Errors
    /// [`RouterError::File`] where the file cannot be read.
    pub fn look(dir: &Path) -> Result<Self> {
        Ok(read(dir)?.and_then(|(_, bytes)| Self::parse(&bytes)).unwrap_or_default())
    }

    /// Saves the settings in a directory, in the place of those before. A crash leaves the old ones or the new ones.
    ///
    /// # Errors
    /// [`RouterError::File`]; then the old ones are there.
    pub fn save(&self, dir: &Path) -> Result<()> {
        refuse_open_ancestors(dir)?;
        let directory = Directory::open_or_create(dir)?;
        let strategy = self.strategy.map(|strategy| match strategy {
            RoutingStrategy::PortMapping => StrategyRecord::PortMapping,
            RoutingStrategy::ReverseProxy => StrategyRecord::ReverseProxy,
        });
        let (listen, base_domain) = (self.listen.clone(), self.base_domain.clone());
        let record = SettingsRecord { version: VERSION, listen, base_domain, strategy, tls: self.tls };
        let written = serde_json::to_string_pretty(&record).map_err(io::Error::other).and_then(|json| {
            if directory.has(NEW)? {
                directory.remove(NEW)?;
            }
            let mut file = directory.create_file(NEW)?;
            writeln!(file, "{json}")?;
            file.sync_all()?;
            directory.rename(NEW, FILE)?;
            directory.sync()
        });
        written.map_err(|source| RouterError::File { action: "write", path: directory.path_of(FILE), source })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let record: SettingsRecord = serde_json::from_slice(bytes).ok()?;
        if record.version != VERSION || !record.listen.iter().all(|address| address.ip().is_loopback()) {
            return None;
        }
        if let Some(domain) = &record.base_domain {
            BaseDomain::parse(domain).ok()?;
        }
        let strategy = record.strategy.map(|strategy| match strategy {
            StrategyRecord::PortMapping => RoutingStrategy::PortMapping,
            StrategyRecord::ReverseProxy => RoutingStrategy::ReverseProxy,
        });
        Some(Self { listen: record.listen, base_domain: record.base_domain, strategy, tls: record.tls })
    }
}

/// The bytes of the file and the directory it is in, where there is one.
fn read(dir: &Path) -> Result<Option<(Directory, Vec<u8>)>> {
    let failed = |action| move |source| RouterError::File { action, path: dir.join(FILE), source };
    let directory = match Directory::open(dir) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RouterError::File { action: "use", path: dir.to_owned(), source }),
    };
    let Some(file) = directory.open_own_file(FILE).map_err(failed("open"))? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed("read"))?;
    Ok(Some((directory, bytes)))
}

fn put_aside(directory: &Directory, kind: &str) -> io::Result<PathBuf> {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string().replace(['-', ':'], "");
    let name = format!("{FILE}.{kind}-{now}");
    directory.rename(FILE, &name)?;
    directory.sync()?;
    Ok(directory.path_of(&name))
}
