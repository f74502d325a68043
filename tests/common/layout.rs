//! QCOW2 images of any layout, built in code from a recipe, beside the disk that they must give.

use std::collections::BTreeMap;
use std::io::Write;

use super::ledger::note_sectors;
use super::noise;
use super::recipe::{Content, Gap, Order, Recipe, Slot, Spot, TableKind, TableRecipe, What};

const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
/// The reach of the slots that a table uses; the rest of a large table stays empty.
const SLOTS: usize = 40;

/// An image and what it must give.
pub(crate) struct Built {
    pub(crate) image: Vec<u8>,
    pub(crate) size: u64,
    /// Sectors of the disk that are not zero.
    pub(crate) disk: BTreeMap<u64, Vec<u8>>,
    /// Bytes are shared in a way that one pass may refuse.
    pub(crate) awkward: bool,
    /// Where the header and the tables lie.
    pub(crate) tables: Vec<(usize, usize)>,
}

/// A thing in the file.
struct Item {
    key: u32,
    gap: Gap,
    bytes: Vec<u8>,
    /// The next thing may follow at once, not at the next cluster only.
    packed: bool,
}

/// Who uses a blob or a stream: the guest's length, the entry's COPIED, its bitmap.
type Use = (u64, bool, u32);

/// A cluster as it is: its item, its content, its uses.
type Blob = (usize, Vec<u8>, Vec<Use>);

/// A compressed cluster: its item, the offset within it, the length, the content, its uses.
type Stream = (usize, usize, usize, Vec<u8>, Vec<Use>);

#[derive(Default)]
struct Stock {
    items: Vec<Item>,
    blobs: Vec<Blob>,
    streams: Vec<Stream>,
    pack: Option<usize>,
}

/// An L2 entry before offsets are known.
#[derive(Clone)]
enum Entry {
    Zero,
    Blob { blob: usize, copied: bool, allocated: u32 },
    Stream { stream: usize, slack: u8 },
}

impl Recipe {
    pub(crate) fn build(&self) -> Built {
        let cluster = self.cluster();
        let mut stock = Stock::default();
        let l1 = stock.add(self.l1, vec![0; self.tables.len() * 8]);
        let refcounts = stock.add(Spot { key: None, gap: Gap::None }, vec![0; cluster]);
        let mut maps: Vec<Option<(usize, BTreeMap<usize, Entry>)>> = Vec::new();
        for table in &self.tables {
            let own = |stock: &mut Stock| {
                let item = stock.add(table.spot, vec![0; cluster]);
                Some((item, self.entries(table, stock)))
            };
            let map = match table.kind {
                TableKind::None => None,
                TableKind::Alias(of) if !maps.is_empty() => maps[usize::from(of) % maps.len()].clone(),
                _ => own(&mut stock),
            };
            maps.push(map);
        }
        let size = self.size();
        let disk = self.disk(&maps, &mut stock, size);
        let offsets = self.place(&stock.items);
        for (index, map) in maps.iter().enumerate() {
            let Some((table, entries)) = map else { continue };
            let raw = offsets[*table] as u64 | if index % 2 == 0 { COPIED } else { 0 };
            stock.items[l1].bytes[index * 8..][..8].copy_from_slice(&raw.to_be_bytes());
            let bytes = self.table(entries, &stock, &offsets);
            stock.items[*table].bytes = bytes;
        }
        let mut image = self.file(&stock.items, &offsets);
        let header = self.header(size, offsets[l1], offsets[refcounts]);
        image[..header.len()].copy_from_slice(&header);
        let tables = maps.iter().flatten().map(|(table, _)| (offsets[*table], SLOTS * self.entry_size()));
        let tables = tables.chain([(0, header.len()), (offsets[l1], self.tables.len() * 8)]).collect();
        Built { image, size, disk, awkward: stock.awkward(cluster), tables }
    }

    fn cluster(&self) -> usize {
        1 << self.cluster_bits
    }

    fn entry_size(&self) -> usize {
        if self.extended { 16 } else { 8 }
    }

    fn reach(&self) -> usize {
        (self.cluster() / self.entry_size()).min(SLOTS)
    }

    fn size(&self) -> u64 {
        let span = self.cluster() * (self.cluster() / self.entry_size());
        let slots = usize::from(self.end.0) % self.reach() + 1;
        let cut = usize::from(self.end.1) * 512 % self.cluster();
        ((self.tables.len() - 1) * span + slots * self.cluster() - cut) as u64
    }

