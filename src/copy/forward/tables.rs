//! The L1 table as it passes, and which L2 tables have come.

use std::collections::VecDeque;
use std::ops::Range;

use super::window::Window;
use crate::copy::in_memory;
use crate::error::Error;
use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::Extent;
use crate::format::qcow2::{Header, Metadata, extents};

/// What is known of the tables so far.
pub(super) struct Tables {
    l1: Range<u64>,
    captured: Vec<u8>,
    metadata: Option<Metadata>,
    fixed: [Range<u64>; 3],
    /// How many of the L2 tables, in host order, were looked at.
    next: usize,
    /// Tables that were put off, in host order.
    deferred: VecDeque<Deferred>,
    cluster_size: u64,
}

/// Neighbours among the tables that were put off.
struct Deferred {
    /// Their numbers in host order: the first and one behind the last.
    next: u32,
    end: u32,
    /// Where the first of them is read from; the others from their start.
    slice: u32,
}

impl Tables {
    pub(super) fn new(header: &Header) -> Self {
        let reach = |at: HostOffset, len: u64| at.0..at.0.saturating_add(len);
        let cluster_size = header.geometry.cluster_size();
        let l1 = reach(header.l1_offset, header.l1_len());
        let refcounts = reach(header.refcount_offset, header.refcount_len);
        let fixed = [0..header.len, l1.clone(), refcounts];
        let (captured, deferred) = (Vec::new(), VecDeque::new());
        Self { l1, captured, metadata: None, fixed, next: 0, deferred, cluster_size }
    }

    /// Host ranges that never hold data, known from the header.
    pub(super) fn fixed(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.fixed.iter().cloned()
    }

    /// Takes what the last step brought of the L1 table; whether it is complete with that.
    pub(super) fn capture(
        &mut self,
        window: &Window,
        header: &Header,
        len: Option<u64>,
    ) -> Result<bool, Error> {
        let (at, news) = window.news();
        let cut = |offset: u64| in_memory(offset.saturating_sub(at)).min(news.len());
        let part = news.get(cut(self.l1.start)..cut(self.l1.end)).unwrap_or_default();
        self.captured.extend_from_slice(part);
        if self.metadata.is_some() || self.captured.len() < in_memory(header.l1_len()) {
            return Ok(false);
        }
        let entries = std::mem::take(&mut self.captured);
        let entries: Vec<u64> =
            entries.as_chunks().0.iter().map(|entry| u64::from_be_bytes(*entry)).collect();
        self.metadata = Some(Metadata::new(header, &entries, len)?);
        Ok(true)
    }

    /// The stretches of the disk that no L2 table maps, joined.
    pub(super) fn unmapped(&self, header: &Header) -> Vec<(GuestOffset, u64)> {
        let mut mapped: Vec<u64> = self.order().iter().map(|(_, index)| u64::from(*index)).collect();
        mapped.sort_unstable();
        let mut next = 0;
        let mut found = Vec::new();
        for index in mapped.into_iter().chain([header.l1_entries]) {
            let (from, to) = (header.geometry.table_start(next), header.geometry.table_start(index));
            let len = to.0.min(header.virtual_size).saturating_sub(from.0);
            if len > 0 {
                found.push((from, len));
            }
            next = index.saturating_add(1);
        }
        found
    }

    /// The next L2 table in host order, once all its bytes have arrived.
    pub(super) fn arrived(&self, window: &Window) -> Option<(HostOffset, u32)> {
        let table = self.order().get(self.next).copied()?;
        (table.0.plus(self.cluster_size).0 <= window.end()).then_some(table)
    }

    /// What the slice of a table in `bytes` says; slices are counted from the disk's start.
    pub(super) fn extents(
        &self,
        header: &Header,
        (slice, bytes): (u64, &[u8]),
        len: Option<u64>,
    ) -> Result<Vec<Extent>, Error> {
        match &self.metadata {
            Some(metadata) => Ok(extents(header, metadata, slice, bytes, len)?),
            None => Ok(Vec::new()),
        }
    }

    /// The table that [`Tables::arrived`] returned was taken in.
    pub(super) fn took(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    /// The table that [`Tables::arrived`] returned is read again at the end, from `slice` on.
    pub(super) fn defer(&mut self, slice: u32) {
        let next = u32::try_from(self.next).unwrap_or(u32::MAX);
        let end = next.saturating_add(1);
        match self.deferred.back_mut().filter(|last| last.end == next && slice == 0) {
            Some(last) => last.end = end,
            None => self.deferred.push_back(Deferred { next, end, slice }),
        }
        self.took();
    }

    /// The next table that was put off, and from which slice on; it counts as taken in.
    pub(super) fn deferred(&mut self) -> Option<((HostOffset, u32), u32)> {
        let first = self.deferred.front_mut()?;
        let (number, slice) = (first.next, std::mem::take(&mut first.slice));
        first.next = number.saturating_add(1);
        if first.next >= first.end {
            self.deferred.pop_front();
        }
        self.order().get(usize::try_from(number).ok()?).map(|table| (*table, slice))
    }

    /// How many L1 entries name a table.
    pub(super) fn count(&self) -> usize {
        self.order().len()
    }

    /// Whether the L1 table and every L2 table were taken in.
    pub(super) fn complete(&self) -> bool {
        self.metadata.is_some() && self.next == self.order().len() && self.deferred.is_empty()
    }

    /// The host offset of an L2 table that has arrived in part.
    pub(super) fn waiting(&self, window: &Window) -> u64 {
        let next = self.order().get(self.next).map(|(at, _)| at.0);
        next.filter(|at| *at < window.end()).unwrap_or(u64::MAX)
    }

    /// A table that the image names and that never came.
    pub(super) fn missing(&self, header: &Header) -> Option<(&'static str, HostOffset)> {
        if self.metadata.is_none() {
            return Some(("the L1 table", header.l1_offset));
        }
        self.order().get(self.next).map(|(at, _)| ("an L2 table", *at))
    }

    fn order(&self) -> &[(HostOffset, u32)] {
        self.metadata.as_ref().map_or(&[], Metadata::tables)
    }
}
