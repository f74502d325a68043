//! Images whose bytes can be read at any offset: what lies where.
//!
//! Refuses to know: where the image comes from and where the guest's bytes go.

mod qcow2;
mod raw;

use std::sync::Arc;

use crate::error::Error;
use crate::format::extent::Extent;
use crate::format::qcow2::Compression;
use crate::io::ReadAt;

pub use qcow2::Qcow2;
pub use raw::{Raw, RawError, SECTOR, Trailer, padded};

/// A disk image over bytes that can be read at any offset.
pub trait Image: Send + Sync {
    /// Bytes of the guest's disk.
    fn virtual_size(&self) -> u64;

    /// The bytes of the image file.
    fn place(&self) -> &Arc<dyn ReadAt>;

    /// How compressed clusters are compressed, and bytes of a cluster.
    fn compression(&self) -> (Compression, usize);

    /// The parts in which the image tells what lies where; part 0 begins at guest offset 0.
    fn parts(&self) -> u64;

    /// The stretches of part `part`: in the guest's order, without gaps.
    ///
    /// # Errors
    /// Whatever reading the image's tables fails with, and damaged tables.
    fn extents(&self, part: u64) -> Result<Vec<Extent>, Error>;
}
