//! How archives say where the data of a sparse file lie: old GNU, and PAX 0.0, 0.1 and 1.0.
//!
//! Refuses to know: what is written where.

use super::header::{self, BLOCK, Block};
use super::pax;
use super::sparse::{self, Extent};
use super::walk::{MemberKind, Walk};
use crate::error::Error;
use crate::io::Pass;

impl<R: Pass> Walk<R> {
    /// A sparse file in GNU tar's own format: pieces in the header, and in blocks after it.
    pub(super) fn old_sparse(&mut self, block: &Block, stored: u64) -> Result<MemberKind, Error> {
        let (mut list, size) = header::sparse(block).map_err(|why| self.damaged(why))?;
        let mut extents = Vec::new();
        loop {
            for extent in list.extents {
                sparse::push(&mut extents, extent)?;
            }
            if !list.more {
                break;
            }
            let mut block = [0; BLOCK];
            self.take(&mut block, "within the list of a sparse file's pieces")?;
            list = header::sparse_extension(&block).map_err(|why| self.damaged(why))?;
        }
        self.enter(stored);
        self.sparse(size, extents)
    }

    /// A sparse file in a PAX archive: pieces in the PAX header, or as text before the data.
    pub(super) fn new_sparse(&mut self, map: pax::Sparse, stored: u64) -> Result<MemberKind, Error> {
        let Some(size) = map.size else { return Err(self.damaged("a sparse file has no size")) };
        self.enter(stored);
        match (map.major, map.minor) {
            (None | Some(0), _) => self.sparse(size, map.extents),
            (Some(1), None | Some(0)) => {
                let extents = self.map()?;
                self.sparse(size, extents)
            }
            _ => Err(self.damaged("a sparse file is of a format that is not known")),
        }
    }

    fn sparse(&self, size: u64, extents: Vec<Extent>) -> Result<MemberKind, Error> {
        sparse::check(&extents, size, self.left).map_err(|why| self.damaged(why))?;
        Ok(MemberKind::File { size, extents })
    }

    /// The list of pieces before the data: decimal numbers on lines, in whole blocks.
    fn map(&mut self) -> Result<Vec<Extent>, Error> {
        let mut lines = Lines { block: [0; BLOCK], taken: BLOCK };
        let count = lines.number(self)?;
        let mut extents = Vec::new();
        for _ in 0..count {
            sparse::push(&mut extents, Extent { at: lines.number(self)?, len: lines.number(self)? })?;
        }
        Ok(extents)
    }
}

/// The text before the data of a sparse file, block by block.
struct Lines {
    block: Block,
    taken: usize,
}

impl Lines {
    /// The number on the next line.
    fn number<R: Pass>(&mut self, walk: &mut Walk<R>) -> Result<u64, Error> {
        let mut digits = Vec::new();
        loop {
            if self.taken == BLOCK {
                walk.read(&mut self.block)?;
                self.taken = 0;
            }
            let byte = self.block.get(self.taken).copied().unwrap_or_default();
            self.taken = self.taken.saturating_add(1);
            match byte {
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                b'\n' if !digits.is_empty() => break,
                _ => return Err(walk.damaged("the list of a sparse file's pieces is malformed")),
            }
        }
        pax::decimal(&digits).ok_or_else(|| walk.damaged("a piece of a sparse file lies beyond any file"))
    }
}
