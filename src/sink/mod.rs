//! Where the guest's bytes go. Alignment and O_DIRECT are the sink's private matter.
//!
//! Refuses to know: where the bytes came from and what they mean.

use crate::error::{Classify, Kind};
use crate::format::addr::GuestOffset;

/// Why a target cannot take the disk.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The disk does not fit.
    #[error("virtual size {needed} is larger than the target's {capacity}")]
    TooSmall {
        /// Bytes that the disk has, as far as they are known.
        needed: u64,
        /// Bytes that the target takes.
        capacity: u64,
    },
}

impl Classify for SinkError {
    fn kind(&self) -> Kind {
        Kind::TargetFull
    }
}

/// A target: a file, a block device, or a double in a test.
///
/// Order of calls: `prepare`, any number of writes and zeros from any number of threads, `sync`,
/// `finish`. What is dropped without `finish` has failed, and the implementation leaves the
/// target in its documented state.
pub trait Sink: Send + Sync {
    /// The most bytes that the target takes; `None` for a file that may grow.
    fn capacity(&self) -> Option<u64>;

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
}
