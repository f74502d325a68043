//! QCOW2 over bytes that can be read at any offset.

use std::sync::Arc;

use super::Image;
use crate::error::{Error, Kind};
use crate::format::addr::HostOffset;
use crate::format::extent::{Extent, Place, Sharing};
use crate::format::qcow2::{Compression, HEADER_AREA, Header, Metadata, Qcow2Error, extents};
use crate::io::ReadAt;

/// The active layer of a QCOW2 image.
///
/// Memory: 8 bytes for each L1 entry that maps the disk and 16 for each that is used, so at most
/// 96 MiB for the largest L1 table that is allowed; one L2 table for each reader.
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
        let at = usize::try_from(part).ok().and_then(|part| self.tables.get(part)).copied()?;
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
        self.header.l1_entries
    }

    fn extents(&self, part: u64) -> Result<Vec<Extent>, Error> {
        let geometry = self.header.geometry;
        let Some(at) = self.table(part) else {
            let guest = geometry.table_start(part);
            let len = self.header.virtual_size.saturating_sub(guest.0).min(geometry.table_span());
            return Ok(vec![Extent { guest, len, place: Place::Zero, sharing: Sharing::Exclusive }]);
        };
        let mut table = vec![0; usize::try_from(geometry.cluster_size()).unwrap_or(usize::MAX)];
        read(&*self.place, &mut table, at)?;
        Ok(extents(&self.header, &self.metadata, part, &table, Some(self.place.len()))?)
    }
}

fn read(place: &dyn ReadAt, buf: &mut [u8], at: HostOffset) -> Result<(), Error> {
    place.read_exact_at(buf, at.0).map_err(|error| Error::from_io(error, Kind::Other))
}
