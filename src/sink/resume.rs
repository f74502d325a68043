//! A target of which a journal is kept, so that an import that was killed can go on.
//!
//! Without [`Sink::resume`] it only passes everything on. With it, what the journal says to be
//! there is read back and compared first, and then neither written nor asked for again. A thread
//! makes durable what was written since, and then says so in the journal.
//!
//! Refuses to know: where the bytes come from; how the target is written.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::keeper::Keeper;
use super::marker::Marker;
use super::sums::{SECTOR, sum_of, sums};
use super::{MIB, Sink, SinkError, in_memory, len_of};
use crate::format::addr::GuestOffset;
use crate::io::Aligned;
use crate::journal::{Key, Ranges, Record, Tally};
use crate::progress::Progress;

/// A target that can be left in the middle and taken up again.
pub(super) trait Lasting: Sink {
    /// Where its journal lies, `scratch` being a directory for those that have none beside them.
    fn marker(&self, scratch: Option<&Path>) -> Option<Marker>;

    /// Has `prepare` leave the bytes of `kept` as they are; all others are as on a fresh target.
    fn keep(&self, kept: Ranges);

    /// Leaves the target as it is when it is dropped.
    fn leave(&self);
}

/// The target `inner`, and its journal where one is kept.
pub(super) struct Resumable {
    inner: Arc<dyn Lasting>,
    progress: Arc<Progress>,
    /// What `resume` asked for.
    wish: OnceLock<Wish>,
    live: OnceLock<Live>,
    /// The target is complete, or left for another run.
    settled: AtomicBool,
}

struct Wish {
    key: Key,
    marker: Marker,
}

struct Live {
    kept: Ranges,
    keeper: Keeper,
}

impl Resumable {
    /// The same target as `inner`; what need not be written again is counted in `progress`.
    pub(super) fn new(inner: Arc<dyn Lasting>, progress: Arc<Progress>) -> Self {
        Self {
            inner,
            progress,
            wish: OnceLock::new(),
            live: OnceLock::new(),
            settled: AtomicBool::new(false),
        }
    }

    /// Makes the target ready around what an earlier import left there; `None` where nothing is of use.
    fn take_up(&self, wish: &Wish, size: Option<u64>) -> Result<Option<Record>, SinkError> {
        let Some(text) = wish.marker.text() else { return Ok(None) };
        let unfit = |why: &str| {
            tracing::warn!("the journal of an earlier import is not used: {why}");
            Ok(None)
        };
        let record = match Record::fitting(&text, &wish.key) {
            Ok(record) => record,
            Err(why) => return unfit(why),
        };
        if size.is_some_and(|size| record.durable.end() > size) {
            return unfit("the disk is smaller now");
        }
        self.inner.keep(record.durable.clone());
        self.inner.prepare(size)?;
        if self.sum(&record.durable).ok() == Some(record.sum) {
            return Ok(Some(record));
        }
        self.inner.keep(Ranges::default());
        unfit("what it says to be in the target is not there")
    }

    /// The sum of the bytes of `ranges`, read from the target.
    fn sum(&self, ranges: &Ranges) -> Result<u64, SinkError> {
        let mut buffer = Aligned::zeroed(in_memory(MIB));
        let mut sum = 0_u64;
        for (start, end) in ranges.iter() {
            let mut at = start;
            while at < end {
                let bytes = buffer.get_mut(..in_memory(end.saturating_sub(at).min(MIB))).unwrap_or_default();
                self.inner.read_exact_at(bytes, GuestOffset(at))?;
                sum = sum.wrapping_add(sum_of(bytes, at));
                // Whole units follow each other, and holes among them cost nothing.
                let next = self.inner.next_data(GuestOffset(at.saturating_add(MIB)));
                at = next.map_or(end, |next| next.0 / MIB * MIB).max(at.saturating_add(MIB));
            }
        }
        Ok(sum)
    }

    fn live(&self) -> Option<&Live> {
        self.live.get()
    }

    /// The parts of the `len` bytes at `at` that must still be written: offset and length.
    fn missing(live: &Live, at: GuestOffset, len: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let range = at.0..at.plus(len).0;
        live.kept.missing(range).map(|part| (part.start, part.end.saturating_sub(part.start)))
    }
}

