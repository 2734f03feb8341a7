//! `doctor`: every finding is made for real and seen with what mends it; nothing is changed by looking.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::app::App;
use crate::router::{Desk, Ran, Router, Running, wait_for};

/// All of it, within the time that it may take.
fn doctor(desk: &Desk) -> (Ran, Vec<Value>) {
    examined(&mut desk.command(["doctor", "--json"]))
}

fn examined(command: &mut Command) -> (Ran, Vec<Value>) {
    let ran = Running::spawn(command).ended();
    let found = ran.json().as_array().unwrap().clone();
    for finding in &found {
        let is_ok = finding["status"] == "ok";
        assert_eq!(finding["fix"].is_null(), is_ok, "{finding}");
        assert_eq!(finding["code"].is_null(), is_ok, "{finding}");
    }
    let failed = found.iter().any(|finding| finding["status"] == "fail");
    assert_eq!(ran.code, Some(i32::from(failed)), "{ran:?}");
    assert_eq!(ran.stderr, "", "{ran:?}");
    (ran, found)
}

/// The finding with this code.
#[track_caller]
fn coded<'f>(found: &'f [Value], code: &str) -> &'f Value {
    found.iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code}: {found:#?}"))
}

/// There is a finding with this code and status, whose message holds `message` and whose fix is `fix`.
#[track_caller]
fn seen(found: &[Value], code: &str, status: &str, message: &str, fix: &str) {
    let finding = coded(found, code);
    assert_eq!((&finding["status"], &finding["fix"]), (&json!(status), &json!(fix)), "{finding}");
    assert!(finding["message"].as_str().unwrap().contains(message), "no {message:?}: {finding}");
}

/// Everything below a directory: kind and mode, time of the last change, and content.
fn tree(dir: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path.clone(), (meta.mode(), meta.mtime(), meta.mtime_nsec(), content));
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn a_healthy_machine_is_left_as_it_is() {
    let desk = Arc::new(Desk::new());
    let before = tree(&desk.path(""));
    // Also where it would be allowed to start a router.
    let ran = Running::spawn(desk.command(["doctor"]).env_remove("MASTRA_ROUTER_NO_START")).ended().ok();
    assert!(ran.stdout.contains("○ warn  router") && ran.stdout.contains("→ mastra-router start"), "{ran:?}");
    assert_eq!(tree(&desk.path("")), before);

    let app = App::start("app");
    let router = Router::start_at(desk.clone(), &[]);
    router.run(&["add", "shop", &app.target()]).ok();
    let before = tree(&desk.path(""));
    let (_, found) = doctor(&desk);
    assert_eq!(tree(&desk.path("")), before);
    assert!(found.iter().all(|finding| finding["status"] != "fail"), "{found:#?}");
    let well: Vec<&str> = found.iter().filter(|f| f["status"] == "ok").map(|f| f["check"].as_str().unwrap()).collect();
    for check in ["router", "listener", "control-socket", "saved-state", "hosts-file", "routes", "orphans", "clock"] {
        assert!(well.contains(&check), "{check}: {found:#?}");
    }
    let shown = desk.run(["doctor"]).ok();
    assert!(shown.stdout.starts_with("Router\n  ● ok    router          running, version "), "{shown:?}");
    assert!(shown.stderr.starts_with("Nothing is wrong"), "{shown:?}");
    let quiet = desk.run(["doctor", "--quiet"]).ok();
    assert!(!quiet.stdout.contains("● ok") && quiet.stderr.is_empty(), "{quiet:?}");
}

#[test]
fn a_port_that_somebody_else_holds() {
    let desk = Desk::new();
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = holder.local_addr().unwrap();
    fs::create_dir(desk.home()).unwrap();
    fs::write(desk.home().join("settings.json"), json!({ "version": 1, "listen": [address] }).to_string()).unwrap();
    let (ran, found) = doctor(&desk);
    let pid = format!("(pid {})", std::process::id());
    seen(&found, "PORT_IN_USE", "fail", &pid, "mastra-router start --listen 127.0.0.1:0");
    assert_eq!(ran.code, Some(1));
    let shown = desk.run(["doctor"]);
    assert_eq!(shown.code, Some(1));
    assert!(shown.stdout.contains("✗ fail  listener") && shown.stderr.starts_with("1 problem"), "{shown:?}");
}

