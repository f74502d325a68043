//! How the sizes of an image follow from its header ("Cluster mapping").

use crate::format::addr::GuestOffset;

/// Bytes of an L2 table that are looked at at once: a whole table of the usual clusters. A table of
/// the largest clusters names four million stretches at worst.
const SLICE: u64 = 64 << 10;

/// The sizes of an image; all are powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    cluster_bits: u32,
    entry_bits: u32,
}

impl Geometry {
    /// Standard entries, or extended ones with 32 subclusters a cluster.
    ///
    /// `cluster_bits` is 9 to 21; the header has seen to it.
    #[must_use]
    pub(super) fn new(cluster_bits: u32, entries: Entries) -> Self {
        let entry_bits = match entries {
            Entries::Standard => 3,
            Entries::Extended => 4,
        };
        Self { cluster_bits: cluster_bits.clamp(9, 21), entry_bits }
    }

    /// Bytes of a cluster, and of an L2 table.
    #[must_use]
    pub fn cluster_size(self) -> u64 {
        1 << self.cluster_bits
    }

    /// The binary logarithm of the cluster size.
    #[must_use]
    pub fn cluster_bits(self) -> u32 {
        self.cluster_bits
    }

    /// Whether entries are 16 bytes with a bitmap of subclusters.
    #[must_use]
    pub fn extended(self) -> bool {
        self.entry_bits == 4
    }

    /// Bytes of one L2 entry.
    #[must_use]
    pub fn entry_size(self) -> usize {
        1 << self.entry_bits
    }

    /// Bytes of the guest's disk that one L2 table maps.
    #[must_use]
    pub fn table_span(self) -> u64 {
        let entries = self.cluster_bits.saturating_sub(self.entry_bits);
        1 << self.cluster_bits.saturating_add(entries)
    }

    /// Bytes of an L2 table that are looked at at once.
    #[must_use]
    pub fn slice_len(self) -> u64 {
        self.cluster_size().min(SLICE)
    }

    /// Slices of one L2 table.
    #[must_use]
    pub fn slices(self) -> u64 {
        self.cluster_size().div_ceil(self.slice_len())
    }

    /// Bytes of the guest's disk that one slice maps.
    #[must_use]
    pub fn slice_span(self) -> u64 {
        self.slice_len() >> self.entry_bits << self.cluster_bits
    }

    /// Bytes of a subcluster; of a cluster where there are none.
    #[must_use]
    pub fn subcluster_size(self) -> u64 {
        if self.extended() { self.cluster_size() >> 5 } else { self.cluster_size() }
    }

    /// L1 entries that a disk of `size` bytes needs.
    #[must_use]
    pub fn l1_entries(self, size: u64) -> u64 {
        size.div_ceil(self.table_span())
    }

    /// Where the disk begins that the L2 table of L1 entry `index` maps.
    #[must_use]
    pub fn table_start(self, index: u64) -> GuestOffset {
        GuestOffset(index.saturating_mul(self.table_span()))
    }

    /// Whether `offset` is the start of a cluster.
    #[must_use]
    pub fn is_aligned(self, offset: u64) -> bool {
        offset.trailing_zeros() >= self.cluster_bits
    }
}

/// The two kinds of L2 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entries {
    /// 8 bytes.
    Standard,
    /// 16 bytes, with a bitmap of subclusters.
    Extended,
}
