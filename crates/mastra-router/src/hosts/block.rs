//! The bytes of a hosts file: our block in it, and all the rest, which stays as it is. No input and output here.
//!
//! The block stands at the end of the file, since the first line of an address is what looking the address up answers: at
//! the top, `127.0.0.1` would be called `shop.mastra.local`. Within it each name has a line for each address, with tabs
//! between address, name and the owner's comment:
//!
//! ```text
//! # BEGIN MASTRA LOCAL ROUTING
//! 127.0.0.1  shop.mastra.local  # router-3f2a9c81d4e0
//! ::1        shop.mastra.local  # router-3f2a9c81d4e0
//! # END MASTRA LOCAL ROUTING
//! ```
//!
//! A file that does not end with a newline is given one before the block. A comment in the block says so, and it goes with
//! the block again, unless something was written behind the block meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::name::HostName;
use super::owner::HostsOwner;

const BEGIN: &[u8] = b"# BEGIN MASTRA LOCAL ROUTING";
const END: &[u8] = b"# END MASTRA LOCAL ROUTING";
/// The comment that says whose the newline before the block is.
const JOINED: &[u8] = b"# (the newline above belongs to this block)";
const BOM: &[u8] = b"\xef\xbb\xbf";
const NEW_EOL: &[u8] = if cfg!(windows) { b"\r\n" } else { b"\n" };

/// A line of the block: a name, whose it is, and its address. The order is that of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) name: HostName,
    /// `None` for lines of programs that write no owner.
    pub(super) owner: Option<HostsOwner>,
    pub(super) address: IpAddr,
}

/// A file that cannot be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

/// The entries of the block.
///
/// # Errors
/// A block that does not end, ends twice or stands twice.
pub(super) fn entries(file: &[u8]) -> Result<BTreeSet<Entry>, Fault> {
    Ok(split(file)?.block.map(|block| block.entries()).unwrap_or_default())
}

/// The file with the entries that `change` makes of those it has: the same bytes where they are the same.
///
/// # Errors
/// As [`entries`].
pub(super) fn with_entries(
    file: &[u8],
    change: impl FnOnce(&BTreeSet<Entry>) -> BTreeSet<Entry>,
) -> Result<Vec<u8>, Fault> {
    let split = split(file)?;
    let before = split.block.as_ref().map(Block::entries).unwrap_or_default();
    let entries = change(&before);
    Ok(if entries == before { file.to_vec() } else { split.render(&entries) })
}

/// The file without our block, whatever stands in it.
///
/// # Errors
/// As [`entries`].
pub(super) fn without_block(file: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(split(file)?.outside())
}

/// Where lines that are not ours give one of these names an address that is none of `addresses`: by name, the number of
/// the line and the address as it is written.
///
/// # Errors
/// As [`entries`].
pub(super) fn taken<'n>(
    file: &[u8],
    names: impl Iterator<Item = &'n HostName>,
    addresses: &[IpAddr],
) -> Result<HashMap<&'n str, (usize, String)>, Fault> {
    let split = split(file)?;
    let wanted: HashMap<&str, &'n str> = names.map(|name| (name.as_str(), name.as_str())).collect();
    let mut found = HashMap::new();
    let mut look = |number: usize, line: &[u8]| {
        let Some((address, names)) = host_line(line) else { return };
        if address.parse::<IpAddr>().is_ok_and(|address| addresses.contains(&address)) {
            return;
        }
        for name in names {
            if let Some(name) = wanted.get(name.to_ascii_lowercase().as_str()) {
                found.entry(*name).or_insert_with(|| (number, address.to_owned()));
            }
        }
    };
    let mut number = 0;
    for line in lines(split.before.strip_prefix(BOM).unwrap_or(split.before)) {
        number += 1;
        look(number, line);
    }
    if let Some(block) = &split.block {
        for (i, line) in block.lines.iter().enumerate() {
            if let Line::Other(line) = line {
                look(number + 2 + i, line);
            }
        }
        number += block.lines.len() + 2;
    }
    for (i, line) in lines(split.after).enumerate() {
        look(number + i + 1, line);
    }
    Ok(found)
}

/// A file as what stands before our block, the block, and what stands behind it.
#[derive(Debug)]
struct Split<'f> {
    before: &'f [u8],
    block: Option<Block<'f>>,
    after: &'f [u8],
}

#[derive(Debug)]
struct Block<'f> {
    lines: Vec<Line<'f>>,
    /// Of the first line, and so of those that are written.
    eol: &'static [u8],
    /// What stands behind the last line, which may be the file's end.
    end: &'f [u8],
}

/// A line of the block, without its newline.
#[derive(Debug)]
enum Line<'f> {
    Entry(Entry),
    /// The comment of the newline.
    Joined,
    /// What someone else wrote there. It is kept until the block goes.
    Other(&'f [u8]),
}

