//! The content of one file: data are written, zeros become holes unless their space is claimed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};

use super::sparse::Extent;
use super::walk::Walk;
use crate::error::Error;
use crate::format::preallocation::Preallocation;
use crate::io::{Piece, pieces};
use crate::progress::{Progress, Stop};
use crate::sink::{Behind, SinkError};

/// What the content of every file is written with.
pub(super) struct Scribe<'a> {
    pub(super) progress: &'a Progress,
    pub(super) stop: &'a Stop,
    /// Holds what was read and not yet written.
    pub(super) buffer: Vec<u8>,
    pub(super) preallocation: Preallocation,
}

/// Zeros to write, where they must be written.
const ZEROS: &[u8] = &[0; 64 << 10];

/// What becomes of a file's zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zeros {
    /// Nothing is written there: they are holes, or lie in space that is claimed and reads as zeros.
    Passed,
    /// They are written, which claims their space.
    Written,
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
        let zeros = page.claim(self.preallocation, size)?;
        let mut tail = Tail { page, behind: Behind::default(), end: 0, written: 0 };
        for extent in extents {
            if zeros == Zeros::Written {
                self.fill(&mut tail, extent.at)?;
            }
            let (mut at, mut left) = (extent.at, extent.len);
            while left > 0 {
                self.stop.check()?;
                let step = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
                let bytes = self.buffer.get_mut(..step).unwrap_or_default();
                walk.read(bytes)?;
                for piece in pieces(bytes) {
                    let range = match piece {
                        Piece::Data(range) => range,
                        Piece::Zero(range) if zeros == Zeros::Written => range,
                        Piece::Zero(_) => continue,
                    };
                    let here = at.saturating_add(range.start as u64);
                    let data = bytes.get(range).unwrap_or_default();
                    tail.put(data, here)?;
                    self.progress.written.fetch_add(data.len() as u64, Relaxed);
                }
                at = at.saturating_add(step as u64);
                left = left.saturating_sub(step as u64);
            }
        }
        if zeros == Zeros::Written {
            self.fill(&mut tail, size)?;
        }
        if tail.end < size {
            page.file.set_len(size).map_err(|cause| page.failed("set the size of", None, cause))?;
        }
        self.progress.zeroed.fetch_add(size.saturating_sub(tail.written), Relaxed);
        Ok(())
    }

    /// Writes zeros from the end of what was written up to `until`.
    fn fill(&self, tail: &mut Tail<'_>, until: u64) -> Result<(), Error> {
        while tail.end < until {
            self.stop.check()?;
            let step = usize::try_from(until.saturating_sub(tail.end)).unwrap_or(usize::MAX);
            let data = ZEROS.get(..step.min(ZEROS.len())).unwrap_or_default();
            tail.put(data, tail.end)?;
            self.progress.written.fetch_add(data.len() as u64, Relaxed);
        }
        Ok(())
    }
}

/// A file as far as it was written.
struct Tail<'a> {
    page: &'a Page<'a>,
    behind: Behind,
    /// Where the last write ended.
    end: u64,
    written: u64,
}

impl Tail<'_> {
    fn put(&mut self, data: &[u8], at: u64) -> Result<(), Error> {
        let (page, len) = (self.page, data.len() as u64);
        page.file.write_all_at(data, at).map_err(|cause| page.failed("write", Some(at), cause))?;
        let flushed = self.behind.wrote(page.file, at, len);
        flushed.map_err(|cause| page.failed("flush", Some(at), cause))?;
        self.end = at.saturating_add(len);
        self.written = self.written.saturating_add(len);
        Ok(())
    }
}

impl Page<'_> {
    /// Claims the space of `size` bytes where that is `wanted`; what is then left to do with zeros.
    fn claim(&self, wanted: Preallocation, size: u64) -> Result<Zeros, Error> {
        match wanted {
            Preallocation::Off => Ok(Zeros::Passed),
            Preallocation::Full => Ok(Zeros::Written),
            Preallocation::Falloc if size == 0 => Ok(Zeros::Passed),
            Preallocation::Falloc => {
                match retry_on_intr(|| fallocate(self.file, FallocateFlags::empty(), 0, size)) {
                    Ok(()) => Ok(Zeros::Passed),
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Zeros::Written),
                    Err(errno) => Err(self.failed("reserve space for", None, errno.into())),
                }
            }
        }
    }

    fn failed(&self, action: &'static str, at: Option<u64>, cause: std::io::Error) -> Error {
        SinkError::failed(action, self.path, at, cause).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::archive::walk::MemberKind;
    use crate::io::Sequential;

    /// A file of 2 MiB with data at 512 KiB, between zeros that the archive holds or leaves out.
    fn sparse() -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNUSparse);
        header.set_mode(0o644);
        header.set_size(300 << 10);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(2 << 20);
        gnu.sparse[0].set_offset(512 << 10);
        gnu.sparse[0].set_length(300 << 10);
        let content = [vec![7; 100 << 10], vec![0; 100 << 10], vec![8; 100 << 10]].concat();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, "disk.img", content.as_slice()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn zeros_are_holes_unless_their_space_is_claimed() {
        let mut expected = vec![0; 2 << 20];
        expected[512 << 10..612 << 10].fill(7);
        expected[712 << 10..812 << 10].fill(8);
        for preallocation in Preallocation::ALL {
            let made = tempfile::NamedTempFile::new().unwrap();
            let mut walk = Walk::new(Sequential::new(Cursor::new(sparse()), None));
            let Some(MemberKind::File { size, extents }) = walk.next().unwrap().map(|it| it.kind) else {
                panic!("no file")
            };
            let (progress, stop) = (Progress::default(), Stop::default());
            let mut scribe =
                Scribe { progress: &progress, stop: &stop, buffer: vec![0; 256 << 10], preallocation };
            let page = Page { file: made.as_file(), path: made.path() };
            scribe.write(&mut walk, &page, &extents, size).unwrap();
            assert!(std::fs::read(made.path()).unwrap() == expected, "{preallocation}");
            made.as_file().sync_all().unwrap();
            let blocks = made.as_file().metadata().unwrap().blocks() * 512;
            assert_eq!(blocks >= 2 << 20, preallocation != Preallocation::Off, "{preallocation}: {blocks}");
            let written = progress.written.load(Relaxed);
            assert_eq!(written == 2 << 20, preallocation == Preallocation::Full, "{written}");
            assert_eq!(progress.zeroed.load(Relaxed), (2 << 20) - written);
        }
    }
}
