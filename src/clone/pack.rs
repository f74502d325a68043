//! A tar of a file system, as GNU tar writes it: names from the root on, links, sparse files.
//!
//! Refuses to know: where the archive goes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use tar::{Builder, EntryType, Header};

use super::CloneError;
use super::sparse::{Data, Holes, Piece, describe, pieces};
use super::tree::{Entry, walk};
use crate::error::{Error, Kind, kind_within};

/// Bytes of a file that are read at a time.
const STEP: usize = 256 << 10;

/// Writes a tar of all that lies below `root` to `out`.
pub(super) fn pack<W: Write>(root: &OwnedFd, holes: Holes, out: W) -> Result<W, Error> {
    let mut pack = Pack { builder: Builder::new(out), holes, names: HashMap::new() };
    walk(root, &mut |entry| pack.add(entry))?;
    pack.builder.into_inner().map_err(|cause| Error::from_io(cause, Kind::Other))
}

struct Pack<W: Write> {
    builder: Builder<W>,
    holes: Holes,
    /// The first name of each file that has several, by device and inode.
    names: HashMap<(u64, u64), PathBuf>,
}

impl<W: Write> Pack<W> {
    fn add(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        match entry.file_type() {
            FileType::RegularFile => self.file(entry),
            FileType::Directory => self.empty(entry, EntryType::Directory),
            FileType::Fifo => self.empty(entry, EntryType::Fifo),
            FileType::Symlink => self.link(entry, EntryType::Symlink, &entry.target()?),
            FileType::Socket => {
                tracing::warn!("{}: a socket is passed over", entry.path.display());
                Ok(())
            }
            _ => Err(entry.unfit("is a device, which a clone cannot have").into()),
        }
    }

    fn file(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        if entry.stat.st_nlink > 1 {
            let first = self.names.entry((entry.stat.st_dev, entry.stat.st_ino));
            match first {
                std::collections::hash_map::Entry::Occupied(first) => {
                    let first = first.get().clone();
                    return self.link(entry, EntryType::Link, &first);
                }
                std::collections::hash_map::Entry::Vacant(place) => place.insert(entry.path.to_owned()),
            };
        }
        let file = entry.file()?;
        let failed = |cause| CloneError::Read { action: "read", path: entry.shown(), cause };
        let before = Stamp::of(&file).map_err(failed)?;
        let found = match self.holes {
            Holes::Kept => pieces(&file, before.size).map_err(failed)?,
            Holes::Filled => None,
        };
        let mut header = header(entry, EntryType::Regular);
        header.set_size(before.size);
        let (blocks, pieces) = match found {
            Some(pieces) => (describe(&mut header, &pieces, before.size), pieces),
            None => (Vec::new(), vec![Piece { at: 0, len: before.size }]),
        };
        let data = BufReader::with_capacity(STEP, Data::new(&file, &pieces));
        let added = self.builder.append_data(&mut header, entry.path, blocks.chain(data));
        added.map_err(|cause| either(cause, failed))?;
        if Stamp::of(&file).map_err(failed)? != before {
            return Err(entry.unfit("changed while it was read; the volume must not be in use").into());
        }
        Ok(())
    }

    fn empty(&mut self, entry: &Entry<'_>, kind: EntryType) -> Result<(), Error> {
        let added = self.builder.append_data(&mut header(entry, kind), entry.path, std::io::empty());
        added.map_err(|cause| Error::from_io(cause, Kind::Other))
    }

    fn link(&mut self, entry: &Entry<'_>, kind: EntryType, target: &Path) -> Result<(), Error> {
        let added = self.builder.append_link(&mut header(entry, kind), entry.path, target);
        added.map_err(|cause| Error::from_io(cause, Kind::Other))
    }
}

/// What must not change while a file is read.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    size: u64,
    mtime: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { size: found.len(), mtime: (found.mtime(), found.mtime_nsec()) })
    }
}

fn header(entry: &Entry<'_>, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(entry.stat.st_mode & 0o7777);
    header.set_uid(entry.stat.st_uid.into());
    header.set_gid(entry.stat.st_gid.into());
    // What is older than 1970 is as old as that.
    header.set_mtime(u64::try_from(entry.stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

/// The error of a copy: the writer's own keeps its kind, all else is the file's.
fn either(cause: std::io::Error, failed: impl FnOnce(std::io::Error) -> CloneError) -> Error {
    if kind_within(&cause).is_some() { Error::from_io(cause, Kind::Other) } else { failed(cause).into() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, symlink};

    use super::super::tree::root;
    use super::*;

    fn packed(dir: &Path, holes: Holes) -> Vec<(String, EntryType, u64, String)> {
        let bytes = pack(&root(dir).unwrap(), holes, Vec::new()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap().map_or_else(String::new, |link| link.display().to_string());
            let name = entry.path().unwrap().display().to_string();
            (name, entry.header().entry_type(), entry.size(), link)
        });
        entries.collect()
    }

    fn row(name: &str, kind: EntryType, size: u64, link: &str) -> (String, EntryType, u64, String) {
        (name.to_owned(), kind, size, link.to_owned())
    }

    #[test]
    fn every_kind_of_file_has_its_member_but_sockets_and_what_belongs_to_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let long = "n".repeat(150);
        fs::create_dir(at("lost+found")).unwrap();
        fs::write(at("lost+found/x"), "no").unwrap();
        fs::create_dir_all(at("d/lost+found")).unwrap();
        fs::write(at("d/f"), "bytes").unwrap();
        fs::hard_link(at("d/f"), at("e")).unwrap();
        symlink("/somewhere/else", at("l")).unwrap();
        fs::write(at(&long), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("s")).unwrap();
        let expected = [
            row("d", EntryType::Directory, 0, ""),
            row("d/f", EntryType::Regular, 5, ""),
            row("d/lost+found", EntryType::Directory, 0, ""),
            row("e", EntryType::Link, 0, "d/f"),
            row("l", EntryType::Symlink, 0, "/somewhere/else"),
            row(&long, EntryType::Regular, 0, ""),
        ];
        assert_eq!(packed(dir.path(), Holes::Kept), expected);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(packed(empty.path(), Holes::Kept), []);
    }

    #[test]
    fn many_pieces_come_out_as_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("disk.img")).unwrap();
        let size = 50 << 20;
        file.set_len(size).unwrap();
        let mut expected = vec![0; usize::try_from(size).unwrap()];
        for piece in 0..70_u8 {
            let at = usize::from(piece) * 700_000 + 100_000;
            expected[at..at + 5000].fill(piece + 1);
            file.write_all_at(&expected[at..at + 5000], at as u64).unwrap();
        }
        for (holes, kind) in [(Holes::Kept, EntryType::GNUSparse), (Holes::Filled, EntryType::Regular)] {
            let bytes = pack(&root(dir.path()).unwrap(), holes, Vec::new()).unwrap();
            assert_eq!(bytes.len() < 2 << 20, holes == Holes::Kept, "{} bytes", bytes.len());
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.header().entry_type(), kind);
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(content == expected, "{holes:?}");
        }
    }
}
