//! `service`, against stand-ins for the managers: scripts on PATH that write down what they are told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::router::{Desk, Ran, Router, Running};

/// A desk with a directory for PATH, in which a stand-in of this name does what `script` says.
pub(crate) fn with_tool(name: &str, script: &str) -> Desk {
    let desk = Desk::new();
    stand_in(&desk, name, script);
    desk
}

fn stand_in(desk: &Desk, name: &str, script: &str) {
    let _ = fs::create_dir(desk.path("bin"));
    let told = desk.path("told");
    let text = format!("#!/bin/sh\necho \"{name} $*\" >> '{}'\n{script}\n", told.display());
    let file = desk.write(&format!("bin/{name}"), &text);
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A systemd that keeps what is enabled and running as files.
pub(crate) const SYSTEMCTL: &str = r#"
dir=$(dirname "$0")
[ "$1" = --user ] && shift
case "$1" in
  enable) touch "$dir/enabled"; case "$*" in *--now*) touch "$dir/active";; esac;;
  restart|start) touch "$dir/active";;
  stop) rm -f "$dir/active";;
  disable) rm -f "$dir/enabled" "$dir/active";;
  is-enabled) if [ -e "$dir/enabled" ]; then echo enabled; else echo disabled; exit 1; fi;;
  is-active) if [ -e "$dir/active" ]; then echo active; else echo inactive; exit 3; fi;;
esac"#;

pub(crate) fn run(desk: &Desk, args: &[&str]) -> Ran {
    Running::spawn(&mut command(desk, args)).ended()
}

pub(crate) fn command(desk: &Desk, args: &[&str]) -> Command {
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    let mut command = desk.command(args);
    command.env("PATH", path).env_remove("MASTRA_ROUTER_HOSTS_FILE");
    command
}

/// What the stand-ins were told since the last time, but for what only looks.
fn told(desk: &Desk) -> Vec<String> {
    let file = desk.path("told");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(file);
    let looks = ["show-environment", "is-active", "is-enabled", "managername", "print", "/?", "/Query"];
    text.lines().filter(|line| !looks.iter().any(|look| line.contains(look))).map(str::to_owned).collect()
}

fn unit(desk: &Desk) -> PathBuf {
    desk.path(".config/systemd/user/mastra-router.service")
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_mastra-router")
}

#[test]
fn a_unit_of_the_user_comes_and_goes() {
    let desk = with_tool("systemctl", SYSTEMCTL);
    let status = |desk: &Desk| run(desk, &["service", "status", "--json"]).ok().json();
    assert_eq!(status(&desk)["installed"], false);
    assert!(run(&desk, &["service", "status"]).ok().stdout.contains("not installed"));
    told(&desk);

    let words =
        ["service", "install", "--listen", "127.0.0.1:4000", "--tls", "--hosts", "best-effort", "--cert-dir", "c d"];
    let dry = run(&desk, &[&words[..], &["--dry-run"]].concat()).ok();
    assert!(told(&desk).is_empty() && !unit(&desk).exists(), "a dry run changes nothing");
    let installed = run(&desk, &words).ok();
    assert!(installed.stderr.contains("installed and running"), "{installed:?}");
    let commands = [
        "systemctl --user daemon-reload",
        "systemctl --user enable mastra-router.service",
        "systemctl --user restart mastra-router.service",
    ];
    assert_eq!(told(&desk), commands);
    let text = fs::read_to_string(unit(&desk)).unwrap();
    assert_eq!(dry.stdout, format!("==> {}\n{text}\n{}\n", unit(&desk).display(), commands.join("\n")));
    assert_eq!(
        text,
        format!(
            "# Written by mastra-router service install; mastra-router service uninstall removes it.
[Unit]
Description=mastra-router, names instead of ports for local servers

[Service]
Type=exec
ExecStart={} serve --home {} --no-project-file --listen 127.0.0.1:4000 --hosts best-effort --tls --cert-dir \"{}\"
Restart=on-failure
RestartSec=2
RestartPreventExitStatus=2
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
",
            program(),
            desk.home().display(),
            desk.path("c d").display()
        )
    );
    let is = status(&desk);
    assert_eq!((&is["installed"], &is["enabled"], &is["running"]), (&json!(true), &json!(true), &json!(true)));
    let shown = run(&desk, &["service", "status"]).ok().stdout;
    for word in ["● installed, systemd (user)", "● enabled", "● running"] {
        assert!(shown.contains(word), "{shown}");
    }
    told(&desk);

    run(&desk, &words).ok();
    assert_eq!(told(&desk), ["systemctl --user enable --now mastra-router.service"], "nothing is different");
    run(&desk, &["service", "install"]).ok();
    assert_eq!(told(&desk), commands, "the flags are");
    assert!(!fs::read_to_string(unit(&desk)).unwrap().contains("--listen"));

    let dry = run(&desk, &["service", "uninstall", "--dry-run"]).ok();
    assert!(dry.stdout.starts_with(&format!("would remove {}\n", unit(&desk).display())), "{dry:?}");
    assert!(unit(&desk).exists() && told(&desk).is_empty());
    run(&desk, &["service", "uninstall"]).ok();
    assert_eq!(told(&desk), ["systemctl --user disable --now mastra-router.service", "systemctl --user daemon-reload"]);
    assert!(!unit(&desk).exists());
    let again = run(&desk, &["service", "uninstall"]).ok();
    assert_eq!((again.stdout.as_str(), again.stderr.as_str(), told(&desk).len()), ("", "nothing to remove\n", 0));
}

