//! The files of the saved state: opened, added to, and written anew. Everything here waits for the disk.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use super::journal::{self, Contents, Fault, Tail};
use super::record::{Change, RouteRecord};
use super::rewriting::{NEW, Rewriting, Written, write_new};
use crate::directory::{Directory, refuse_open_ancestors};
use crate::error::{Result, RouterError};
use crate::route::{Route, RouteOrigin};
use crate::table::RouteTable;

pub(super) const JOURNAL: &str = "routes.journal";
pub(super) const LOCK: &str = "routes.lock";
/// A file is written anew when more of its records are void than not, but not for fewer than this: half a megabyte.
const VOID_MIN: usize = 2_000;

/// The saved state of one router.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Arc<Directory>,
    lock: File,
    journal: File,
    /// Length of the journal; what is beyond it, a failed write has left.
    length: u64,
    /// Changes in the journal, void ones among them.
    changes: usize,
    /// What the disk has of the journal is not known, since a write of it failed.
    doubtful: bool,
    rewriting: Option<Rewriting>,
}

/// All that is saved, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Its registered routes.
    pub(crate) table: Arc<RouteTable>,
    pub(crate) ports: BTreeSet<u16>,
}

/// A state that was found and read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// In the order of registration.
    pub(crate) routes: Vec<Route>,
    pub(crate) ports: BTreeSet<u16>,
    /// What could not be read, in sentences for people.
    pub(crate) warnings: Vec<String>,
    /// Records that were whole, and yet are no routes.
    pub(crate) unfit: Vec<String>,
}

impl Store {
    /// Opens the state in `path`; makes an empty one, for this user alone, where there is none. A file that is damaged, or
    /// that a newer router wrote, is put aside under another name, and an empty one takes its place.
    ///
    /// # Errors
    /// [`RouterError::HomeInUse`] where another router has it open, [`RouterError::File`] where it cannot be read or made.
    /// Then nothing was changed.
    pub(crate) fn open(path: &Path) -> Result<Opened> {
        refuse_open_ancestors(path)?;
        let directory = Arc::new(Directory::open_or_create(path)?);
        let lock = lock(&directory, path)?;
        let Found { contents, journal, aside, warnings } = Found::read(&directory)?;
        let Written { file: journal, length, changes } = match journal {
            Some(journal) => journal,
            None => {
                let written = create(&directory, &contents, aside.as_deref())?;
                sync_above(path);
                written
            }
        };
        // A killed router may have left one; where nothing was written just now, it is of no use to anyone.
        let _ = directory.remove(NEW);
        let ports = contents.ports.clone();
        let (routes, unfit) = routes(contents);
        let store = Self { directory, lock, journal, length, changes, doubtful: false, rewriting: None };
        Ok(Opened { store, routes, ports, warnings, unfit })
    }

    /// The file, for people.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path_of(JOURNAL)
    }

    /// Keeps the file as it is under another name, and goes on with one that holds `snapshot`. At no moment is there none.
    ///
    /// # Errors
    /// [`RouterError::File`]; then the file is where it was.
    pub(crate) fn put_aside(&mut self, snapshot: &Snapshot) -> Result<PathBuf> {
        let path = self.file();
        let failed = |source| RouterError::File { action: "put aside", path, source };
        let done = put_aside(&self.directory, "corrupt").and_then(|name| {
            self.rewrite(snapshot).inspect_err(|_| undo_aside(&self.directory, Some(&name)))?;
            Ok(self.directory.path_of(&name))
        });
        done.map_err(failed)
    }

    /// Writes changes, which together with what is saved make `snapshot`, and returns once they are on disk. Where that
    /// fails the saved state is what it was.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn add(&mut self, changes: &[Change], snapshot: &Snapshot) -> io::Result<()> {
        if self.doubtful {
            return self.rewrite(snapshot);
        }
        let line = journal::line(changes);
        let written = self.journal_at_end().and_then(|mut journal| journal.write_all(&line));
        if let Err(error) = written.and_then(|()| self.journal.sync_data().inspect_err(|_| self.doubtful = true)) {
            // Nobody is told that it succeeded, so it is not to be found after a restart either.
            self.doubtful |= self.journal.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += line.len() as u64;
        self.changes += changes.len();
        if let Some(rewriting) = &mut self.rewriting {
            rewriting.follow(&line, changes.len());
        }
        Ok(())
    }

    /// Keeps the file from growing beyond what it holds. Between writes, and with `live` records that count: a thread
    /// writes a new file while the old one is used, and once that is done what was added meanwhile follows, and the new one
    /// takes the place of the old. What is done stays the same share of what is written, however many routes there are.
    pub(super) fn tidy(&mut self, live: usize, snapshot: &Snapshot) {
        match self.rewriting.take() {
            Some(rewriting) if rewriting.is_finished() => {
                if let Err(error) = rewriting.finish().and_then(|written| self.take_over(written)) {
                    tracing::warn!(%error, "{} could not be written anew; it goes on growing", shown(&self.directory));
                    let _ = self.directory.remove(NEW);
                    // Until as much again was written, it is not tried again.
                    self.changes = live;
                }
            }
            Some(rewriting) => self.rewriting = Some(rewriting),
            None if self.changes > live.saturating_mul(2).saturating_add(VOID_MIN) => self.begin_rewriting(snapshot),
            None => {}
        }
    }

    pub(super) fn begin_rewriting(&mut self, snapshot: &Snapshot) {
        match Rewriting::begin(&self.directory, snapshot) {
            Ok(rewriting) => self.rewriting = Some(rewriting),
            Err(error) => tracing::warn!(%error, "cannot start a thread"),
        }
    }

    /// Writes all of `snapshot` at once, since the file cannot be trusted any more.
    fn rewrite(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.abandon_rewriting();
        let written = write_new(&self.directory, snapshot.changes(), &AtomicBool::new(false));
        let done = written.and_then(|written| self.take_over(written));
        done.inspect_err(|_| {
            let _ = self.directory.remove(NEW);
        })
    }

    fn take_over(&mut self, written: Written) -> io::Result<()> {
        self.directory.rename(NEW, JOURNAL)?;
        // From here on the new file is the journal, on disk as soon as the directory is.
        self.journal = written.file;
        self.length = written.length;
        self.changes = written.changes;
        self.doubtful = true;
        self.directory.sync()?;
        self.doubtful = false;
        Ok(())
    }

    fn abandon_rewriting(&mut self) {
        if let Some(rewriting) = self.rewriting.take() {
            rewriting.abandon();
            let _ = self.directory.remove(NEW);
        }
    }

    fn journal_at_end(&self) -> io::Result<&File> {
        io::Seek::seek(&mut &self.journal, io::SeekFrom::Start(self.length))?;
        Ok(&self.journal)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.abandon_rewriting();
        // Closing would not do: a child that is just being spawned has a copy of the descriptor until it runs its program.
        let _ = self.lock.unlock();
    }
}

