//! The keys of the settings, and where a file has them.

use toml::Table;
use toml::de::{DeTable, DeValue};

use super::source::Source;

/// Every setting, as it is written in a file. Tables that are no settings of a router are left out.
pub(crate) const KEYS: [&str; 32] = [
    "strategy",
    "base_domain",
    "listen",
    "lan",
    "save",
    "threads",
    "log_routes",
    "localhost_urls",
    "allow_remote_targets",
    "port_range",
    "health.path",
    "health.interval",
    "health.timeout",
    "health.failure_threshold",
    "proxy.restart_grace",
    "proxy.start_timeout",
    "proxy.connect_timeout",
    "proxy.head_timeout",
    "proxy.idle_timeout",
    "proxy.drain_timeout",
    "proxy.max_connections",
    "proxy.pool_size",
    "proxy.max_hops",
    "tls.enabled",
    "tls.cert_dir",
    "tls.validity_days",
    "tls.cert",
    "tls.key",
    "tls.redirect_http",
    "hosts.mode",
    "hosts.path",
    "hosts.backup_dir",
];

/// A setting that somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// One of [`KEYS`].
    pub(crate) key: &'static str,
    /// Its line in the file, from 1.
    pub(crate) line: usize,
}

/// The settings that a file has, which was parsed before.
pub(super) fn of_text(source: &Source) -> Vec<Said> {
    let Ok(table) = DeTable::parse(source.text()) else { return Vec::new() };
    let table = table.into_inner();
    let find = |key: &'static str| {
        let mut words = key.split('.').peekable();
        let mut table = &table;
        while let Some(word) = words.next() {
            let (name, value) = table.get_key_value(word)?;
            match (words.peek(), value.get_ref()) {
                (None, _) => return Some(Said { key, line: source.line(name.span().start) }),
                (Some(_), DeValue::Table(inner)) => table = inner,
                (Some(_), _) => return None,
            }
        }
        None
    };
    KEYS.into_iter().filter_map(find).collect()
}

/// The settings that a table has, which stands in no file.
pub(super) fn of_table(table: &Table) -> Vec<Said> {
    let has = |key: &&str| match key.split_once('.') {
        Some((above, last)) => table.get(above).and_then(toml::Value::as_table).is_some_and(|t| t.contains_key(last)),
        None => table.contains_key(*key),
    };
    KEYS.into_iter().filter(has).map(|key| Said { key, line: 1 }).collect()
}
