//! The pieces of a QCOW2 image: tables as `qemu-img convert` lays them out, and compressed clusters.

use std::io::Write;

use diskpour::format::qcow2::Compression;
use flate2::write::DeflateEncoder;

use crate::disk::Outcome;

/// Bytes of a cluster.
pub(crate) const CLUSTER: usize = 64 << 10;
/// Where the only L2 table lies; the clusters before it hold the header and the other tables.
pub(crate) const L2_AT: usize = 4 * CLUSTER;
/// The bit of an entry whose cluster nobody shares.
pub(crate) const COPIED: u64 = 1 << 63;

const L1_AT: usize = 3 * CLUSTER;

/// The first four clusters of an image of `virtual_size` bytes that one L2 table can map.
pub(crate) fn tables(virtual_size: u64, compression: Compression) -> Vec<u8> {
    let zstd = matches!(compression, Compression::Zstd);
    let mut image = Vec::with_capacity(L2_AT);
    image.extend_from_slice(b"QFI\xfb");
    put32(&mut image, &[3, 0, 0, 0, CLUSTER.ilog2()]);
    put64(&mut image, &[virtual_size]);
    put32(&mut image, &[0, 1]); // no encryption, one L1 entry
    put64(&mut image, &[wide(L1_AT), wide(CLUSTER)]);
    put32(&mut image, &[1, 0]); // one cluster of refcount table, no snapshots
    put64(&mut image, &[0, u64::from(zstd) << 3, 0, 0]);
    put32(&mut image, &[4, 112]); // refcounts of 16 bits, length of the header
    image.extend_from_slice(&[u8::from(zstd), 0, 0, 0, 0, 0, 0, 0]);
    image.resize(CLUSTER, 0);
    put64(&mut image, &[wide(2 * CLUSTER)]);
    image.resize(L1_AT, 0);
    put64(&mut image, &[COPIED | wide(L2_AT)]);
    image.resize(L2_AT, 0);
    image
}

/// One cluster as an image holds it.
pub(crate) fn compressed(cluster: &[u8], compression: Compression) -> Outcome<Vec<u8>> {
    match compression {
        Compression::Zstd => Ok(zstd::bulk::compress(cluster, 3)?),
        Compression::Deflate => {
            let mut encoder = DeflateEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(cluster)?;
            Ok(encoder.finish()?)
        }
    }
}

/// Adds entries as tables hold them.
pub(crate) fn put64(bytes: &mut Vec<u8>, values: &[u64]) {
    bytes.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}

fn put32(bytes: &mut Vec<u8>, values: &[u32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}

/// A length or place in memory as a number of the image.
pub(crate) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