#[test]
fn where_it_cannot_be_done_nothing_is_left() {
    let desk = Desk::new();
    let hint = "hint: start the router from what runs when you log in: mastra-router start";
    let mut none = desk.command(["service", "install"]);
    none.env("PATH", desk.path("bin"));
    Running::spawn(&mut none).ended().failed(1, "NO_SERVICE_MANAGER", &["systemctl: ", hint]);
    stand_in(&desk, "systemctl", "echo 'Failed to connect to bus' >&2; exit 1");
    run(&desk, &["service", "install"]).failed(1, "NO_SERVICE_MANAGER", &["Failed to connect to bus", hint]);
    assert!(!desk.path(".config").exists());

    stand_in(&desk, "systemctl", "case \"$*\" in *enable*) echo 'Unit is masked.' >&2; exit 1;; esac");
    let hint = "systemctl --user status mastra-router.service";
    run(&desk, &["service", "install"]).failed(1, "SERVICE_FAILED", &["Unit is masked.", hint]);
    assert!(!unit(&desk).exists(), "what was written is taken back");

    stand_in(&desk, "systemctl", SYSTEMCTL);
    fs::create_dir_all(unit(&desk).parent().unwrap()).unwrap();
    fs::write(unit(&desk), "[Service]\n").unwrap();
    for action in ["install", "uninstall", "status"] {
        run(&desk, &["service", action]).failed(4, "SERVICE_FOREIGN", &["hint: mv /"]);
    }
    assert_eq!(fs::read_to_string(unit(&desk)).unwrap(), "[Service]\n");

    fs::remove_file(unit(&desk)).unwrap();
    run(&desk, &["service", "install", "--listen", "0.0.0.0:80"]).failed(2, "LAN_NOT_ALLOWED", &["--lan"]);
    run(&desk, &["service", "install", "--system", "--manager", "launchd"]).failed(
        1,
        "SERVICE_UNSUPPORTED",
        &["--system"],
    );
    assert!(!unit(&desk).exists());
}

#[test]
fn a_router_that_runs_makes_room() {
    let router = Router::start();
    stand_in(&router.desk, "systemctl", SYSTEMCTL);
    let dry = run(&router.desk, &["service", "install", "--dry-run"]).ok();
    assert!(dry.stdout.contains("\nmastra-router stop\nsystemctl"), "{dry:?}");
    let installed = run(&router.desk, &["service", "install"]).ok();
    assert!(installed.stderr.contains("stopping the router that runs (pid "), "{installed:?}");
    router.run(&["status"]).failed(1, "ROUTER_UNREACHABLE", &[]);
}

