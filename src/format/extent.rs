//! A stretch of the guest's disk and where its bytes are.

use super::addr::{GuestOffset, HostOffset};

/// Where the bytes of an [`Extent`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: they are zero.
    Zero,
    /// In the image file, as they are.
    Data(HostOffset),
    /// In the image file, as one compressed cluster of at most `bound` bytes.
    Compressed {
        /// The first byte.
        host: HostOffset,
        /// An upper bound of the compressed length in bytes, at most the end of the file.
        bound: u64,
    },
}

/// Whether another stretch of the guest's disk may have the same host bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The image promises that there is none.
    Exclusive,
    /// There may be one.
    Shared,
}

/// A stretch of the guest's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first byte.
    pub guest: GuestOffset,
    /// The length in bytes.
    pub len: u64,
    /// Where the bytes are.
    pub place: Place,
    /// Whether the bytes are this stretch's alone.
    pub sharing: Sharing,
}

impl Extent {
    /// Where the guest's bytes end.
    #[must_use]
    pub fn end(&self) -> GuestOffset {
        self.guest.plus(self.len)
    }

    /// Takes in `next` if it goes on where this extent ends, on both sides.
    #[must_use]
    pub fn absorbs(&mut self, next: &Self) -> bool {
        let goes_on = self.end() == next.guest
            && self.sharing == next.sharing
            && match (self.place, next.place) {
                (Place::Zero, Place::Zero) => true,
                (Place::Data(here), Place::Data(there)) => here.plus(self.len) == there,
                _ => false,
            };
        if goes_on {
            self.len = self.len.saturating_add(next.len);
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(guest: u64, len: u64, place: Place) -> Extent {
        Extent { guest: GuestOffset(guest), len, place, sharing: Sharing::Exclusive }
    }

    #[test]
    fn neighbours_become_one_only_when_both_sides_go_on() {
        let mut zero = extent(0, 10, Place::Zero);
        assert!(zero.absorbs(&extent(10, 5, Place::Zero)));
        assert_eq!(zero.len, 15);
        assert!(!zero.absorbs(&extent(16, 5, Place::Zero)));
        let mut data = extent(0, 10, Place::Data(HostOffset(100)));
        assert!(!data.absorbs(&extent(10, 5, Place::Data(HostOffset(111)))));
        assert!(!data.absorbs(&extent(10, 5, Place::Zero)));
        assert!(data.absorbs(&extent(10, 5, Place::Data(HostOffset(110)))));
    }
}