#[test]
fn the_other_family_is_looked_at() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: no IPv6");
        return;
    }
    let router = Router::start();
    let port = router.proxy.port();
    let fix = format!("mastra-router stop && mastra-router start --listen 127.0.0.1:{port} --listen '[::1]:{port}'");
    let (_, found) = doctor(&router.desk);
    if let Some(found) = found.iter().find(|finding| finding["code"] == "LISTENER_ONE_FAMILY") {
        assert_eq!((&found["status"], &found["fix"]), (&json!("warn"), &json!(fix)));
    }
    let Ok(_other) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) else { return };
    let (_, found) = doctor(&router.desk);
    assert_eq!(coded(&found, "PORT_IN_USE")["status"], "fail");
    assert!(coded(&found, "PORT_IN_USE")["message"].as_str().unwrap().contains(&format!("[::1]:{port}")));
}

#[test]
fn a_router_that_was_killed_and_one_that_hangs() {
    let mut router = Router::start();
    router.process.signal(Signal::STOP);
    let began = Instant::now();
    let (_, found) = doctor(&router.desk);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let pid = router.process.child.id();
    let fix = format!("kill -KILL {pid}");
    seen(&found, "ROUTER_NOT_ANSWERING", "fail", &format!("(pid {pid})"), &fix);
    router.process.child.kill().unwrap();
    router.process.wait();
    let (_, found) = doctor(&router.desk);
    seen(&found, "SOCKET_STALE", "warn", "control.sock", "mastra-router start");
    seen(&found, "ROUTER_NOT_RUNNING", "warn", "none runs", "mastra-router start");
    assert!(router.socket().exists(), "it is left where it is");
}

#[test]
fn sockets_and_a_home_that_others_can_use() {
    let router = Router::start();
    let socket = router.socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let (_, found) = doctor(&router.desk);
    seen(&found, "SOCKET_MODE", "fail", "mode 0666", &format!("chmod 600 {}", socket.display()));
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    let home = router.desk.home();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
    let (_, found) = doctor(&router.desk);
    seen(&found, "HOME_UNSAFE", "fail", "by others", &format!("chmod go-w {}", home.display()));
    let named = router.desk.run(["doctor", "--json", "--home", router.desk.path("none").to_str().unwrap()]).ok().json();
    let fix = named[0]["fix"].as_str().unwrap();
    assert!(fix.starts_with("mastra-router start --home /"), "{fix}");

    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    let socket = desk.home().join("control.sock");
    fs::write(&socket, "").unwrap();
    let (_, found) = doctor(&desk);
    seen(&found, "SOCKET_REPLACED", "fail", "is no socket", &format!("rm {}", socket.display()));
}

#[test]
fn the_block_of_the_hosts_file() {
    let router = Router::start();
    router.run(&["add", "shop", "9"]).ok();
    let file = router.desk.path("hosts");
    let look = |text: &str| {
        fs::write(&file, text).unwrap();
        let (_, found) = examined(router.desk.command(["doctor", "--json"]).env("MASTRA_ROUTER_HOSTS_FILE", &file));
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        found
    };
    let edit = format!("sudoedit {}", file.display());
    let begin = "# BEGIN MASTRA LOCAL ROUTING\n";
    let end = "# END MASTRA LOCAL ROUTING\n";
    seen(&look(&format!("{begin}127.0.0.1 a.test\n")), "HOSTS_FILE", "fail", "line 1", &edit);
    seen(&look(&format!("{begin}{end}{begin}{end}")), "HOSTS_FILE", "fail", "second block", &edit);
    let taken = look("127.0.0.1 localhost\n10.0.0.7 shop.localhost\n");
    seen(&taken, "HOSTS_TAKEN", "fail", "10.0.0.7", &format!("{edit} # line 2"));
    // A process that cannot be any more: pid 1 has not started then.
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    let ended = format!("{begin}127.0.0.1 old.test # router-{namespace:x}.1.ffffff.0\n{end}");
    seen(&look(&ended), "HOSTS_STALE", "warn", "old.test", "mastra-router hosts sync");
    assert!(look("127.0.0.1 localhost\n").iter().any(|f| f["check"] == "hosts-file" && f["status"] == "ok"));

    // The names of this home, when its router was killed.
    let desk = Desk::new();
    let owner = mastra_router::HostsOwner::of_home(&desk.home());
    let file = desk.write("hosts", &format!("{begin}127.0.0.1 shop.localhost # {owner}\n{end}"));
    let (_, found) = examined(desk.command(["doctor", "--json"]).env("MASTRA_ROUTER_HOSTS_FILE", &file));
    seen(&found, "HOSTS_STALE", "warn", "shop.localhost", "mastra-router hosts clean");
}