#[test]
fn a_service_of_the_machine_has_its_ports_opened_and_no_root() {
    let desk = with_tool("systemctl", SYSTEMCTL);
    let units = desk.path("units");
    let root = rustix::process::geteuid().is_root();
    let words = ["service", "install", "--system", "--unit-dir", units.to_str().unwrap()];
    let mut by_sudo = command(&desk, &words);
    let uid = if root {
        run(&desk, &words).failed(1, "SERVICE_AS_ROOT", &["hint: run it by sudo"]);
        // The user of the lowest number that every system has.
        by_sudo.env("SUDO_UID", "1");
        "1".to_owned()
    } else {
        run(&desk, &["service", "install", "--system"]).failed(5, "NEEDS_PRIVILEGE", &["sudo mastra-router"]);
        rustix::process::geteuid().as_raw().to_string()
    };
    assert!(!units.exists());
    Running::spawn(&mut by_sudo).ended().ok();
    let service = fs::read_to_string(units.join("mastra-router.service")).unwrap();
    let socket = fs::read_to_string(units.join("mastra-router.socket")).unwrap();
    for line in [
        &format!("User={uid}"),
        "Requires=mastra-router.socket",
        "After=mastra-router.socket network.target",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "WantedBy=multi-user.target",
    ] {
        assert!(service.lines().any(|has| has == line), "no {line}: {service}");
    }
    assert!(!service.contains("--listen"), "its ports are opened for it: {service}");
    let streams: Vec<&str> = socket.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    assert_eq!(streams, ["127.0.0.1:80", "[::1]:80", "127.0.0.1:443", "[::1]:443"]);
    assert_eq!(
        told(&desk),
        [
            "systemctl daemon-reload",
            "systemctl stop mastra-router.service mastra-router.socket",
            "systemctl enable --now mastra-router.socket mastra-router.service"
        ]
    );
    verify(&desk, &[&units.join("mastra-router.service"), &units.join("mastra-router.socket")], false);
}

#[test]
fn paths_of_any_kind_stay_what_they_are() {
    let desk = with_tool("systemctl", SYSTEMCTL);
    let (odd, place) = (desk.path("a 50% \"$HOME\" \\n ü"), desk.path("b 50% $HOME ü"));
    fs::create_dir(&place).unwrap();
    let copy = place.join("mastra router");
    fs::copy(program(), &copy).unwrap();
    let mut install = Command::new(&copy);
    install.args(["service", "install", "--home"]).arg(&odd).stdin(Stdio::null());
    install.env("HOME", desk.path("")).env("PATH", desk.path("bin").display().to_string() + ":/usr/bin:/bin");
    install.env_remove("XDG_CONFIG_HOME").env_remove("SUDO_UID").env("MASTRA_ROUTER_LOG", "warn");
    install.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::spawn(&mut install).ended().ok();
    let text = fs::read_to_string(unit(&desk)).unwrap();
    let in_args = odd.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    let in_program = copy.display().to_string().replace('%', "%%");
    let line = format!("ExecStart=\"{in_program}\" serve --home \"{}\" --no-project-file", in_args.replace('$', "$$"));
    assert!(text.lines().any(|has| has == line), "no {line}: {text}");
    assert!(text.contains("\nEnvironment=\"MASTRA_ROUTER_LOG=warn\"\n"), "{text}");
    verify(&desk, &[&unit(&desk)], true);

    let refused = desk.path("it's");
    fs::rename(&copy, &refused).unwrap();
    let mut install = Command::new(&refused);
    install.args(["service", "install", "--dry-run"]).env("HOME", desk.path("")).stdin(Stdio::null());
    install.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::spawn(&mut install).ended().failed(1, "SERVICE_UNSUPPORTED", &["quotes or backslashes"]);
}

