//! What this run made, and the directories that it went through: in memory, and in bounds.
//!
//! Refuses to know: descriptors and system calls.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};

use super::pax::Time;
use super::{ArchiveError, ENTRIES_LIMIT, NAMES_LIMIT};

/// A line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node(u32);

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A file or a link that we made.
    Leaf,
    /// A directory that we made.
    Made,
    /// A directory that was there before.
    Found,
}

/// What a directory gets in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) mode: u32,
    pub(super) mtime: Time,
}

struct Line {
    parent: u32,
    name_at: u32,
    name_len: u8,
    what: What,
}

/// All lines: parents stand before what lies in them.
pub(super) struct Ledger {
    lines: Vec<Line>,
    names: Vec<u8>,
    /// Directories by the hash of parent and name; what collides takes the next number.
    directories: HashMap<u64, u32>,
    hash: RandomState,
    last: BTreeMap<Node, Last>,
}

impl Ledger {
    /// The target directory itself.
    pub(super) const ROOT: Node = Node(0);

    /// The ledger of a run into a directory that was made or found.
    pub(super) fn new(root: What) -> Self {
        Self {
            lines: vec![Line { parent: 0, name_at: 0, name_len: 0, what: root }],
            names: Vec::new(),
            directories: HashMap::new(),
            hash: RandomState::new(),
            last: BTreeMap::new(),
        }
    }

    /// Takes note of `name` in the directory `parent`.
    pub(super) fn add(&mut self, parent: Node, name: &[u8], what: What) -> Result<Node, ArchiveError> {
        let over =
            |what, cap| Err(ArchiveError::OverLimit { what, cap: u64::try_from(cap).unwrap_or(u64::MAX) });
        // The root is no entry.
        if self.lines.len() > ENTRIES_LIMIT {
            return over("more entries than we take", ENTRIES_LIMIT);
        }
        let name_at = self.names.len();
        if name_at.saturating_add(name.len()) > NAMES_LIMIT {
            return over("names of more bytes together than we take", NAMES_LIMIT);
        }
        let (Ok(node), Ok(name_at), Ok(name_len)) =
            (u32::try_from(self.lines.len()), u32::try_from(name_at), u8::try_from(name.len()))
        else {
            return over("a name of more bytes than we take", super::PART_LIMIT);
        };
        self.names.extend_from_slice(name);
        self.lines.push(Line { parent: parent.0, name_at, name_len, what });
        if what != What::Leaf {
            let mut key = self.key(parent, name);
            while self.directories.contains_key(&key) {
                key = key.wrapping_add(1);
            }
            self.directories.insert(key, node);
        }
        Ok(Node(node))
    }

    /// The directory `name` in `parent`, where it was noted.
    pub(super) fn find(&self, parent: Node, name: &[u8]) -> Option<Node> {
        let mut key = self.key(parent, name);
        loop {
            let node = Node(*self.directories.get(&key)?);
            if self.parent(node) == Some(parent) && self.name(node) == name {
                return Some(node);
            }
            key = key.wrapping_add(1);
        }
    }

    pub(super) fn what(&self, node: Node) -> What {
        self.line(node).map_or(What::Found, |line| line.what)
    }

    /// The directory that `node` lies in; none for the root.
    pub(super) fn parent(&self, node: Node) -> Option<Node> {
        if node == Self::ROOT { None } else { self.line(node).map(|line| Node(line.parent)) }
    }

    /// The name of `node` in its directory.
    pub(super) fn name(&self, node: Node) -> &[u8] {
        let range = self.line(node).and_then(|line| {
            let at = usize::try_from(line.name_at).ok()?;
            self.names.get(at..at.checked_add(usize::from(line.name_len))?)
        });
        range.unwrap_or_default()
    }

    /// Takes note of what the directory `node` gets in the end; the latest word counts.
    pub(super) fn set_last(&mut self, node: Node, last: Last) {
        self.last.insert(node, last);
    }

    /// The directories that get something in the end, what lies deeper first.
    pub(super) fn last(&self) -> Vec<(Node, Last)> {
        self.last.iter().rev().map(|(node, last)| (*node, *last)).collect()
    }

    /// What we made but for the root, the latest first.
    pub(super) fn made(&self) -> impl Iterator<Item = (Node, What)> {
        let nodes = self.lines.iter().enumerate().skip(1).rev();
        nodes
            .filter(|(_, line)| line.what != What::Found)
            .filter_map(|(at, line)| Some((Node(u32::try_from(at).ok()?), line.what)))
    }

    fn line(&self, node: Node) -> Option<&Line> {
        usize::try_from(node.0).ok().and_then(|at| self.lines.get(at))
    }

    fn key(&self, parent: Node, name: &[u8]) -> u64 {
        self.hash.hash_one((parent.0, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_by_parent_and_name() {
        let mut ledger = Ledger::new(What::Found);
        let a = ledger.add(Ledger::ROOT, b"a", What::Made).unwrap();
        let inner = ledger.add(a, b"a", What::Found).unwrap();
        ledger.add(a, b"leaf", What::Leaf).unwrap();
        assert_eq!(ledger.find(Ledger::ROOT, b"a"), Some(a));
        assert_eq!(ledger.find(a, b"a"), Some(inner));
        assert_eq!((ledger.find(inner, b"a"), ledger.find(a, b"leaf")), (None, None));
        assert_eq!((ledger.parent(inner), ledger.parent(Ledger::ROOT)), (Some(a), None));
    }

    #[test]
    fn what_was_made_comes_back_in_reverse_and_what_was_found_does_not() {
        let mut ledger = Ledger::new(What::Made);
        let found = ledger.add(Ledger::ROOT, b"found", What::Found).unwrap();
        let made = ledger.add(found, b"made", What::Made).unwrap();
        let leaf = ledger.add(made, b"leaf", What::Leaf).unwrap();
        assert_eq!(ledger.made().collect::<Vec<_>>(), [(leaf, What::Leaf), (made, What::Made)]);
    }

    #[test]
    fn neither_entries_nor_names_grow_without_end() {
        let mut ledger = Ledger::new(What::Found);
        for _ in 0..ENTRIES_LIMIT {
            ledger.add(Ledger::ROOT, b"x", What::Leaf).unwrap();
        }
        let error = ledger.add(Ledger::ROOT, b"x", What::Leaf).unwrap_err();
        assert!(error.to_string().contains("more entries than we take, the cap is 1048576"), "{error}");
        let mut ledger = Ledger::new(What::Found);
        let error = (0..).find_map(|_| ledger.add(Ledger::ROOT, &[b'x'; 255], What::Leaf).err()).unwrap();
        assert!(error.to_string().contains("names of more bytes"), "{error}");
    }
}
