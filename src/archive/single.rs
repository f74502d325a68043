//! One member of an archive as a stream of its own, its holes filled with zeros.
//!
//! Refuses to know: what the bytes are and where they go.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::error::ArchiveError;
use super::sparse::Extent;
use super::walk::{MemberKind, Walk};
use crate::error::Error;
use crate::io::Sequential;

/// The content of the first file of the archive `stream` whose name contains `part`.
///
/// The stream that comes out ends only after the whole archive was read to its end: a cut behind
/// the member is an error of its reads too.
///
/// # Errors
/// [`ArchiveError::NoMember`] where no file has such a name; [`ArchiveError`] for what is no archive or
/// damaged; what the stream fails with.
pub fn single(stream: Sequential, part: &str) -> Result<Sequential, Error> {
    let mut walk = Walk::new(stream);
    while let Some(member) = walk.next()? {
        let MemberKind::File { size, extents } = member.kind else { continue };
        if member.name.windows(part.len()).any(|window| window == part.as_bytes()) {
            let content = Content { walk, extents: extents.into(), at: 0, size, ended: false };
            return Ok(Sequential::new(content, Some(size)));
        }
    }
    Err(ArchiveError::NoMember.into())
}

/// A file in an archive, read up to `at`.
struct Content {
    walk: Walk,
    /// The data from `at` on; the first of them is shortened as it is read.
    extents: VecDeque<Extent>,
    at: u64,
    size: u64,
    /// Whether the whole archive was read.
    ended: bool,
}

impl Content {
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        while self.extents.front().is_some_and(|extent| extent.len == 0) {
            self.extents.pop_front();
        }
        let most = |len: u64| usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
        let next = self.extents.front().map_or(self.size, |extent| extent.at);
        let hole = next.saturating_sub(self.at);
        let count = match self.extents.front_mut().filter(|_| hole == 0) {
            Some(extent) => {
                let count = most(extent.len);
                self.walk.read(buf.get_mut(..count).unwrap_or_default())?;
                let read = u64::try_from(count).unwrap_or(u64::MAX);
                extent.at = extent.at.saturating_add(read);
                extent.len = extent.len.saturating_sub(read);
                count
            }
            None => {
                let count = most(hole);
                buf.get_mut(..count).unwrap_or_default().fill(0);
                count
            }
        };
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }

    /// Reads the rest of the archive.
    fn end(&mut self) -> Result<(), Error> {
        while self.walk.next()?.is_some() {}
        // A wish to stop ends the reads below.
        self.walk.drain(|| Ok(())).map(|_| ())
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.at == self.size && !self.ended {
            self.end()?;
            self.ended = true;
        }
        if self.ended { Ok(0) } else { Ok(self.fill(buf)?) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::error::Kind;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    /// A sparse file of 10,000 bytes with data in the middle, before another member.
    fn sparse() -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_mode(0o644);
        header.set_size(700);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(10_000);
        for (slot, (at, len)) in gnu.sparse.iter_mut().zip([(512, 600), (5000, 100), (10_000, 0)]) {
            slot.set_offset(at);
            slot.set_length(len);
        }
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, "a/disk.img", &[7_u8; 700][..]).unwrap();
        let mut last = tar::Header::new_gnu();
        last.set_size(3);
        builder.append_data(&mut last, "disk.img.2", &b"two"[..]).unwrap();
        builder.into_inner().unwrap()
    }

    fn content(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        let mut found = single(Sequential::new(Cursor::new(bytes.to_vec()), None), "disk.img")?;
        let len = found.known_len();
        let read = found.read_to_end(&mut all).map_err(|error| Error::from_io(error, Kind::Other));
        read.map(|count| assert_eq!(len, Some(count as u64)))?;
        Ok(all)
    }

    #[test]
    fn the_first_file_with_the_name_comes_out_whole() {
        let bytes = archive(&[("a", b"no"), ("x-disk.img.old", b"this"), ("disk.img", b"not this")]);
        assert_eq!(content(&bytes).unwrap(), b"this");
        let error = content(&archive(&[("disk", b"no")])).unwrap_err();
        assert_eq!(error.to_string(), "no disk image found in tar");
        assert_eq!(content(&archive(&[])).unwrap_err().to_string(), "no disk image found in tar");
    }

    #[test]
    fn holes_come_out_as_zeros() {
        let found = content(&sparse()).unwrap();
        let mut expected = vec![0; 10_000];
        expected[512..1112].fill(7);
        expected[5000..5100].fill(7);
        assert!(found == expected);
    }

    #[test]
    fn a_cut_anywhere_in_the_archive_is_an_error() {
        let whole = sparse();
        for len in (0..whole.len() - 1024).step_by(256) {
            assert!(content(&whole[..len]).is_err(), "cut to {len}");
        }
    }
}