fn split(file: &[u8]) -> Result<Split<'_>, Fault> {
    let fault = |line, reason| Err(Fault { line, reason });
    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        return fault(1, "the file is UTF-16, which no resolver reads; save it as UTF-8 or ASCII");
    }
    let bom = if file.starts_with(BOM) { BOM.len() } else { 0 };
    let (mut at, mut begin, mut end) = (bom, None, None);
    let mut lines_of_block = Vec::new();
    for (i, raw) in file.get(bom..).unwrap_or_default().split_inclusive(|b| *b == b'\n').enumerate() {
        let (number, line, next) = (i + 1, text(raw), at + raw.len());
        match (line, begin, end) {
            (BEGIN, None, _) => begin = Some((number, at, if raw.ends_with(b"\r\n") { &b"\r\n"[..] } else { b"\n" })),
            (BEGIN, Some(_), None) => return fault(number, "our block begins again before it has ended"),
            (BEGIN, Some(_), Some(_)) => return fault(number, "there is a second block of ours"),
            (END, None, _) => return fault(number, "our block ends where none has begun"),
            (END, Some(_), Some(_)) => return fault(number, "our block ends twice"),
            (END, Some(_), None) => end = Some((next, raw.get(line.len()..).unwrap_or_default())),
            (_, Some(_), None) => lines_of_block.push(block_line(line)),
            _ => {}
        }
        at = next;
    }
    let part = |range: std::ops::Range<usize>| file.get(range).unwrap_or_default();
    match (begin, end) {
        (Some((_, start, eol)), Some((next, end))) => {
            let block = Some(Block { lines: lines_of_block, eol, end });
            Ok(Split { before: part(0..start), block, after: part(next..file.len()) })
        }
        (Some((number, ..)), None) => fault(number, "our block begins here and does not end"),
        (None, _) => Ok(Split { before: file, block: None, after: &[] }),
    }
}

/// The lines of a part of the file, without their newlines.
fn lines(part: &[u8]) -> impl Iterator<Item = &[u8]> {
    part.split_inclusive(|b| *b == b'\n').map(text)
}

fn text(raw: &[u8]) -> &[u8] {
    let line = raw.strip_suffix(b"\n").unwrap_or(raw);
    if line.len() < raw.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line }
}

fn block_line(line: &[u8]) -> Line<'_> {
    if line == JOINED {
        return Line::Joined;
    }
    entry(line).map_or(Line::Other(line), Line::Entry)
}

/// Reads a line such as we write. The owner is what the comment is, if that is a token.
fn entry(line: &[u8]) -> Option<Entry> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, names) = host_line(line)?;
    let [name] = names[..] else { return None };
    let address: IpAddr = text.split_ascii_whitespace().next()?.parse().ok()?;
    let owner = match text.split_once('#') {
        None => None,
        Some((_, comment)) => Some(HostsOwner::parse(comment.trim()).ok()?),
    };
    let name = HostName::parse(name).ok()?;
    address.is_loopback().then_some(Entry { name, owner, address })
}

/// The address and the names of a line, as resolvers read it.
fn host_line(line: &[u8]) -> Option<(&str, Vec<&str>)> {
    let line = line.split(|b| *b == b'#').next().unwrap_or_default();
    // Names outside of ASCII are no names of ours.
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    Some((words.next()?, words.collect()))
}

impl Block<'_> {
    fn entries(&self) -> BTreeSet<Entry> {
        let entry = |line: &Line<'_>| if let Line::Entry(entry) = line { Some(entry.clone()) } else { None };
        self.lines.iter().filter_map(entry).collect()
    }

    fn is_joined(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Joined))
    }

    fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter_map(|line| if let Line::Other(line) = line { Some(*line) } else { None })
    }
}

impl Split<'_> {
    /// All but the block.
    fn outside(&self) -> Vec<u8> {
        let mut before = self.before;
        if self.after.is_empty()
            && let Some(block) = self.block.as_ref().filter(|block| block.is_joined())
        {
            before = before.strip_suffix(block.eol).unwrap_or(before);
        }
        [before, self.after].concat()
    }

    /// The file with these entries in its block, or without a block where there is nothing to stand in it.
    fn render(&self, entries: &BTreeSet<Entry>) -> Vec<u8> {
        let others: Vec<&[u8]> = self.block.iter().flat_map(Block::others).collect();
        if entries.is_empty() && others.iter().all(|line| line.trim_ascii().is_empty()) {
            return self.outside();
        }
        let unended = !matches!(self.before.strip_prefix(BOM).unwrap_or(self.before), [] | [.., b'\n']);
        let (eol, end, joined) = match &self.block {
            Some(block) => (block.eol, block.end, block.is_joined()),
            None => (eol_of(self.before), eol_of(self.before), unended),
        };
        let mut out = self.before.to_vec();
        if unended {
            out.extend_from_slice(eol);
        }
        let mut line = |line: &[u8]| out.extend([line, eol].concat());
        line(BEGIN);
        if joined {
            line(JOINED);
        }
        others.into_iter().for_each(&mut line);
        for Entry { name, owner, address } in entries {
            let owner = owner.as_ref().map(|owner| format!("\t# {owner}")).unwrap_or_default();
            line(format!("{address}\t{name}{owner}").as_bytes());
        }
        out.extend([END, end, self.after].concat());
        out
    }
}

