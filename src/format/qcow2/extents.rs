//! From the entries of an L2 table to stretches of the guest's disk.

use super::entry::{Mapping, Table};
use super::header::Header;
use super::{Metadata, Qcow2Error};
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place, Sharing};

/// What the slice of an L2 table in `bytes` says of the disk: in the guest's order, without gaps,
/// neighbours joined, nothing past the end of the disk. Slices are counted from the disk's start.
///
/// # Errors
/// [`Qcow2Error`] for damaged entries, and for data within metadata or outside the file of `len` bytes.
pub fn extents(
    header: &Header,
    metadata: &Metadata,
    slice: u64,
    bytes: &[u8],
    len: Option<u64>,
) -> Result<Vec<Extent>, Qcow2Error> {
    let size = header.geometry.cluster_size();
    let mut guest = GuestOffset(slice.saturating_mul(header.geometry.slice_span()));
    let mut joined: Vec<Extent> = Vec::new();
    for mapping in Table::new(header, bytes).mappings() {
        let room = header.virtual_size.saturating_sub(guest.0).min(size);
        if room == 0 {
            break;
        }
        let mut put = |next: Extent| {
            if !joined.last_mut().is_some_and(|last| last.absorbs(&next)) {
                joined.push(next);
            }
        };
        match mapping? {
            Mapping::Zero => put(zero(guest, room)),
            Mapping::Compressed { host, bound } => {
                let bound = compressed_bound(host, bound, len)?;
                metadata.check_data(host, 1, len)?;
                let place = Place::Compressed { host, bound };
                put(Extent { guest, len: room, place, sharing: Sharing::Shared });
            }
            Mapping::Data { host, allocated, sharing } => {
                let cluster = Extent { guest, len: room, place: Place::Data(host), sharing };
                split(cluster, allocated, header.geometry.subcluster_size(), &mut put);
            }
        }
        guest = guest.plus(size);
    }
    for extent in &joined {
        if let Place::Data(host) = extent.place {
            metadata.check_data(host, extent.len, len)?;
        }
    }
    Ok(joined)
}

fn zero(guest: GuestOffset, len: u64) -> Extent {
    Extent { guest, len, place: Place::Zero, sharing: Sharing::Exclusive }
}

/// The descriptor's bound may reach past the end of the file; the data may not begin there.
fn compressed_bound(host: HostOffset, bound: u64, len: Option<u64>) -> Result<u64, Qcow2Error> {
    let Some(len) = len else { return Ok(bound) };
    match len.checked_sub(host.0) {
        None | Some(0) => Err(Qcow2Error::Outside { what: "a compressed cluster", at: host, len }),
        Some(rest) => Ok(bound.min(rest)),
    }
}

/// Hands over the stretches of a data cluster of which only some subclusters are allocated.
fn split(cluster: Extent, allocated: u32, step: u64, put: &mut impl FnMut(Extent)) {
    if allocated == u32::MAX {
        return put(cluster);
    }
    let mut at = 0;
    for bit in 0..u32::BITS {
        let len = step.min(cluster.len.saturating_sub(at));
        if len == 0 {
            break;
        }
        let guest = cluster.guest.plus(at);
        match cluster.place {
            Place::Data(host) if allocated >> bit & 1 == 1 => {
                put(Extent { guest, len, place: Place::Data(host.plus(at)), sharing: cluster.sharing });
            }
            _ => put(zero(guest, len)),
        }
        at = at.saturating_add(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subclusters_become_stretches_cut_at_the_end_of_the_disk() {
        let place = Place::Data(HostOffset(0x10000));
        let cluster = Extent { guest: GuestOffset(0), len: 3000, place, sharing: Sharing::Exclusive };
        let mut pieces = Vec::new();
        split(cluster, 0b101, 1024, &mut |piece| pieces.push((piece.guest.0, piece.len, piece.place)));
        let data = |at| Place::Data(HostOffset(at));
        assert_eq!(pieces, [(0, 1024, data(0x10000)), (1024, 1024, Place::Zero), (2048, 952, data(0x10800))]);
    }
}