/// An authority, or a certificate for a name, that is valid from one year to another.
fn certificate(name: Option<&str>, from: i32, to: i32) -> String {
    let mut params = CertificateParams::new(name.map(str::to_owned).into_iter().collect::<Vec<_>>()).unwrap();
    if name.is_none() {
        params.distinguished_name.push(DnType::CommonName, "mastra-router local CA test");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    }
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn certificates_that_are_out_of_their_time() {
    let desk = Desk::new();
    let certs = desk.path(".mastra/certs");
    fs::create_dir_all(certs.join("leaves")).unwrap();
    fs::write(certs.join("ca.pem"), certificate(None, 2020, 2021)).unwrap();
    let (_, found) = doctor(&desk);
    seen(&found, "CERTIFICATE_EXPIRED", "fail", "the authority expired on 2021-01-01", "mastra-router tls renew");
    fs::write(certs.join("ca.pem"), certificate(None, 2090, 2091)).unwrap();
    let (_, found) = doctor(&desk);
    seen(&found, "CERTIFICATE_NOT_YET_VALID", "fail", "begins on 2090-01-01", "mastra-router tls renew");
    fs::remove_file(certs.join("ca.pem")).unwrap();

    fs::write(certs.join("db.test.crt"), certificate(Some("db.test"), 2020, 2021)).unwrap();
    fs::write(certs.join("leaves/shop.localhost.pem"), certificate(Some("shop.localhost"), 2020, 2021)).unwrap();
    let (_, found) = doctor(&desk);
    seen(
        &found,
        "CERTIFICATE_EXPIRED",
        "warn",
        "shop.localhost",
        &format!("rm {}/leaves/shop.localhost.pem", certs.display()),
    );
    let issued = found.iter().find(|f| f["fix"] == "mastra-router tls issue db.test").unwrap();
    assert_eq!(issued["status"], "fail");

    // A real one, whose key others can read and whose public copy is of another.
    let desk = Desk::new();
    let certs = desk.path(".mastra/certs");
    desk.run(["tls", "issue", "db.test"]).ok();
    let (_, found) = doctor(&desk);
    assert!(found.iter().any(|f| f["check"] == "authority" && f["status"] == "ok"), "{found:#?}");
    assert!(found.iter().any(|f| f["check"] == "trust"), "there is one to be trusted: {found:#?}");
    fs::set_permissions(certs.join("authority.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(certs.join("ca.pem"), certificate(None, 2020, 2090)).unwrap();
    let before = tree(&desk.path(""));
    let (_, found) = doctor(&desk);
    let fix = format!("chmod 600 {}", certs.join("authority.pem").display());
    seen(&found, "KEY_EXPOSED", "fail", "others can read", &fix);
    seen(&found, "AUTHORITY_COPY_DIFFERS", "warn", "ca.pem", "mastra-router tls status");
    assert_eq!(tree(&desk.path("")), before);
    fs::write(certs.join("authority.pem"), "nothing").unwrap();
    let (_, found) = doctor(&desk);
    seen(&found, "CERTIFICATE_ERROR", "fail", "no certificate", "mastra-router tls renew");
}

#[test]
fn the_routers_own_certificate_is_looked_at() {
    let desk = Desk::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["shop.localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    desk.write("own.pem", &params.self_signed(&key).unwrap().pem());
    desk.write("own.key", &key.serialize_pem());
    let router = Router::start_at(Arc::new(desk), &["--cert", "own.pem", "--key=own.key"]);
    let (_, found) = doctor(&router.desk);
    let fix = format!("openssl x509 -noout -dates -in {}", router.desk.path("own.pem").display());
    seen(&found, "CERTIFICATE_EXPIRED", "fail", "own.pem expired on 2021-01-01", &fix);
}

#[test]
fn a_tool_that_hangs_costs_no_more_than_its_time() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path(".mastra/certs")).unwrap();
    fs::write(desk.path(".mastra/certs/ca.pem"), certificate(None, 2020, 2090)).unwrap();
    fs::create_dir_all(desk.path(".pki/nssdb")).unwrap();
    desk.write(".pki/nssdb/cert9.db", "");
    fs::create_dir(desk.path("bin")).unwrap();
    let pid = desk.path("certutil.pid");
    let tool = desk.write("bin/certutil", &format!("#!/bin/sh\necho $$ > {}\nexec sleep 1000\n", pid.display()));
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    let began = Instant::now();
    let (_, found) = examined(desk.command(["doctor", "--json"]).env("PATH", path));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let store = found.iter().find(|f| f["message"].as_str().unwrap().contains("nssdb")).unwrap();
    assert_eq!((&store["check"], &store["status"]), (&json!("trust"), &json!("warn")));
    let pid = fs::read_to_string(pid).unwrap();
    wait_for("the end of the tool", || !Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn what_a_killed_run_has_left() {
    let router = Router::start();
    let mut run = Running::spawn(&mut router.desk.command(["run", "shop", "--", "sleep", "1000"]));
    wait_for("its process", || {
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.child.id())).is_ok_and(|c| !c.trim().is_empty())
    });
    let (_, found) = doctor(&router.desk);
    assert!(found.iter().any(|f| f["check"] == "orphans" && f["status"] == "ok"), "{found:#?}");
    run.child.kill().unwrap();
    run.wait();
    let (_, found) = doctor(&router.desk);
    seen(&found, "ORPHANS", "warn", "sleep 1000", "mastra-router prune");
    router.run(&["prune"]).ok();
    let (_, found) = doctor(&router.desk);
    assert!(found.iter().all(|finding| finding["code"] != "ORPHANS"), "{found:#?}");
}

#[test]
fn a_port_of_a_run_that_somebody_else_took() {
    let router = Router::start();
    let run = Running::spawn(&mut router.desk.command(["run", "shop", "--", "sleep", "1000"]));
    wait_for("its route", || router.routes().as_array().is_some_and(|routes| routes.len() == 1));
    let port: u16 = router.routes()[0]["targetPort"].as_u64().unwrap().try_into().unwrap();
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (_, found) = doctor(&router.desk);
    let pid = std::process::id();
    seen(&found, "ROUTE_PORT_TAKEN", "fail", &format!("(pid {pid})"), &format!("kill {pid}"));
    run.signal(Signal::TERM);
    let _ = run.ended();
}

#[test]
fn routes_that_do_not_work_or_share_a_server() {
    let router = Router::start();
    let app = App::start("app");
    for name in ["one", "two"] {
        router.run(&["add", name, &app.target()]).ok();
    }
    router.run(&["add", "down", "9"]).ok();
    let (_, found) = doctor(&router.desk);
    seen(&found, "ROUTE_TARGET_SHARED", "warn", "one and two", "mastra-router rm two");
    seen(&found, "ROUTE_NOT_HEALTHY", "warn", "down → localhost:9", "mastra-router health down");
}

#[test]
fn names_that_do_not_resolve() {
    let router = Router::start_at(Arc::new(Desk::new()), &["--base-domain", "doctor.invalid"]);
    router.run(&["add", "shop", "9"]).ok();
    let (_, found) = doctor(&router.desk);
    let finding = found.iter().find(|finding| finding["check"] == "names").unwrap();
    assert_eq!(finding["fix"], "mastra-router hosts sync --allow doctor.invalid");
    // A machine whose name server does not answer cannot say more.
    assert!(["NAME_NOT_FOUND", "NAME_TIMEOUT"].contains(&finding["code"].as_str().unwrap()), "{finding}");
    assert!(finding["message"].as_str().unwrap().contains("shop.doctor.invalid"), "{finding}");
}

#[test]
fn saved_state_that_is_damaged() {
    let router = Router::start();
    router.run(&["add", "shop", "9"]).ok();
    router.run(&["stop"]).ok();
    let desk = router.desk();
    let journal = desk.home().join("routes.journal");
    let whole = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("nothing\n{whole}")).unwrap();
    fs::write(desk.home().join("routes.journal.new"), "").unwrap();
    let before = tree(&desk.home());
    let (_, found) = doctor(&desk);
    seen(&found, "STATE_DAMAGED", "fail", "routes.journal is damaged in line 1", "mastra-router start");
    let leftover = desk.home().join("routes.journal.new");
    seen(&found, "LEFTOVER", "warn", "routes.journal.new", &format!("rm {}", leftover.display()));
    assert_eq!(tree(&desk.home()), before);
    let router = Router::start_at(desk, &[]);
    let (_, found) = doctor(&router.desk);
    let kept = coded(&found, "STATE_KEPT_ASIDE");
    assert!(kept["fix"].as_str().unwrap().contains("routes.journal.corrupt-"), "{kept}");
    assert_eq!(coded(&found, "ROUTER_WARNING")["fix"], "mastra-router logs");
}

#[test]
fn a_router_of_another_version() {
    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    let listener = UnixListener::bind(desk.home().join("control.sock")).unwrap();
    fs::set_permissions(desk.home().join("control.sock"), fs::Permissions::from_mode(0o600)).unwrap();
    let status = json!({
        "version": "0.0.1", "pid": std::process::id(), "home": desk.home(), "listen": [], "strategy": "port-mapping",
        "baseDomain": "localhost", "startedAt": "2026-01-01T00:00:00Z", "routes": 0,
    })
    .to_string();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let length = status.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{status}"
            );
        }
    });
    let (_, found) = doctor(&desk);
    seen(&found, "VERSION_DIFFERS", "warn", "0.0.1", "mastra-router restart");
}

