//! The guest's bytes as they are.

use std::ops::Range;
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
/// Data are taken in blocks of this many bytes, as file systems keep them.
const BLOCK: u64 = 4096;
/// Holes that are shorter are read like data: one more write costs more than they save.
const WORTH_A_HOLE: u64 = 64 << 10;
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
        let end = start.saturating_add(PART).min(self.place.len());
        let mut extents = Vec::new();
        let mut at = start;
        while at < end {
            let data = self.data(at, end);
            extents.extend(extent(at..data.start, Place::Zero));
            extents.extend(extent(data.clone(), Place::Data(HostOffset(data.start))));
            at = data.end;
        }
        extents.extend(extent(end..padded(end), Place::Zero));
        Ok(extents)
    }
}

impl Raw {
    /// The next data at or after `at`, whole blocks of them; empty at `end` where there are none.
    fn data(&self, at: u64, end: u64) -> Range<u64> {
        let Some(found) = self.place.next_data(at).filter(|found| found.start < end) else {
            return end..end;
        };
        let start = found.start.saturating_sub(found.start % BLOCK);
        let start = if start.saturating_sub(at) < WORTH_A_HOLE { at } else { start };
        start
            ..found
                .end
                .max(found.start.saturating_add(1))
                .checked_next_multiple_of(BLOCK)
                .unwrap_or(end)
                .min(end)
    }
}

/// A stretch of the guest's disk, unless it is empty.
fn extent(range: Range<u64>, place: Place) -> Option<Extent> {
    let len = range.end.saturating_sub(range.start);
    (len > 0).then_some(Extent { guest: GuestOffset(range.start), len, place, sharing: Sharing::Exclusive })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Reading, Sequential};

    /// A file that tells its data.
    struct Sparse {
        len: u64,
        data: Vec<Range<u64>>,
    }

    impl ReadAt for Sparse {
        fn len(&self) -> u64 {
            self.len
        }
        fn read_exact_at(&self, _buf: &mut [u8], _offset: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn reading(&self) -> Reading {
            Reading { lanes: 1, piece: 1, gap: 0 }
        }
        fn next_data(&self, from: u64) -> Option<Range<u64>> {
            let next = self.data.iter().find(|data| data.end > from)?;
            Some(next.start.max(from)..next.end)
        }
        fn into_sequential(self: Arc<Self>) -> std::io::Result<Sequential> {
            Ok(Sequential::new(std::io::empty(), None))
        }
    }

    /// Guest offset, length and whether it is data, of all parts.
    fn map(len: u64, data: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
        let raw = Raw::open(
            Arc::new(Sparse { len, data: data.iter().map(|(from, to)| *from..*to).collect() }),
            Trailer::Free,
        )
        .unwrap();
        let parts = (0..raw.parts()).flat_map(|part| raw.extents(part).unwrap());
        parts.map(|extent| (extent.guest.0, extent.len, extent.place != Place::Zero)).collect()
    }

    #[test]
    fn long_holes_are_zeros_and_short_ones_are_read() {
        const MIB: u64 = 1 << 20;
        assert_eq!(map(MIB, &[]), [(0, MIB, false)]);
        assert_eq!(map(1000, &[(0, 1000)]), [(0, 1000, true), (1000, 24, false)]);
        assert_eq!(
            map(MIB, &[(0, 100), (8192, 8200)]),
            [(0, 4096, true), (4096, 8192, true), (12_288, MIB - 12_288, false)]
        );
        assert_eq!(
            map(MIB, &[(200_000, 200_001)]),
            [(0, 196_608, false), (196_608, 4096, true), (200_704, MIB - 200_704, false)]
        );
        let all = 3 * PART;
        assert_eq!(
            map(all, &[(PART - 1, PART + 1)]),
            [
                (0, PART - BLOCK, false),
                (PART - BLOCK, BLOCK, true),
                (PART, BLOCK, true),
                (PART + BLOCK, PART - BLOCK, false),
                (2 * PART, PART, false)
            ]
        );
    }

    #[test]
    fn no_length_that_a_source_claims_is_too_large_to_pad() {
        assert_eq!([0, 1, 512, 513].map(padded), [0, 512, 512, 1024]);
        assert_eq!(padded(u64::MAX - 1), u64::MAX);
    }
}
