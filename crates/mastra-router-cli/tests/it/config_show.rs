//! `config show`, and that a router then is what it shows: flags, variables, files, what was typed before, defaults.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::{App, get};
use crate::router::{Desk, Ran, Router, Running};

/// A desk with a project in a git repository, in whose folder `web` commands are typed.
fn desk() -> Desk {
    let desk = Desk::new();
    for dir in ["home", "repo", "repo/.git", "repo/web"] {
        fs::create_dir(desk.path(dir)).unwrap();
    }
    desk
}

fn command(desk: &Desk, args: &[&str]) -> Command {
    let mut command = desk.command(args);
    command.current_dir(desk.path("repo/web"));
    command
}

fn run(desk: &Desk, args: &[&str]) -> Ran {
    Running::spawn(&mut command(desk, args)).ended()
}

/// A setting as JSON has it: its value and who says so, with the desk's directory taken off.
#[track_caller]
fn setting(desk: &Desk, ran: Ran, key: &str) -> (Value, String) {
    let shown = ran.ok().json();
    let origin = shown[key]["origin"].as_str().unwrap_or_else(|| panic!("no {key}: {shown}"));
    (shown[key]["value"].clone(), origin.replace(&desk.path("").display().to_string(), ""))
}

/// What `config show` says of a setting, with these flags and variables.
#[track_caller]
fn shown(desk: &Desk, key: &str, flags: &[&str], env: &[(&str, &str)]) -> (Value, String) {
    let mut command = command(desk, &[&["config", "show", "--json"], flags].concat());
    let ran = Running::spawn(command.envs(env.iter().copied())).ended();
    setting(desk, ran, key)
}

