//! The login keychain of macOS, through `security`. Written from its documentation.

use std::path::PathBuf;

use super::certificate::{CaCertificate, Fingerprint, certificates, common_name};
use super::command::{CommandLine, SLOW, Tool};
use super::machine::Machine;
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

/// The user's own keychain: no other user of the machine trusts the authority by it, and it needs no privilege. The
/// system asks the user to confirm a change of what is trusted.
#[derive(Debug)]
pub(super) struct Keychain {
    pub(super) machine: Machine,
}

impl Keychain {
    fn file(&self) -> PathBuf {
        self.machine.home.join("Library/Keychains/login.keychain-db")
    }

    fn security(&self, action: &str) -> Result<Tool, Refusal> {
        let tool = Tool::find(&self.machine, "security")
            .ok_or_else(|| Refusal::Failed("security, by which it is changed, is not in PATH".to_owned()))?;
        Ok(tool.arg(action).run_as(self.machine.run_as).limit(SLOW))
    }

    /// A certificate that is in a keychain is trusted only where settings say so as well.
    fn trusts(&self, name: &str) -> Result<bool, Refusal> {
        // It fails where there are no settings at all. Lines are `Cert 0: <common name>`.
        let settings = self.security("dump-trust-settings")?.run().unwrap_or_default();
        Ok(settings.lines().any(|line| line.trim_end().ends_with(&format!(": {name}"))))
    }
}

impl Store for Keychain {
    fn name(&self) -> String {
        "System (macOS login keychain)".to_owned()
    }

    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal> {
        let pem = self.security("find-certificate")?.args(["-a", "-p"]).arg(self.file()).run()?;
        let mut entries = Vec::new();
        for der in certificates(pem.as_bytes()) {
            let (fingerprint, name) = (Fingerprint::of(&der), common_name(&der));
            if ours.is(fingerprint, name.as_deref()) {
                let trusted = self.trusts(name.as_deref().unwrap_or_default())?;
                entries.push(Entry { fingerprint, handle: fingerprint.hex().to_ascii_uppercase(), trusted });
            }
        }
        Ok(entries)
    }

    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal> {
        let tool = self.security("add-trusted-cert")?.args(["-r", "trustRoot", "-p", "ssl", "-k"]).arg(self.file());
        tool.arg(&ca.path).run()?;
        Ok(())
    }

    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal> {
        for entry in entries {
            // -t: what was set for it, too.
            self.security("delete-certificate")?.args(["-t", "-Z", &entry.handle]).arg(self.file()).run()?;
        }
        Ok(())
    }

    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine> {
        let (keychain, file) = (self.file().to_string_lossy().into_owned(), ca.path.to_string_lossy().into_owned());
        let words = ["security", "add-trusted-cert", "-r", "trustRoot", "-p", "ssl", "-k", &keychain, &file];
        vec![CommandLine::new(words)]
    }

    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine> {
        let keychain = self.file().to_string_lossy().into_owned();
        let line = |e: &Entry| CommandLine::new(["security", "delete-certificate", "-t", "-Z", &e.handle, &keychain]);
        entries.iter().map(line).collect()
    }
}
