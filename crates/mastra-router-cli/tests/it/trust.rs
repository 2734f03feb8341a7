//! `tls` and `env`: what this machine trusts.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, KeyPair, NameConstraints,
    date_time_ymd,
};
use serde_json::{Value, json};

use crate::router::{Desk, Ran, Running};

/// Writes an authority to a directory.
fn authority(cert_dir: &Path) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_after = date_time_ymd(2099, 1, 1);
    let loopback = CidrSubnet::V4([127, 0, 0, 0], [255, 0, 0, 0]);
    let permitted_subtrees = vec![GeneralSubtree::DnsName("localhost".into()), GeneralSubtree::IpAddress(loopback)];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    fs::create_dir_all(cert_dir).unwrap();
    let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    fs::write(cert_dir.join("ca.pem"), pem).unwrap();
}

fn is_installed(name: &str) -> bool {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&dirs).chain([PathBuf::from("/usr/sbin")]);
    let found = dirs.any(|dir| dir.join(name).is_file());
    assert!(found || !std::env::var("CI").is_ok_and(|ci| ci == "true"), "{name} is not installed");
    found
}

/// A desk with an authority, and the directory of an empty database of Chrome, if certutil is there to make one.
pub(crate) fn with_database() -> Option<(Desk, PathBuf)> {
    if !is_installed("certutil") {
        eprintln!("skipped: certutil is needed");
        return None;
    }
    let desk = Desk::new();
    authority(&desk.path(".mastra/certs"));
    let database = desk.path(".pki/nssdb");
    fs::create_dir_all(&database).unwrap();
    let mut certutil = Command::new("certutil");
    certutil.args(["-N", "--empty-password", "-d"]).arg(format!("sql:{}", database.display())).stdin(Stdio::null());
    assert!(certutil.output().unwrap().status.success());
    Some((desk, database))
}

pub(crate) fn holds_ours(database: &Path) -> bool {
    let mut certutil = Command::new("certutil");
    let output = certutil.args(["-L", "-d"]).arg(format!("sql:{}", database.display())).output().unwrap();
    String::from_utf8(output.stdout).unwrap().contains("mastra-router-")
}

fn outcomes(ran: &Ran) -> Vec<Value> {
    ran.json()["stores"].as_array().unwrap().iter().map(|store| store["outcome"].clone()).collect()
}

#[test]
fn trusted_and_not_again() {
    let Some((desk, database)) = with_database() else { return };
    let status = |desk: &Desk| desk.run(["tls", "status", "--only", "nss", "--json"]).ok().json();
    let before = status(&desk);
    let store = &before["stores"][0];
    assert_eq!((&store["store"], &store["state"]), (&json!("Chrome ~/.pki/nssdb"), &json!("not-trusted")));
    assert_eq!(before["authority"]["permitted"], json!(["localhost", "127.0.0.0/8", "::1"]));
    assert_eq!(before["authority"]["fingerprint"].as_str().unwrap().len(), 95);

    let dry = desk.run(["tls", "trust", "--only", "nss", "--dry-run"]).ok();
    assert!(dry.stdout.contains("○ would trust") && dry.stdout.contains("\n  certutil -A -d sql:"), "{dry:?}");
    assert!(!holds_ours(&database));

    // Without a terminal nothing is asked, and what is done is said.
    let trust = desk.run(["tls", "trust", "--only", "nss"]).ok();
    let lines: Vec<&str> = trust.stdout.lines().collect();
    assert_eq!(lines, ["STORE                OUTCOME", "Chrome ~/.pki/nssdb  ● trusted"]);
    let fingerprint = before["authority"]["fingerprint"].as_str().unwrap();
    assert!(trust.stderr.contains(fingerprint) && trust.stderr.contains("will accept"), "{trust:?}");
    assert!(holds_ours(&database));
    assert_eq!(status(&desk)["stores"][0]["state"], "trusted");
    assert!(desk.run(["tls", "status", "--only", "nss"]).ok().stdout.contains(fingerprint));

    let again = desk.run(["tls", "trust", "--only", "nss", "--json"]).ok();
    assert_eq!((outcomes(&again), again.stderr.as_str()), (vec![json!("already-trusted")], ""));
    let gone = desk.run(["tls", "untrust", "--only", "nss", "--json"]).ok();
    assert_eq!(
        (outcomes(&gone), &gone.json()["stores"][0]["removed"]),
        (vec![json!("removed")], &json!([fingerprint]))
    );
    assert!(!holds_ours(&database));
    assert_eq!(outcomes(&desk.run(["tls", "untrust", "--only", "nss", "--json"]).ok()), ["not-there"]);
}

