//! The form of the file: a line that says what it is, then a line for each write.
//!
//! ```text
//! {"format":"mastra-router routes","version":3}
//! ["5a8b1c0d",[{"put":{"id":"route_0badcafe",…}}]]
//! ["77e0123f",[{"remove":"route_0badcafe"},{"lease":3100}]]
//! ```
//!
//! All that one write changes stands on one line, after the checksum of what follows: a write that was cut off is the last
//! line, and none of it counts.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use super::record::{Change, RouteRecord};

const FORMAT: &str = "mastra-router routes";
/// Version 2 added the leases of routes, version 3 that they wake what is behind them.
const VERSION: u64 = 3;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) routes: HashMap<String, RouteRecord>,
    pub(super) ports: BTreeSet<u16>,
    /// Changes that led here, those that later ones made void among them.
    pub(super) changes: usize,
    /// Bytes of the lines that are whole.
    pub(super) whole: usize,
    pub(super) tail: Tail,
    /// The file has an older form, and has to be written anew before anything is added to it.
    pub(super) is_old: bool,
}

/// What follows the last whole line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    #[default]
    None,
    /// A line without an end: a write that was cut off, which nobody was told had succeeded.
    Torn,
    /// A line with an end whose checksum does not fit. Power that failed can leave that, and so can a disk.
    Damaged,
}

/// Why a file cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A newer router wrote it.
    Newer,
    /// It is damaged in this line, or never was one of ours.
    Damaged {
        /// From 1 on.
        line: usize,
    },
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// The first line.
pub(super) fn header() -> Vec<u8> {
    header_of(VERSION)
}

fn header_of(version: u64) -> Vec<u8> {
    format!("{{\"format\":\"{FORMAT}\",\"version\":{version}}}\n").into_bytes()
}

