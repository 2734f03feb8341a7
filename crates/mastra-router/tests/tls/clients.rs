//! What is served is accepted by the clients people use.

use std::net::IpAddr;

use mastra_router::RouteConfig;

use crate::place::{Place, loopback};
use crate::program::{CLIENTS, is_installed, run, said};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn clients_accept_what_is_served() {
    for base in ["localhost", "mastra.local"] {
        let place = Place::new(base);
        let mut wild = RouteConfig::new("wild", "p", "wild", "localhost", 1);
        wild.wildcard = true;
        place.add(wild);
        place.route("shop");
        place.route("api.shop");
        let manager = place.open();
        let ca = manager.ca_path().unwrap();
        let servers =
            [loopback(), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])].map(|ip| Server::start_at(manager.clone(), ip));
        for (program, client) in CLIENTS.into_iter().filter(|(program, _)| is_installed(program)) {
            let names = ["shop", "api.shop", "wild", "any.wild", "router"].map(|name| format!("{name}.{base}"));
            for host in names.iter().map(String::as_str).chain([base, "127.0.0.1"]) {
                let output = client(&ca, servers[0].address, host);
                assert!(output.status.success(), "{program} {host}: {}", said(&output));
            }
            // No client of these takes an IPv6 address in place of a name but these.
            if matches!(program, "openssl" | "curl" | "python3" | "node") {
                let output = client(&ca, servers[1].address, "::1");
                assert!(output.status.success(), "{program} ::1: {}", said(&output));
            }
            // No route: no certificate, and no handshake.
            for host in [format!("none.{base}"), format!("a.b.wild.{base}"), "example.com".to_owned()] {
                let output = client(&ca, servers[0].address, &host);
                assert!(!output.status.success(), "{program} {host}: {}", said(&output));
            }
        }
        assert_eq!(manager.minted(), 8, "one a name, and one for all below wild");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_checks_of_the_chain() {
    let place = Place::new("mastra.local");
    let manager = place.open();
    let issued = manager.issue("shop.mastra.local").unwrap();
    let (ca, cert) = (manager.ca_path().unwrap(), issued.cert_path);
    let (ca, cert) = (ca.to_str().unwrap(), cert.to_str().unwrap());
    if is_installed("openssl") {
        let options = ["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "shop.mastra.local"];
        let output = run("openssl", &[&options[..], &["-CAfile", ca, cert]].concat());
        assert!(output.status.success(), "{}", said(&output));
    }
    if is_installed("certtool") {
        let output = run("certtool", &["--verify", "--load-ca-certificate", ca, "--infile", cert]);
        assert!(output.status.success(), "{}", said(&output));
    }
}
