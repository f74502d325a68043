//! Small neighbours on the guest's disk become one large write.

use super::{bytes, in_memory, write_failed};
use crate::error::Error;
use crate::format::addr::GuestOffset;
use crate::io::{ALIGNMENT, Aligned, Piece, pieces};
use crate::sink::Sink;

/// Bytes that are gathered before they are written; a cluster is at most this long.
const CAPACITY: usize = 2 << 20;
/// From this length on bytes are written from where they are.
const LARGE: usize = 256 << 10;

/// One worker's pending write.
///
/// Memory: 2 MiB and a block, less for a smaller disk.
pub(super) struct Gather<'a> {
    sink: &'a dyn Sink,
    buf: Aligned,
    /// The guest offset of the buffer's first byte, a multiple of the alignment.
    base: GuestOffset,
    /// What is filled of the buffer.
    from: usize,
    to: usize,
}

impl<'a> Gather<'a> {
    /// For a disk of `size` bytes.
    pub(super) fn new(sink: &'a dyn Sink, size: u64, cluster: usize) -> Self {
        let capacity = in_memory(size).min(CAPACITY).max(cluster).max(LARGE);
        let buf = Aligned::zeroed(capacity.saturating_add(ALIGNMENT));
        Self { sink, buf, base: GuestOffset(0), from: 0, to: 0 }
    }

    /// Takes `data` for the guest offset `at`.
    pub(super) fn put(&mut self, at: GuestOffset, data: &[u8]) -> Result<(), Error> {
        if data.len() >= LARGE {
            return pour(self.sink, at, data);
        }
        self.fill(at, data.len(), data.len(), |room| {
            room.copy_from_slice(data);
            Ok(())
        })
    }

    /// Lets `make` fill `len` bytes, of which the first `keep` are for the guest offset `at`.
    pub(super) fn fill<T>(
        &mut self,
        at: GuestOffset,
        len: usize,
        keep: usize,
        make: impl FnOnce(&mut [u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let goes_on = self.base.plus(bytes(self.to)) == at && self.to.saturating_add(len) <= self.buf.len();
        if !goes_on {
            self.flush()?;
            let skew = at.0 % bytes(ALIGNMENT);
            self.base = GuestOffset(at.0.saturating_sub(skew));
            self.from = in_memory(skew);
            self.to = self.from;
        }
        let end = self.to.saturating_add(len);
        let room = self.buf.get_mut(self.to..end).unwrap_or_default();
        let made = make(room)?;
        self.to = self.to.saturating_add(keep);
        Ok(made)
    }

    /// Writes what is pending.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let filled = self.buf.get(self.from..self.to).unwrap_or_default();
        let at = self.base.plus(bytes(self.from));
        self.from = self.to;
        if filled.is_empty() { Ok(()) } else { pour(self.sink, at, filled) }
    }
}

/// Writes the data of `data` and zeroes its zero runs, from the guest offset `at` on.
pub(super) fn pour(sink: &dyn Sink, at: GuestOffset, data: &[u8]) -> Result<(), Error> {
    for piece in pieces(data) {
        let (range, wrote) = match piece {
            Piece::Data(range) => {
                let start = at.plus(bytes(range.start));
                (range.clone(), sink.write_all_at(data.get(range).unwrap_or_default(), start))
            }
            Piece::Zero(range) => {
                let start = at.plus(bytes(range.start));
                (range.clone(), sink.zero(start, bytes(range.len())))
            }
        };
        wrote.map_err(|cause| write_failed(at.plus(bytes(range.start)).0, cause))?;
    }
    Ok(())
}
