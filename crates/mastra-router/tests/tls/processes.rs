//! Several processes in one directory, and processes that are killed: this binary runs itself.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use mastra_router::{TlsManager, TlsSettings};
use tempfile::TempDir;

const TASK: &str = "MASTRA_ROUTER_TEST_CERTS";
/// How often a process is killed; more by this variable.
const KILLS: usize = 20;
const KILLS_BY: &str = "MASTRA_ROUTER_TEST_KILLS";

/// Not a test by itself: what the other processes do. Opens the directory, says so, and issues until it is killed or its
/// input ends.
#[test]
fn issuing_process() {
    let Ok(dir) = std::env::var(TASK) else { return };
    // Files have to be secret however careless the process was started.
    rustix::process::umask(rustix::fs::Mode::empty());
    let manager = TlsManager::authority_only(TlsSettings::new(dir)).unwrap();
    println!("\nopened {}", manager.fingerprint().unwrap());
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
    for i in 0.. {
        manager.issue(&format!("h{}.localhost", i % 3)).unwrap();
        if i == 0 {
            println!("issued");
        }
    }
}

struct Process(Child);

impl Process {
    fn start(dir: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::issuing_process", "--nocapture"])
            .env(TASK, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// The rest of the first line that begins so.
    fn says(&mut self, start: &str) -> String {
        let mut lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        lines.find_map(|line| line.strip_prefix(start).map(str::to_owned)).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_start_at_once_make_one_authority() {
    let dir = TempDir::new().unwrap();
    for round in 0..5 {
        let certs = dir.path().join(round.to_string());
        let mut processes: Vec<Process> = (0..6).map(|_| Process::start(&certs)).collect();
        let seen: Vec<String> = processes.iter_mut().map(|process| process.says("opened ")).collect();
        assert!(seen.iter().all(|fingerprint| *fingerprint == seen[0]), "{seen:?}");
        let aside = std::fs::read_dir(&certs)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().to_str().unwrap().contains("corrupt"));
        assert_eq!(aside.count(), 0);
    }
}

/// Whenever a process is killed, each file that has a name is whole and secret from birth, and the next one goes on.
#[test]
fn processes_that_are_killed_leave_whole_files() {
    let dir = TempDir::new().unwrap();
    let kills = std::env::var(KILLS_BY).ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let mut certs = dir.path().join("0");
    let mut pairs = 0;
    for round in 0..kills {
        // From time to time a new directory, so that the making of an authority is killed, too.
        if round % 4 == 0 {
            certs = dir.path().join(round.to_string());
        }
        let mut process = Process::start(&certs);
        match round % 4 {
            // At some moment of its start: as long as the file is not there, it is being made.
            0 => while !certs.join("authority.lock").exists() {},
            1 => drop(process.says("opened ")),
            _ => drop(process.says("issued")),
        }
        // Any moment will do, as long as it is another one each time.
        std::thread::sleep(std::time::Duration::from_micros((round as u64 * 7919) % 3000));
        drop(process);
        pairs += whole_files(&certs);
    }
    eprintln!("{kills} kills, {pairs} pairs looked at");
    let manager = TlsManager::authority_only(TlsSettings::new(&certs)).unwrap();
    manager.issue("last.localhost").unwrap();
}

fn whole_files(certs: &Path) -> usize {
    let mut pairs = 0;
    for entry in std::fs::read_dir(certs).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if text.contains("PRIVATE KEY") || name.ends_with(".lock") || name.starts_with(".unfinished") {
            let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
            let public = name.starts_with(".unfinished") && !text.contains("PRIVATE KEY");
            assert!(mode == 0o600 || public, "{name} is {mode:o}");
        }
        assert!(!name.contains("corrupt"), "{name}");
        if path.extension().is_some_and(|ending| ending == "key") {
            rcgen::KeyPair::from_pem(&text).unwrap();
            pairs += 1;
        }
        if path.extension().is_some_and(|ending| ending == "crt") {
            let der = crate::certificate::der(&text);
            crate::certificate::parsed(&der);
        }
        if name == "authority.pem" {
            assert!(TlsManager::read_authority(certs).unwrap().is_some());
        }
    }
    pairs
}
