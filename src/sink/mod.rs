//! Where the guest's bytes go. Alignment and O_DIRECT are the sink's private matter.
//!
//! Refuses to know: where the bytes came from and what they mean.

mod behind;
mod block;
mod error;
#[cfg(test)]
pub(crate) mod failing;
mod file;
#[cfg(test)]
mod file_tests;
mod first;
mod keeper;
mod ladder;
mod marker;
mod null;
mod open;
mod outlet;
mod resume;
#[cfg(test)]
mod resume_tests;
mod sums;
#[cfg(test)]
mod testing;
mod verify;

use std::fs::File;
use std::path::Path;

use crate::format::addr::GuestOffset;
use crate::journal::{Key, Ranges, Record};

pub use crate::format::preallocation::Preallocation;
pub(crate) use behind::Behind;
pub use error::SinkError;
pub use first::FirstMibLast;
pub use null::NullSink;
pub use open::{Existing, TargetSpec, open};
pub use verify::Verifier;

/// One MiB: what is written last, and the step of a verification.
const MIB: u64 = 1 << 20;

/// A target: a file, a block device, or a double in a test.
///
/// Order of calls: `prepare`, any number of writes and zeros from any number of threads, `sync`,
/// `finish`. What is dropped without `finish` has failed, and the implementation leaves the
/// target in its documented state.
///
/// The caller promises that every guest byte is written or zeroed at most once, and that at
/// `finish` every byte below the virtual size was one of the two: a device is full of old bytes.
pub trait Sink: Send + Sync {
    /// The most bytes that the target takes; `None` for a file that may grow.
    fn capacity(&self) -> Option<u64>;

    /// Has a journal kept for the import of `key`, and goes on from the one that such an import left
    /// when it was killed; called before `prepare`, or not at all. `scratch` is where the journal of
    /// a target lies that has no directory of its own. What comes of it is logged.
    fn resume(&self, _key: Key, _scratch: Option<&Path>) {}

    /// The bytes of the disk that an earlier import left in the target, so that nobody needs to fetch them.
    fn kept(&self) -> Option<&Ranges> {
        None
    }

    /// Leaves an unfinished target for another run to go on with, if one can; else nothing changes.
    fn suspend(&self) {}

    /// Makes the target ready for a disk of `size` bytes, or of unknown size; the first change to it.
    ///
    /// # Errors
    /// [`SinkError::TooSmall`] before anything was touched; whatever the target fails with.
    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError>;

    /// Writes `buf` at the guest offset `at`. Zeros in `buf` are written like everything else.
    ///
    /// # Errors
    /// [`SinkError::TooSmall`] past the capacity; whatever the target fails with.
    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError>;

    /// Makes `len` bytes from `at` on read as zeros, by the cheapest true means that the target has.
    ///
    /// # Errors
    /// As for [`Sink::write_all_at`].
    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError>;

    /// Takes over the blocks of `from`, a file and an offset in it, for `len` bytes at `at`, instead
    /// of a write; whether it did, which only file systems with shared blocks can.
    ///
    /// # Errors
    /// As for [`Sink::write_all_at`].
    fn share(&self, _from: (&File, u64), _len: u64, _at: GuestOffset) -> Result<bool, SinkError> {
        Ok(false)
    }

    /// Reads back what was written before.
    ///
    /// # Errors
    /// Whatever the target fails with.
    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// Whatever the target fails with.
    fn sync(&self) -> Result<(), SinkError>;

    /// Gives the target its final size and makes it durable: the only way to success.
    ///
    /// # Errors
    /// Whatever the target fails with.
    fn finish(&self, virtual_size: u64) -> Result<(), SinkError>;

    /// The first offset from `from` on that may hold anything but zeros; `None` when only zeros follow.
    fn next_data(&self, from: GuestOffset) -> Option<GuestOffset> {
        Some(from)
    }

    /// Takes a finished target back to the state of a failed import, because it turned out wrong.
    ///
    /// # Errors
    /// Whatever the target fails with.
    fn revoke(&self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Whether an import left a journal beside the file `target`.
pub(crate) fn has_journal(target: &Path) -> bool {
    marker::Marker::beside(target).text().is_some_and(|text| Record::is_one(&text))
}

/// Refuses `needed` bytes where the capacity is smaller.
fn fits(needed: u64, capacity: Option<u64>) -> Result<(), SinkError> {
    match capacity {
        Some(capacity) if needed > capacity => Err(SinkError::TooSmall { needed, capacity }),
        _ => Ok(()),
    }
}

/// The length of `bytes` as guests count.
fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// `bytes` as a length in memory, at the most what memory can have.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