#[test]
fn limits_of_the_machine() {
    let desk = Desk::new();
    let program = env!("CARGO_BIN_EXE_mastra-router");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n 256 && exec '{program}' doctor --json")]);
    shell.env("HOME", desk.path("")).env("MASTRA_ROUTER_HOME", desk.home()).env_remove("SUDO_UID");
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let (_, found) = examined(&mut shell);
    seen(&found, "FILE_LIMIT_LOW", "warn", "256 open files", "sudo prlimit --nofile=20000 --pid $$");

    // A command that was installed the day after tomorrow.
    let copy = desk.path("mastra-router");
    fs::copy(program, &copy).unwrap();
    let later = SystemTime::now() + Duration::from_secs(3 * 24 * 60 * 60);
    fs::OpenOptions::new().append(true).open(&copy).unwrap().set_modified(later).unwrap();
    let mut command = Command::new(&copy);
    command.args(["doctor", "--json"]).env("HOME", desk.path("")).env("MASTRA_ROUTER_HOME", desk.home());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let (_, found) = examined(&mut command);
    seen(&found, "CLOCK_BEHIND", "fail", "when this command was installed", "sudo timedatectl set-ntp true");
}

#[test]
fn nothing_speaks_to_the_terminal() {
    let desk = Desk::new();
    let hostile = desk.path("\u{1b}[2Jhosts");
    fs::write(&hostile, "# BEGIN MASTRA LOCAL ROUTING\n").unwrap();
    let ran = Running::spawn(desk.command(["doctor"]).env("MASTRA_ROUTER_HOSTS_FILE", &hostile)).ended();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}') && ran.stdout.contains("does not end"), "{ran:?}");
}
