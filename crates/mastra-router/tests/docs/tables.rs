//! The README's tables of settings and of error codes.

use std::collections::BTreeSet;
use std::fmt::Debug;

use mastra_router::{HealthCheckConfig, HostsConfig, LocalEdgeRouterConfig, PortRange, ProxyConfig, TlsConfig};

use crate::read;

#[test]
fn settings_and_their_defaults() {
    let readme = read("README.md");
    let documented: Vec<(String, String)> = rows(&readme, "Settings")
        .into_iter()
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].trim_matches('`').to_owned()))
        .collect();
    assert_eq!(documented, defaults());
}

/// Every setting. Taken apart field by field, so that one that is new is missed by the compiler.
fn defaults() -> Vec<(String, String)> {
    let LocalEdgeRouterConfig {
        strategy,
        base_domain,
        port_range: PortRange { start, end },
        proxy_port,
        health_check: HealthCheckConfig { path, interval, timeout, failure_threshold },
        enable_hosts_file,
        hosts: HostsConfig { path: hosts_path, backup_dir, owner },
        enable_tls,
        tls: TlsConfig { cert_dir, validity_days, cert, key, redirect_http },
        state_dir,
        log_routes,
        localhost_urls,
        listen,
        allow_remote_targets,
        proxy:
            ProxyConfig {
                threads,
                restart_grace,
                start_timeout,
                connect_timeout,
                head_timeout,
                idle_timeout,
                drain_timeout,
                max_connections,
                pool_size,
                max_hops,
            },
        lease_dir,
    } = LocalEdgeRouterConfig::default();
    fn shown(name: &str, value: impl Debug) -> (String, String) {
        let value = format!("{value:?}").trim_matches('"').to_owned();
        (name.to_owned(), if value == "None" || value == "[]" { "none".to_owned() } else { value })
    }
    vec![
        shown("strategy", strategy),
        shown("base_domain", base_domain),
        shown("port_range", format!("{start}-{end}")),
        shown("proxy_port", proxy_port),
        shown("health_check.path", path),
        shown("health_check.interval", interval),
        shown("health_check.timeout", timeout),
        shown("health_check.failure_threshold", failure_threshold),
        shown("enable_hosts_file", enable_hosts_file),
        shown("hosts.path", hosts_path),
        shown("hosts.backup_dir", backup_dir),
        shown("hosts.owner", owner),
        shown("enable_tls", enable_tls),
        shown("tls.cert_dir", cert_dir),
        shown("tls.validity_days", validity_days),
        shown("tls.cert", cert),
        shown("tls.key", key),
        shown("tls.redirect_http", redirect_http),
        shown("state_dir", state_dir),
        shown("log_routes", log_routes),
        shown("localhost_urls", localhost_urls),
        shown("listen", listen),
        shown("allow_remote_targets", allow_remote_targets),
        shown("proxy.threads", threads),
        shown("proxy.restart_grace", restart_grace),
        shown("proxy.start_timeout", start_timeout),
        shown("proxy.connect_timeout", connect_timeout),
        shown("proxy.head_timeout", head_timeout),
        shown("proxy.idle_timeout", idle_timeout),
        shown("proxy.drain_timeout", drain_timeout),
        shown("proxy.max_connections", max_connections),
        shown("proxy.pool_size", pool_size),
        shown("proxy.max_hops", max_hops),
        shown("lease_dir", lease_dir),
    ]
}

#[test]
fn limits_that_are_settings() {
    let readme = read("README.md");
    let all = defaults();
    let limits = rows(&readme, "Limits");
    let mut compared = 0;
    for row in &limits {
        let name = format!("proxy.{}", row[0].trim_matches('`'));
        let Some((_, default)) = all.iter().find(|(setting, _)| *setting == name) else { continue };
        let value = row[1].replace([' ', ','], "");
        assert!(value.starts_with(default.as_str()), "{name} is {default}, not {}", row[1]);
        compared += 1;
    }
    assert_eq!(compared, 9);
    let http1::Limits { head_bytes, target_bytes, trailer_bytes } = http1::Limits::default();
    assert_eq!(limits[0][1], format!("{} KiB, {} fields", head_bytes / 1024, http1::MAX_FIELDS));
    assert_eq!(limits[1][1], format!("{} KiB", target_bytes / 1024));
    assert!(limits[2][1].starts_with(&format!("{} KiB, ", trailer_bytes / 1024)));
    assert!(limits[3][1].starts_with(&format!("{} bytes, ", http1::METHOD_BYTES)));
}

#[test]
fn error_codes() {
    let readme = read("README.md");
    let documented: BTreeSet<String> =
        rows(&readme, "Errors").into_iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let of = |path: &str| codes(&read(path));
    let mut in_code = of("crates/mastra-router/src/error.rs");
    in_code.extend(of("crates/mastra-router/src/proxy/answer.rs"));
    assert_eq!(documented, in_code);

    for path in [
        "config/environment.rs",
        "config/source.rs",
        "failure.rs",
        "output.rs",
        "commands/serve.rs",
        "commands/settings.rs",
        "commands/daemon.rs",
        "commands/logs.rs",
        "commands/man.rs",
        "commands/open.rs",
        "commands/tls.rs",
        "commands/service.rs",
        "commands/uninstall.rs",
        "doctor/mod.rs",
        "doctor/certificates.rs",
        "doctor/configuration.rs",
        "doctor/file_limit.rs",
        "doctor/home.rs",
        "doctor/listener.rs",
        "doctor/names.rs",
        "doctor/orphans.rs",
        "doctor/router.rs",
        "doctor/routes.rs",
        "doctor/trust.rs",
        "service/definition.rs",
        "service/mod.rs",
        "service/tools.rs",
        "daemon/activation.rs",
        "daemon/reach.rs",
        "daemon/spawn.rs",
        "daemon/hand_over.rs",
        "init/mod.rs",
        "project_file/order.rs",
        "run/supervisor.rs",
        "run/prune.rs",
        "up/plan.rs",
        "workspace/package.rs",
    ] {
        for code in of(&format!("crates/mastra-router-cli/src/{path}")) {
            assert!(readme.contains(&code), "{code} of {path} is not in the README");
        }
    }
}

/// String literals that have the form of a code, tests left out.
fn codes(source: &str) -> BTreeSet<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let literals = code.split('"').skip(1).step_by(2);
    let is_code = |text: &&str| {
        text.len() > 4
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            && !matches!(*text, "DELETE" | "LC_ALL")
    };
    literals.filter(is_code).map(str::to_owned).collect()
}

/// The rows of the tables of a section, each as its cells.
fn rows(markdown: &str, section: &str) -> Vec<Vec<String>> {
    let section = markdown.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for table in section.split("\n\n").filter(|part| part.trim_start().starts_with('|')) {
        rows.extend(table.trim().lines().skip(2).map(cells));
    }
    rows
}
