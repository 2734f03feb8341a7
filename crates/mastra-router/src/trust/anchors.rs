//! The stores of Linux distributions: a directory of anchors, and a tool that makes of them what programs read.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::certificate::{CaCertificate, Fingerprint, certificates};
use super::command::{CommandLine, SLOW, Tool};
use super::machine::Machine;
use super::replace::replace;
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

/// How a family of distributions keeps its anchors.
#[derive(Debug)]
struct Family {
    name: &'static str,
    /// Identifiers in `os-release`, the family's own and those of its descendants that do not name it.
    ids: &'static [&'static str],
    anchors: &'static str,
    /// Debian's tool reads nothing but `.crt`.
    extension: &'static str,
    tool: &'static [&'static str],
    /// What is run after a removal, where that differs.
    tool_after_removal: &'static [&'static str],
    /// What the tool makes, the first that is there.
    bundles: &'static [&'static str],
    install: &'static [&'static str],
}

const FAMILIES: [Family; 5] = [
    Family {
        name: "Debian",
        ids: &["debian", "ubuntu", "linuxmint", "pop", "raspbian", "kali"],
        anchors: "/usr/local/share/ca-certificates",
        extension: "crt",
        tool: &["update-ca-certificates"],
        // Without --fresh, links to the certificate that is gone stay in /etc/ssl/certs.
        tool_after_removal: &["update-ca-certificates", "--fresh"],
        bundles: &["/etc/ssl/certs/ca-certificates.crt"],
        install: &["sudo", "apt-get", "install", "ca-certificates"],
    },
    Family {
        name: "Fedora",
        ids: &["fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"],
        anchors: "/etc/pki/ca-trust/source/anchors",
        extension: "pem",
        tool: &["update-ca-trust", "extract"],
        tool_after_removal: &["update-ca-trust", "extract"],
        bundles: &["/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/certs/ca-bundle.crt"],
        install: &["sudo", "dnf", "install", "ca-certificates"],
    },
    Family {
        name: "Arch",
        ids: &["arch", "archarm", "manjaro", "endeavouros"],
        anchors: "/etc/ca-certificates/trust-source/anchors",
        extension: "crt",
        tool: &["trust", "extract-compat"],
        tool_after_removal: &["trust", "extract-compat"],
        bundles: &["/etc/ca-certificates/extracted/tls-ca-bundle.pem", "/etc/ssl/certs/ca-certificates.crt"],
        install: &["sudo", "pacman", "-S", "ca-certificates-utils"],
    },
    Family {
        name: "openSUSE",
        ids: &["opensuse", "suse", "sles", "opensuse-leap", "opensuse-tumbleweed"],
        anchors: "/etc/pki/trust/anchors",
        extension: "pem",
        tool: &["update-ca-certificates"],
        tool_after_removal: &["update-ca-certificates"],
        bundles: &["/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/ca-bundle.pem"],
        install: &["sudo", "zypper", "install", "ca-certificates"],
    },
    Family {
        name: "Alpine",
        ids: &["alpine"],
        anchors: "/usr/local/share/ca-certificates",
        extension: "crt",
        tool: &["update-ca-certificates"],
        tool_after_removal: &["update-ca-certificates"],
        bundles: &["/etc/ssl/certs/ca-certificates.crt"],
        install: &["sudo", "apk", "add", "ca-certificates"],
    },
];

/// The directory of anchors of this machine.
#[derive(Debug)]
pub(super) struct Anchors {
    machine: Machine,
    family: &'static Family,
}

impl Anchors {
    /// By what the distribution says it is, else by the directory that is there.
    pub(super) fn find(machine: &Machine) -> Option<Self> {
        let said = machine.distribution();
        let family = said
            .iter()
            .find_map(|id| FAMILIES.iter().find(|family| family.ids.contains(&id.as_str())))
            .or_else(|| FAMILIES.iter().find(|family| machine.file(family.anchors).is_dir()))?;
        Some(Self { machine: machine.clone(), family })
    }

    /// The file of all roots that the system's tool made.
    fn bundle(&self) -> Option<PathBuf> {
        self.family.bundles.iter().map(|path| self.machine.file(path)).find(|path| path.is_file())
    }

    fn directory(&self) -> PathBuf {
        self.machine.file(self.family.anchors)
    }

