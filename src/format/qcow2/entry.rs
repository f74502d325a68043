//! Entries of the L1 and L2 tables ("L1 table entry", "L2 table entry").

use super::cluster::Geometry;
use super::header::Header;
use super::{Qcow2Error, be64};
use crate::format::addr::HostOffset;
use crate::format::extent::Sharing;

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// What an L2 entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// The cluster reads as zeros.
    Zero,
    /// The cluster's bytes are in the file.
    Data {
        /// The first byte; aligned to a cluster.
        host: HostOffset,
        /// A bit for each subcluster that is there; the others read as zeros.
        allocated: u32,
        /// What the image promises of these bytes.
        sharing: Sharing,
    },
    /// The cluster is compressed.
    Compressed {
        /// The first byte, at any alignment.
        host: HostOffset,
        /// The compressed data ends at most this many bytes on.
        bound: u64,
    },
}

/// The host offset of the L2 table that the L1 entry `raw` names, if it names one.
///
/// # Errors
/// [`Qcow2Error::Entry`] for reserved bits and offsets that are not those of a cluster.
pub fn l1_entry(raw: u64, geometry: Geometry) -> Result<Option<HostOffset>, Qcow2Error> {
    let damaged = |why| Qcow2Error::Entry { what: "L1 entry", raw, why };
    let offset = raw & OFFSET;
    if raw & !(OFFSET | COPIED) != 0 {
        return Err(damaged("has reserved bits set"));
    }
    if !geometry.is_aligned(offset) {
        return Err(damaged("does not point to a cluster"));
    }
    Ok((offset != 0).then_some(HostOffset(offset)))
}

/// An L2 table as it stands in the file.
pub struct Table<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table in `bytes`, one cluster of them.
    #[must_use]
    pub fn new(header: &'a Header, bytes: &'a [u8]) -> Self {
        Self { header, bytes }
    }

    /// The mapping of each cluster, in the guest's order.
    pub fn mappings(&self) -> impl Iterator<Item = Result<Mapping, Qcow2Error>> + '_ {
        let geometry = self.header.geometry;
        self.bytes.chunks_exact(geometry.entry_size()).map(move |entry| {
            let raw = be64(entry, 0).unwrap_or_default();
            match be64(entry, 8) {
                Some(bitmap) => extended(raw, bitmap, geometry),
                None => standard(raw, self.header),
            }
        })
    }
}

fn standard(raw: u64, header: &Header) -> Result<Mapping, Qcow2Error> {
    let damaged = |why| Qcow2Error::Entry { what: "L2 entry", raw, why };
    if raw & COMPRESSED != 0 {
        return compressed(raw, header.geometry);
    }
    let offset = offset(raw, header.geometry)?;
    if raw & ZERO != 0 {
        return if header.version < 3 {
            Err(damaged("is a zero cluster in version 2"))
        } else {
            Ok(Mapping::Zero)
        };
    }
    if offset == 0 {
        return Ok(Mapping::Zero);
    }
    Ok(Mapping::Data { host: HostOffset(offset), allocated: u32::MAX, sharing: sharing(raw) })
}

fn extended(raw: u64, bitmap: u64, geometry: Geometry) -> Result<Mapping, Qcow2Error> {
    let damaged = |why| Qcow2Error::Entry { what: "extended L2 entry", raw, why };
    if raw & COMPRESSED != 0 {
        return if bitmap == 0 {
            compressed(raw, geometry)
        } else {
            Err(damaged("is compressed and has subclusters"))
        };
    }
    if raw & ZERO != 0 {
        return Err(damaged("has reserved bits set"));
    }
    let offset = offset(raw, geometry)?;
    let (zero, allocated) = halves(bitmap);
    if zero & allocated != 0 {
        return Err(damaged("has a subcluster that is both zero and allocated"));
    }
    if allocated == 0 {
        return Ok(Mapping::Zero);
    }
    if offset == 0 {
        return Err(damaged("has allocated subclusters and no offset"));
    }
    Ok(Mapping::Data { host: HostOffset(offset), allocated, sharing: sharing(raw) })
}

/// COPIED means a refcount of exactly one.
fn sharing(raw: u64) -> Sharing {
    if raw & COPIED == 0 { Sharing::Shared } else { Sharing::Exclusive }
}

