//! The open file or device: bytes leave past the page cache where that is possible.
//!
//! Refuses to know: whether it is a file or a device, and what is written last.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use super::behind::{Behind, drop_pages};
use super::{MIB, SinkError, in_memory, len_of};
use crate::io::{ALIGNMENT, Aligned};
use crate::sys::cache::page_size;
use crate::sys::close::settle;

/// A direct write waits for the disk; below this the page cache gathers better than that is worth.
const WORTH_DIRECT: usize = 64 << 10;

static ZEROS: LazyLock<Aligned> = LazyLock::new(|| Aligned::zeroed(in_memory(MIB)));

/// One target behind two descriptors: one through the page cache, one past it.
pub(super) struct Outlet {
    path: PathBuf,
    file: File,
    direct: Option<File>,
    direct_failed: AtomicBool,
    alignment: u64,
    behind: Behind,
}

impl Outlet {
    /// The target `file`, open for reading and writing at `path`, of logical blocks of `block` bytes.
    pub(super) fn new(path: &Path, file: File, block: u64) -> Self {
        // Read-ahead would make large pages, in which a buffered write meets a direct one.
        let _ = fadvise(&file, 0, None, Advice::Random);
        // A page never holds bytes of both kinds of writes: each would undo the other's.
        let alignment = page_size().max(block).max(ALIGNMENT as u64);
        let direct = open_direct(path, &file);
        let behind = Behind::default();
        Self {
            path: path.to_path_buf(),
            file,
            direct,
            direct_failed: AtomicBool::new(false),
            alignment,
            behind,
        }
    }

    /// The path that it was opened by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptor that goes through the page cache.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Offsets and lengths that are multiples of this share neither a block nor a page with others.
    pub(super) fn alignment(&self) -> u64 {
        self.alignment
    }

    /// An error of this target.
    pub(super) fn failed(&self, action: &'static str, at: Option<u64>, cause: io::Error) -> SinkError {
        SinkError::failed(action, &self.path, at, cause)
    }

    /// Writes all of `buf` at `at`.
    pub(super) fn write_all_at(&self, buf: &[u8], at: u64) -> Result<(), SinkError> {
        let (head, middle) = self.aligned_part(buf, at);
        if middle == 0 {
            return self.write_buffered(buf, at);
        }
        let (head, rest) = buf.split_at(head);
        let (middle, tail) = rest.split_at(middle);
        let middle_at = at.saturating_add(len_of(head));
        self.write_buffered(head, at)?;
        self.write_direct(middle, middle_at)?;
        self.write_buffered(tail, middle_at.saturating_add(len_of(middle)))
    }

    /// Writes `len` zeros at `at`.
    pub(super) fn write_zeros(&self, at: u64, len: u64) -> Result<(), SinkError> {
        let (mut at, end) = (at, at.saturating_add(len));
        while at < end {
            // Steps end at multiples of a MiB, so that all but the edges go past the page cache.
            let step = MIB.saturating_sub(at % MIB).min(end.saturating_sub(at));
            self.write_all_at(ZEROS.get(..in_memory(step)).unwrap_or_default(), at)?;
            at = at.saturating_add(step);
        }
        Ok(())
    }

    /// Reads all of `buf` from `at` on, past the page cache where that is possible.
    pub(super) fn read_exact_at(&self, buf: &mut [u8], at: u64) -> Result<(), SinkError> {
        if let Some(direct) = self.direct().filter(|_| self.wholly_direct(buf, at))
            && direct.read_exact_at(buf, at).is_ok()
        {
            return Ok(());
        }
        self.file.read_exact_at(buf, at).map_err(|cause| self.failed("read back", Some(at), cause))
    }

    /// Makes the bytes durable.
    pub(super) fn sync(&self) -> Result<(), SinkError> {
        self.file.sync_data().map_err(|cause| self.failed("flush", None, cause))
    }

