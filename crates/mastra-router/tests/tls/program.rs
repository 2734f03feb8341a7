//! The clients people use, as programs that are run. Each says whether it accepts a server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    if !found {
        eprintln!("{name} is not installed: it is not asked");
    }
    found
}

pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).stdin(Stdio::null()).output().unwrap()
}

pub(crate) const CLIENTS: [(&str, Client); 5] =
    [("openssl", openssl), ("curl", curl), ("python3", python), ("node", node), ("gnutls-cli", gnutls)];

/// Connects to a server under a name, trusting one authority.
pub(crate) type Client = fn(ca: &Path, server: SocketAddr, host: &str) -> Output;

fn openssl(ca: &Path, server: SocketAddr, host: &str) -> Output {
    let named = ["-verify_hostname", host, "-servername", host];
    let by_address = ["-verify_ip", host, "-noservername"];
    let name: &[&str] = if host.parse::<std::net::IpAddr>().is_ok() { &by_address } else { &named };
    let server = server.to_string();
    let fixed =
        ["s_client", "-connect", &server, "-CAfile", ca.to_str().unwrap(), "-verify_return_error", "-x509_strict"];
    run("openssl", &[&fixed, name].concat())
}

fn curl(ca: &Path, server: SocketAddr, host: &str) -> Output {
    let (ip, port) = (server.ip(), server.port());
    let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let url = format!("https://{shown}:{port}/");
    let resolve = format!("{host}:{port}:{ip}");
    let mut args = vec![
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--http1.1",
        "--max-time",
        "30",
        "--cacert",
        ca.to_str().unwrap(),
        &url,
    ];
    if host.parse::<std::net::IpAddr>().is_err() {
        args.extend(["--resolve", &resolve]);
    }
    run("curl", &args)
}

fn python(ca: &Path, server: SocketAddr, host: &str) -> Output {
    // Newer Pythons are as strict by default.
    let script = "import ssl, socket, sys
ca, ip, port, host = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.verify_flags |= ssl.VERIFY_X509_STRICT
with socket.create_connection((ip, int(port))) as plain:
    with context.wrap_socket(plain, server_hostname=host) as tls:
        print(tls.version())";
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    run("python3", &["-c", script, ca.to_str().unwrap(), &ip, &port, host])
}

fn node(ca: &Path, server: SocketAddr, host: &str) -> Output {
    let script = "const tls = require('tls'), fs = require('fs'), net = require('net');
const [ca, ip, port, host] = process.argv.slice(1);
const name = net.isIP(host) ? { host } : { host: ip, servername: host };
const socket = tls.connect({ ...name, port: Number(port), ca: fs.readFileSync(ca) }, () => { console.log(socket.getProtocol()); socket.destroy(); });
socket.on('error', error => { console.error(error.code, error.message); process.exit(1); });";
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    run("node", &["-e", script, ca.to_str().unwrap(), &ip, &port, host])
}

fn gnutls(ca: &Path, server: SocketAddr, host: &str) -> Output {
    let (ip, port) = (server.ip().to_string(), server.port().to_string());
    let ca = format!("--x509cafile={}", ca.display());
    let verified = format!("--verify-hostname={host}");
    let mut args = vec![ca.as_str(), &verified, "--port", &port];
    let sni = format!("--sni-hostname={host}");
    if host.parse::<std::net::IpAddr>().is_err() {
        args.push(&sni);
    }
    args.push(&ip);
    run("gnutls-cli", &args)
}

/// What a program said, for the message of a test that fails.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
