//! The stores of Java machines, through their own `keytool`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{Access, access};

use super::certificate::{CaCertificate, Fingerprint};
use super::command::{CommandLine, SLOW, Tool};
use super::machine::Machine;
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

/// The password of the store of every Java machine, which protects nothing.
const PASSWORD: &str = "changeit";

/// The store of a Java machine.
#[derive(Debug)]
pub(super) struct Keystore {
    machine: Machine,
    /// The Java machine's directory.
    java: PathBuf,
    /// Its store, links followed: several machines may share one.
    file: PathBuf,
}

impl Keystore {
    /// The stores of `$JAVA_HOME` and of every Java machine of the system, each once.
    pub(super) fn find(machine: &Machine) -> Vec<Self> {
        let mut homes: Vec<PathBuf> = machine.java_home.clone().into_iter().collect();
        let mut installed: Vec<PathBuf> = ["/usr/lib/jvm", "/usr/lib64/jvm", "/Library/Java/JavaVirtualMachines"]
            .iter()
            .filter_map(|path| fs::read_dir(machine.file(path)).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .flat_map(|path| [path.join("Contents/Home"), path])
            .collect();
        installed.sort();
        homes.extend(installed);
        let mut seen = BTreeSet::new();
        homes
            .into_iter()
            .filter_map(|java| {
                // Up to Java 8, a development kit holds its machine.
                let file = ["lib/security/cacerts", "jre/lib/security/cacerts"]
                    .iter()
                    .find_map(|path| fs::canonicalize(java.join(path)).ok())?;
                seen.insert(file.clone()).then(|| Self { machine: machine.clone(), java, file })
            })
            .collect()
    }

    fn keytool(&self, action: &str) -> Result<Tool, Refusal> {
        let own = ["bin/keytool", "jre/bin/keytool"].iter().map(|path| self.java.join(path)).find(|p| p.is_file());
        let program = own
            .or_else(|| self.machine.program("keytool"))
            .ok_or_else(|| Refusal::Failed("it has no keytool".to_owned()))?;
        // A store in the home stays the user's under sudo.
        let owner = fs::metadata(&self.file).map(|meta| meta.uid()).ok();
        let run_as = self.machine.run_as.filter(|run_as| Some(run_as.uid) == owner);
        let tool = Tool::at(&self.machine, program).arg("-J-Duser.language=en").arg(action);
        let tool = tool.arg("-keystore").arg(&self.file).args(["-storepass", PASSWORD]);
        Ok(tool.run_as(run_as).limit(SLOW))
    }

    fn words(&self, action: &[&str], alias: &str) -> CommandLine {
        let file = self.file.to_string_lossy();
        let sudo = if self.check().is_err() { Some("sudo") } else { None };
        let keytool = sudo.into_iter().chain(["keytool"]).chain(action.iter().copied());
        CommandLine::new(keytool.chain(["-keystore", &file, "-storepass", PASSWORD, "-alias", alias]))
    }
}

impl Store for Keystore {
    fn name(&self) -> String {
        let release = fs::read_to_string(self.java.join("release")).unwrap_or_default();
        let version = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=")).unwrap_or_default();
        let version = version.trim_matches('"').trim_start_matches("1.").split('.').next().unwrap_or_default();
        let space = if version.is_empty() { "" } else { " " };
        format!("Java{space}{version} {}", self.java.display())
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Java
    }

    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal> {
        let found = entries(&self.keytool("-list")?.run()?);
        Ok(found.into_iter().filter(|e| ours.holds(&e.handle, e.fingerprint)).collect())
    }

    fn check(&self) -> Result<(), Refusal> {
        access(&self.file, Access::WRITE_OK).map_err(|_| Refusal::NeedsPrivilege)
    }

    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal> {
        let tool = self.keytool("-importcert")?;
        tool.args(["-noprompt", "-alias", &ca.label(), "-file"]).arg(&ca.path).run()?;
        Ok(())
    }

    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal> {
        for entry in entries {
            self.keytool("-delete")?.args(["-alias", &entry.handle]).run()?;
        }
        Ok(())
    }

    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine> {
        let file = ca.path.to_string_lossy();
        vec![self.words(&["-importcert", "-noprompt", "-file", &file], &ca.label())]
    }

    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine> {
        entries.iter().map(|entry| self.words(&["-delete"], &entry.handle)).collect()
    }
}

/// The entries of a listing, two lines each: `alias, Jan 1, 2026, trustedCertEntry,` and the fingerprint.
fn entries(listing: &str) -> Vec<Entry> {
    let mut alias = "";
    let mut found = Vec::new();
    for line in listing.lines() {
        let fingerprint = line.rsplit_once(' ').and_then(|(_, last)| Fingerprint::parse(last));
        match fingerprint {
            Some(fingerprint) => found.push(Entry { fingerprint, handle: alias.to_owned(), trusted: true }),
            None if line.contains("trustedCertEntry") => alias = line.split(", ").next().unwrap_or_default(),
            None => {}
        }
    }
    found
}