    fn entries(&self, table: &TableRecipe, stock: &mut Stock) -> BTreeMap<usize, Entry> {
        let most = ((6 << 20) / self.cluster() / self.tables.len()).clamp(2, SLOTS);
        let slots = table.slots.iter().take(most);
        slots.map(|slot| (usize::from(slot.at) % self.reach(), self.entry(slot, stock))).collect()
    }

    fn entry(&self, slot: &Slot, stock: &mut Stock) -> Entry {
        let seed = self.seed + stock.items.len() as u64 + stock.streams.len() as u64;
        match slot.what {
            What::Zero => Entry::Zero,
            What::Data { content, allocated } => {
                let allocated = if self.extended { allocated } else { u32::MAX };
                let blob = match slot.share {
                    Some(share) if !stock.blobs.is_empty() => usize::from(share) % stock.blobs.len(),
                    _ => {
                        let bytes = content.bytes(self.cluster(), seed);
                        let item = stock.add(slot.spot, bytes.clone());
                        stock.blobs.push((item, bytes, Vec::new()));
                        stock.blobs.len() - 1
                    }
                };
                Entry::Blob { blob, copied: slot.copied, allocated }
            }
            What::Compressed { content, more, slack, new_pack } => {
                let stream = match slot.share {
                    Some(share) if !stock.streams.is_empty() => usize::from(share) % stock.streams.len(),
                    _ => {
                        let bytes = content.bytes(self.cluster(), seed);
                        let packed = self.pack(&bytes);
                        if new_pack {
                            stock.pack = None;
                        }
                        stock.stream(slot.spot, usize::from(more), packed, bytes)
                    }
                };
                Entry::Stream { stream, slack }
            }
        }
    }

