//! Which hosts get a certificate: those that lead somewhere now.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::leaf_name::LeafName;
use super::settings::TlsSettings;
use crate::name::BaseDomain;
use crate::table::RouteTable;

pub(super) struct RoutedHosts {
    table: watch::Receiver<Arc<RouteTable>>,
    base_domains: Vec<BaseDomain>,
    addresses: Vec<IpAddr>,
}

impl RoutedHosts {
    pub(super) fn new(table: watch::Receiver<Arc<RouteTable>>, settings: &TlsSettings) -> Self {
        let addresses = settings.addresses.iter().map(IpAddr::to_canonical).filter(IpAddr::is_loopback).collect();
        Self { table, base_domains: settings.base_domains.clone(), addresses }
    }

    /// The name of the certificate for this host. Everything is compared with what is in the table or the settings, so what
    /// a client can ask for is as many names as those have, and no text of a client's gets further than here.
    pub(super) fn certificate_of(&self, host: &str) -> Option<LeafName> {
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            return self.addresses.contains(&address).then_some(LeafName::Address(address));
        }
        let table = self.table.borrow();
        self.base_domains.iter().find_map(|base| {
            if host == base.as_str() {
                return Some(LeafName::Host(host.into()));
            }
            let name = base.name_in(host)?;
            if name == "router" || !table.by_name(name).is_empty() {
                return Some(LeafName::Host(host.into()));
            }
            // A wildcard in a certificate is one label. Hosts further below a route would need one for each of them.
            let (_, parent) = name.split_once('.')?;
            let takes_below = table.by_name(parent).iter().any(|route| route.spec.wildcard);
            takes_below.then(|| LeafName::Below(format!("{parent}.{base}").into()))
        })
    }

    /// Whether a certificate still has a route.
    pub(super) fn has(&self, name: &LeafName) -> bool {
        let host = match name {
            LeafName::Below(host) => format!("any.{host}"),
            name => name.to_string(),
        };
        // A route of its own for that host changes nothing for its siblings.
        self.certificate_of(&host).is_some()
    }

    /// Certificates that there can be at one time, or a little less.
    pub(super) fn most(&self) -> usize {
        2 * self.table.borrow().len() + 2 * self.base_domains.len() + self.addresses.len()
    }
}
