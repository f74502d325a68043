//! Where bytes went that may be asked for again.
//!
//! Two L2 entries may name the same host bytes. Entries that promise not to are not remembered.

use std::collections::BTreeMap;

use crate::format::addr::GuestOffset;
use crate::format::extent::{Extent, Place};

/// Stretches that are remembered: about 16 MiB of them. An image that shares more than that after
/// the bytes went by is refused.
const CAPACITY: usize = 1 << 18;

/// Stretches of the disk by the host offset that their bytes had.
#[derive(Default)]
pub(super) struct Placed {
    data: BTreeMap<u64, (u64, u64)>,
    compressed: BTreeMap<u64, (u64, u64)>,
}

impl Placed {
    /// Remembers where `extent` was placed.
    pub(super) fn remember(&mut self, extent: &Extent) {
        if self.data.len().saturating_add(self.compressed.len()) >= CAPACITY {
            return;
        }
        let (guest, len) = (extent.guest.0, extent.len);
        match extent.place {
            Place::Zero => {}
            Place::Compressed { host, .. } => drop(self.compressed.insert(host.0, (guest, len))),
            Place::Data(host) => {
                if let Some((start, (first, before))) = self.data.range_mut(..host.0).next_back()
                    && start.saturating_add(*before) == host.0
                    && first.saturating_add(*before) == guest
                {
                    *before = before.saturating_add(len);
                    return;
                }
                // A longer stretch from the same byte on knows more.
                if self.data.get(&host.0).is_none_or(|(_, before)| *before < len) {
                    self.data.insert(host.0, (guest, len));
                }
            }
        }
    }

    /// Where the guest's disk has the data of the host offset `host`, and how much of it.
    pub(super) fn data(&self, host: u64) -> Option<(GuestOffset, u64)> {
        let (start, (guest, len)) = self.data.range(..=host).next_back()?;
        let skip = host.saturating_sub(*start);
        (skip < *len).then(|| (GuestOffset(guest.saturating_add(skip)), len.saturating_sub(skip)))
    }

    /// Where the guest's disk has the cluster that was compressed at the host offset `host`, and how much of it.
    pub(super) fn compressed(&self, host: u64) -> Option<(GuestOffset, u64)> {
        self.compressed.get(&host).map(|(guest, len)| (GuestOffset(*guest), *len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::addr::HostOffset;
    use crate::format::extent::Sharing;

    fn data(host: u64, guest: u64, len: u64) -> Extent {
        let place = Place::Data(HostOffset(host));
        Extent { guest: GuestOffset(guest), len, place, sharing: Sharing::Shared }
    }

    #[test]
    fn a_shorter_stretch_from_the_same_byte_hides_no_longer_one() {
        let mut placed = Placed::default();
        placed.remember(&data(100, 0, 100));
        placed.remember(&data(100, 700, 50));
        assert_eq!(placed.data(199), Some((GuestOffset(99), 1)));
        placed.remember(&data(100, 900, 200));
        assert_eq!(placed.data(299), Some((GuestOffset(1099), 1)));
    }

    #[test]
    fn neighbours_are_remembered_as_one() {
        let mut placed = Placed::default();
        placed.remember(&data(100, 0, 50));
        placed.remember(&data(150, 50, 50));
        placed.remember(&data(200, 500, 50));
        assert_eq!(placed.data.len(), 2);
        assert_eq!(placed.data(149), Some((GuestOffset(49), 51)));
        assert_eq!(placed.data(249), Some((GuestOffset(549), 1)));
        assert_eq!((placed.data(99), placed.data(250)), (None, None));
    }
}
