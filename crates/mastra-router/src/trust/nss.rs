//! The databases of Firefox, and of Chrome on Linux, through NSS's own `certutil`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::certificate::{CaCertificate, Fingerprint, certificates};
use super::command::{CommandLine, Tool, ToolError};
use super::machine::{Machine, Platform};
use super::store::{Entry, Ours, Refusal, Store, StoreKind};

/// An NSS database.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) machine: Machine,
    pub(super) name: String,
    pub(super) directory: PathBuf,
}

impl Database {
    /// What `certutil -N` makes; on a database that exists, that command asks for its password for ever.
    fn exists(&self) -> bool {
        self.directory.join("cert9.db").exists()
    }

    /// The database in its form of before 2018, which today's browsers do not read.
    fn is_legacy(&self) -> bool {
        !self.exists() && self.directory.join("cert8.db").exists()
    }

    fn specification(&self) -> OsString {
        let mut specification = OsString::from("sql:");
        specification.push(&self.directory);
        specification
    }

    /// `certutil ACTION -d sql:DIR`, which reads an empty password from nowhere instead of asking for one.
    fn certutil(&self, action: &str) -> Result<Tool, Refusal> {
        if self.is_legacy() {
            let reason = "its database has an old form (cert8.db); it gets a new one when the browser is started";
            return Err(Refusal::Unavailable { reason: reason.to_owned(), remedy: None });
        }
        let tool = Tool::find(&self.machine, "certutil").ok_or_else(|| Refusal::Unavailable {
            reason: "certutil, by which its database is changed, is not installed".to_owned(),
            remedy: Some(install(&self.machine)),
        })?;
        let tool = tool.arg(action).arg("-d").arg(self.specification()).run_as(self.machine.run_as);
        Ok(if action == "-N" { tool.arg("--empty-password") } else { tool.args(["-f", "/dev/null"]) })
    }

    fn create(&self) -> Result<(), Refusal> {
        let mkdir =
            Tool::find(&self.machine, "mkdir").ok_or_else(|| Refusal::Failed("there is no mkdir".to_owned()))?;
        let mkdir = mkdir.args(["-p", "-m", "700", "--"]).arg(self.directory.parent().unwrap_or(&self.directory));
        mkdir.arg(&self.directory).run_as(self.machine.run_as).run()?;
        if !self.exists() {
            self.certutil("-N")?.run()?;
        }
        Ok(())
    }

    /// The certificates behind a nickname: NSS gives all that have the same subject.
    fn named(&self, nickname: &str) -> Result<Vec<Fingerprint>, Refusal> {
        let pem = self.certutil("-L")?.args(["-a", "-n", nickname]).run()?;
        let all: Vec<Fingerprint> = certificates(pem.as_bytes()).iter().map(|der| Fingerprint::of(der)).collect();
        let own: Vec<Fingerprint> = all.iter().copied().filter(|f| nickname.ends_with(&f.short())).collect();
        Ok(if own.is_empty() { all } else { own })
    }

    fn words(&self, action: &[&str], more: &[&str]) -> CommandLine {
        let database = self.specification().to_string_lossy().into_owned();
        let words = ["certutil"].iter().chain(action).copied().chain(["-d", &database]).chain(more.iter().copied());
        CommandLine::new(words)
    }
}

