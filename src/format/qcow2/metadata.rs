//! Which host bytes hold tables, and that nothing else does.
//!
//! Tables that overlap each other, or data that is a table, mean a damaged or hostile image: the
//! same bytes would be read as two things.

use std::ops::Range;

use super::header::Header;
use super::{Qcow2Error, l1_entry};
use crate::format::addr::HostOffset;

/// The header, the L1 table, the refcount table and all L2 tables.
pub struct Metadata {
    cluster_size: u64,
    fixed: [(&'static str, Range<u64>); 3],
    /// L1 entries that name a table, by the table's host offset.
    order: Vec<(HostOffset, u32)>,
}

impl Metadata {
    /// The metadata of an image whose L1 table holds `entries`, each as it stands in the file.
    ///
    /// # Errors
    /// [`Qcow2Error`] for a damaged entry, and where tables overlap or leave the file of `len` bytes.
    pub fn new(header: &Header, entries: &[u64], len: Option<u64>) -> Result<Self, Qcow2Error> {
        let mut tables = Self::fixed(header)?;
        for (index, raw) in (0..).zip(entries) {
            if let Some(at) = l1_entry(*raw, header.geometry)? {
                tables.check("L2 table", at, tables.cluster_size, len)?;
                tables.order.push((at, index));
            }
        }
        tables.order.sort_unstable();
        Ok(tables)
    }

    fn fixed(header: &Header) -> Result<Self, Qcow2Error> {
        let cluster_size = header.geometry.cluster_size();
        let reach = |at: HostOffset, len: u64| at.0..at.0.saturating_add(len);
        let l1 = reach(header.l1_offset, header.l1_len());
        let refcounts = reach(header.refcount_offset, header.refcount_len);
        if overlap(&l1, &refcounts) {
            return Err(Qcow2Error::Overlap {
                what: "L1 table",
                at: header.l1_offset,
                other: "the refcount table",
            });
        }
        let fixed = [("the header", 0..header.len), ("the L1 table", l1), ("the refcount table", refcounts)];
        Ok(Self { cluster_size, fixed, order: Vec::new() })
    }

    /// The L2 tables by host offset, each with the index of an L1 entry that names it.
    #[must_use]
    pub fn tables(&self) -> &[(HostOffset, u32)] {
        &self.order
    }

    /// That `what` of `size` bytes at `at` lies in the file of `len` bytes and in no metadata.
    ///
    /// # Errors
    /// [`Qcow2Error::Overlap`] and [`Qcow2Error::Outside`].
    pub fn check(
        &self,
        what: &'static str,
        at: HostOffset,
        size: u64,
        len: Option<u64>,
    ) -> Result<(), Qcow2Error> {
        let range = at.0..at.0.saturating_add(size);
        if let Some(len) = len.filter(|len| range.end > *len) {
            return Err(Qcow2Error::Outside { what, at, len });
        }
        if let Some((other, _)) = self.fixed.iter().find(|(_, fixed)| overlap(fixed, &range)) {
            return Err(Qcow2Error::Overlap { what, at, other });
        }
        Ok(())
    }

    /// That data of `size` bytes at `at` lies in the file of `len` bytes and is no table.
    ///
    /// # Errors
    /// [`Qcow2Error::Overlap`] and [`Qcow2Error::Outside`].
    pub fn check_data(&self, at: HostOffset, size: u64, len: Option<u64>) -> Result<(), Qcow2Error> {
        self.check("data", at, size, len)?;
        let first = self.order.partition_point(|(table, _)| table.plus(self.cluster_size) <= at);
        match self.order.get(first) {
            Some((table, _)) if *table < at.plus(size) => {
                Err(Qcow2Error::Overlap { what: "data", at, other: "an L2 table" })
            }
            _ => Ok(()),
        }
    }
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
