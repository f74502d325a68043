//! The content of one file: data are written, zeros become holes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use super::sparse::Extent;
use super::walk::Walk;
use crate::error::Error;
use crate::io::{Piece, pieces};
use crate::progress::{Progress, Stop};
use crate::sink::{Behind, SinkError};

/// What the content of every file is written with.
pub(super) struct Scribe<'a> {
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
    /// Holds what was read and not yet written.
    pub(super) buffer: Vec<u8>,
}

/// A new file and how messages name it.
pub(super) struct Page<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
}

impl Scribe<'_> {
    /// Writes the present member of `walk`, a file of `size` bytes whose data lie in `extents`.
    pub(super) fn write(
        &mut self,
        walk: &mut Walk,
        page: &Page<'_>,
        extents: &[Extent],
        size: u64,
    ) -> Result<(), Error> {
        let (behind, mut written, mut end) = (Behind::default(), 0_u64, 0_u64);
        for extent in extents {
            let (mut at, mut left) = (extent.at, extent.len);
            while left > 0 {
                self.stop.check()?;
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                let bytes = self.buffer.get_mut(..step).unwrap_or_default();
                walk.read(bytes)?;
                for piece in pieces(bytes) {
                    if let Piece::Data(range) = piece {
                        let data = bytes.get(range.clone()).unwrap_or_default();
                        let here = at.saturating_add(range.start as u64);
                        page.put(data, here, &behind)?;
                        end = here.saturating_add(data.len() as u64);
                        written = written.saturating_add(data.len() as u64);
                        self.progress.written.fetch_add(data.len() as u64, Relaxed);
                    }
                }
                at = at.saturating_add(step as u64);
                left = left.saturating_sub(step as u64);
            }
        }
        if end < size {
            page.file.set_len(size).map_err(|cause| page.failed("set the size of", None, cause))?;
        }
        self.progress.zeroed.fetch_add(size.saturating_sub(written), Relaxed);
        Ok(())
    }
}

impl Page<'_> {
    fn put(&self, data: &[u8], at: u64, behind: &Behind) -> Result<(), Error> {
        self.file.write_all_at(data, at).map_err(|cause| self.failed("write", Some(at), cause))?;
        let flushed = behind.wrote(self.file, at, data.len() as u64);
        flushed.map_err(|cause| self.failed("flush", Some(at), cause))
    }

    fn failed(&self, action: &'static str, at: Option<u64>, cause: std::io::Error) -> Error {
        SinkError::failed(action, self.path, at, cause).into()
    }
}
