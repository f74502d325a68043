//! The guest's bytes as they are.

use std::sync::Arc;

use super::Image;
use crate::error::{Classify, Error, Kind};
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::magic;
use crate::format::qcow2::Compression;
use crate::io::ReadAt;

/// Bytes that one part tells of.
const PART: u64 = 64 << 20;
/// Disks are made of these; an image is padded with zeros to a multiple.
pub const SECTOR: u64 = 512;

/// `len` bytes as a disk; a source may claim any length.
#[must_use]
pub fn padded(len: u64) -> u64 {
    len.checked_next_multiple_of(SECTOR).unwrap_or(u64::MAX)
}

/// What the end of a raw image may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// The mark of another format: refused.
    Checked,
    /// Anything: the user said that the image is raw.
    Free,
}

/// A raw image whose end says that it is something else.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image ends like one of the format {0}, which is not supported; --format raw pours it as it is")]
pub struct RawError(pub(crate) &'static str);

impl Classify for RawError {
    fn kind(&self) -> Kind {
        Kind::Image
    }
}

impl Trailer {
    /// That the last bytes of the image are no mark of another format, if that matters.
    ///
    /// # Errors
    /// [`RawError`].
    pub fn check(self, tail: &[u8]) -> Result<(), RawError> {
        match magic::trailer(tail) {
            Some(name) if self == Self::Checked => Err(RawError(name)),
            _ => Ok(()),
        }
    }
}

/// A raw image.
pub struct Raw {
    place: Arc<dyn ReadAt>,
}

impl Raw {
    /// The disk whose bytes are those of `place`.
    ///
    /// # Errors
    /// [`RawError`] when the end of the image says that it is something else and `trailer` cares;
    /// whatever `place` fails with.
    pub fn open(place: Arc<dyn ReadAt>, trailer: Trailer) -> Result<Self, Error> {
        let len = place.len();
        if trailer == Trailer::Checked {
            let mut tail = vec![0; usize::try_from(len).map_or(magic::TAIL, |len| len.min(magic::TAIL))];
            let at = len.saturating_sub(u64::try_from(tail.len()).unwrap_or(0));
            place.read_exact_at(&mut tail, at).map_err(|error| Error::from_io(error, Kind::Other))?;
            trailer.check(&tail)?;
        }
        Ok(Self { place })
    }
}

impl Image for Raw {
    fn virtual_size(&self) -> u64 {
        padded(self.place.len())
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
        let sharing = Sharing::Exclusive;
        let data = Extent { guest: GuestOffset(start), len, place, sharing };
        let padding = len.next_multiple_of(SECTOR).saturating_sub(len);
        let zeros = Extent { guest: data.end(), len: padding, place: Place::Zero, sharing };
        Ok(if padding == 0 { vec![data] } else { vec![data, zeros] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_length_that_a_source_claims_is_too_large_to_pad() {
        assert_eq!([0, 1, 512, 513].map(padded), [0, 512, 512, 1024]);
        assert_eq!(padded(u64::MAX - 1), u64::MAX);
    }
}