    /// Makes bytes and size durable, and forgets the pages, so that a later read asks the disk.
    ///
    /// What fails only when it is closed, as files behind a network may, fails here: a descriptor that
    /// is dropped tells nobody.
    pub(super) fn finish(&self) -> Result<(), SinkError> {
        self.file.sync_all().map_err(|cause| self.failed("flush", None, cause))?;
        for file in [Some(&self.file), self.direct.as_ref()].into_iter().flatten() {
            settle(file).map_err(|cause| self.failed("close", None, cause))?;
        }
        drop_pages(&self.file, &(0..0));
        Ok(())
    }

    fn direct(&self) -> Option<&File> {
        self.direct.as_ref().filter(|_| !self.direct_failed.load(Relaxed))
    }

    /// How many bytes of `buf` come before its aligned part, and how long that part is; 0 for none.
    fn aligned_part(&self, buf: &[u8], at: u64) -> (usize, usize) {
        let aligned = at.checked_next_multiple_of(self.alignment).unwrap_or(u64::MAX);
        let head = in_memory(aligned.saturating_sub(at));
        let rest = buf.get(head..).unwrap_or_default();
        let len = rest.len().saturating_sub(rest.len() % in_memory(self.alignment));
        let fits = len >= WORTH_DIRECT && rest.as_ptr().addr() % ALIGNMENT == 0;
        if fits && self.direct().is_some() { (head, len) } else { (0, 0) }
    }

    fn wholly_direct(&self, buf: &[u8], at: u64) -> bool {
        !buf.is_empty() && self.aligned_part(buf, at) == (0, buf.len())
    }

    fn write_direct(&self, mut buf: &[u8], mut at: u64) -> Result<(), SinkError> {
        while let Some(direct) = self.direct().filter(|_| self.wholly_direct(buf, at)) {
            match direct.write_at(buf, at) {
                Ok(0) => break,
                Ok(count) => {
                    buf = buf.get(count..).unwrap_or_default();
                    at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if refuses_direct(&error) => self.direct_failed.store(true, Relaxed),
                Err(cause) => return Err(self.failed("write", Some(at), cause)),
            }
        }
        self.write_buffered(buf, at)
    }

    fn write_buffered(&self, buf: &[u8], at: u64) -> Result<(), SinkError> {
        if buf.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all_at(buf, at);
        written
            .and_then(|()| self.behind.wrote(&self.file, at, len_of(buf)))
            .map_err(|cause| self.failed("write", Some(at), cause))
    }
}

/// A second descriptor of the same file that goes past the page cache.
fn open_direct(path: &Path, file: &File) -> Option<File> {
    let flags = libc::O_DIRECT | libc::O_NOFOLLOW;
    let direct = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).ok()?;
    same(&direct.metadata().ok()?, &file.metadata().ok()?).then_some(direct)
}

/// Whether both are the same file, or the same node of a device.
pub(super) fn same(one: &Metadata, other: &Metadata) -> bool {
    let identity = |found: &Metadata| (found.dev(), found.ino(), found.rdev());
    identity(one) == identity(other)
}

