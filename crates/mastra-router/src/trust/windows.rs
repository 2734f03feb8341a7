//! The user's root store of Windows, from Windows or from Linux in it, through `certutil.exe` and PowerShell. Written from
//! their documentation.

use base64::Engine;
use sha1::{Digest, Sha1};

use super::certificate::{CaCertificate, Fingerprint, common_name};
use super::command::{CommandLine, SLOW, Tool};
use super::machine::{Machine, Platform};
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

/// Prints every root of the user in base64. What `certutil -store` prints is in the language of the system.
const LIST: &str = "Get-ChildItem Cert:\\CurrentUser\\Root | ForEach-Object { [Convert]::ToBase64String($_.RawData) }";
/// Where Windows is, seen from Linux in it.
const SYSTEM32: &str = "/mnt/c/Windows/System32";

/// The root store of the Windows user. Windows asks the user to confirm a change of it.
#[derive(Debug)]
pub(super) struct WindowsRoots {
    pub(super) machine: Machine,
}

impl WindowsRoots {
    fn tool(&self, name: &str, below: &str) -> Result<Tool, Refusal> {
        let program = self.machine.program(name).or_else(|| {
            let file = self.machine.file(&format!("{SYSTEM32}/{below}{name}"));
            file.is_file().then_some(file)
        });
        let program = program.ok_or_else(|| Refusal::Failed(format!("{name} of Windows was not found")))?;
        Ok(Tool::at(&self.machine, program).limit(SLOW))
    }

    fn certutil(&self) -> Result<Tool, Refusal> {
        Ok(self.tool("certutil.exe", "")?.arg("-user"))
    }

    /// The authority's file as Windows names it.
    fn file(&self, ca: &CaCertificate) -> Result<String, Refusal> {
        if self.machine.platform != Platform::Wsl {
            return Ok(ca.path.to_string_lossy().into_owned());
        }
        let wslpath =
            Tool::find(&self.machine, "wslpath").ok_or_else(|| Refusal::Failed("wslpath was not found".to_owned()))?;
        Ok(wslpath.arg("-w").arg(&ca.path).run()?.trim().to_owned())
    }
}

impl Store for WindowsRoots {
    fn name(&self) -> String {
        "System (Windows, this user)".to_owned()
    }

    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal> {
        let shell = self.tool("powershell.exe", "WindowsPowerShell/v1.0/")?;
        let listing = shell.args(["-NoProfile", "-NonInteractive", "-Command", LIST]).run()?;
        let decode = |line: &str| base64::engine::general_purpose::STANDARD.decode(line.trim()).ok();
        let entry = |der: Vec<u8>| {
            let fingerprint = Fingerprint::of(&der);
            let handle = Sha1::digest(&der).iter().map(|byte| format!("{byte:02x}")).collect();
            ours.is(fingerprint, common_name(&der).as_deref()).then_some(Entry { fingerprint, handle, trusted: true })
        };
        Ok(listing.lines().filter_map(decode).filter(|der| !der.is_empty()).filter_map(entry).collect())
    }

    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal> {
        self.certutil()?.args(["-addstore", "Root", &self.file(ca)?]).run()?;
        Ok(())
    }

    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal> {
        for entry in entries {
            self.certutil()?.args(["-delstore", "Root", &entry.handle]).run()?;
        }
        Ok(())
    }

    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine> {
        let file = self.file(ca).unwrap_or_else(|_| ca.path.to_string_lossy().into_owned());
        vec![CommandLine::new(["certutil.exe", "-user", "-addstore", "Root", &file])]
    }

    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine> {
        let line = |e: &Entry| CommandLine::new(["certutil.exe", "-user", "-delstore", "Root", &e.handle]);
        entries.iter().map(line).collect()
    }
}
