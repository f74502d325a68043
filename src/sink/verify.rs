//! Keeps sums of what was written and compares them with what the target gives back.
//!
//! Refuses to know: where the bytes came from; which of the two sides is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use super::sums::{SECTOR, sum_of, sums};
use super::{MIB, Sink, SinkError, in_memory};
use crate::error::Error;
use crate::format::addr::GuestOffset;
use crate::io::Aligned;
use crate::journal::Key;
use crate::progress::{Progress, Stop};

/// A sink that can prove that the target holds what was written.
///
/// It stands outermost. Each guest byte may be written once only, and writes begin at multiples
/// of 512. A write may end elsewhere only at the end of the disk: its last sector counts as if
/// zeros followed, and so the caller must see to it that they do.
pub struct Verifier {
    inner: Box<dyn Sink>,
    /// For each MiB that has data the sum of its sectors, in any order; zero sectors count nothing.
    sums: Mutex<BTreeMap<u64, u64>>,
}

impl Verifier {
    /// The same target as `inner`, watched.
    #[must_use]
    pub fn new(inner: Box<dyn Sink>) -> Self {
        Self { inner, sums: Mutex::default() }
    }

    /// Reads the finished target back and compares its first `size` bytes; holes cost no time.
    ///
    /// Whatever ends this but success, revokes the target. Counts holes as verified, too.
    ///
    /// # Errors
    /// [`Kind::Integrity`](crate::error::Kind::Integrity) for the first MiB that differs; the
    /// wish to stop; whatever reading fails with.
    pub fn verify(&self, size: u64, progress: &Progress, stop: &Stop) -> Result<(), Error> {
        let result = self.compare(size, progress, stop);
        if result.is_err() {
            // The first error is the one to tell.
            let _ = self.inner.revoke();
        }
        result
    }

    fn compare(&self, size: u64, progress: &Progress, stop: &Stop) -> Result<(), Error> {
        let sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = Aligned::zeroed(in_memory(MIB));
        let mut done = 0;
        while done < size {
            stop.check()?;
            let at = self.next_to_read(&sums, done).min(size);
            let end = size.min(at.saturating_add(MIB));
            let bytes = buffer.get_mut(..in_memory(end.saturating_sub(at))).unwrap_or_default();
            self.inner.read_exact_at(bytes, GuestOffset(at))?;
            if sum_of(bytes, at) != sums.get(&(at / MIB)).copied().unwrap_or_default() {
                return Err(SinkError::Differs { at }.into());
            }
            progress.verified.fetch_add(end.saturating_sub(done), Relaxed);
            done = end;
        }
        Ok(())
    }

    /// The first MiB from `from` on in which the target or the sums have data.
    fn next_to_read(&self, sums: &BTreeMap<u64, u64>, from: u64) -> u64 {
        let with_sum = sums.range(from / MIB..).next().map_or(u64::MAX, |(mib, _)| mib.saturating_mul(MIB));
        if with_sum <= from {
            return from;
        }
        let with_data = self.inner.next_data(GuestOffset(from)).map_or(u64::MAX, |at| at.0 / MIB * MIB);
        with_sum.min(with_data).max(from)
    }

    fn add(&self, buf: &[u8], at: u64) {
        for part in sums(buf, at).filter(|part| part.sum != 0) {
            let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = sums.entry(part.at / MIB).or_default();
            *entry = entry.wrapping_add(part.sum);
        }
    }
}

impl Sink for Verifier {
    fn capacity(&self) -> Option<u64> {
        self.inner.capacity()
    }

    /// [`Sink::kept`] stays nothing: only what passes by again can be compared.
    fn resume(&self, key: Key, scratch: Option<&Path>) {
        self.inner.resume(key, scratch);
    }

    fn suspend(&self) {
        self.inner.suspend();
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        self.inner.prepare(size)
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        if !at.0.is_multiple_of(SECTOR as u64) {
            return Err(SinkError::Misused("a write that is to be verified begins within a sector"));
        }
        self.inner.write_all_at(buf, at)?;
        self.add(buf, at.0);
        Ok(())
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.inner.zero(at, len)
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        self.inner.read_exact_at(buf, at)
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.inner.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        self.inner.finish(virtual_size)
    }

    fn next_data(&self, from: GuestOffset) -> Option<GuestOffset> {
        self.inner.next_data(from)
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.inner.revoke()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Call, Recorder};
    use super::*;
    use crate::error::Kind;

    const SIZE: u64 = 3 * MIB + 512;

    /// Data around a border, a hole, an unaligned end.
    fn poured() -> (Verifier, Recorder) {
        let recorder = Recorder::new(None);
        let sink = Verifier::new(Box::new(recorder.clone()));
        let bytes: Vec<u8> = (0..=250).cycle().take(10_240).collect();
        sink.write_all_at(&bytes[5120..], GuestOffset(MIB)).unwrap();
        sink.write_all_at(&bytes[..5120], GuestOffset(MIB - 5120)).unwrap();
        sink.write_all_at(&[0; 4096], GuestOffset(2 * MIB)).unwrap();
        sink.write_all_at(&[9; 100], GuestOffset(SIZE - 512)).unwrap();
        (sink, recorder)
    }

    #[test]
    fn what_was_written_in_any_order_is_found_again() {
        let (sink, recorder) = poured();
        let progress = Progress::default();
        sink.verify(SIZE, &progress, &Stop::default()).unwrap();
        assert_eq!(progress.verified.load(Relaxed), SIZE);
        assert!(!recorder.calls().contains(&Call::Revoke));
        assert_eq!(sink.sums.lock().unwrap().len(), 3, "only where there is data");
    }

    #[test]
    fn one_byte_that_changed_is_found_wherever_it_is_and_revokes_the_target() {
        for at in [0, MIB - 5120, MIB - 1, MIB, 2 * MIB - 1, 2 * MIB, 3 * MIB + 99, 3 * MIB + 100, SIZE - 1] {
            let (sink, recorder) = poured();
            recorder.flip(usize::try_from(at).unwrap());
            let error = sink.verify(SIZE, &Progress::default(), &Stop::default()).unwrap_err();
            assert_eq!(error.kind(), Kind::Integrity);
            let mib = format!("MiB at byte {}", at / MIB * MIB);
            assert!(error.to_string().ends_with(&mib), "{at}: {error}");
            assert_eq!(recorder.calls().last(), Some(&Call::Revoke));
        }
    }

    #[test]
    fn a_sector_in_the_wrong_place_has_another_sum() {
        assert_ne!(sum_of(&[7; 512], 0), sum_of(&[7; 512], 512));
        assert_eq!(sum_of(&[0; 5000], 512), 0);
        let mut padded = [0; 512];
        padded[..100].fill(9);
        assert_eq!(sum_of(&[9; 100], 1024), sum_of(&padded, 1024));
    }

    #[test]
    fn a_stop_ends_it_and_a_write_within_a_sector_is_refused() {
        let (sink, recorder) = poured();
        let stop = Stop::default();
        stop.ask(Kind::Interrupted);
        let error = sink.verify(SIZE, &Progress::default(), &stop).unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        assert_eq!(recorder.calls().last(), Some(&Call::Revoke));
        assert!(sink.write_all_at(&[1; 512], GuestOffset(100)).is_err());
    }
}