/// A line of changes.
pub(super) fn line(changes: &[Change]) -> Vec<u8> {
    // Strings and numbers only: this cannot fail.
    let json = serde_json::to_string(changes).unwrap_or_default();
    format!("[\"{:08x}\",{json}]\n", crc32fast::hash(json.as_bytes())).into_bytes()
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, Fault> {
    let (whole, is_old) = checked_header(bytes)?;
    let mut contents = Contents { whole, is_old, ..Contents::default() };
    for number in 2.. {
        let rest = bytes.get(contents.whole..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            contents.tail = if rest.is_empty() { Tail::None } else { Tail::Torn };
            break;
        };
        match rest.get(..end).and_then(changes) {
            Some(changes) => contents.apply(changes),
            None if end + 1 == rest.len() => {
                contents.tail = Tail::Damaged;
                break;
            }
            None => return Err(Fault::Damaged { line: number }),
        }
        contents.whole += end + 1;
    }
    Ok(contents)
}

/// Length of the first line, which is never cut off, since a file gets its name after it was written; and whether it is
/// that of an older form.
fn checked_header(bytes: &[u8]) -> Result<(usize, bool), Fault> {
    for version in (1..=VERSION).rev() {
        let header = header_of(version);
        if bytes.starts_with(&header) {
            return Ok((header.len(), version < VERSION));
        }
    }
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    match serde_json::from_slice::<Header>(first) {
        Ok(Header { format, version }) if format == FORMAT && version > VERSION => Err(Fault::Newer),
        _ => Err(Fault::Damaged { line: 1 }),
    }
}

fn changes(line: &[u8]) -> Option<Vec<Change>> {
    let (checksum, json) = line.strip_prefix(b"[\"")?.strip_suffix(b"]")?.split_at_checked(8)?;
    let json = json.strip_prefix(b"\",")?;
    let right = format!("{:08x}", crc32fast::hash(json));
    (checksum == right.as_bytes()).then(|| serde_json::from_slice(json).ok())?
}

impl Contents {
    fn apply(&mut self, changes: Vec<Change>) {
        self.changes += changes.len();
        for change in changes {
            match change {
                Change::Put(record) => {
                    self.routes.insert(record.id.clone(), record);
                }
                Change::Remove(id) => {
                    self.routes.remove(&id);
                }
                Change::Lease(port) => {
                    self.ports.insert(port);
                }
                Change::Release(port) => {
                    self.ports.remove(&port);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::route;
    use super::*;

    /// Ids of routes, and ports.
    type State = (Vec<String>, Vec<u16>);

    fn put(i: u64) -> Change {
        Change::Put(RouteRecord::from(&route(i)))
    }

    fn id(i: u64) -> String {
        route(i).id.to_string()
    }

    /// A small file, and what each of its lines leads to.
    fn sample() -> (Vec<Vec<u8>>, Vec<State>) {
        let lines = vec![
            header(),
            line(&[put(1)]),
            line(&[put(2), put(3), Change::Lease(3100)]),
            line(&[Change::Remove(id(2)), Change::Lease(3101), Change::Release(3100)]),
            line(&[put(1)]),
        ];
        let states = vec![
            (vec![], vec![]),
            (vec![id(1)], vec![]),
            (vec![id(1), id(2), id(3)], vec![3100]),
            (vec![id(1), id(3)], vec![3101]),
            (vec![id(1), id(3)], vec![3101]),
        ];
        (lines, states)
    }

    fn state(contents: &Contents) -> State {
        let mut ids: Vec<String> = contents.routes.keys().cloned().collect();
        ids.sort();
        (ids, contents.ports.iter().copied().collect())
    }

    #[test]
    fn cut_off_at_any_byte_it_holds_what_was_whole() {
        let (lines, states) = sample();
        let file = lines.concat();
        for length in 0..=file.len() {
            let read = read(&file[..length]);
            if length < lines[0].len() {
                assert_eq!(read.unwrap_err(), Fault::Damaged { line: 1 }, "{length}");
                continue;
            }
            let contents = read.unwrap();
            let mut whole = 0;
            let last = lines
                .iter()
                .take_while(|line| {
                    whole += line.len();
                    whole <= length
                })
                .count()
                - 1;
            assert_eq!(state(&contents), states[last], "{length}");
            let end: usize = lines[..=last].iter().map(Vec::len).sum();
            assert_eq!(contents.whole, end);
            assert_eq!(contents.tail, if end == length { Tail::None } else { Tail::Torn });
        }
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let (lines, states) = sample();
        let file = lines.concat();
        let last = file.len() - lines[4].len();
        for at in 0..file.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut bad = file.clone();
                bad[at] ^= flip;
                match read(&bad) {
                    Err(Fault::Damaged { .. }) => assert!(at < last, "{at}"),
                    Err(Fault::Newer) => assert!(bad[at].is_ascii_digit(), "{at}"),
                    // The version before this one reads the same.
                    Ok(contents) if contents.is_old => {
                        assert_eq!(bad.get(at), Some(&b'2'), "{at}");
                        assert_eq!(state(&contents), states[4]);
                    }
                    // Without its end, the line before the last is part of it.
                    Ok(contents) => {
                        assert!(at >= last - 1, "{at}");
                        assert_ne!(contents.tail, Tail::None, "{at}");
                        assert_eq!(state(&contents), states[if at < last { 2 } else { 3 }]);
                    }
                }
            }
        }
    }

    #[test]
    fn files_that_are_none_of_ours() {
        for (text, fault) in [
            ("", Fault::Damaged { line: 1 }),
            ("\n", Fault::Damaged { line: 1 }),
            ("[]\n", Fault::Damaged { line: 1 }),
            ("{\"format\":\"mastra-router routes\",\"version\":0}\n", Fault::Damaged { line: 1 }),
            ("{\"format\":\"other\",\"version\":2}\n", Fault::Damaged { line: 1 }),
            ("{\"format\":\"mastra-router routes\",\"version\":4}\n", Fault::Newer),
            ("{\"format\":\"mastra-router routes\",\"version\":12,\"more\":{}}\nanything", Fault::Newer),
            ("\u{0}\u{0}\u{0}\u{0}", Fault::Damaged { line: 1 }),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap_err(), fault, "{text:?}");
        }
        let (lines, _) = sample();
        let swapped = [&lines[0][..], b"\n", &lines[1]].concat();
        assert_eq!(read(&swapped).unwrap_err(), Fault::Damaged { line: 2 });
        let zeros = [&lines[0][..], &lines[1], &[0; 512], b"\n", &lines[2]].concat();
        assert_eq!(read(&zeros).unwrap_err(), Fault::Damaged { line: 3 });
    }
}
