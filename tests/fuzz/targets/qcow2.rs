//! A header, an L1 table and an L2 table: what they say of the disk is whole and in order.
#![no_main]

use diskpour::format::extent::Place;
use diskpour::format::qcow2::{HEADER_AREA, Header, Metadata, extents};
use libfuzzer_sys::fuzz_target;

/// L1 entries that are read; the bytes behind them are a slice of an L2 table.
const ENTRIES: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = Header::parse(&bytes[..bytes.len().min(HEADER_AREA)]) else { return };
    let size = header.virtual_size;
    assert!(size > 0 && size % 512 == 0 && size <= i64::MAX as u64);
    assert!(header.l1_entries <= 4 << 20 && header.geometry.table_span().saturating_mul(header.l1_entries) >= size);
    let rest = bytes.get(usize::try_from(header.len).unwrap()..).unwrap_or_default();
    let (l1, l2) = rest.split_at(rest.len().min(ENTRIES * 8));
    let entries: Vec<u64> = l1.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
    let slice_len = usize::try_from(header.geometry.slice_len()).unwrap();
    let mut slice = vec![0; slice_len];
    let filled = l2.len().min(slice_len);
    slice[..filled].copy_from_slice(&l2[..filled]);
    for len in [None, Some(bytes.len() as u64), Some(1 << 40)] {
        let Ok(metadata) = Metadata::new(&header, &entries, len) else { continue };
        assert!(metadata.tables().len() <= entries.len());
        let last = size.div_ceil(header.geometry.slice_span()) - 1;
        for number in [0, last.min(1), last] {
            check(&header, &metadata, number, &slice, len);
        }
    }
});

/// The stretches of a slice have no gaps, lie within the disk, and their bytes within the file.
fn check(header: &Header, metadata: &Metadata, number: u64, slice: &[u8], len: Option<u64>) {
    let Ok(found) = extents(header, metadata, number, slice, len) else { return };
    let mut at = number * header.geometry.slice_span();
    for extent in found {
        assert!(extent.guest.0 == at && extent.len > 0, "{extent:?} where {at} was due");
        at += extent.len;
        let end = match extent.place {
            Place::Zero => 0,
            Place::Data(host) => host.0.checked_add(extent.len).unwrap(),
            Place::Compressed { host, bound } => host.0.saturating_add(bound),
        };
        assert!(len.is_none_or(|len| end <= len), "{extent:?} in a file of {len:?}");
    }
    assert!(at <= header.virtual_size);
}
