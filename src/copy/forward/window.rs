//! The bytes of the image that are at hand: what has arrived and was not let go.

use crate::copy::{bytes, in_memory, read_failed};
use crate::error::Error;
use crate::io::{ALIGNMENT, Aligned, Sequential, fill};

/// The least that one step takes in, where clusters are smaller.
const STEP: u64 = 1 << 20;

/// Enough of a step for an image that is said to be short.
const SHORT_STEP: u64 = 64 << 10;

/// A stretch of the image file in memory.
pub(super) struct Window {
    buf: Aligned,
    /// The host offset of the buffer's first byte, a multiple of the alignment.
    start: u64,
    /// Up to here everything is placed, held or dropped.
    retired: u64,
    /// Up to here everything has arrived.
    end: u64,
    /// Up to here everything had arrived before the last step.
    before: u64,
    step: u64,
    ended: bool,
}

impl Window {
    /// For an image of `len` bytes, where that is known.
    pub(super) fn new(cluster_size: u64, len: Option<u64>) -> Self {
        // A byte more than there is shows that it was the last step.
        let all = len.unwrap_or(STEP).saturating_add(1);
        let step = STEP.min(all.max(SHORT_STEP)).max(cluster_size);
        // A table or a compressed cluster that has not arrived whole stays: less than two clusters
        // and two sectors.
        let capacity =
            step.saturating_add(cluster_size.saturating_mul(2)).saturating_add(4 * bytes(ALIGNMENT));
        let buf = Aligned::zeroed(in_memory(capacity));
        Self { buf, start: 0, retired: 0, end: 0, before: 0, step, ended: false }
    }

    /// Takes in one step more, or less at the end.
    pub(super) fn fill(&mut self, stream: &mut Sequential) -> Result<(), Error> {
        let keep = self.retired.saturating_sub(self.retired % bytes(ALIGNMENT));
        let from = in_memory(keep.saturating_sub(self.start));
        let have = in_memory(self.end.saturating_sub(keep));
        self.buf.copy_within(from..from.saturating_add(have), 0);
        self.start = keep;
        self.before = self.end;
        let room = self.buf.len().min(have.saturating_add(in_memory(self.step)));
        let into = self.buf.get_mut(have..room).unwrap_or_default();
        let count = fill(stream, into).map_err(|cause| read_failed(self.end, cause))?;
        self.ended = count < into.len();
        self.end = self.end.saturating_add(bytes(count));
        Ok(())
    }

    /// The `len` bytes at the host offset `at`, if all of them are at hand and not let go.
    pub(super) fn bytes(&self, at: u64, len: u64) -> Option<&[u8]> {
        if at < self.retired || at.checked_add(len)? > self.end {
            return None;
        }
        let from = in_memory(at.checked_sub(self.start)?);
        self.buf.get(from..from.checked_add(in_memory(len))?)
    }

    /// What arrived with the last step: its host offset and its bytes.
    pub(super) fn news(&self) -> (u64, &[u8]) {
        let len = self.end.saturating_sub(self.before);
        (self.before, self.bytes(self.before, len).unwrap_or_default())
    }

    /// Lets go of everything before `until`.
    pub(super) fn retire(&mut self, until: u64) {
        self.retired = self.retired.max(until.min(self.end));
    }

    /// Before this host offset nothing is at hand any more.
    pub(super) fn retired(&self) -> u64 {
        self.retired
    }

    /// Up to this host offset everything has arrived.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether everything before the host offset `end` that will ever arrive has done so.
    pub(super) fn reaches(&self, end: u64) -> bool {
        self.ended || end <= self.end
    }

    /// Whether the last byte of the image has arrived.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}
