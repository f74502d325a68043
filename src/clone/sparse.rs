//! Where a file's data lie, and how GNU tar says so in front of them.
//!
//! The crate `tar` could look for holes itself; it takes a file without blocks for one without data,
//! which is not true where small files lie in their inodes, or are not flushed yet.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{EntryType, GnuExtSparseHeader, Header};

/// Holes shorter than this are sent as zeros: a piece more costs more than they save.
const WORTH_A_HOLE: u64 = 64 << 10;

/// The base-2 logarithm of the most pieces of a file; who unpacks it must hold them all.
const MOST_PIECES: u32 = 20;

/// What becomes of holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holes {
    /// They stay holes.
    Kept,
    /// They are sent as the zeros that they read as.
    Filled,
}

/// A run of data in a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// The pieces of `file`, of `size` bytes, that hold its data; none where it has no holes to speak of.
pub(super) fn pieces(file: &File, size: u64) -> io::Result<Option<Vec<Piece>>> {
    let worth = WORTH_A_HOLE.max(size >> MOST_PIECES);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < size => start,
            Ok(_) | Err(Errno::NXIO) => break,
            // A file system that knows nothing of holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        if end <= start {
            return Err(io::Error::other("it changed while its holes were looked for"));
        }
        match pieces.last_mut() {
            Some(last) if start.saturating_sub(last.at.saturating_add(last.len)) < worth => {
                last.len = end.saturating_sub(last.at);
            }
            None if start < worth => pieces.push(Piece { at: 0, len: end }),
            _ => pieces.push(Piece { at: start, len: end.saturating_sub(start) }),
        }
        at = end;
    }
    let end = pieces.last().map_or(0, |last| last.at.saturating_add(last.len));
    let dense = matches!(pieces.as_slice(), [only] if only.at == 0) && size.saturating_sub(end) < worth;
    if dense || size == 0 {
        return Ok(None);
    }
    if end < size {
        // The mark of a hole at the end.
        pieces.push(Piece { at: size, len: 0 });
    }
    Ok(Some(pieces))
}

/// Turns `header` into one of a sparse file with `pieces`; the blocks that follow it before the data.
pub(super) fn describe(header: &mut Header, pieces: &[Piece], size: u64) -> Vec<u8> {
    let stored = pieces.iter().map(|piece| piece.len).fold(0, u64::saturating_add);
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(stored);
    let mut rest = pieces.iter();
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.set_real_size(size);
        for (slot, piece) in gnu.sparse.iter_mut().zip(rest.by_ref()) {
            slot.set_offset(piece.at);
            slot.set_length(piece.len);
        }
        gnu.set_is_extended(!rest.as_slice().is_empty());
    }
    let mut blocks = Vec::new();
    while !rest.as_slice().is_empty() {
        let mut block = GnuExtSparseHeader::new();
        for (slot, piece) in block.sparse.iter_mut().zip(rest.by_ref()) {
            slot.set_offset(piece.at);
            slot.set_length(piece.len);
        }
        block.set_is_extended(!rest.as_slice().is_empty());
        blocks.extend_from_slice(block.as_bytes());
    }
    blocks
}

/// The bytes of `pieces` of a file one after the other; a file that ends before them is an error.
pub(super) struct Data<'a> {
    file: &'a File,
    pieces: std::slice::Iter<'a, Piece>,
    present: Piece,
}

impl<'a> Data<'a> {
    pub(super) fn new(file: &'a File, pieces: &'a [Piece]) -> Self {
        Self { file, pieces: pieces.iter(), present: Piece { at: 0, len: 0 } }
    }
}

impl Read for Data<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.present.len == 0 {
            let Some(next) = self.pieces.next() else { return Ok(0) };
            self.present = *next;
        }
        let most = usize::try_from(self.present.len).unwrap_or(usize::MAX).min(buf.len());
        let count = self.file.read_at(buf.get_mut(..most).unwrap_or_default(), self.present.at)?;
        if count == 0 && most > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let read = u64::try_from(count).unwrap_or(u64::MAX);
        self.present.at = self.present.at.saturating_add(read);
        self.present.len = self.present.len.saturating_sub(read);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of `size` bytes with data where `data` says; the file system keeps the holes.
    fn file(size: u64, data: &[(u64, u64)]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        for (at, len) in data {
            file.write_all_at(&vec![7; usize::try_from(*len).unwrap()], *at).unwrap();
        }
        file
    }

    fn found(size: u64, data: &[(u64, u64)]) -> Option<Vec<(u64, u64)>> {
        let pieces = pieces(&file(size, data), size).unwrap();
        pieces.map(|pieces| pieces.iter().map(|piece| (piece.at, piece.len)).collect())
    }

    const K: u64 = 1 << 10;

    #[test]
    fn holes_that_are_worth_it_stay_holes() {
        assert_eq!(found(0, &[]), None);
        assert_eq!(found(100 * K, &[(0, 100 * K)]), None);
        assert_eq!(found(100 * K, &[(0, 60 * K)]), None, "a short hole at the end");
        assert_eq!(found(1000 * K, &[]), Some(vec![(1000 * K, 0)]));
        assert_eq!(found(1000 * K, &[(0, 4 * K)]), Some(vec![(0, 4 * K), (1000 * K, 0)]));
        let far = [(100 * K, 4 * K), (900 * K, 100 * K)];
        assert_eq!(found(1000 * K, &far), Some(far.to_vec()));
        let near = [(60 * K, 4 * K), (100 * K, 4 * K), (900 * K, 4 * K)];
        assert_eq!(found(1000 * K, &near), Some(vec![(0, 104 * K), (900 * K, 4 * K), (1000 * K, 0)]));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let file = file(10 * K, &[(0, 10 * K)]);
        let pieces = [Piece { at: 0, len: 10 * K }];
        file.set_len(9 * K).unwrap();
        let error = Data::new(&file, &pieces).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}
