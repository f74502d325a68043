//! Where a QCOW2 image keeps what: a small parser of its own, for sound images only.

use std::ops::Range;

const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// Tables and data of an image by host offset.
pub(crate) struct Map {
    /// L1, L2, refcount table and blocks, whole clusters.
    pub(crate) tables: Vec<Range<u64>>,
    pub(crate) mappings: Vec<Mapping>,
    cluster: u64,
}

/// One mapped cluster.
pub(crate) struct Mapping {
    /// The bytes in the file; of a compressed cluster the fewest that it can have.
    pub(crate) host: Range<u64>,
    pub(crate) guest: u64,
    pub(crate) compressed: bool,
    /// The byte of the file after which its place can be known.
    known: u64,
    /// Which of the 32 parts of the cluster are in use.
    live: u32,
}

/// Reads the tables of `image`.
pub(crate) fn parse(image: &[u8]) -> Map {
    let bits = number(image, 20, 4);
    let cluster = 1 << bits;
    let extended = number(image, 4, 4) >= 3 && number(image, 72, 8) & 1 << 4 != 0;
    let (l1, entries) = (number(image, 40, 8), number(image, 36, 4));
    let l1_table = l1..l1 + entries * 8;
    let mut map = Map { tables: Vec::from([l1_table]), mappings: Vec::new(), cluster };
    refcounts(image, &mut map);
    let width = if extended { 16 } else { 8 };
    for index in 0..entries {
        let l2 = number(image, l1 + index * 8, 8) & OFFSET;
        if l2 == 0 {
            continue;
        }
        map.tables.push(l2..l2 + cluster);
        for slot in 0..cluster / width {
            let entry = l2 + slot * width;
            let live = if extended { number(image, entry + 12, 4) } else { u64::from(u32::MAX) };
            let known = (l1 + index * 8 + 8).max(entry + width);
            let guest = (index * (cluster / width) + slot) * cluster;
            let value = number(image, entry, 8);
            let zero = !extended && value & 1 != 0;
            if let Some((host, compressed)) = place(value, bits).filter(|_| !zero) {
                let live = u32::try_from(live).unwrap();
                map.mappings.push(Mapping { host, guest, compressed, known, live });
            }
        }
    }
    map
}

fn refcounts(image: &[u8], map: &mut Map) {
    let (table, len) = (number(image, 48, 8), number(image, 56, 4) * map.cluster);
    map.tables.push(table..table + len);
    let blocks = (0..len / 8).map(|index| number(image, table + index * 8, 8)).filter(|block| *block != 0);
    map.tables.extend(blocks.map(|block| block..block + map.cluster));
}

fn place(value: u64, bits: u64) -> Option<(Range<u64>, bool)> {
    if value & 1 << 62 == 0 {
        let host = value & OFFSET;
        return (host != 0).then(|| (host..host + (1 << bits), false));
    }
    let split = 62 - (bits - 8);
    let host = value & ((1 << split) - 1);
    let sectors = (value & ((1 << 62) - 1)) >> split;
    let end = host / 512 * 512 + (sectors + 1) * 512;
    Some((host..(end - 511).max(host + 1), true))
}

impl Map {
    /// The least that any reader must keep at a time, in bytes, who sees the file once and from its
    /// start: what is not zero and comes before the entry that maps it.
    pub(crate) fn must_hold(&self, image: &[u8]) -> u64 {
        let mut changes = Vec::new();
        for mapping in self.mappings.iter().filter(|mapping| mapping.host.end < mapping.known) {
            let weight = mapping.weight(image);
            changes.push((mapping.host.end, i128::from(weight)));
            changes.push((mapping.known, -i128::from(weight)));
        }
        changes.sort_unstable();
        let held = changes.iter().scan(0, |held, (_, change)| {
            *held += change;
            Some(*held)
        });
        u64::try_from(held.max().unwrap_or(0)).unwrap()
    }
}

impl Mapping {
    fn weight(&self, image: &[u8]) -> u64 {
        if self.compressed {
            return self.host.end - self.host.start;
        }
        let part = (self.host.end - self.host.start) / 32;
        let parts = (0..32).filter(|index| self.live >> index & 1 != 0).map(|index| {
            let start = self.host.start + index * part;
            let data = slice(image, start..start + part);
            data.iter().any(|byte| *byte != 0)
        });
        parts.filter(|full| *full).count() as u64 * part
    }
}

/// The bytes of `range`, fewer where the image ends.
pub(crate) fn slice(image: &[u8], range: Range<u64>) -> &[u8] {
    let end = usize::try_from(range.end).unwrap().min(image.len());
    &image[usize::try_from(range.start).unwrap().min(end)..end]
}

fn number(image: &[u8], at: u64, width: u64) -> u64 {
    slice(image, at..at + width).iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}
