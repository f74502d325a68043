//! Archives into a directory: GNU tar's of every kind, hostile ones, and every way to fail.

mod endings;
mod gnu;
mod hostile;
mod limits;
mod odd;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::{digest, run, workshop};

/// A place for one test: `dir` is not there yet, and what lies beside it must stay as it is.
struct Yard {
    workshop: TempDir,
    dir: PathBuf,
}

impl Yard {
    fn new() -> Self {
        let workshop = workshop();
        fs::create_dir(workshop.path().join("beside")).unwrap();
        fs::write(workshop.path().join("beside/precious"), "keep").unwrap();
        Self { dir: workshop.path().join("dir"), workshop }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.workshop.path().join(name)
    }

    /// `archive` unpacked from a pipe.
    fn unpack(&self, archive: impl Into<Vec<u8>>) -> run::Run {
        self.import("-").fed(archive)
    }

    fn import(&self, source: impl AsRef<std::ffi::OsStr>) -> run::Run {
        run::import(source, &self.dir).arg("--content-type=archive")
    }

    /// What lies in the directory.
    fn tree(&self) -> BTreeMap<String, Item> {
        tree(&self.dir)
    }

    /// Asserts that a run which failed left nothing behind and touched nothing beside the directory.
    #[track_caller]
    fn is_clean(&self) {
        assert!(!self.dir.exists(), "left: {:?}", self.tree().keys());
        self.is_untouched_beside();
    }

    #[track_caller]
    fn is_untouched_beside(&self) {
        let names: Vec<_> =
            fs::read_dir(self.workshop.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.iter().all(|path| *path == self.dir || *path == self.at("beside")), "{names:?}");
        let beside = tree(&self.at("beside"));
        assert_eq!(beside.keys().collect::<Vec<_>>(), ["precious"]);
        assert_eq!(beside["precious"].content, digest::bytes(b"keep"));
        assert_eq!(beside["precious"].links, 1);
    }
}

/// Something in a directory.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    mode: u32,
    mtime: (i64, i64),
    links: u64,
    /// The sum of a file, the target of a link.
    content: String,
}

/// Everything below `dir`, by path.
fn tree(dir: &Path) -> BTreeMap<String, Item> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            let content = if facts.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if facts.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else {
                digest::disk(&path)
            };
            let mode = facts.permissions().mode() & 0o7777;
            let links = if facts.is_dir() { 0 } else { facts.nlink() };
            let item = Item { mode, mtime: (facts.mtime(), facts.mtime_nsec()), links, content };
            let name = path.strip_prefix(dir).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
            found.insert(name, item);
        }
    }
    found
}

/// An archive that is built block by block, right or wrong.
#[derive(Clone, Default)]
struct Tar(Vec<u8>);

impl Tar {
    /// A member of the type `kind`, with `content`, in the format of GNU tar.
    fn member(self, kind: u8, name: &str, link: &str, content: &[u8]) -> Self {
        let size = format!("{:011o}\0", content.len());
        self.header(kind, name, link, size.as_bytes()).content(content)
    }

    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.member(b'0', name, "", content.as_ref())
    }

    fn dir(self, name: &str) -> Self {
        self.member(b'5', name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.member(b'2', name, target, b"")
    }

    fn hardlink(self, name: &str, target: &str) -> Self {
        self.member(b'1', name, target, b"")
    }

    /// A PAX header of these records.
    fn pax(self, records: &[(&str, &str)]) -> Self {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.member(b'x', "PaxHeaders/x", "", text.as_bytes())
    }

    /// A header whose size field holds these bytes.
    fn header(self, kind: u8, name: &str, link: &str, size: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        old.size[..size.len()].copy_from_slice(size);
        old.linkflag = [kind];
        header.set_mode(0o6755);
        header.set_mtime(1_600_000_000);
        header.set_uid(4_000_000);
        self.block(header)
    }

    fn block(mut self, mut header: tar::Header) -> Self {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive with its end mark.
    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A record of a PAX header, its length in front.
fn record(key: &str, value: &str) -> String {
    let body = format!(" {key}={value}\n");
    let digits = (1..).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
    format!("{}{body}", body.len() + digits)
}