    fn file(&self, ca: &CaCertificate) -> PathBuf {
        self.directory().join(format!("{}.{}", ca.label(), self.family.extension))
    }

    fn tool(&self, words: &[&str]) -> Result<Tool, Refusal> {
        let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
        let tool = Tool::find(&self.machine, name).ok_or_else(|| Refusal::Unavailable {
            reason: format!("{name} is not installed"),
            remedy: Some(CommandLine::new(self.family.install.iter().copied())),
        })?;
        Ok(tool.args(arguments.iter().copied()).limit(SLOW))
    }

    /// A file with a label of ours, or with a certificate that is ours whoever put it there.
    fn entry(path: &Path, in_bundle: Option<&[Fingerprint]>, ours: &Ours) -> Option<Entry> {
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let [der] = &certificates(&fs::read(path).ok()?)[..] else { return None };
        let fingerprint = Fingerprint::of(der);
        let trusted = in_bundle.is_none_or(|all| all.contains(&fingerprint));
        let handle = path.to_string_lossy().into_owned();
        ours.holds(name, fingerprint).then_some(Entry { fingerprint, handle, trusted })
    }
}

impl Store for Anchors {
    fn name(&self) -> String {
        let name = self.machine.distribution_name().unwrap_or_else(|| self.family.name.to_owned());
        format!("System ({name})")
    }

    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal> {
        let bundle = self.bundle().map(|path| fs::read(&path).map_err(|error| failed("read", &path, error)));
        let bundle: Option<Vec<Fingerprint>> =
            bundle.transpose()?.map(|pem| certificates(&pem).iter().map(|der| Fingerprint::of(der)).collect());
        let directory = self.directory();
        let files = match fs::read_dir(&directory) {
            Ok(files) => files.filter_map(|file| Some(file.ok()?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read", &directory, error)),
        };
        let mut entries: Vec<Entry> =
            files.iter().filter_map(|path| Self::entry(path, bundle.as_deref(), ours)).collect();
        // In what programs read, though no longer among the anchors: the tool did not run after a removal.
        for fingerprint in bundle.into_iter().flatten().filter(|found| !ours.for_user && ours.known.contains(found)) {
            if !entries.iter().any(|entry| entry.fingerprint == fingerprint) {
                entries.push(Entry { fingerprint, handle: String::new(), trusted: true });
            }
        }
        entries.sort_by(|a, b| a.handle.cmp(&b.handle));
        Ok(entries)
    }

    /// A directory that is not there yet is its parent's matter.
    fn check(&self) -> Result<(), Refusal> {
        self.tool(self.family.tool)?;
        let directory = self.directory();
        let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        access(there, Access::WRITE_OK).map_err(|error| failed("write to", there, io::Error::from(error)))
    }

    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal> {
        let tool = self.tool(self.family.tool)?;
        let (directory, file) = (self.directory(), self.file(ca));
        fs::create_dir_all(&directory).map_err(|error| failed("create", &directory, error))?;
        replace(&file, ca.pem.as_bytes(), 0o644, None).map_err(|error| failed("write", &file, error))?;
        tool.run()?;
        Ok(())
    }

    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal> {
        let tool = self.tool(self.family.tool_after_removal)?;
        for path in entries.iter().filter(|entry| !entry.handle.is_empty()).map(|entry| Path::new(&entry.handle)) {
            fs::remove_file(path).map_err(|error| failed("remove", path, error))?;
        }
        tool.run()?;
        Ok(())
    }

    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine> {
        let (from, to) = (ca.path.to_string_lossy().into_owned(), self.file(ca).to_string_lossy().into_owned());
        let install = CommandLine::new(["sudo".to_owned(), "install".into(), "-m".into(), "0644".into(), from, to]);
        vec![install, CommandLine::new(["sudo"].iter().chain(self.family.tool).copied())]
    }

    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine> {
        let files = entries.iter().map(|entry| entry.handle.as_str()).filter(|path| !path.is_empty());
        let removal = CommandLine::new(["sudo", "rm", "-f", "--"].into_iter().chain(files));
        vec![removal, CommandLine::new(["sudo"].iter().chain(self.family.tool_after_removal).copied())]
    }
}

fn failed(action: &str, path: &Path, error: io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Refusal::NeedsPrivilege,
        _ => Refusal::Failed(format!("cannot {action} {}: {error}", path.display())),
    }
}