#[test]
fn on_a_terminal_it_asks() {
    let Some((desk, database)) = with_database() else { return };
    if !is_installed("script") {
        eprintln!("skipped: script is needed for a terminal");
        return;
    }
    let ask = |arguments: &str, answer: &str| {
        let line = format!("'{}' tls trust --only nss {arguments}", env!("CARGO_BIN_EXE_mastra-router"));
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("HOME", desk.path("")).env("SHELL", "/bin/sh");
        command.env_remove("MASTRA_ROUTER_CERT_DIR").env_remove("XDG_DATA_HOME").env_remove("SUDO_UID");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(answer.as_bytes()).unwrap();
        let ran = Running::of(child).ended();
        drop(stdin);
        ran
    };
    for no in ["n\n", "\n", "yep\n"] {
        let ran = ask("", no);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains("Trust it? [y/N]") && ran.stdout.contains("nothing was changed"), "{ran:?}");
        assert!(!holds_ours(&database));
    }
    assert_eq!(ask("", "y\n").code, Some(0));
    assert!(holds_ours(&database));
    let again = ask("", "");
    assert!(!again.stdout.contains("[y/N]"), "nothing is asked where nothing is to do: {again:?}");
    desk.run(["tls", "untrust", "--only", "nss"]).ok();
    let yes = ask("--yes", "");
    assert!(yes.code == Some(0) && !yes.stdout.contains("[y/N]"), "{yes:?}");
    assert!(holds_ours(&database));
}

#[test]
fn without_an_authority() {
    let desk = Desk::new();
    let certs = desk.path(".mastra/certs");
    let ran = desk.run(["tls", "status"]);
    assert_eq!(ran.stdout, "");
    ran.failed(
        3,
        "AUTHORITY_MISSING",
        &[certs.to_str().unwrap(), "hint: make it, as yourself: mastra-router tls trust"],
    );
    desk.run(["tls", "untrust", "--only", "java"]).ok();
    assert!(!desk.path(".mastra").exists(), "nothing was made by those who only look");
    assert!(desk.run(["env"]).ok().stdout.contains("NODE_EXTRA_CA_CERTS"));
    assert!(certs.join("authority.pem").exists());
}

#[test]
fn certificates_are_issued_and_the_authority_is_renewed() {
    let desk = Desk::new();
    let certs = desk.path(".mastra/certs");
    let issued = desk.run(["tls", "issue", "shop.localhost"]).ok();
    let files: Vec<PathBuf> = ["crt", "key"].map(|end| certs.join(format!("shop.localhost.{end}"))).into();
    let shown: Vec<PathBuf> = issued.stdout.lines().map(PathBuf::from).collect();
    assert_eq!(shown, files);
    assert_eq!(fs::metadata(&files[1]).unwrap().permissions().mode() & 0o777, 0o600);
    desk.run(["tls", "issue", "example.com"]).failed(1, "CA_CONSTRAINTS", &["example.com"]);

    let out = desk.path("out");
    fs::create_dir(&out).unwrap();
    let copied = desk.run(["tls", "issue", "api.test", "--out", "out", "--json"]).ok().json();
    let key = desk.path("").join(copied["key"].as_str().unwrap());
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    desk.run(["tls", "issue", "api.test", "--out", "nowhere"]).failed(1, "FILE_ERROR", &["nowhere", "--out DIR"]);

    let before = desk.run(["tls", "status", "--only", "java", "--json"]).ok().json();
    let renewed = desk.run(["tls", "renew", "--base-domain", "mastra.local", "--json"]).ok().json();
    assert_eq!(renewed["replaced"], before["authority"]["fingerprint"]);
    let again = desk.run(["tls", "renew", "--json"]).ok().json();
    assert!(again["permitted"].as_array().unwrap().contains(&json!("mastra.local")), "what it vouched for is kept");
    desk.run(["tls", "issue", "shop.mastra.local"]).ok();
}

#[test]
fn an_authority_that_is_corrupt_is_renewed() {
    let desk = Desk::new();
    let file = |name: &str| desk.path(".mastra/certs").join(name);
    let first = desk.run(["tls", "renew", "--base-domain", "mastra.local", "--json"]).ok().json();
    fs::write(file("authority.pem"), "torn").unwrap();
    let second = desk.run(["tls", "renew", "--json"]).ok().json();
    assert_eq!(second["replaced"], first["fingerprint"], "clients may still trust it");
    assert_ne!(second["fingerprint"], first["fingerprint"]);
    assert!(second["permitted"].as_array().unwrap().contains(&json!("mastra.local")), "what it vouched for is kept");
    let names = fs::read_dir(desk.path(".mastra/certs")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().any(|name| name.starts_with("authority.pem.corrupt-")), "{names:?}");
    // Nothing is known of what was there.
    fs::write(file("authority.pem"), "").unwrap();
    fs::write(file("ca.pem"), "torn").unwrap();
    let third = desk.run(["tls", "renew"]).ok();
    assert!(!third.stderr.contains("The old one"), "{third:?}");
    desk.run(["tls", "issue", "shop.localhost"]).ok();
}

#[test]
fn what_is_no_authority_is_refused() {
    let desk = Desk::new();
    let dir = desk.path("certs");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("ca.pem"), "hello").unwrap();
    for args in [&["tls", "trust"][..], &["tls", "untrust"], &["tls", "status"], &["env"]] {
        let ran = desk.run(args.iter().chain(&["--cert-dir", "certs"]));
        ran.failed(1, "AUTHORITY_UNUSABLE", &["certs/ca.pem", "exactly one certificate", "mastra-router tls renew"]);
    }
    let short = desk.run(["tls", "untrust", "--fingerprint", "AB:CD"]);
    assert_eq!(short.code, Some(2), "{short:?}");
    assert!(short.stderr.contains("64 hexadecimal digits"), "{short:?}");
}