impl Snapshot {
    pub(super) fn changes(&self) -> impl Iterator<Item = Change> {
        let registered = self.table.iter().filter(|route| route.origin == RouteOrigin::Registered);
        let routes = registered.map(|route| Change::Put(RouteRecord::from(&**route)));
        routes.chain(self.ports.iter().copied().map(Change::Lease))
    }
}

/// What there is of a state.
struct Found {
    contents: Contents,
    /// `None` where there is none that can be gone on with.
    journal: Option<Written>,
    /// The second name of one that cannot.
    aside: Option<String>,
    warnings: Vec<String>,
}

impl Found {
    fn read(directory: &Directory) -> Result<Self> {
        let failed = |action| move |source| failed(directory, action, source);
        let mut found = Self { contents: Contents::default(), journal: None, aside: None, warnings: Vec::new() };
        let Some(mut file) = directory.open_own_file(JOURNAL).map_err(failed("open"))? else { return Ok(found) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let (kind, why) = match journal::read(&bytes) {
            // It is written anew, and has its old form until that has been done.
            Ok(contents) if contents.tail != Tail::Damaged && contents.is_old => {
                found.contents = contents;
                return Ok(found);
            }
            Ok(contents) if contents.tail != Tail::Damaged => {
                if contents.tail == Tail::Torn {
                    file.set_len(contents.whole as u64).map_err(failed("write"))?;
                }
                found.journal = Some(Written { file, length: contents.whole as u64, changes: contents.changes });
                found.contents = contents;
                return Ok(found);
            }
            Ok(contents) => {
                found.contents = contents;
                ("corrupt", "is damaged in its last line, which was left out".to_owned())
            }
            Err(Fault::Newer) => ("newer", "was written by a newer version, and no route was loaded".to_owned()),
            Err(Fault::Damaged { line }) => ("corrupt", format!("is damaged in line {line}, and no route was loaded")),
        };
        let name = put_aside(directory, kind).map_err(failed("put aside"))?;
        let kept = directory.path_of(&name);
        found.warnings.push(format!("{} {why}; it is kept as {}", shown(directory), kept.display()));
        found.aside = Some(name);
        Ok(found)
    }
}

/// Makes a journal, in the place of one that was put aside.
fn create(directory: &Directory, contents: &Contents, aside: Option<&str>) -> Result<Written> {
    let records = contents.routes.values().cloned().map(Change::Put);
    let changes = records.chain(contents.ports.iter().copied().map(Change::Lease));
    let written = write_new(directory, changes, &AtomicBool::new(false));
    let named = written.and_then(|written| directory.rename(NEW, JOURNAL).map(|()| written));
    let written = named.inspect_err(|_| undo_aside(directory, aside));
    let synced = written.and_then(|written| directory.sync().map(|()| written));
    synced.map_err(|source| failed(directory, "create", source))
}

/// The routes of the records, in the order of registration, and those that are none.
fn routes(contents: Contents) -> (Vec<Route>, Vec<String>) {
    let mut unfit = Vec::new();
    let mut routes: Vec<Route> = Vec::with_capacity(contents.routes.len());
    for (id, record) in contents.routes {
        match record.route() {
            Ok(route) => routes.push(route),
            Err(error) => unfit.push(format!("{id}: {error}")),
        }
    }
    routes.sort_unstable_by_key(|route| route.sequence);
    routes.dedup_by(|later, earlier| {
        let same = later.sequence == earlier.sequence;
        if same {
            unfit.push(format!("{}: another route has its place", later.id));
        }
        same
    });
    (routes, unfit)
}

fn failed(directory: &Directory, action: &'static str, source: io::Error) -> RouterError {
    RouterError::File { action, path: directory.path_of(JOURNAL), source }
}

/// Locks the state for this process. The system unlocks it when the process ends, however it does.
fn lock(directory: &Directory, path: &Path) -> Result<File> {
    let failed = |source| RouterError::File { action: "lock", path: directory.path_of(LOCK), source };
    let mut file = directory.open_or_create_file(LOCK).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only told to people; what counts is the lock.
            let _ = file.take(20).read_to_string(&mut pid);
            return Err(RouterError::HomeInUse { home: path.to_owned(), pid: pid.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    // Where the disk is full, the lock is one all the same.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Gives the journal a second name, which it keeps when another file takes its first. Returns that name.
fn put_aside(directory: &Directory, kind: &str) -> io::Result<String> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(['-', ':'], "");
    for attempt in 1.. {
        let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
        let name = format!("{JOURNAL}.{kind}-{now}{suffix}");
        match directory.link(JOURNAL, &name) {
            Ok(()) => {
                directory.sync()?;
                return Ok(name);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if directory.has(&name)? => return Err(error),
            // Not every file system has second names.
            Err(_) => {
                directory.rename(JOURNAL, &name)?;
                directory.sync()?;
                return Ok(name);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// Takes back what [`put_aside`] did, since no other file could take the journal's place.
fn undo_aside(directory: &Directory, aside: Option<&str>) {
    let Some(aside) = aside else { return };
    // What cannot be taken back is a second name too many, or a file with another name that was just told.
    let _ = match directory.has(JOURNAL) {
        Ok(true) => directory.remove(aside),
        _ => directory.rename(aside, JOURNAL),
    };
}

/// The directory may be new itself, and is to be found after a power failure too.
fn sync_above(path: &Path) {
    if let Some(above) = path.parent().and_then(|above| File::open(above).ok()) {
        // Some file systems cannot; then there is nothing to be done about it.
        let _ = above.sync_all();
    }
}

fn shown(directory: &Directory) -> String {
    directory.path_of(JOURNAL).display().to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::record::tests::route;
    use super::*;

    pub(in crate::persist) fn snapshot(routes: std::ops::Range<u64>) -> Snapshot {
        let mut table = RouteTable::default();
        routes.for_each(|i| table.insert(Arc::new(route(i))));
        Snapshot { table: Arc::new(table), ports: BTreeSet::from([3100]) }
    }

    impl Store {
        pub(in crate::persist) fn is_rewriting(&self) -> bool {
            self.rewriting.is_some()
        }

        pub(in crate::persist) fn until_written(&self) {
            while self.rewriting.as_ref().is_some_and(|rewriting| !rewriting.is_finished()) {
                std::thread::yield_now();
            }
        }
    }

    pub(in crate::persist) fn ids(routes: &[Route]) -> Vec<u64> {
        routes.iter().map(|route| route.sequence).collect()
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap().store;
        // As after a write of which the system cannot say what came of it.
        store.doubtful = true;
        store.journal.set_len(10).unwrap();
        let three = snapshot(0..3);
        store.add(&[Change::Put(RouteRecord::from(&route(2)))], &three).unwrap();
        store.add(&[Change::Remove(route(1).id.to_string())], &three).unwrap();
        drop(store);
        assert_eq!(ids(&Store::open(dir.path()).unwrap().routes), [0, 2]);
    }

    #[test]
    fn records_that_are_no_routes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let json = serde_json::to_string(&Change::Put(RouteRecord::from(&route(1)))).unwrap();
        let bad = [
            json.replace("\"port\":1", "\"port\":0").replace("00000001", "00000002"),
            json.replace("00000001", "0000000a"),
        ];
        let mut bytes = std::fs::read(dir.path().join(JOURNAL)).unwrap();
        for change in [json].iter().chain(&bad) {
            bytes.extend(journal::line(&[serde_json::from_str(change).unwrap()]));
        }
        std::fs::write(dir.path().join(JOURNAL), bytes).unwrap();
        let mut opened = Store::open(dir.path()).unwrap();
        assert_eq!(opened.routes.len(), 1);
        assert_eq!(opened.unfit.len(), 2, "a target that is none, and a place that is taken: {:?}", opened.unfit);
        let kept = opened.store.put_aside(&snapshot(1..2)).unwrap();
        assert!(std::fs::read_to_string(kept).unwrap().contains("route_0000000a"));
        drop(opened);
        assert_eq!(Store::open(dir.path()).unwrap().unfit.len(), 0);
    }
}