fn refuses_direct(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::NamedTempFile;

    fn outlet() -> (NamedTempFile, Outlet) {
        let target = NamedTempFile::new().unwrap();
        let outlet = Outlet::new(target.path(), target.reopen().unwrap(), 512);
        (target, outlet)
    }

    fn noise(len: usize) -> Aligned {
        let mut bytes = Aligned::zeroed(len);
        let mut word = 0x9e37_79b9_u32;
        for byte in bytes.iter_mut() {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = word.to_be_bytes()[0] | 1;
        }
        bytes
    }

    #[test]
    fn a_long_write_is_split_into_a_direct_part_and_buffered_edges() {
        let (_target, outlet) = outlet();
        if outlet.direct().is_none() {
            println!("skipped: no O_DIRECT here");
            return;
        }
        let buffer = noise(200_000);
        let long = 200_000 - 200_000 % 4096;
        assert_eq!(outlet.aligned_part(&buffer, 0), (0, long));
        assert_eq!(outlet.aligned_part(&buffer, 512), (0, 0), "the address does not fit the offset");
        assert_eq!(outlet.aligned_part(&buffer[512..], 4096 + 512), (3584, long - 4096));
        assert_eq!(outlet.aligned_part(&buffer[..60_000], 0), (0, 0), "too short to be worth it");
    }

    #[test]
    fn mixed_direct_and_buffered_writes_read_back_what_was_written() {
        let (target, outlet) = outlet();
        let bytes = noise((3 << 20) + 777);
        // Small unaligned writes and large direct ones in turn, neighbours sharing no byte but blocks.
        let mut at = 0;
        for len in [100, 65_536, 3996, 1 << 20, 1, 511, 65_024, 200_000].into_iter().cycle() {
            let end = bytes.len().min(at + len);
            outlet.write_all_at(&bytes[at..end], at as u64).unwrap();
            let mut back = vec![0; end - at];
            outlet.read_exact_at(&mut back, at as u64).unwrap();
            assert!(back == bytes[at..end], "at {at}");
            at = end;
            if at == bytes.len() {
                break;
            }
        }
        outlet.finish().unwrap();
        assert!(std::fs::read(target.path()).unwrap() == bytes[..]);
    }

    #[test]
    fn a_buffered_tail_that_shares_its_page_with_nothing_stays_after_direct_writes() {
        let (target, outlet) = outlet();
        let bytes = noise((1 << 20) + 512);
        let mut back = Aligned::zeroed(1 << 20);
        for _ in 0..4 {
            outlet.write_all_at(&bytes[1 << 20..], 1 << 20).unwrap();
            outlet.write_all_at(&bytes[..1 << 20], 0).unwrap();
            outlet.read_exact_at(&mut back, 0).unwrap();
            assert!(back[..] == bytes[..1 << 20]);
        }
        outlet.finish().unwrap();
        assert!(std::fs::read(target.path()).unwrap() == bytes[..]);
    }

    #[test]
    fn many_threads_mix_direct_and_buffered_writes_and_nothing_is_lost() {
        let (target, outlet) = outlet();
        let bytes = noise(8 << 20);
        std::thread::scope(|scope| {
            for lane in 0..4_usize {
                let (outlet, bytes) = (&outlet, &bytes);
                scope.spawn(move || {
                    for part in (lane..128).step_by(4) {
                        let (at, odd) = (part << 16, 512 * (part % 3));
                        outlet.write_all_at(&bytes[at..at + odd], at as u64).unwrap();
                        outlet.write_all_at(&bytes[at + odd..at + 65_536], (at + odd) as u64).unwrap();
                    }
                });
            }
        });
        outlet.finish().unwrap();
        assert!(std::fs::read(target.path()).unwrap() == bytes[..]);
    }

    #[test]
    fn a_file_that_refuses_direct_writes_is_written_through_the_cache_from_then_on() {
        let (target, mut outlet) = outlet();
        let bytes = noise(1 << 20);
        let refused = outlet.direct().is_some_and(|direct| direct.write_at(&bytes, 1).is_err());
        if !refused {
            println!("skipped: this file system takes anything for direct");
            return;
        }
        // An outlet that thinks it need not align meets a file system that asks for it.
        outlet.alignment = 1;
        outlet.write_all_at(&bytes, 1).unwrap();
        assert!(outlet.direct().is_none());
        assert!(std::fs::read(target.path()).unwrap()[1..] == bytes[..]);
    }

    #[test]
    fn zeros_are_written_at_any_offset() {
        let (target, outlet) = outlet();
        outlet.write_all_at(&noise(4 << 20), 0).unwrap();
        outlet.write_zeros(1000, 2 << 20).unwrap();
        let bytes = std::fs::read(target.path()).unwrap();
        let end = 1000 + (2 << 20);
        assert!(crate::io::is_zero(&bytes[1000..end]));
        assert!(bytes[999] != 0 && bytes[end] != 0);
    }
}
