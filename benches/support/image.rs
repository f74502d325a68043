//! QCOW2 images in memory, laid out as `qemu-img convert` does: tables first, then the data in order.

use diskpour::format::qcow2::Compression;

use crate::disk::Outcome;
use crate::tables::{CLUSTER, COPIED, L2_AT, compressed, put64, tables, wide};

const COMPRESSED: u64 = 1 << 62;
const SECTOR: usize = 512;
/// Where the count of sectors begins in the descriptor of a compressed cluster of 64 KiB.
const SECTORS_AT: u32 = 54;

/// An image of `disk`; with `compression`, each cluster that gets smaller by it is compressed.
pub(crate) fn qcow2(disk: &[u8], compression: Option<Compression>) -> Outcome<Vec<u8>> {
    let mut image = tables(wide(disk.len()), compression.unwrap_or(Compression::Deflate));
    let mut entries = Vec::new();
    let mut data = Vec::new();
    for cluster in disk.chunks(CLUSTER) {
        let at = L2_AT + CLUSTER + data.len();
        let packed = compression.map(|how| compressed(cluster, how)).transpose()?;
        if diskpour::io::is_zero(cluster) {
            entries.push(0);
        } else if let Some(packed) = packed.filter(|packed| packed.len() < cluster.len()) {
            let sectors = (at + packed.len() - 1) / SECTOR - at / SECTOR;
            entries.push(COMPRESSED | wide(sectors) << SECTORS_AT | wide(at));
            data.extend_from_slice(&packed);
        } else {
            data.resize(data.len().next_multiple_of(CLUSTER), 0);
            entries.push(COPIED | wide(L2_AT + CLUSTER + data.len()));
            data.extend_from_slice(cluster);
            data.resize(data.len().next_multiple_of(CLUSTER), 0);
        }
    }
    put64(&mut image, &entries);
    image.resize(L2_AT + CLUSTER, 0);
    image.append(&mut data);
    Ok(image)
}
