//! A new journal that takes the place of the old one, while the old one is used.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::journal;
use super::record::Change;
use super::store::Snapshot;
use crate::directory::Directory;

/// A file that is being written, and becomes the journal when it is whole.
pub(super) const NEW: &str = "routes.journal.new";
/// Records between two looks at whether the writing is still wanted.
const CANCEL_EVERY: usize = 1_000;

/// A new journal, written by a thread of its own.
#[derive(Debug)]
pub(super) struct Rewriting {
    thread: JoinHandle<io::Result<Written>>,
    cancel: Arc<AtomicBool>,
    /// What was added to the old one meanwhile.
    since: Vec<u8>,
    changes_since: usize,
}

/// A journal that is on disk, but for its name.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) file: File,
    pub(super) length: u64,
    pub(super) changes: usize,
}

impl Rewriting {
    /// Begins to write all of `snapshot`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn begin(directory: &Arc<Directory>, snapshot: &Snapshot) -> io::Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        let work = {
            let (directory, snapshot, cancel) = (directory.clone(), snapshot.clone(), cancel.clone());
            move || write_new(&directory, snapshot.changes(), &cancel)
        };
        let thread = std::thread::Builder::new().name("mastra-router-journal".to_owned()).spawn(work)?;
        Ok(Self { thread, cancel, since: Vec::new(), changes_since: 0 })
    }

    /// Takes a line that was added to the old journal.
    pub(super) fn follow(&mut self, line: &[u8], changes: usize) {
        self.since.extend_from_slice(line);
        self.changes_since += changes;
    }

    /// Whether [`finish`](Self::finish) does not wait for the thread.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Adds what the old journal got meanwhile.
    ///
    /// # Errors
    /// What the system said of either.
    pub(super) fn finish(self) -> io::Result<Written> {
        let Self { thread, since, changes_since, .. } = self;
        let mut written = thread.join().map_err(|_| io::Error::other("the thread that wrote it panicked"))??;
        if !since.is_empty() {
            written.file.write_all(&since)?;
            written.file.sync_data()?;
            written.length += since.len() as u64;
            written.changes += changes_since;
        }
        Ok(written)
    }

    /// Ends it. What it has written is left.
    pub(super) fn abandon(self) {
        self.cancel.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// Writes a new file, and returns once it is on disk. It has not taken the journal's place yet.
pub(super) fn write_new(
    directory: &Directory,
    changes: impl Iterator<Item = Change>,
    cancel: &AtomicBool,
) -> io::Result<Written> {
    if directory.has(NEW)? {
        directory.remove(NEW)?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, directory.create_file(NEW)?);
    let header = journal::header();
    out.write_all(&header)?;
    let (mut length, mut count) = (header.len() as u64, 0);
    for change in changes {
        if count % CANCEL_EVERY == 0 && cancel.load(Ordering::Relaxed) {
            return Err(io::Error::other("it is not wanted any more"));
        }
        let line = journal::line(&[change]);
        out.write_all(&line)?;
        length += line.len() as u64;
        count += 1;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(Written { file, length, changes: count })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    use std::time::{Duration, SystemTime};

    use super::super::record::RouteRecord;
    use super::super::record::tests::route;
    use super::super::store::Store;
    use super::super::store::tests::{ids, snapshot};
    use super::*;
    use crate::table::RouteTable;

    #[test]
    fn a_file_does_not_outgrow_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap().store;
        let all = snapshot(0..100);
        let puts: Vec<Change> = all.changes().collect();
        store.add(&puts, &all).unwrap();
        let size = |store: &Store| std::fs::metadata(store.file()).unwrap().len();
        let (small, mut most, mut rewritten) = (size(&store), 0, 0);
        // Each time, everything before becomes void.
        for _ in 0..200 {
            let before = size(&store);
            store.add(&puts, &all).unwrap();
            store.tidy(puts.len(), &all);
            // Changes are made while the new file is written, too.
            store.add(&[Change::Lease(3200), Change::Release(3200)], &all).unwrap();
            most = most.max(size(&store));
            rewritten += u32::from(size(&store) < before);
            store.until_written();
        }
        assert!(rewritten >= 5, "{rewritten}");
        assert!(most < small * 40, "{most} of {small}");
        drop(store);
        let opened = Store::open(dir.path()).unwrap();
        assert_eq!(ids(&opened.routes), (0..100).collect::<Vec<_>>());
        assert_eq!(opened.ports, BTreeSet::from([3100]));
        assert_eq!((opened.warnings.len(), opened.unfit.len()), (0, 0));
    }

    #[test]
    fn what_changes_while_a_new_file_is_written_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap().store;
        let before = snapshot(0..50);
        store.add(&before.changes().collect::<Vec<_>>(), &before).unwrap();
        store.begin_rewriting(&before);
        let after = snapshot(0..51);
        store.add(&[Change::Put(RouteRecord::from(&route(50)))], &after).unwrap();
        store.until_written();
        let inode = |store: &Store| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(store.file()).unwrap());
        let old = inode(&store);
        store.tidy(52, &after);
        assert_ne!(inode(&store), old);
        store.add(&[Change::Remove(route(0).id.to_string())], &snapshot(1..51)).unwrap();
        drop(store);
        let opened = Store::open(dir.path()).unwrap();
        assert_eq!(ids(&opened.routes), (1..51).collect::<Vec<_>>());
    }

    /// Runs in a process of its own, which the test below kills: changes that say themselves what they are, each of them
    /// printed once it is saved, and the file written anew all the time.
    #[test]
    fn writes_until_killed() {
        let Some(dir) = std::env::var_os("MASTRA_KILLED_DIR") else { return };
        let opened = Store::open(std::path::Path::new(&dir)).unwrap();
        let mut store = opened.store;
        let mut table = RouteTable::default();
        opened.routes.into_iter().for_each(|route| table.insert(Arc::new(route)));
        let mut table = Arc::new(table);
        let first = table.iter().map(|r| u64::from(r.spec.target.port())).max().unwrap_or(1);
        for turn in first..60_000 {
            // The routes go round, and the port of one tells the turn.
            let mut changed = route(turn % 40);
            let config = crate::route::RouteUpdate { target_port: Some(turn as u16), ..Default::default() };
            changed.spec = changed.spec.updated(&config).unwrap();
            let change = if turn % 5 == 4 {
                table = Arc::new(table.without(&changed.id));
                Change::Remove(changed.id.to_string())
            } else {
                table = Arc::new(table.with(Arc::new(changed.clone())));
                Change::Put(RouteRecord::from(&changed))
            };
            let now = Snapshot { table: table.clone(), ports: BTreeSet::new() };
            store.add(&[change], &now).unwrap();
            println!("saved {turn}");
            match store.is_rewriting() {
                false => store.begin_rewriting(&now),
                true => store.tidy(table.len(), &now),
            }
        }
    }

    /// `MASTRA_ROUTER_TEST_KILLS` says how often.
    #[test]
    fn killed_while_a_new_file_takes_the_place_of_the_old_one() {
        let kills = std::env::var("MASTRA_ROUTER_TEST_KILLS").map_or(20, |kills| kills.parse::<u32>().unwrap());
        let mut random = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("the seed is {random}");
        let mut dir = tempfile::tempdir().unwrap();
        let (mut state, mut next) = (BTreeMap::new(), 1);
        let (mut turns, mut caught) = (0, 0);
        for kill in 0..kills {
            if next > 50_000 {
                (dir, state, next) = (tempfile::tempdir().unwrap(), BTreeMap::new(), 1);
            }
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "persist::rewriting::tests::writes_until_killed", "--nocapture"])
                .env("MASTRA_KILLED_DIR", dir.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            while !line.starts_with("saved") {
                line.clear();
                assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(Duration::from_micros((random >> 33) % 20_000));
            child.kill().unwrap();
            child.wait().unwrap();
            said.read_to_string(&mut line).unwrap();
            let saved = |line: &str| line.strip_prefix("saved ")?.parse::<u64>().ok();
            let acknowledged = line.lines().filter_map(saved).max().unwrap();
            // A number that was cut off is smaller, which asks for less.
            caught += u32::from(dir.path().join(NEW).exists());
            let opened = Store::open(dir.path()).unwrap();
            assert_eq!((opened.warnings.len(), opened.unfit.len()), (0, 0), "kill {kill}: {:?}", opened.warnings);
            let found: BTreeMap<u64, u16> =
                opened.routes.iter().map(|route| (route.sequence, route.spec.target.port())).collect();
            // All turns up to one that is at least the last acknowledged one, and at most the one after it.
            let begun = next;
            let matched = loop {
                if next > acknowledged && state == found {
                    break true;
                }
                if next > acknowledged + 1 {
                    break false;
                }
                match next % 5 {
                    4 => _ = state.remove(&(next % 40)),
                    _ => _ = state.insert(next % 40, next as u16),
                }
                next += 1;
            };
            assert!(matched, "kill {kill}: {found:?} is not what was saved from {begun} to {acknowledged}");
            // The child goes on from the greatest it finds.
            next = found.values().copied().max().map_or(1, u64::from);
            turns += acknowledged + 1 - begun;
        }
        println!("{kills} kills in {turns} changes, {caught} while a new file was there");
        assert!(caught > 0);
    }
}
