//! The header and its extensions ("Header", "Header extensions").

use super::cluster::{Entries, Geometry};
use super::{Qcow2Error, be32, be64, feature};
use crate::format::addr::HostOffset;

/// Bytes from the start of the file within which the header and all its extensions must lie.
pub const HEADER_AREA: usize = 64 << 10;

/// QEMU's and our cap on the L1 table: 32 MiB of 8-byte entries.
const MAX_L1_ENTRIES: u64 = (32 << 20) / 8;
/// More header extensions than any writer makes; parsing many would take quadratic care.
const MAX_EXTENSIONS: usize = 256;
/// QEMU's cap on internal snapshots.
const MAX_SNAPSHOTS: u32 = 65_536;
/// Characters of a name from the image that a message shows.
const SHOWN: usize = 100;

const EXTENSION_END: u32 = 0;
const EXTENSION_FEATURE_NAMES: u32 = 0x6803_f857;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// How compressed clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate.
    Deflate,
    /// zstd frames.
    Zstd,
}

/// What a reader of the active layer needs of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of the header itself, without extensions.
    pub len: u64,
    /// Sizes of clusters and tables.
    pub geometry: Geometry,
    /// Bytes of the guest's disk; a multiple of 512 and not 0.
    pub virtual_size: u64,
    /// Where the L1 table lies; aligned to a cluster, never 0.
    pub l1_offset: HostOffset,
    /// L1 entries that map the disk; the table may have more.
    pub l1_entries: u64,
    /// Where the refcount table lies.
    pub refcount_offset: HostOffset,
    /// Bytes of the refcount table.
    pub refcount_len: u64,
    /// How compressed clusters are compressed.
    pub compression: Compression,
    /// Internal snapshots, which we ignore.
    pub snapshots: u32,
}

impl Header {
    /// Reads the header from `head`: the first [`HEADER_AREA`] bytes of the file, or all of a shorter one.
    ///
    /// # Errors
    /// [`Qcow2Error`] for whatever is damaged, dangerous or unknown.
    pub fn parse(head: &[u8]) -> Result<Self, Qcow2Error> {
        let fields = Fields { head };
        let version = fields.u32(4)?;
        if !(2..=3).contains(&version) {
            return Err(Qcow2Error::Unsupported(format!("is of version {version}; 2 and 3 are supported")));
        }
        let cluster_bits = fields.u32(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(damaged(format!("cluster_bits {cluster_bits} is not within 9 to 21")));
        }
        let features = if version == 3 { fields.u64(72)? } else { 0 };
        let length = fields.header_length(version, 1 << cluster_bits)?;
        let extensions = Extensions::parse(head, length, 1 << cluster_bits)?;
        fields.refuse_what_is_elsewhere()?;
        refuse_features(features, &extensions)?;
        let entries =
            if features & feature::EXTENDED_L2 == 0 { Entries::Standard } else { Entries::Extended };
        if entries == Entries::Extended && cluster_bits < 14 {
            return Err(damaged(format!(
                "extended L2 entries need clusters of 16 KiB, not {}",
                1 << cluster_bits
            )));
        }
        let header = Self {
            version,
            len: u64::try_from(length).unwrap_or(u64::MAX),
            geometry: Geometry::new(cluster_bits, entries),
            virtual_size: fields.u64(24)?,
            l1_offset: HostOffset(fields.u64(40)?),
            l1_entries: u64::from(fields.u32(36)?),
            refcount_offset: HostOffset(fields.u64(48)?),
            refcount_len: u64::from(fields.u32(56)?) << cluster_bits,
            compression: fields.compression(length, features)?,
            snapshots: fields.u32(60)?,
        };
        header.bounded(fields.refcount_order(version)?)
    }

    /// The header when its numbers fit each other, with `l1_entries` cut to what the disk needs.
    fn bounded(self, refcount_order: u32) -> Result<Self, Qcow2Error> {
        let size = self.virtual_size;
        if size == 0 || !size.is_multiple_of(512) || i64::try_from(size).is_err() {
            return Err(damaged(format!("virtual size {size} is not a positive multiple of 512")));
        }
        if self.l1_entries > MAX_L1_ENTRIES {
            return Err(Qcow2Error::L1TooBig { entries: self.l1_entries, cap: MAX_L1_ENTRIES });
        }
        let needed = self.geometry.l1_entries(size);
        if needed > self.l1_entries {
            let have = self.l1_entries;
            return Err(damaged(format!(
                "virtual size {size} needs {needed} L1 entries, the table has {have}"
            )));
        }
        if self.l1_offset.0 == 0 || !self.geometry.is_aligned(self.l1_offset.0) {
            return Err(damaged(format!(
                "the L1 table's offset {} is not that of a cluster",
                self.l1_offset
            )));
        }
        if !self.geometry.is_aligned(self.refcount_offset.0) {
            let at = self.refcount_offset;
            return Err(damaged(format!("the refcount table's offset {at} is not that of a cluster")));
        }
        if self.refcount_len == 0 {
            return Err(damaged("there is no refcount table".to_owned()));
        }
        if refcount_order > 6 {
            return Err(damaged(format!("refcount_order {refcount_order} is above 6")));
        }
        if self.snapshots > MAX_SNAPSHOTS {
            return Err(damaged(format!(
                "{} internal snapshots; at most {MAX_SNAPSHOTS} are allowed",
                self.snapshots
            )));
        }
        Ok(Self { l1_entries: needed, ..self })
    }