impl Store for Database {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Nss
    }

    fn look(&self, ours: &Ours) -> Result<Vec<Entry>, Refusal> {
        let list = self.certutil("-L")?;
        if !self.exists() {
            return Ok(Vec::new());
        }
        let listing = list.run()?;
        // One that a person imported has a nickname made of its common name. It comes last, and has what no label of ours
        // speaks for.
        let named = |name: &str| ours.common_name.as_deref().is_some_and(|cn| !cn.is_empty() && name.contains(cn));
        let labelled = rows(&listing).filter(|(name, _)| Ours::labelled(name));
        let imported = rows(&listing).filter(|(name, _)| !Ours::labelled(name) && named(name));
        let mut entries: Vec<Entry> = Vec::new();
        for (nickname, trusted) in labelled.chain(imported) {
            for fingerprint in self.named(nickname)? {
                if !entries.iter().any(|entry| entry.fingerprint == fingerprint) {
                    entries.push(Entry { fingerprint, handle: nickname.to_owned(), trusted });
                }
            }
        }
        Ok(entries)
    }

    fn add(&self, ca: &CaCertificate) -> Result<(), Refusal> {
        self.certutil("-A")?;
        if !self.exists() {
            self.create()?;
        }
        let added = self.certutil("-A")?.args(["-t", "C,,", "-n", &ca.label(), "-i"]).arg(&ca.path).run();
        added.map(drop).map_err(|error| match error {
            ToolError::Failed { said, .. } if said.contains("SEC_ERROR_BAD_PASSWORD") => {
                Refusal::Failed("it has a primary password, which only its user can enter".to_owned())
            }
            error => error.into(),
        })
    }

    fn remove(&self, entries: &[Entry]) -> Result<(), Refusal> {
        for entry in entries {
            if self.named(&entry.handle)? != [entry.fingerprint] {
                let reason = format!("several certificates have the nickname {:?}", entry.handle);
                return Err(Refusal::Failed(reason));
            }
            self.certutil("-D")?.args(["-n", &entry.handle]).run()?;
        }
        Ok(())
    }

    fn adding(&self, ca: &CaCertificate) -> Vec<CommandLine> {
        let mut commands = Vec::new();
        if !self.exists() {
            let directory = self.directory.to_string_lossy();
            commands.push(CommandLine::new(["mkdir", "-p", "-m", "700", "--", &directory]));
            commands.push(self.words(&["-N"], &["--empty-password"]));
        }
        let file = ca.path.to_string_lossy();
        commands.push(self.words(&["-A"], &["-t", "C,,", "-n", &ca.label(), "-i", &file]));
        commands
    }

    fn removing(&self, entries: &[Entry]) -> Vec<CommandLine> {
        entries.iter().map(|entry| self.words(&["-D"], &["-n", &entry.handle])).collect()
    }
}

/// The nicknames of a listing, each with whether it is trusted to name web servers: a `C` in the first of three fields.
fn rows(listing: &str) -> impl Iterator<Item = (&str, bool)> {
    listing.lines().filter_map(|line| {
        let (nickname, trust) = line.trim_end().rsplit_once(char::is_whitespace)?;
        let fields: Vec<&str> = trust.split(',').collect();
        let flags = fields.iter().all(|field| field.chars().all(|c| "pPcCTuwg".contains(c)));
        let [web, _, _] = fields[..] else { return None };
        (flags && !nickname.is_empty()).then_some((nickname.trim_end(), web.contains('C')))
    })
}

fn install(machine: &Machine) -> CommandLine {
    if machine.platform == Platform::MacOs {
        return CommandLine::new(["brew", "install", "nss"]);
    }
    let commands: [(&[&str], &[&str]); 4] = [
        (&["fedora", "rhel", "centos", "rocky", "almalinux", "amzn"], &["sudo", "dnf", "install", "nss-tools"]),
        (&["arch", "archarm", "manjaro", "endeavouros"], &["sudo", "pacman", "-S", "nss"]),
        (&["opensuse", "suse", "sles"], &["sudo", "zypper", "install", "mozilla-nss-tools"]),
        (&["alpine"], &["sudo", "apk", "add", "nss-tools"]),
    ];
    let said = machine.distribution();
    let known = said.iter().find_map(|id| commands.iter().find(|(ids, _)| ids.contains(&id.as_str())));
    let debian: &[&str] = &["sudo", "apt-get", "install", "libnss3-tools"];
    CommandLine::new(known.map_or(debian, |(_, words)| words).iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings() {
        let listing = "\nCertificate Nickname                                         Trust Attributes\n\
                       \x20                                                            SSL,S/MIME,JAR/XPI\n\n\
                       mastra-router-0badcafe                                       C,,  \n\
                       a name, with commas                                          ,,   \n\
                       my own                                                       u,u,u\n\
                       distrusted                                                   p,p,p\n";
        let found: Vec<(&str, bool)> = rows(listing).collect();
        let expected = [
            ("mastra-router-0badcafe", true),
            ("a name, with commas", false),
            ("my own", false),
            ("distrusted", false),
        ];
        assert_eq!(found, expected);
    }
}