/// The upper and the lower half of a bitmap: subclusters that read as zeros, and allocated ones.
fn halves(bitmap: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = bitmap.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

/// The host offset of an entry that is not compressed.
fn offset(raw: u64, geometry: Geometry) -> Result<u64, Qcow2Error> {
    let damaged = |why| Qcow2Error::Entry { what: "L2 entry", raw, why };
    if raw & !(OFFSET | COPIED | ZERO) != 0 {
        return Err(damaged("has reserved bits set"));
    }
    let offset = raw & OFFSET;
    if geometry.is_aligned(offset) { Ok(offset) } else { Err(damaged("does not point to a cluster")) }
}

/// "Compressed Clusters Descriptor": the offset in the low bits, then additional sectors of 512 bytes.
fn compressed(raw: u64, geometry: Geometry) -> Result<Mapping, Qcow2Error> {
    if raw & COPIED != 0 {
        return Err(Qcow2Error::Entry { what: "L2 entry", raw, why: "is compressed and marked as copied" });
    }
    let bits = 70_u32.saturating_sub(geometry.cluster_bits());
    let below = |bits: u32| 1_u64.checked_shl(bits).unwrap_or_default().wrapping_sub(1);
    let host = raw & below(bits);
    let sectors = (raw & below(62)).checked_shr(bits).unwrap_or_default();
    let bound = sectors.saturating_add(1).saturating_mul(512).saturating_sub(host % 512);
    Ok(Mapping::Compressed { host: HostOffset(host), bound })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::qcow2::cluster::Entries;
    use crate::format::qcow2::header::Compression;

    fn header(version: u32, entries: Entries) -> Header {
        Header {
            version,
            len: 112,
            geometry: Geometry::new(16, entries),
            virtual_size: 1 << 30,
            l1_offset: HostOffset(0x30000),
            l1_entries: 2,
            refcount_offset: HostOffset(0x10000),
            refcount_len: 0x10000,
            compression: Compression::Deflate,
            snapshots: 0,
        }
    }

    fn one(version: u32, raw: u64) -> Result<Mapping, Qcow2Error> {
        let header = header(version, Entries::Standard);
        Table::new(&header, &raw.to_be_bytes()).mappings().next().unwrap()
    }

    fn wide(raw: u64, bitmap: u64) -> Result<Mapping, Qcow2Error> {
        let header = header(3, Entries::Extended);
        let bytes = [raw.to_be_bytes(), bitmap.to_be_bytes()].concat();
        Table::new(&header, &bytes).mappings().next().unwrap()
    }

    #[test]
    fn standard_entries_map_what_they_say() {
        let data = |sharing| Mapping::Data { host: HostOffset(0x50000), allocated: u32::MAX, sharing };
        assert_eq!(one(3, 0), Ok(Mapping::Zero));
        assert_eq!(one(3, 0x50000), Ok(data(Sharing::Shared)));
        assert_eq!(one(3, COPIED | 0x50000), Ok(data(Sharing::Exclusive)));
        assert_eq!(one(3, 0x50001), Ok(Mapping::Zero));
        assert!(one(2, 0x50001).is_err());
        for reserved in [0x50002, 0x50100, 1 << 56 | 0x50000, 1 << 61 | 0x50000, 0x50200] {
            assert!(one(3, reserved).is_err(), "{reserved:#x}");
        }
    }

    #[test]
    fn a_compressed_entry_names_its_bytes_and_their_bound() {
        // 64 KiB clusters: 54 bits of offset, 8 bits of additional sectors.
        let raw = COMPRESSED | 3 << 54 | 0x50123;
        assert_eq!(
            one(3, raw),
            Ok(Mapping::Compressed { host: HostOffset(0x50123), bound: 4 * 512 - 0x123 })
        );
        assert!(one(3, raw | COPIED).is_err());
    }

    #[test]
    fn subclusters_are_data_zero_or_nothing() {
        let allocated = Mapping::Data { host: HostOffset(0x50000), allocated: 5, sharing: Sharing::Shared };
        assert_eq!(wide(0x50000, 5), Ok(allocated));
        assert_eq!(wide(0x50000, 5 | 2 << 32), Ok(allocated));
        assert_eq!(wide(0, 7 << 32), Ok(Mapping::Zero));
        assert!(wide(0x50000, 1 | 1 << 32).is_err());
        assert!(wide(0, 1).is_err());
        assert!(wide(0x50001, 1).is_err());
        assert!(wide(COMPRESSED | 0x50000, 1).is_err());
    }

    #[test]
    fn l1_entries_point_to_clusters_or_nowhere() {
        let geometry = Geometry::new(16, Entries::Standard);
        assert_eq!(l1_entry(0, geometry), Ok(None));
        assert_eq!(l1_entry(COPIED | 0x40000, geometry), Ok(Some(HostOffset(0x40000))));
        for raw in [1, 0x40200, 1 << 62 | 0x40000, 1 << 56] {
            assert!(l1_entry(raw, geometry).is_err(), "{raw:#x}");
        }
    }
}
