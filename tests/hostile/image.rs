//! A sound image in code, to be made unsound byte by byte.

/// Bytes of a cluster.
pub(super) const CLUSTER: u64 = 4096;
pub(super) const COPIED: u64 = 1 << 63;
pub(super) const COMPRESSED: u64 = 1 << 62;

pub(super) const REFCOUNTS: u64 = CLUSTER;
pub(super) const L1: u64 = 2 * CLUSTER;
pub(super) const L2: u64 = 3 * CLUSTER;
/// The first of two clusters of data.
pub(super) const DATA: u64 = 4 * CLUSTER;

/// Header fields, by their offsets.
pub(super) const VERSION: usize = 4;
pub(super) const BACKING: usize = 8;
pub(super) const BACKING_LEN: usize = 16;
pub(super) const CLUSTER_BITS: usize = 20;
pub(super) const SIZE: usize = 24;
pub(super) const CRYPT: usize = 32;
pub(super) const L1_ENTRIES: usize = 36;
pub(super) const L1_AT: usize = 40;
pub(super) const REFCOUNTS_AT: usize = 48;
pub(super) const REFCOUNT_CLUSTERS: usize = 56;
pub(super) const SNAPSHOTS: usize = 60;
pub(super) const SNAPSHOTS_AT: usize = 64;
pub(super) const FEATURES: usize = 72;
pub(super) const REFCOUNT_ORDER: usize = 96;
pub(super) const HEADER_LEN: usize = 100;
pub(super) const COMPRESSION: usize = 104;
/// Where extensions begin.
pub(super) const EXTENSIONS: usize = 112;

/// An image; each method makes a change and hands it on.
#[derive(Clone)]
pub(super) struct Image(pub(super) Vec<u8>);

impl Image {
    /// A disk of three clusters: data, zeros, data.
    pub(super) fn sound() -> Self {
        let image = Self(vec![0; usize::try_from(DATA + 2 * CLUSTER).unwrap()]);
        let image = image.header(12, 3 * CLUSTER, 1).u64(at(L1), L2 | COPIED);
        let image = image.l2(0, DATA | COPIED).l2(2, (DATA + CLUSTER) | COPIED);
        image.bytes(at(DATA), &b"guest data ".repeat(745)[..at(2 * CLUSTER)])
    }

    /// A header of version 3 for a disk of `size` bytes in clusters of `1 << bits`; the refcount table is
    /// the second cluster, the L1 table the third.
    pub(super) fn header(self, bits: u32, size: u64, l1_entries: u32) -> Self {
        let image = self.bytes(0, b"QFI\xfb").u32(VERSION, 3).u32(CLUSTER_BITS, bits).u64(SIZE, size);
        let image = image.u32(L1_ENTRIES, l1_entries).u64(L1_AT, 2 << bits).u64(REFCOUNTS_AT, 1 << bits);
        image.u32(REFCOUNT_CLUSTERS, 1).u32(REFCOUNT_ORDER, 4).u32(HEADER_LEN, 112)
    }

    /// The sound image with clusters compressed by zstd, which it has not yet.
    pub(super) fn zstd() -> Self {
        Self::sound().u64(FEATURES, 8).bytes(COMPRESSION, &[1])
    }

    /// A disk of two clusters of 16 KiB with extended entries: the first is data, the second nothing.
    pub(super) fn extended(bitmap: u64) -> Self {
        let image = Self(vec![0; 5 << 14]).header(14, 2 << 14, 1).u64(FEATURES, 16);
        let image = image.u64(2 << 14, 3 << 14 | COPIED).u64(3 << 14, 4 << 14 | COPIED);
        image.u64((3 << 14) + 8, bitmap)
    }

    pub(super) fn u32(self, at: usize, value: u32) -> Self {
        self.bytes(at, &value.to_be_bytes())
    }

    pub(super) fn u64(self, at: usize, value: u64) -> Self {
        self.bytes(at, &value.to_be_bytes())
    }

    pub(super) fn l2(self, index: usize, entry: u64) -> Self {
        self.u64(at(L2) + index * 8, entry)
    }

    /// These bytes, where the file is made longer as needed.
    pub(super) fn bytes(mut self, at: usize, bytes: &[u8]) -> Self {
        let end = at + bytes.len();
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        self.0[at..end].copy_from_slice(bytes);
        self
    }

    /// The name of another file, as the image's backing file.
    pub(super) fn backed_by(self, name: &str) -> Self {
        let len = u32::try_from(name.len()).unwrap();
        self.u64(BACKING, 512).u32(BACKING_LEN, len).bytes(512, name.as_bytes())
    }

    /// A header extension, and the end of them.
    pub(super) fn extension(self, kind: u32, data: &[u8]) -> Self {
        let image = self.u32(EXTENSIONS, kind).u32(EXTENSIONS + 4, u32::try_from(data.len()).unwrap());
        image.bytes(EXTENSIONS + 8, data)
    }

    /// The first bytes alone.
    pub(super) fn cut(mut self, len: usize) -> Self {
        self.0.truncate(len);
        self
    }
}

/// An offset as an index.
pub(super) fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// The L2 entry of a cluster that is compressed at `host`, in so many sectors beyond the first.
pub(super) fn compressed(host: u64, sectors: u64) -> u64 {
    COMPRESSED | sectors << 58 | host
}

/// `bytes` as a raw deflate stream.
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