/// The newline of the file's last line that has one.
fn eol_of(before: &[u8]) -> &'static [u8] {
    match before.iter().rposition(|b| *b == b'\n') {
        Some(at) if before.get(..at).is_some_and(|line| line.ends_with(b"\r")) => b"\r\n",
        Some(_) => b"\n",
        None => NEW_EOL,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str], owner: &str) -> BTreeSet<Entry> {
        let owner = Some(HostsOwner::parse(owner).unwrap());
        let entry = |name: &&str| Entry {
            name: HostName::parse(name).unwrap(),
            owner: owner.clone(),
            address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        };
        names.iter().map(entry).collect()
    }

    fn add(file: &[u8], entries: &BTreeSet<Entry>) -> Vec<u8> {
        with_entries(file, |there| there.union(entries).cloned().collect()).unwrap()
    }

    fn remove(file: &[u8], entries: &BTreeSet<Entry>) -> Vec<u8> {
        with_entries(file, |there| there.difference(entries).cloned().collect()).unwrap()
    }

    #[test]
    fn lines_that_are_entries() {
        for (line, name, owner) in [
            ("127.0.0.1\ta.test\t# one", "a.test", Some("one")),
            ("  ::1   A.Test  #one ", "a.test", Some("one")),
            ("127.0.0.1 a.test", "a.test", None),
            ("127.0.0.1 a.test b.test # one", "", None),
            ("127.0.0.1 a.test # said a person", "", None),
            ("10.0.0.1 a.test # one", "", None),
            ("127.0.0.1 localhost", "", None),
            ("# 127.0.0.1 a.test", "", None),
            ("127.0.0.1", "", None),
            ("", "", None),
        ] {
            let entry = entry(line.as_bytes());
            assert_eq!(entry.as_ref().map_or("", |e| e.name.as_str()), name, "{line}");
            assert_eq!(entry.and_then(|e| e.owner).as_ref().map(HostsOwner::as_str), owner, "{line}");
        }
    }

    #[test]
    fn a_file_is_not_written_anew_for_the_sake_of_its_form() {
        let file = b"# BEGIN MASTRA LOCAL ROUTING\n127.0.0.1 b.test # one\n\n127.0.0.1   a.test # one\n# END MASTRA LOCAL ROUTING";
        assert_eq!(add(file, &names(&["a.test", "b.test"], "one")), file);
        let more = add(file, &names(&["c.test"], "two"));
        assert!(more.ends_with(b"c.test\t# two\n# END MASTRA LOCAL ROUTING"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Adding can be undone to the byte, wherever our block stands, and whatever stands around it.
        #[test]
        fn what_is_added_goes_without_a_trace(
            before in "(\u{feff})?([0-9a-f.:# \t]{0,12}(\n|\r\n)){0,6}",
            after in "([0-9a-f.:#\u{e9} \t\r]{0,12}(\n|\r\n)){0,6}",
            own in proptest::option::of("((127\\.0\\.0\\.1|::1)\t[ab]\\.test\t# (one|two)(\r)?\n){0,4}"),
            eol in "\r?\n",
            last in "[0-9a-f.:# \t\r]{0,8}",
            first in "[ac]\\.test",
            second in "[bd]\\.localhost",
        ) {
            let marker = |marker: &[u8]| [marker, eol.as_bytes()].concat();
            let block = own.map(|own| [marker(BEGIN), own.into_bytes(), marker(END)].concat()).unwrap_or_default();
            let file = [before.as_bytes(), &block, after.as_bytes(), last.as_bytes()].concat();
            let outside = [before.as_bytes(), after.as_bytes(), last.as_bytes()].concat();
            let (ours, theirs) = (names(&[&first, &second], "three"), names(&[&second], "four"));
            prop_assert_eq!(&without_block(&file).unwrap(), &outside);
            let there = entries(&file).unwrap();

            let added = add(&file, &ours);
            prop_assert_eq!(&add(&added, &ours), &added);
            let both = add(&added, &theirs);
            prop_assert_eq!(entries(&both).unwrap().len(), there.len() + 3);
            for file in [&added, &both] {
                prop_assert_eq!(&without_block(file).unwrap(), &outside);
                let split = split(file).unwrap();
                let ours = split.block.as_ref().unwrap();
                prop_assert!(ours.others().next().is_none() && file.starts_with(split.before) && file.ends_with(split.after));
            }
            prop_assert_eq!(&entries(&remove(&both, &ours)).unwrap(), &(&there | &theirs));
            let removed = remove(&remove(&both, &ours), &theirs);
            prop_assert_eq!(&without_block(&removed).unwrap(), &outside);
            prop_assert_eq!(entries(&removed).unwrap(), there.clone());
            if block.is_empty() {
                prop_assert_eq!(&removed, &file);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(file in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(outside) = without_block(&file) {
                prop_assert_eq!(outside, file);
            }
        }
    }
}
