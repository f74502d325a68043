//! The guest's bytes as they are.

use std::sync::Arc;

use super::Image;
use crate::error::Error;
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::qcow2::Compression;
use crate::io::ReadAt;

/// Bytes that one part tells of.
const PART: u64 = 64 << 20;

/// A raw image.
pub struct Raw {
    place: Arc<dyn ReadAt>,
}

impl Raw {
    /// The disk whose bytes are those of `place`.
    #[must_use]
    pub fn new(place: Arc<dyn ReadAt>) -> Self {
        Self { place }
    }
}

impl Image for Raw {
    fn virtual_size(&self) -> u64 {
        self.place.len()
    }

    fn place(&self) -> &Arc<dyn ReadAt> {
        &self.place
    }

    fn compression(&self) -> (Compression, usize) {
        (Compression::Deflate, 0)
    }

    fn parts(&self) -> u64 {
        self.place.len().div_ceil(PART)
    }

    fn extents(&self, part: u64) -> Result<Vec<Extent>, Error> {
        let start = part.saturating_mul(PART);
        let len = self.place.len().saturating_sub(start).min(PART);
        let place = Place::Data(HostOffset(start));
        Ok(vec![Extent { guest: GuestOffset(start), len, place, sharing: Sharing::Exclusive }])
    }
}