    /// Bytes of the L1 table that map the disk.
    #[must_use]
    pub fn l1_len(&self) -> u64 {
        self.l1_entries.saturating_mul(8)
    }
}

struct Fields<'a> {
    head: &'a [u8],
}

impl Fields<'_> {
    fn u32(&self, at: usize) -> Result<u32, Qcow2Error> {
        be32(self.head, at).ok_or_else(|| self.short())
    }

    fn u64(&self, at: usize) -> Result<u64, Qcow2Error> {
        be64(self.head, at).ok_or_else(|| self.short())
    }

    fn short(&self) -> Qcow2Error {
        damaged(format!("the file ends after {} bytes, within the header", self.head.len()))
    }

    fn refuse_what_is_elsewhere(&self) -> Result<(), Qcow2Error> {
        let (backing, len) = (self.u64(8)?, self.u32(16)?);
        if backing != 0 || len != 0 {
            return Err(Qcow2Error::BackingFile(self.backing_name(backing, len)));
        }
        match self.u32(32)? {
            0 => Ok(()),
            1 => Err(Qcow2Error::Unsupported("is encrypted (AES); decrypt it first".to_owned())),
            2 => Err(Qcow2Error::Unsupported("is encrypted (LUKS); decrypt it first".to_owned())),
            other => Err(Qcow2Error::Unsupported(format!("is encrypted by the unknown method {other}"))),
        }
    }

    fn backing_name(&self, at: u64, len: u32) -> String {
        let range = usize::try_from(at).ok().zip(usize::try_from(len).ok());
        let name = range.and_then(|(at, len)| self.head.get(at..at.checked_add(len.min(SHOWN))?));
        name.map_or_else(String::new, |name| name.escape_ascii().to_string())
    }

    fn header_length(&self, version: u32, cluster_size: u64) -> Result<usize, Qcow2Error> {
        if version == 2 {
            return Ok(72);
        }
        let length = self.u32(100)?;
        if length < 104 || length % 8 != 0 || u64::from(length) > cluster_size {
            return Err(damaged(format!("header_length {length} is not within 104 and the cluster size")));
        }
        usize::try_from(length).map_err(|_| self.short())
    }

    fn refcount_order(&self, version: u32) -> Result<u32, Qcow2Error> {
        if version == 2 { Ok(4) } else { self.u32(96) }
    }

    fn compression(&self, length: usize, features: u64) -> Result<Compression, Qcow2Error> {
        let stands = if length > 104 { self.head.get(104).copied().ok_or_else(|| self.short())? } else { 0 };
        let declared = features & feature::COMPRESSION != 0;
        match (stands, declared) {
            (0, false) => Ok(Compression::Deflate),
            (1, true) => Ok(Compression::Zstd),
            (0 | 1, _) => {
                Err(damaged("the compression type and its feature bit contradict each other".to_owned()))
            }
            (other, _) => Err(Qcow2Error::Unsupported(format!("uses the unknown compression type {other}"))),
        }
    }
}

/// Header extensions, as far as they matter.
struct Extensions<'a> {
    feature_names: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Walks from the header's end to the end marker, within the first cluster.
    fn parse(head: &'a [u8], mut at: usize, cluster_size: u64) -> Result<Self, Qcow2Error> {
        let end = usize::try_from(cluster_size).unwrap_or(HEADER_AREA).min(HEADER_AREA).min(head.len());
        let mut found = Self { feature_names: &[] };
        for _ in 0..MAX_EXTENSIONS {
            let area = head.get(..end).unwrap_or_default();
            let (Some(kind), Some(len)) = (be32(area, at), at.checked_add(4).and_then(|at| be32(area, at)))
            else {
                return Ok(found);
            };
            if kind == EXTENSION_END {
                return Ok(found);
            }
            let start = at.saturating_add(8);
            let stop = usize::try_from(len).ok().and_then(|len| start.checked_add(len));
            let Some((data, stop)) = stop.and_then(|stop| Some((area.get(start..stop)?, stop))) else {
                return Err(damaged(format!(
                    "the header extension {kind:#010x} of {len} bytes leaves the header area"
                )));
            };
            match kind {
                EXTENSION_FEATURE_NAMES => found.feature_names = data,
                EXTENSION_DATA_FILE => return Err(data_file()),
                _ => {}
            }
            at = stop.next_multiple_of(8);
        }
        Err(damaged(format!("more than {MAX_EXTENSIONS} header extensions")))
    }
}

fn refuse_features(features: u64, extensions: &Extensions<'_>) -> Result<(), Qcow2Error> {
    if features & feature::DATA_FILE != 0 {
        return Err(data_file());
    }
    if features & feature::CORRUPT != 0 {
        return Err(Qcow2Error::Unsupported(
            "is marked corrupt; repair it first (qemu-img check -r all)".to_owned(),
        ));
    }
    let unknown = features & !feature::SUPPORTED;
    if unknown != 0 {
        let names = feature::names(unknown, extensions.feature_names);
        return Err(Qcow2Error::Unsupported(format!("needs unknown incompatible features: {names}")));
    }
    Ok(())
}

fn data_file() -> Qcow2Error {
    Qcow2Error::Unsupported("keeps its data in an external data file, which is never opened".to_owned())
}

fn damaged(why: String) -> Qcow2Error {
    Qcow2Error::Header(why)
}

#[cfg(test)]
mod tests;