#[test]
fn each_is_stronger_than_the_one_before() {
    let desk = desk();
    let domain = |flags: &[&str], env: &[(&str, &str)]| {
        let (value, origin) = shown(&desk, "base_domain", flags, env);
        format!("{} {origin}", value.as_str().unwrap())
    };
    assert_eq!(domain(&[], &[]), "localhost default");
    desk.write("home/settings.json", r#"{"version": 1, "baseDomain": "saved"}"#);
    assert_eq!(domain(&[], &[]), "saved typed before");
    assert_eq!(domain(&["--no-save"], &[]), "localhost default", "then nothing is read either");
    desk.write("home/config.toml", "# Mine.\n\nbase_domain = \"user\"\n");
    assert_eq!(domain(&[], &[]), "user home/config.toml:3");
    desk.write("repo/mastra-router.toml", "[run]\nname = \"x\"\n");
    assert_eq!(domain(&[], &[]), "user home/config.toml:3", "the project's does not say it");
    desk.write("repo/mastra-router.toml", "base_domain = \"project\"\n");
    assert_eq!(domain(&[], &[]), "project repo/mastra-router.toml:1");
    desk.write("repo/web/mastra-router.toml", "\nbase_domain = \"nearer\"\n");
    assert_eq!(domain(&[], &[]), "nearer repo/web/mastra-router.toml:2");
    assert_eq!(domain(&["--no-project-file"], &[]), "user home/config.toml:3");
    desk.write("given.toml", "save = true\nbase_domain = \"given\"\n");
    let given = desk.path("given.toml");
    let given = given.to_str().unwrap();
    assert_eq!(domain(&["--config", given], &[]), "given given.toml:2");
    let env = [("MASTRA_ROUTER_BASE_DOMAIN", "variable")];
    assert_eq!(domain(&["--config", given], &env), "variable $MASTRA_ROUTER_BASE_DOMAIN");
    assert_eq!(domain(&["--config", given, "--base-domain", "flag"], &env), "flag --base-domain");
    // One that is empty is as good as not set.
    assert_eq!(domain(&[], &[("MASTRA_ROUTER_BASE_DOMAIN", "")]), "nearer repo/web/mastra-router.toml:2");
    // Files add up: what the stronger one leaves out, the weaker one says.
    desk.write("home/config.toml", "threads = 3\n");
    assert_eq!(shown(&desk, "threads", &[], &[]), (json!(3), "home/config.toml:1".to_owned()));
    // What is above the repository is another's; outside of one, the nearest counts wherever it is.
    fs::remove_file(desk.path("repo/web/mastra-router.toml")).unwrap();
    fs::remove_file(desk.path("repo/mastra-router.toml")).unwrap();
    desk.write("mastra-router.toml", "base_domain = \"above\"\n");
    assert_eq!(domain(&[], &[]), "saved typed before");
    fs::remove_dir(desk.path("repo/.git")).unwrap();
    assert_eq!(domain(&[], &[]), "above mastra-router.toml:1");
}

/// Every setting: its key, a value as it is typed in a file, and as it is shown.
const SETTINGS: [(&str, &str, &str); 32] = [
    ("strategy", "\"port-mapping\"", "\"port-mapping\""),
    ("base_domain", "\"test\"", "\"test\""),
    ("listen", "[\"127.0.0.1:7\", \"[::1]:7\"]", "[\"127.0.0.1:7\", \"[::1]:7\"]"),
    ("lan", "true", "true"),
    ("save", "false", "false"),
    ("threads", "2", "2"),
    ("log_routes", "false", "false"),
    ("localhost_urls", "\"path\"", "\"path\""),
    ("allow_remote_targets", "true", "true"),
    ("port_range", "\"4000-4010\"", "\"4000-4010\""),
    ("health.path", "\"/up\"", "\"/up\""),
    ("health.interval", "\"1m\"", "\"1m\""),
    ("health.timeout", "\"2s\"", "\"2s\""),
    ("health.failure_threshold", "9", "9"),
    ("proxy.restart_grace", "\"1s\"", "\"1s\""),
    ("proxy.start_timeout", "\"2m\"", "\"2m\""),
    ("proxy.connect_timeout", "\"3s\"", "\"3s\""),
    ("proxy.head_timeout", "\"4s\"", "\"4s\""),
    ("proxy.idle_timeout", "\"6s\"", "\"6s\""),
    ("proxy.drain_timeout", "\"7s\"", "\"7s\""),
    ("proxy.max_connections", "77", "77"),
    ("proxy.pool_size", "8", "8"),
    ("proxy.max_hops", "4", "4"),
    ("tls.enabled", "true", "true"),
    ("tls.cert_dir", "\"/certs\"", "\"/certs\""),
    ("tls.validity_days", "30", "30"),
    ("tls.cert", "\"/cert.pem\"", "\"/cert.pem\""),
    ("tls.key", "\"/key.pem\"", "\"/key.pem\""),
    ("tls.redirect_http", "true", "true"),
    ("hosts.mode", "\"best-effort\"", "\"best-effort\""),
    ("hosts.path", "\"/hosts\"", "\"/hosts\""),
    ("hosts.backup_dir", "\"/backups\"", "\"/backups\""),
];

/// The variable of a setting.
fn variable(key: &str) -> String {
    match key {
        "tls.cert_dir" => "MASTRA_ROUTER_CERT_DIR".to_owned(),
        "hosts.path" => "MASTRA_ROUTER_HOSTS_FILE".to_owned(),
        key => format!("MASTRA_ROUTER_{}", key.replace('.', "_").to_uppercase()),
    }
}

/// A value as a person types it in a shell.
fn typed(value: &str) -> String {
    let text = value.trim_matches(['[', ']']).replace("\", \"", ",");
    text.trim_matches('"').to_owned()
}

#[test]
fn every_setting_of_a_file_and_of_the_environment() {
    let desk = desk();
    // Dotted keys, as they may be written too.
    let text: String = SETTINGS.iter().map(|(key, value, _)| format!("{key} = {value}\n")).collect();
    desk.write("repo/web/all.toml", &text);
    let of_file = run(&desk, &["config", "show", "--json", "--config", "all.toml"]).ok();
    let mut command = command(&desk, &["config", "show", "--json"]);
    let env = SETTINGS.iter().map(|(key, value, _)| (variable(key), typed(value)));
    let of_env = Running::spawn(command.envs(env)).ended().ok();
    let (of_file, of_env, default) =
        (of_file.json(), of_env.json(), run(&desk, &["config", "show", "--json"]).ok().json());
    assert_eq!(default.as_object().unwrap().len(), SETTINGS.len());
    for (index, (key, _, shown)) in SETTINGS.iter().enumerate() {
        let expected: Value = serde_json::from_str(shown).unwrap();
        assert_ne!(default[key]["value"], expected, "{key}");
        assert_eq!(default[key]["origin"], "default", "{key}");
        assert_eq!(of_file[key], json!({ "value": expected, "origin": format!("all.toml:{}", index + 1) }), "{key}");
        assert_eq!(of_env[key], json!({ "value": expected, "origin": format!("${}", variable(key)) }), "{key}");
    }
}

#[test]
fn every_flag_is_named() {
    let desk = desk();
    let flags = [
        ("strategy", &["--strategy", "port-mapping"][..], json!("port-mapping"), "--strategy"),
        ("base_domain", &["--base-domain", "test"], json!("test"), "--base-domain"),
        ("listen", &["--listen", "127.0.0.1:7"], json!(["127.0.0.1:7"]), "--listen"),
        ("lan", &["--lan"], json!(true), "--lan"),
        ("save", &["--no-save"], json!(false), "--no-save"),
        ("threads", &["--threads", "2"], json!(2), "--threads"),
        ("tls.enabled", &["--tls"], json!(true), "--tls"),
        ("tls.enabled", &["--cert", "/c", "--key", "/k"], json!(true), "--cert"),
        ("tls.enabled", &["--cert", "/c", "--key", "/k", "--tls=false"], json!(false), "--tls"),
        ("tls.cert", &["--cert", "/c", "--key", "/k"], json!("/c"), "--cert"),
        ("tls.key", &["--cert", "/c", "--key", "/k"], json!("/k"), "--key"),
        ("tls.cert_dir", &["--cert-dir", "/d"], json!("/d"), "--cert-dir"),
        ("tls.redirect_http", &["--redirect-http"], json!(true), "--redirect-http"),
        ("hosts.mode", &["--hosts", "required"], json!("required"), "--hosts"),
    ];
    for (key, flags, value, origin) in flags {
        assert_eq!(shown(&desk, key, flags, &[]), (value, origin.to_owned()), "{flags:?}");
    }
}

#[test]
fn for_people() {
    let desk = desk();
    desk.write(
        "repo/mastra-router.toml",
        "port_range = { start = 4000, end = 4001 }\n[tls]\ncert = \"c\"\nkey = \"k\"\n",
    );
    let plain = run(&desk, &["config", "show"]).ok();
    assert!(plain.stdout.starts_with("SETTING") && !plain.stdout.contains("ORIGIN"), "{plain:?}");
    let row = |ran: &Ran, key: &str| {
        let mut rows = ran.stdout.lines().filter(|line| line.split(' ').next() == Some(key));
        rows.next().unwrap().split("  ").map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("|")
    };
    assert_eq!(row(&plain, "port_range"), "port_range|4000-4001");
    assert_eq!(row(&plain, "tls.cert"), "tls.cert|-");
    let with_origin = run(&desk, &["config", "show", "--origin"]).ok();
    let file = desk.path("repo/mastra-router.toml");
    assert_eq!(row(&with_origin, "port_range"), format!("port_range|4000-4001|{}:1", file.display()));
    // Who brings a certificate wants it served, and paths count from their file.
    let given = run(&desk, &["config", "show", "--origin", "--config", file.to_str().unwrap()]).ok();
    assert_eq!(row(&given, "tls.enabled"), format!("tls.enabled|true|{}:3", file.display()));
    assert_eq!(row(&given, "tls.key"), format!("tls.key|{}|{}:4", desk.path("repo/k").display(), file.display()));
    // Nothing was made by looking.
    assert_eq!(fs::read_dir(desk.home()).unwrap().count(), 0);
}

#[test]
fn what_a_file_that_was_found_may_not_say() {
    let desk = desk();
    let found = "lan = true\nallow_remote_targets = true\nlisten = \"0.0.0.0:0\"\nbase_domain = \"test\"\n\
                 [hosts]\nmode = \"required\"\npath = \"/hosts\"\nbackup_dir = \"/b\"\n\
                 [tls]\ncert_dir = \"/d\"\ncert = \"/c\"\nkey = \"/k\"\nredirect_http = true\n";
    let file = desk.write("repo/mastra-router.toml", found);
    let refused = ["lan", "allow_remote_targets", "hosts.mode", "hosts.path", "hosts.backup_dir"];
    let refused: Vec<&str> = refused.into_iter().chain(["tls.cert_dir", "tls.cert", "tls.key", "listen"]).collect();
    let ran = run(&desk, &["config", "show", "--json"]).ok();
    let shown = ran.json();
    for key in &refused {
        assert_eq!(shown[key]["origin"], "default", "{key}");
        let line = 1 + found.lines().position(|line| line.split(" =").next() == key.rsplit('.').next()).unwrap();
        let place = format!("{}:{line}: {key} is not heeded", file.display());
        assert!(ran.stderr.contains(&place), "no {place}: {ran:?}");
    }
    assert_eq!((&shown["base_domain"]["value"], &shown["tls.redirect_http"]["value"]), (&json!("test"), &json!(true)));
    assert_eq!(ran.stderr.matches(&format!("serve --config {}", file.display())).count(), refused.len(), "{ran:?}");

    // A router that is started there does the same, and says so.
    let mut serve = Running::spawn(&mut command(&desk, &["serve", "--listen", "127.0.0.1:0"]));
    let ready = serve.json_line();
    assert!(ready["listen"][0].as_str().unwrap().starts_with("127.0.0.1:"), "{ready}");
    serve.until_said("lan is not heeded");
    run(&desk, &["add", "far", "http://192.0.2.1"]).failed(2, "INVALID_TARGET", &["on another machine"]);
    drop(serve);
    // Given by hand, all of it counts; here that the hosts file is written, which is none.
    let ran = run(&desk, &["config", "show", "--json", "--config", file.to_str().unwrap()]).ok();
    let shown = ran.json();
    assert_eq!((&shown["lan"]["value"], &shown["hosts.path"]["value"]), (&json!(true), &json!("/hosts")));
    assert_eq!(ran.stderr, "");
}

#[test]
fn another_user_s_file_is_not_heeded() {
    let desk = desk();
    let file = desk.write("repo/web/mastra-router.toml", "base_domain = \"test\"\n");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let ran = run(&desk, &["config", "show", "--json"]).ok();
    assert_eq!(ran.json()["base_domain"]["value"], "localhost");
    assert!(ran.stderr.contains("is another user's"), "{ran:?}");
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let desk = desk();
    for (name, value, parts) in [
        (
            "MASTRA_ROUTER_THREADS",
            "two",
            &["$MASTRA_ROUTER_THREADS: ", "\"two\"", "hint: unset MASTRA_ROUTER_THREADS"][..],
        ),
        ("MASTRA_ROUTER_LISTEN", "3000", &["$MASTRA_ROUTER_LISTEN: ", "an address and a port"]),
        ("MASTRA_ROUTER_PORT_RANGE", "1", &["$MASTRA_ROUTER_PORT_RANGE: ", "two ports"]),
        ("MASTRA_ROUTER_HEALTH_INTERVAL", "soon", &["$MASTRA_ROUTER_HEALTH_INTERVAL: "]),
        ("MASTRA_ROUTER_BASEDOMAIN", "x", &["$MASTRA_ROUTER_BASEDOMAIN: ", "did you mean MASTRA_ROUTER_BASE_DOMAIN?"]),
        ("MASTRA_ROUTER_POOL_SIZE", "1", &["did you mean MASTRA_ROUTER_PROXY_POOL_SIZE?"]),
    ] {
        for args in [&["config", "show"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let ran = Running::spawn(command(&desk, args).env(name, value)).ended();
            ran.failed(2, "CONFIG_INVALID", parts);
        }
    }
    let ran = Running::spawn(command(&desk, &["config", "show"]).env("MASTRA_ROUTER_ZZZ", "1")).ended().ok();
    assert_eq!(ran.stderr, "$MASTRA_ROUTER_ZZZ is no setting, and not heeded\n");
}

#[test]
fn a_value_that_cannot_be_used_is_named_by_its_place() {
    let desk = desk();
    desk.write("home/config.toml", "\n[health]\nfailure_threshold = 0\n");
    let place = format!("{}:3: ", desk.path("home/config.toml").display());
    run(&desk, &["serve", "--listen", "127.0.0.1:0"]).failed(2, "INVALID_CONFIG", &[&place]);
    let shown = run(&desk, &["config", "show"]).ok();
    assert!(shown.stderr.contains(&format!("no router starts with that: {place}")), "{shown:?}");
    desk.write("home/config.toml", "lissten = 1\n");
    let place = format!("{}:1:1: ", desk.path("home/config.toml").display());
    for args in [&["config", "show"][..], &["serve"]] {
        run(&desk, args).failed(2, "CONFIG_INVALID", &[&place, "did you mean \"listen\"?"]);
    }
    desk.write("home/config.toml", "");
    let ran = Running::spawn(command(&desk, &["serve"]).env("MASTRA_ROUTER_LISTEN", "0.0.0.0:0")).ended();
    ran.failed(2, "LAN_NOT_ALLOWED", &["$MASTRA_ROUTER_LISTEN: 0.0.0.0:0", "--lan"]);
}

#[test]
fn what_is_shown_is_what_serves() {
    let desk = Arc::new(desk());
    let app = App::start("app");
    desk.write("home/config.toml", &format!("[[routes]]\nname = \"mine\"\ntarget = \"{}\"\n", app.target()));
    desk.write(
        "repo/mastra-router.toml",
        &format!("base_domain = \"test\"\n[[routes]]\nname = \"theirs\"\ntarget = \"{}\"\n", app.target()),
    );
    let flags = ["--listen", "127.0.0.1:0"];
    let env = [("MASTRA_ROUTER_TLS_ENABLED", "true")];
    let value = |key: &str| shown(&desk, key, &flags, &env).0;
    for args in [&["serve"][..], &["start", "--json"]] {
        let mut router = Running::spawn(command(&desk, &[args, &flags].concat()).envs(env));
        let ready = router.json_line();
        assert_eq!(ready["event"], "ready", "{ready}");
        let status = run(&desk, &["status", "--json"]).ok().json();
        assert_eq!((&status["baseDomain"], &status["strategy"]), (&value("base_domain"), &value("strategy")));
        assert_eq!(value("tls.enabled"), json!(true));
        assert!(status["url"].as_str().unwrap().starts_with("https://test:"), "{status}");
        let proxy = ready["listen"][0].as_str().unwrap().parse().unwrap();
        for host in ["mine.test", "theirs.test"] {
            assert_eq!(get(proxy, host, "/x").1, "app/x", "routes of both files are served");
        }
        run(&desk, &["stop"]).ok();
    }
}

#[test]
fn a_router_that_a_command_starts_is_for_all_projects() {
    let desk = desk();
    desk.write("home/config.toml", "listen = \"127.0.0.1:0\"\n[proxy]\ndrain_timeout = \"1s\"\n");
    desk.write("repo/mastra-router.toml", "base_domain = \"test\"\nlisten = \"127.0.0.1:1\"\n[run]\nname = \"shop\"\n");
    let mut add = command(&desk, &["add", "shop", "9", "--quiet"]);
    let added = Running::spawn(add.env_remove("MASTRA_ROUTER_NO_START")).ended().ok();
    assert!(added.stdout.starts_with("http://shop.localhost:"), "{added:?}");
    let status = || run(&desk, &["status", "--json"]).ok().json();
    assert_eq!(status()["baseDomain"], "localhost");
    // Neither does a restart that is typed there, even once the router was asked to stay.
    run(&desk, &["start"]).ok();
    run(&desk, &["restart"]).ok();
    assert_eq!(status()["baseDomain"], "localhost");
    run(&desk, &["stop"]).ok();
    // Whoever starts one there by hand wants what the project says.
    let ran = run(&desk, &["start", "--listen", "127.0.0.1:0", "--json"]).ok();
    assert_eq!((&ran.json()["event"], &status()["baseDomain"]), (&json!("ready"), &json!("test")));
    // And a restart from anywhere has the same again.
    desk.run(["restart"]).ok();
    assert_eq!(status()["baseDomain"], "test");
    run(&desk, &["stop"]).ok();
}

#[test]
fn a_service_has_the_variables_and_no_project() {
    let desk = crate::service::with_tool("systemctl", crate::service::SYSTEMCTL);
    desk.write("mastra-router.toml", "base_domain = \"test\"\n");
    let mut install = crate::service::command(&desk, &["service", "install", "--dry-run", "--json"]);
    install.env("MASTRA_ROUTER_PROXY_POOL_SIZE", "7").env("MASTRA_ROUTER_CERT_DIR", "certs");
    let ran = Running::spawn(&mut install).ended().ok();
    let unit = ran.json()["files"][0]["content"].as_str().unwrap().to_owned();
    assert!(unit.contains(" --no-project-file"), "{unit}");
    assert!(unit.contains("MASTRA_ROUTER_PROXY_POOL_SIZE=7"), "{unit}");
    assert!(unit.contains(&format!("MASTRA_ROUTER_CERT_DIR={}", desk.path("certs").display())), "{unit}");
    assert!(ran.stderr.contains("mastra-router.toml is not heeded (--config"), "{ran:?}");
    let mut install =
        crate::service::command(&desk, &["service", "install", "--dry-run", "--config", "mastra-router.toml"]);
    let ran = Running::spawn(&mut install).ended().ok();
    assert!(ran.stdout.contains(&format!("--config {}", desk.path("mastra-router.toml").display())), "{ran:?}");
    assert!(!ran.stdout.contains("--no-project-file") && ran.stderr.is_empty(), "{ran:?}");
    // What each start would fail with fails now.
    let mut install = crate::service::command(&desk, &["service", "install", "--dry-run"]);
    let ran = Running::spawn(install.env("MASTRA_ROUTER_LISTEN", "0.0.0.0:80")).ended();
    ran.failed(2, "LAN_NOT_ALLOWED", &["$MASTRA_ROUTER_LISTEN"]);
}

#[test]
fn doctor_and_uninstall_know_of_it() {
    let router = Router::start_at(Arc::new(desk()), &[]);
    let desk = &router.desk;
    let file = desk.write("home/config.toml", "\nlissten = 1\n");
    let ran = run(desk, &["doctor", "--json"]);
    assert_eq!(ran.code, Some(1));
    let found = ran.json();
    let finding = found.as_array().unwrap().iter().find(|finding| finding["check"] == "configuration").unwrap();
    assert_eq!(finding["code"], "CONFIG_INVALID");
    assert!(finding["message"].as_str().unwrap().starts_with(&format!("{}:2:1: ", file.display())), "{finding}");
    assert_eq!(finding["fix"], format!("${{EDITOR:-vi}} {}", file.display()));
    let ran = Running::spawn(command(desk, &["doctor", "--json"]).env("MASTRA_ROUTER_TREADS", "1")).ended();
    assert!(ran.stdout.contains("\"unset MASTRA_ROUTER_TREADS\""), "{ran:?}");
    fs::write(&file, "threads = 2\n").unwrap();
    let shown = run(desk, &["doctor"]);
    assert!(shown.stdout.contains(&format!("● ok    configuration   {}\n", file.display())), "{shown:?}");

    let hosts = desk.write("hosts", "127.0.0.1\tlocalhost\n");
    let uninstall = ["uninstall", "--yes", "--json", "--hosts-file", hosts.to_str().unwrap()];
    let done = desk.run(uninstall).ok().json();
    let kept = done["kept"].as_array().unwrap().iter().find(|kept| kept["path"] == json!(file)).unwrap();
    assert!(kept["reason"].as_str().unwrap().starts_with("you wrote it"), "{kept}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "threads = 2\n");
    assert_eq!(fs::read_dir(desk.home()).unwrap().count(), 1, "nothing else of the home stays");
}
