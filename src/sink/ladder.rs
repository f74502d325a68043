//! The ways to make a range read as zeros, the cheapest first.
//!
//! Discard is not among them: it promises nothing. Refuses to know: files from devices.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::outlet::Outlet;
use super::{Preallocation, SinkError};
use crate::sys::block::zero_out;

/// One call zeroes no more than this: a call on a device cannot be interrupted.
const STEP: u64 = 1 << 30;

/// Zeroes a range of whole blocks: offset, then length.
type Rung = fn(&File, u64, u64) -> io::Result<()>;

/// The rungs before the last one, which is to write zeros.
const RUNGS: [Rung; 3] = [punch_hole, zero_range, zero_out];

/// Remembers which rungs the target does not have.
#[derive(Debug)]
pub(super) struct Ladder {
    /// One bit for each member of [`RUNGS`].
    missing: AtomicU8,
}

impl Ladder {
    /// The rungs that `preallocation` leaves: a hole gives space back, only written zeros surely keep it.
    pub(super) fn new(preallocation: Preallocation) -> Self {
        let missing = match preallocation {
            Preallocation::Off => 0b000,
            Preallocation::Falloc => 0b001,
            Preallocation::Full => 0b111,
        };
        Self { missing: AtomicU8::new(missing) }
    }

    /// Makes `len` bytes of the target from `at` on read as zeros.
    pub(super) fn zero(&self, outlet: &Outlet, at: u64, len: u64) -> Result<(), SinkError> {
        let (unit, end) = (outlet.alignment(), at.saturating_add(len));
        let first = at.checked_next_multiple_of(unit).unwrap_or(u64::MAX);
        let last = end.saturating_sub(end % unit);
        if first >= last {
            return outlet.write_zeros(at, len);
        }
        outlet.write_zeros(at, first.saturating_sub(at))?;
        let mut here = first;
        while here < last {
            let step = last.saturating_sub(here).min(STEP);
            self.zero_aligned(outlet, here, step)?;
            here = here.saturating_add(step);
        }
        outlet.write_zeros(last, end.saturating_sub(last))
    }

    fn zero_aligned(&self, outlet: &Outlet, at: u64, len: u64) -> Result<(), SinkError> {
        for (index, rung) in RUNGS.iter().enumerate() {
            let bit = 1 << index;
            if self.missing.load(Relaxed) & bit != 0 {
                continue;
            }
            let Err(error) = rung(outlet.file(), at, len) else { return Ok(()) };
            match Errno::from_io_error(&error) {
                Some(Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => {
                    self.missing.fetch_or(bit, Relaxed);
                }
                // This range it cannot; the next one it may.
                Some(Errno::INVAL) => {}
                _ => return Err(outlet.failed("zero", Some(at), error)),
            }
        }
        outlet.write_zeros(at, len)
    }
}

fn punch_hole(file: &File, at: u64, len: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len)?)
}

fn zero_range(file: &File, at: u64, len: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE, at, len)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use tempfile::NamedTempFile;

    const OLD: u8 = 0xA5;

    fn old_file(len: usize) -> (NamedTempFile, Outlet) {
        let target = NamedTempFile::new().unwrap();
        target.as_file().write_all_at(&vec![OLD; len], 0).unwrap();
        let outlet = Outlet::new(target.path(), target.reopen().unwrap(), 512);
        (target, outlet)
    }

    fn check(target: &NamedTempFile, zeros: std::ops::Range<usize>) {
        let bytes = std::fs::read(target.path()).unwrap();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(*byte, if zeros.contains(&at) { 0 } else { OLD }, "at {at} of {zeros:?}");
        }
    }

    #[test]
    fn each_rung_zeroes_exactly_the_range_that_was_asked_for() {
        for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
            for zeros in [0..4096, 100..200, 512..300_000, 4095..4097, 4096..12_288, 299_000..300_000] {
                let (target, outlet) = old_file(300_000);
                let (at, len) = (zeros.start as u64, (zeros.end - zeros.start) as u64);
                Ladder::new(preallocation).zero(&outlet, at, len).unwrap();
                check(&target, zeros);
            }
        }
    }

    #[test]
    fn a_rung_that_is_missing_is_dropped_for_good_and_the_next_one_serves() {
        let (target, outlet) = old_file(300_000);
        let ladder = Ladder::new(Preallocation::Off);
        // A regular file is no device: BLKZEROOUT answers ENOTTY.
        ladder.missing.store(0b011, Relaxed);
        ladder.zero(&outlet, 0, 8192).unwrap();
        assert_eq!(ladder.missing.load(Relaxed), 0b111);
        check(&target, 0..8192);
    }

    #[test]
    fn a_range_that_a_rung_finds_invalid_costs_it_nothing() {
        let (_target, outlet) = old_file(4096);
        let ladder = Ladder::new(Preallocation::Off);
        // An offset that no file has: fallocate answers EINVAL, and so does the write in the end.
        ladder.zero_aligned(&outlet, 1 << 63, 4096).unwrap_err();
        assert_eq!(ladder.missing.load(Relaxed) & 0b011, 0);
    }

    #[test]
    fn punching_gives_space_back_and_preallocation_keeps_it() {
        for (preallocation, punched) in [(Preallocation::Off, true), (Preallocation::Falloc, false)] {
            let (target, outlet) = old_file(1 << 20);
            target.as_file().sync_all().unwrap();
            Ladder::new(preallocation).zero(&outlet, 0, 1 << 20).unwrap();
            let blocks = target.as_file().metadata().unwrap().blocks();
            assert_eq!(blocks == 0, punched, "{preallocation:?} {blocks}");
        }
    }
}
