//! The bytes of a segment that a worker has in memory: they come part by part, in the file's order.
//!
//! Refuses to know: what they mean, and what follows the segment.

use std::io::{self, Read};
use std::ops::Range;

use super::{bytes, in_memory};
use crate::format::addr::HostOffset;
use crate::io::{ALIGNMENT, Aligned};

/// A stretch of the image's file in memory.
///
/// Memory: the longest stretch that was asked for, and at least `room`.
pub(super) struct Held {
    buf: Aligned,
    room: usize,
    /// Where the stretch begins in the file. The buffer is skewed as the file is, so that what is
    /// aligned there is aligned here.
    start: u64,
    end: u64,
}

impl Held {
    /// Nothing yet, with room for `room` bytes once there is something.
    pub(super) fn new(room: usize) -> Self {
        Self { buf: Aligned::zeroed(0), room, start: 0, end: 0 }
    }

    /// Forgets what is there; what comes next stands at `at`.
    pub(super) fn restart(&mut self, at: HostOffset) {
        (self.start, self.end) = (at.0, at.0);
    }

    /// Where in the file what is there ends.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Has `wanted`, which begins no earlier than what is there: what is missing comes from `reader`.
    pub(super) fn advance(&mut self, reader: &mut dyn Read, wanted: Range<HostOffset>) -> io::Result<()> {
        let start = wanted.start.0.min(self.end);
        let kept = self.index(start)..self.index(self.end);
        let end = wanted.end.0.max(self.end);
        let skew = in_memory(start % bytes(ALIGNMENT));
        let need = skew.saturating_add(in_memory(end.saturating_sub(start)));
        if self.buf.len() < need {
            let mut buf = Aligned::zeroed(need.max(self.room));
            let old = self.buf.get(kept.clone()).unwrap_or_default();
            buf.get_mut(skew..skew.saturating_add(old.len())).unwrap_or_default().copy_from_slice(old);
            self.buf = buf;
        } else {
            self.buf.copy_within(kept, skew);
        }
        self.start = start;
        let missing = self.index(self.end)..self.index(end);
        reader.read_exact(self.buf.get_mut(missing).unwrap_or_default())?;
        self.end = end;
        Ok(())
    }

    /// The `len` bytes at `at`; none where they are not there.
    pub(super) fn bytes(&self, at: HostOffset, len: u64) -> &[u8] {
        let end = at.0.saturating_add(len).min(self.end);
        if at.0 < self.start {
            return &[];
        }
        self.buf.get(self.index(at.0)..self.index(end)).unwrap_or_default()
    }

    /// Where in the buffer the file's byte `at` is.
    fn index(&self, at: u64) -> usize {
        in_memory(at.saturating_sub(self.start.saturating_sub(self.start % bytes(ALIGNMENT))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_parts_share_is_read_once_and_what_lies_between_is_read_over() {
        let file: Vec<u8> = (0..40_000_u32).flat_map(u32::to_le_bytes).collect();
        for room in [0, 1 << 20] {
            let (mut held, mut left) = (Held::new(room), &file[5000..]);
            held.restart(HostOffset(5000));
            // From where on, up to where; with an overlap, within what is there, behind a gap.
            for (start, end) in
                [(5000, 9000), (8000, 20_000), (8100, 8200), (9000, 60_000), (61_000, 100_000)]
            {
                held.advance(&mut left, HostOffset(start)..HostOffset(end)).unwrap();
                let (from, to) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
                assert!(held.bytes(HostOffset(start), end - start) == &file[from..to], "{start} {end}");
                assert_eq!(
                    held.bytes(HostOffset(start), end - start).as_ptr().addr() % ALIGNMENT,
                    from % ALIGNMENT
                );
            }
            assert_eq!(held.end(), 100_000);
            assert_eq!(left.len(), file.len() - 100_000, "read once");
            assert!(held.bytes(HostOffset(0), 10).is_empty());
            held.advance(&mut left, HostOffset(100_000)..HostOffset(1 << 20)).unwrap_err();
        }
    }
}