#[test]
fn privilege_that_is_missing_is_a_code_of_its_own() {
    if !rustix::process::geteuid().is_root() || !is_installed("update-ca-certificates") {
        eprintln!("skipped: root, to be someone else, and a Debian are needed");
        return;
    }
    let desk = Desk::new();
    authority(&desk.path("certs"));
    for directory in ["", "certs"] {
        fs::set_permissions(desk.path(directory), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = desk.command(["tls", "trust", "--only", "system", "--cert-dir", "certs"]);
    let Ok(child) = command.uid(65_534).gid(65_534).spawn() else {
        eprintln!("skipped: others cannot run what was built here");
        return;
    };
    let ran = Running::of(child).ended();
    assert!(ran.stdout.contains("✗ needs privilege"), "{ran:?}");
    assert!(ran.stdout.contains("\n  sudo install -m 0644 "), "{ran:?}");
    assert!(ran.stdout.contains("\n  sudo update-ca-certificates"), "{ran:?}");
    let dir = desk.path("certs");
    let again = format!("tls trust --only system --cert-dir {}", dir.display());
    ran.failed(5, "NEEDS_PRIVILEGE", &["hint: sudo ", &again]);
}

#[test]
fn exports_that_a_shell_takes() {
    let desk = Desk::new();
    // Any directory, also one that a shell would read as more than a name.
    let dir = desk.path("it's `id` $(id) \\ \"x\"");
    authority(&dir);
    let own = desk.path("own.pem");
    fs::copy(dir.join("ca.pem"), &own).unwrap();
    let evaluated = |set: &[(&str, &Path)]| -> Vec<String> {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(
            "eval \"$(\"$ROUTER\" env --shell sh)\"; eval \"$(\"$ROUTER\" env --shell sh)\"
            printf '%s\\n' \"$NODE_EXTRA_CA_CERTS\" \"$DENO_CERT\" \"$SSL_CERT_FILE\" \"$REQUESTS_CA_BUNDLE\" \"$CURL_CA_BUNDLE\"",
        );
        shell.env_clear().env("ROUTER", env!("CARGO_BIN_EXE_mastra-router")).env("HOME", desk.path(""));
        shell.env("MASTRA_ROUTER_CERT_DIR", &dir).envs(set.iter().map(|(name, path)| (name, path)));
        let output = shell.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let in_dir = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let (ca, bundle) = (in_dir("ca.pem"), in_dir("bundle.pem"));
    assert_eq!(evaluated(&[]), [&*ca, &ca, &bundle, &bundle, &bundle]);
    assert!(fs::read_to_string(&bundle).unwrap().contains(&fs::read_to_string(dir.join("ca.pem")).unwrap()));
    let merged = evaluated(&[("NODE_EXTRA_CA_CERTS", &own), ("SSL_CERT_FILE", &own)]);
    assert!(merged[0].contains("/bundle-") && merged[2] == merged[0] && merged[4] == bundle, "{merged:?}");

    let mut json = desk.command(["env", "--json", "--cert-dir"]);
    for name in ["NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        json.env_remove(name);
    }
    let json = Running::spawn(json.arg(&dir)).ended().ok().json();
    assert_eq!((&json["DENO_CERT"], &json["SSL_CERT_FILE"]), (&json!(ca), &json!(bundle)));
    let fish = desk.run(["env", "--shell", "fish", "--cert-dir", dir.to_str().unwrap()]).ok().stdout;
    assert!(fish.starts_with("set -gx NODE_EXTRA_CA_CERTS '"), "{fish}");

    let line = desk.path("a\nb");
    authority(&line);
    let ran = desk.run(["env", "--cert-dir", line.to_str().unwrap()]);
    assert_eq!(ran.stdout, "");
    ran.failed(1, "FILE_ERROR", &["cannot be written for a shell"]);
}

#[test]
fn root_makes_nothing_in_the_home_of_who_called_sudo() {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    if !rustix::process::geteuid().is_root() || !passwd.contains(":65534:") {
        eprintln!("skipped: only root can be sudo, of someone it knows");
        return;
    }
    let desk = Desk::new();
    let by_sudo = |args: &[&str]| {
        let mut command = desk.command(args);
        Running::spawn(command.env("SUDO_UID", "65534").env_remove("MASTRA_ROUTER_HOME")).ended()
    };
    by_sudo(&["tls", "issue", "a.localhost"]).failed(1, "CERTIFICATE_ERROR", &["hint: run it as yourself"]);
    by_sudo(&["tls", "renew"]).failed(1, "CERTIFICATE_ERROR", &["hint: run it as yourself"]);
    by_sudo(&["serve", "--listen", "127.0.0.1:0"]).failed(1, "FILE_ERROR", &["hint: run it as yourself"]);
    by_sudo(&["tls", "issue", "a.localhost", "--cert-dir", "certs"]).ok();
}