/// What systemd itself says of the units, where it is installed.
fn verify(desk: &Desk, units: &[&Path], user: bool) {
    if !Path::new("/usr/bin/systemd-analyze").is_file() {
        eprintln!("skipped: systemd-analyze is needed");
        return;
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(user.then_some("--user")).arg("verify").args(units).env("XDG_RUNTIME_DIR", desk.path("tmp"));
    let said = analyze.output().unwrap();
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn launchd_has_an_agent() {
    let desk = with_tool("launchctl", "case \"$1\" in print) echo '\tstate = running';; esac");
    let install = ["service", "install", "--manager", "launchd", "--base-domain", "a.test"];
    run(&desk, &install).ok();
    let plist = desk.path("Library/LaunchAgents/ai.mastra.router.plist");
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(
        told(&desk),
        [
            format!("launchctl enable gui/{uid}/ai.mastra.router"),
            format!("launchctl bootstrap gui/{uid} {}", plist.display())
        ]
    );
    assert_eq!(
        fs::read_to_string(&plist).unwrap(),
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by mastra-router service install; mastra-router service uninstall removes it. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>ai.mastra.router</string>
  <key>ProgramArguments</key>
  <array>
    <string>{}</string>
    <string>serve</string>
    <string>--home</string>
    <string>{}</string>
    <string>--no-project-file</string>
    <string>--base-domain</string>
    <string>a.test</string>
  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>StandardErrorPath</key>
  <string>{}</string>
</dict>
</plist>
"#,
            program(),
            desk.home().display(),
            desk.path("Library/Logs/mastra-router.log").display()
        )
    );
    let status = run(&desk, &["service", "status", "--manager", "launchd", "--json"]).ok().json();
    assert_eq!((&status["enabled"], &status["running"]), (&json!(true), &json!(true)));
    told(&desk);
    run(&desk, &["service", "install", "--manager", "launchd"]).ok();
    assert_eq!(
        told(&desk)[0],
        format!("launchctl bootout gui/{uid}/ai.mastra.router"),
        "what is loaded is the old one"
    );
}

#[test]
fn the_task_scheduler_has_a_task() {
    let desk = with_tool("schtasks", "case \"$1\" in /Query) echo '\"\\mastra-router\",\"N/A\",\"Ready\"';; esac");
    let mut install = command(&desk, &["service", "install", "--manager", "task-scheduler", "--cert-dir", "a b&c"]);
    Running::spawn(install.env("USERDOMAIN", "CORP").env("USERNAME", "ann")).ended().ok();
    let file = desk.home().join("mastra-router-task.xml");
    assert_eq!(
        told(&desk),
        [
            format!("schtasks /Create /TN mastra-router /XML {} /F", file.display()),
            "schtasks /Run /TN mastra-router".to_owned()
        ]
    );
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes[..2], [0xff, 0xfe]);
    let units: Vec<u16> = bytes[2..].chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).unwrap();
    let args = format!(
        "serve --home {} --no-project-file --cert-dir &quot;{}&quot;",
        desk.home().display(),
        desk.path("a b&amp;c").display()
    );
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\r\n",
        "<LogonTrigger><Enabled>true</Enabled><UserId>CORP\\ann</UserId></LogonTrigger>",
        "<RunLevel>LeastPrivilege</RunLevel>",
        "<ExecutionTimeLimit>PT0S</ExecutionTimeLimit>",
        &format!("<Exec><Command>{}</Command><Arguments>{args}</Arguments></Exec>", program()),
    ] {
        assert!(text.contains(part), "no {part}: {text}");
    }
    let status = run(&desk, &["service", "status", "--manager", "task-scheduler", "--json"]).ok().json();
    assert_eq!((&status["enabled"], &status["running"]), (&json!(true), &json!(false)));
    run(&desk, &["service", "uninstall", "--manager", "task-scheduler"]).ok();
    assert_eq!(told(&desk), ["schtasks /End /TN mastra-router", "schtasks /Delete /TN mastra-router /F"]);
    assert!(!file.exists());
}