impl Sink for Resumable {
    fn capacity(&self) -> Option<u64> {
        self.inner.capacity()
    }

    fn resume(&self, key: Key, scratch: Option<&Path>) {
        match self.inner.marker(scratch) {
            Some(marker) => drop(self.wish.set(Wish { key, marker })),
            None => {
                tracing::warn!(
                    "this import cannot be resumed: the journal of a block device needs a scratch directory \
                     (--scratch-dir)"
                );
            }
        }
    }

    fn kept(&self) -> Option<&Ranges> {
        self.live().map(|live| &live.kept).filter(|kept| !kept.is_empty())
    }

    fn suspend(&self) {
        if self.live().is_some_and(|live| live.keeper.close()) {
            self.settled.store(true, Relaxed);
            self.inner.leave();
        }
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        let Some(wish) = self.wish.get() else { return self.inner.prepare(size) };
        let record = self.take_up(wish, size)?;
        if record.is_none() {
            self.inner.prepare(size)?;
        }
        let tally = record.map_or_else(Tally::default, |record| Tally::after(record.durable, record.sum));
        let kept = tally.whole().clone();
        if !kept.is_empty() {
            tracing::info!("{} bytes of an earlier import are there already", kept.bytes());
            self.progress.kept.store(kept.bytes(), Relaxed);
        }
        let keeper = match Keeper::start(Arc::clone(&self.inner), &wish.marker, wish.key.clone(), tally) {
            Ok(keeper) => keeper,
            Err(error) if kept.is_empty() => {
                // The disk is what counts, and not every file system can do what a journal needs.
                tracing::warn!("this import cannot be resumed: {error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // From here on what is there is worth more than its space.
        self.progress.undo.disarm();
        self.live.get_or_init(|| Live { kept, keeper });
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        let Some(live) = self.live() else { return self.inner.write_all_at(buf, at) };
        live.keeper.check()?;
        for (start, len) in Self::missing(live, at, len_of(buf)) {
            let from = in_memory(start.saturating_sub(at.0));
            let part = buf.get(from..from.saturating_add(in_memory(len))).unwrap_or_default();
            self.inner.write_all_at(part, GuestOffset(start))?;
            if start.is_multiple_of(SECTOR as u64) {
                live.keeper.wrote(sums(part, start));
            }
        }
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        let Some(live) = self.live() else { return self.inner.zero(at, len) };
        live.keeper.check()?;
        for (start, len) in Self::missing(live, at, len) {
            self.inner.zero(GuestOffset(start), len)?;
            live.keeper.zeroed(start..start.saturating_add(len));
        }
        Ok(())
    }

    /// What was shared is not in the journal: to share it again costs nothing.
    fn share(&self, from: (&File, u64), len: u64, at: GuestOffset) -> Result<bool, SinkError> {
        match self.live() {
            Some(live) if Self::missing(live, at, len).next() != Some((at.0, len)) => Ok(false),
            _ => self.inner.share(from, len, at),
        }
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        self.inner.read_exact_at(buf, at)
    }

    fn sync(&self) -> Result<(), SinkError> {
        if let Some(live) = self.live() {
            live.keeper.check()?;
        }
        self.inner.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        let Some(live) = self.live() else { return self.inner.finish(virtual_size) };
        live.keeper.close();
        live.keeper.check()?;
        self.inner.finish(virtual_size)?;
        self.settled.store(true, Relaxed);
        live.keeper.remove()
    }

    fn next_data(&self, from: GuestOffset) -> Option<GuestOffset> {
        self.inner.next_data(from)
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.inner.revoke()
    }
}

impl Drop for Resumable {
    fn drop(&mut self) {
        let Some(live) = self.live.get().filter(|_| !self.settled.load(Relaxed)) else { return };
        live.keeper.close();
        // The import failed already; its error is the one to tell. The target goes first: without a
        // journal it would look like somebody else's.
        let _ = self.inner.revoke();
        let _ = live.keeper.remove();
    }
}
