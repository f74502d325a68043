//! QCOW2 over bytes that can be read at any offset.

use std::sync::Arc;

use super::Image;
use crate::error::{Error, Kind};
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::qcow2::{Compression, HEADER_AREA, Header, Metadata, Qcow2Error, extents};
use crate::io::ReadAt;

/// The active layer of a QCOW2 image.
///
/// Memory: 8 bytes for each L1 entry that maps the disk and 16 for each that is used, so at most
/// 96 MiB for the largest L1 table that is allowed; for each reader at most 64 KiB of an L2 table.
pub struct Qcow2 {
    place: Arc<dyn ReadAt>,
    header: Header,
    metadata: Metadata,
    /// The host offset of each L1 entry's table; 0 for none.
    tables: Vec<u64>,
}

impl Qcow2 {
    /// Reads the header and the L1 table.
    ///
    /// # Errors
    /// [`Qcow2Error`] for an image that is damaged or refused; whatever `place` fails with.
    pub fn open(place: Arc<dyn ReadAt>) -> Result<Self, Error> {
        let area = usize::try_from(place.len()).map_or(HEADER_AREA, |len| len.min(HEADER_AREA));
        let mut head = vec![0; area];
        read(&*place, &mut head, HostOffset(0))?;
        let header = Header::parse(&head)?;
        let len = place.len();
        if header.l1_offset.0.saturating_add(header.l1_len()) > len {
            return Err(Qcow2Error::Outside { what: "the L1 table", at: header.l1_offset, len }.into());
        }
        let mut bytes = vec![0; usize::try_from(header.l1_len()).unwrap_or(usize::MAX)];
        read(&*place, &mut bytes, header.l1_offset)?;
        let raw: Vec<u64> = bytes.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        drop(bytes);
        let metadata = Metadata::new(&header, &raw, Some(len))?;
        let mut tables = raw;
        tables.fill(0);
        for (at, index) in metadata.tables() {
            if let Some(slot) = usize::try_from(*index).ok().and_then(|index| tables.get_mut(index)) {
                *slot = at.0;
            }
        }
        Ok(Self { place, header, metadata, tables })
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The host offset of the table that part `part` is told by, if there is one.
    #[must_use]
    pub fn table(&self, part: u64) -> Option<HostOffset> {
        let index = part.checked_div(self.header.geometry.slices())?;
        let at = usize::try_from(index).ok().and_then(|index| self.tables.get(index)).copied()?;
        (at != 0).then_some(HostOffset(at))
    }
}

impl Image for Qcow2 {
    fn virtual_size(&self) -> u64 {
        self.header.virtual_size
    }

    fn place(&self) -> &Arc<dyn ReadAt> {
        &self.place
    }

    fn compression(&self) -> (Compression, usize) {
        let size = usize::try_from(self.header.geometry.cluster_size()).unwrap_or(usize::MAX);
        (self.header.compression, size)
    }

    fn parts(&self) -> u64 {
        self.header.virtual_size.div_ceil(self.header.geometry.slice_span())
    }

    fn extents(&self, part: u64) -> Result<Vec<Extent>, Error> {
        let geometry = self.header.geometry;
        let Some(table) = self.table(part) else {
            let guest = GuestOffset(part.saturating_mul(geometry.slice_span()));
            let len = self.header.virtual_size.saturating_sub(guest.0).min(geometry.slice_span());
            return Ok(vec![Extent { guest, len, place: Place::Zero, sharing: Sharing::Exclusive }]);
        };
        let slice = part.checked_rem(geometry.slices()).unwrap_or(0);
        let mut bytes = vec![0; usize::try_from(geometry.slice_len()).unwrap_or(usize::MAX)];
        read(&*self.place, &mut bytes, table.plus(slice.saturating_mul(geometry.slice_len())))?;
        Ok(extents(&self.header, &self.metadata, part, &bytes, Some(self.place.len()))?)
    }
}

fn read(place: &dyn ReadAt, buf: &mut [u8], at: HostOffset) -> Result<(), Error> {
    place.read_exact_at(buf, at.0).map_err(|error| Error::from_io(error, Kind::Other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const CLUSTER: u64 = 2 << 20;

    /// An image of the largest clusters, of which every other subcluster is there.
    fn image(dir: &std::path::Path, tables: u64) -> Qcow2 {
        let scratch = Scratch::create(dir, Arc::default()).unwrap();
        let put = |at: u64, number: &[u8]| scratch.write_all_at(number, at).unwrap();
        put(0, b"QFI\xfb\0\0\0\x03");
        put(20, &21_u32.to_be_bytes());
        put(24, &(tables * (256 << 30) - CLUSTER).to_be_bytes());
        put(36, &u32::try_from(tables).unwrap().to_be_bytes());
        put(40, &CLUSTER.to_be_bytes());
        put(48, &(2 * CLUSTER).to_be_bytes());
        put(56, &1_u32.to_be_bytes());
        put(72, &(1_u64 << 4).to_be_bytes());
        put(96, &4_u32.to_be_bytes());
        put(100, &112_u32.to_be_bytes());
        put(CLUSTER, &(3 * CLUSTER).to_be_bytes());
        let entry = [(4 * CLUSTER).to_be_bytes(), 0x5555_5555_u64.to_be_bytes()].concat();
        put(3 * CLUSTER, &entry.repeat(131_072));
        scratch.reach(5 * CLUSTER).unwrap();
        Qcow2::open(Arc::new(scratch)).unwrap()
    }

    #[test]
    fn a_table_of_the_largest_clusters_is_told_in_parts_that_fit_memory() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path(), 2);
        let (mut at, mut stored) = (GuestOffset(0), 0);
        for part in 0..image.parts() {
            let extents = image.extents(part).unwrap();
            assert!(extents.len() <= 131_072, "{} stretches at once", extents.len());
            for extent in extents {
                assert_eq!((extent.guest, extent.len > 0), (at, true));
                stored += if extent.place == Place::Zero { 0 } else { extent.len };
                at = extent.end();
            }
        }
        assert_eq!((at.0, stored), (image.virtual_size(), 128 << 30));
    }
}