    fn pack(&self, bytes: &[u8]) -> Vec<u8> {
        if self.zstd {
            return zstd::bulk::compress(bytes, 1).unwrap();
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The disk's sectors; writes down who uses what.
    fn disk(
        &self,
        maps: &[Option<(usize, BTreeMap<usize, Entry>)>],
        stock: &mut Stock,
        size: u64,
    ) -> BTreeMap<u64, Vec<u8>> {
        let (cluster, entry_size) = (self.cluster() as u64, self.entry_size() as u64);
        let span = cluster * (cluster / entry_size);
        let mut disk = BTreeMap::new();
        for (index, map) in (0..).zip(maps) {
            for (slot, entry) in map.iter().flat_map(|(_, entries)| entries) {
                let at = index * span + *slot as u64 * cluster;
                let len = size.saturating_sub(at).min(cluster);
                if len == 0 {
                    continue;
                }
                let keep = usize::try_from(len).unwrap();
                match entry {
                    Entry::Zero => {}
                    Entry::Blob { blob, copied, allocated } => {
                        let (_, bytes, uses) = &mut stock.blobs[*blob];
                        uses.push((len, *copied, *allocated));
                        let mut bytes = bytes.clone();
                        for bit in (0..32).filter(|bit| allocated >> bit & 1 == 0) {
                            bytes[bit * self.cluster() / 32..][..self.cluster() / 32].fill(0);
                        }
                        note_sectors(at, &bytes[..keep], &mut disk);
                    }
                    Entry::Stream { stream, .. } => {
                        let (.., bytes, uses) = &mut stock.streams[*stream];
                        uses.push((len, false, u32::MAX));
                        note_sectors(at, &bytes[..keep], &mut disk);
                    }
                }
            }
        }
        disk
    }

    /// The host offset of each item.
    fn place(&self, items: &[Item]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        match self.order {
            Order::AsMade => {}
            Order::Backwards => order.reverse(),
            Order::ByKey => order.sort_by_key(|item| items[*item].key),
        }
        let mut offsets = vec![0; items.len()];
        let mut at = self.cluster();
        for item in order {
            at = at.next_multiple_of(self.cluster());
            at += match items[item].gap {
                Gap::None => 0,
                Gap::Clusters(count) => usize::from(count) * self.cluster(),
                Gap::Far => (1_usize << 20).next_multiple_of(self.cluster()),
            };
            offsets[item] = at;
            at += items[item].bytes.len();
            // What is not packed ends with its cluster; a pack may be the end of the file.
            if !items[item].packed {
                at = at.next_multiple_of(self.cluster());
            }
        }
        offsets
    }

    fn table(&self, entries: &BTreeMap<usize, Entry>, stock: &Stock, offsets: &[usize]) -> Vec<u8> {
        let mut table = vec![0; self.cluster()];
        for (slot, entry) in entries {
            let (raw, bitmap) = match entry {
                Entry::Zero => (u64::from(self.version == 3 && !self.extended), 1 << 40),
                Entry::Blob { blob, copied, allocated } => {
                    let zero = u64::from(!allocated & 0x00ff_00ff) << 32;
                    let copied = if *copied { COPIED } else { 0 };
                    (copied | offsets[stock.blobs[*blob].0] as u64, zero | u64::from(*allocated))
                }
                Entry::Stream { stream, slack } => {
                    let (item, within, len, ..) = stock.streams[*stream];
                    let host = offsets[item] + within;
                    let most = (1 << (self.cluster_bits - 8)) - 1;
                    let sectors = ((host + len - 1) / 512 - host / 512 + usize::from(*slack)).min(most);
                    (COMPRESSED | (sectors as u64) << (70 - self.cluster_bits) | host as u64, 0)
                }
            };
            let at = slot * self.entry_size();
            table[at..at + 8].copy_from_slice(&raw.to_be_bytes());
            if self.extended {
                table[at + 8..at + 16].copy_from_slice(&bitmap.to_be_bytes());
            }
        }
        table
    }

    fn file(&self, items: &[Item], offsets: &[usize]) -> Vec<u8> {
        let end = items.iter().zip(offsets).map(|(item, at)| {
            let end = at + item.bytes.len();
            if item.packed { end } else { end.next_multiple_of(self.cluster()) }
        });
        let len = end.max().unwrap() + usize::from(self.trailing);
        // Garbage that is no zeros, and zeros, by turns.
        let mut image = noise(len, self.seed);
        image.chunks_mut(96 << 10).step_by(2).for_each(|chunk| chunk.fill(0));
        image[..self.cluster()].fill(0);
        for (item, at) in items.iter().zip(offsets) {
            image[*at..at + item.bytes.len()].copy_from_slice(&item.bytes);
        }
        image
    }

    fn header(&self, size: u64, l1: usize, refcounts: usize) -> Vec<u8> {
        let mut header = vec![0; if self.version == 2 { 72 } else { 120 }];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb");
        put(4, &self.version.to_be_bytes());
        put(20, &self.cluster_bits.to_be_bytes());
        put(24, &size.to_be_bytes());
        put(36, &u32::try_from(self.tables.len()).unwrap().to_be_bytes());
        put(40, &(l1 as u64).to_be_bytes());
        put(48, &(refcounts as u64).to_be_bytes());
        put(56, &1_u32.to_be_bytes());
        if self.version == 3 {
            let features = u64::from(self.zstd) << 3 | u64::from(self.extended) << 4;
            put(72, &features.to_be_bytes());
            put(96, &4_u32.to_be_bytes());
            put(100, &112_u32.to_be_bytes());
            put(104, &[u8::from(self.zstd)]);
        }
        header
    }
}

impl Stock {
    fn add(&mut self, spot: Spot, bytes: Vec<u8>) -> usize {
        let key = spot.key.map_or_else(|| self.items.last().map_or(0, |item| item.key), u32::from);
        self.items.push(Item { key, gap: spot.gap, bytes, packed: false });
        self.items.len() - 1
    }

    /// Adds a stream to the pack that is being filled, `more` bytes of garbage before it.
    fn stream(&mut self, spot: Spot, more: usize, packed: Vec<u8>, content: Vec<u8>) -> usize {
        let pack = self.pack.unwrap_or_else(|| self.add(spot, Vec::new()));
        self.pack = Some(pack);
        let item = &mut self.items[pack];
        item.packed = true;
        item.bytes.resize(item.bytes.len() + more % 40, 0x5a);
        self.streams.push((pack, item.bytes.len(), packed.len(), content, Vec::new()));
        item.bytes.extend(packed);
        self.streams.len() - 1
    }

    /// Whether bytes are shared that one pass need not remember: entries that deny it, parts of clusters.
    fn awkward(&self, cluster: usize) -> bool {
        let awkward = |uses: &[Use]| {
            let odd = |(len, copied, bits): &Use| *copied || *len < cluster as u64 || *bits != uses[0].2;
            uses.len() > 1 && uses.iter().any(odd)
        };
        let blobs = self.blobs.iter().map(|(.., uses)| uses);
        blobs.chain(self.streams.iter().map(|(.., uses)| uses)).any(|uses| awkward(uses))
    }
}

impl Content {
    fn bytes(self, len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = noise(len, seed.wrapping_add(1));
        match self {
            Self::Zeros => bytes.fill(0),
            Self::Half => bytes[len / 2..].fill(0),
            Self::Full => bytes[len - len / 3..].fill(7),
        }
        bytes
    }
}
