//! Writes the first MiB of the guest's disk last, so that a half-poured target never boots.
//!
//! Refuses to know: what the first MiB means, and what kind of target is behind.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{MIB, Sink, SinkError, fits, in_memory, len_of};
use crate::format::addr::GuestOffset;
use crate::io::{Aligned, Piece, pieces};
use crate::journal::{Key, Ranges};

/// What firmware looks at first to tell whether a disk can be booted: the boot sector, without which it
/// takes no other partition table either. A page: who is killed has written all of it, or nothing.
const BOOT: u64 = 4096;

/// A sink whose first MiB stays in memory until `finish`.
pub struct FirstMibLast {
    inner: Box<dyn Sink>,
    /// The first MiB; `None` once it is in its place.
    kept: Mutex<Option<Aligned>>,
}

impl FirstMibLast {
    /// The same target as `inner`, its first MiB kept back.
    #[must_use]
    pub fn new(inner: Box<dyn Sink>) -> Self {
        Self { inner, kept: Mutex::new(Some(Aligned::zeroed(in_memory(MIB)))) }
    }

    fn kept(&self) -> MutexGuard<'_, Option<Aligned>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the `len` kept bytes at `at` to `work`; `None` when they are kept no more.
    fn with_kept<T>(&self, at: u64, len: usize, work: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        let mut kept = self.kept();
        let from = in_memory(at);
        kept.as_mut()?.get_mut(from..from.saturating_add(len)).map(work)
    }

    /// Puts kept bytes into their place.
    fn place(&self, bytes: &[u8], at: u64) -> Result<(), SinkError> {
        for piece in pieces(bytes) {
            let at = |start: usize| GuestOffset(at.saturating_add(start as u64));
            match piece {
                Piece::Data(range) => {
                    let here = at(range.start);
                    self.inner.write_all_at(bytes.get(range).unwrap_or_default(), here)?;
                }
                Piece::Zero(range) => self.inner.zero(at(range.start), range.len() as u64)?,
            }
        }
        Ok(())
    }
}

/// How many of `len` bytes at `at` lie in the first MiB.
fn within(at: GuestOffset, len: u64) -> u64 {
    MIB.saturating_sub(at.0).min(len)
}

impl Sink for FirstMibLast {
    fn capacity(&self) -> Option<u64> {
        self.inner.capacity()
    }

    fn resume(&self, key: Key, scratch: Option<&Path>) {
        self.inner.resume(key, scratch);
    }

    fn kept(&self) -> Option<&Ranges> {
        self.inner.kept()
    }

    fn suspend(&self) {
        self.inner.suspend();
    }

    fn prepare(&self, size: Option<u64>) -> Result<(), SinkError> {
        fits(size.unwrap_or(0), self.capacity())?;
        self.inner.prepare(size)
    }

    fn write_all_at(&self, buf: &[u8], at: GuestOffset) -> Result<(), SinkError> {
        fits(at.plus(len_of(buf)).0, self.capacity())?;
        let (head, rest) = buf.split_at(in_memory(within(at, len_of(buf))));
        if !head.is_empty() && self.with_kept(at.0, head.len(), |kept| kept.copy_from_slice(head)).is_none() {
            return Err(SinkError::Misused("a write after finish"));
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.inner.write_all_at(rest, at.plus(len_of(head)))
    }

    fn zero(&self, at: GuestOffset, len: u64) -> Result<(), SinkError> {
        fits(at.plus(len).0, self.capacity())?;
        let head = within(at, len);
        if head > 0 && self.with_kept(at.0, in_memory(head), |kept| kept.fill(0)).is_none() {
            return Err(SinkError::Misused("a write after finish"));
        }
        if head == len {
            return Ok(());
        }
        self.inner.zero(at.plus(head), len.saturating_sub(head))
    }

    fn share(&self, from: (&File, u64), len: u64, at: GuestOffset) -> Result<bool, SinkError> {
        if at.0 < MIB { Ok(false) } else { self.inner.share(from, len, at) }
    }

    fn read_exact_at(&self, buf: &mut [u8], at: GuestOffset) -> Result<(), SinkError> {
        let head = in_memory(within(at, len_of(buf)));
        let (first, rest) = buf.split_at_mut(head);
        if head == 0 || self.with_kept(at.0, head, |kept| first.copy_from_slice(kept)).is_none() {
            return self.inner.read_exact_at(buf, at);
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.inner.read_exact_at(rest, GuestOffset(MIB))
    }

    fn sync(&self) -> Result<(), SinkError> {
        self.inner.sync()
    }

    fn finish(&self, virtual_size: u64) -> Result<(), SinkError> {
        fits(virtual_size, self.capacity())?;
        self.inner.sync()?;
        let mut kept = self.kept();
        let bytes = kept.as_deref().ok_or(SinkError::Misused("a second finish"))?;
        let (boot, rest) = bytes.split_at(in_memory(virtual_size.min(BOOT)));
        let rest = rest.get(..in_memory(virtual_size.min(MIB).saturating_sub(BOOT))).unwrap_or_default();
        // Who is killed between two writes leaves nothing that boots.
        self.place(rest, BOOT)?;
        self.place(boot, 0)?;
        self.inner.finish(virtual_size)?;
        *kept = None;
        Ok(())
    }

    fn next_data(&self, from: GuestOffset) -> Option<GuestOffset> {
        if from.0 < MIB && self.kept().is_some() { Some(from) } else { self.inner.next_data(from) }
    }

    fn revoke(&self) -> Result<(), SinkError> {
        self.inner.revoke()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Call, Recorder};
    use super::*;

    fn first(capacity: Option<u64>) -> (FirstMibLast, Recorder) {
        let recorder = Recorder::new(capacity);
        (FirstMibLast::new(Box::new(recorder.clone())), recorder)
    }

    #[test]
    fn the_first_mebibyte_is_written_after_everything_else_is_durable() {
        let (sink, recorder) = first(None);
        sink.prepare(Some(3 << 20)).unwrap();
        sink.write_all_at(&[1; 4096], GuestOffset(0)).unwrap();
        sink.write_all_at(&[2; 4096], GuestOffset(2 << 20)).unwrap();
        sink.zero(GuestOffset(MIB), MIB).unwrap();
        sink.finish(3 << 20).unwrap();
        let zeros = MIB - 4096;
        assert_eq!(
            recorder.calls(),
            [
                Call::Prepare(Some(3 << 20)),
                Call::Write(2 << 20, 4096),
                Call::Zero(MIB, MIB),
                Call::Sync,
                Call::Zero(4096, zeros),
                Call::Write(0, 4096),
                Call::Finish(3 << 20),
            ]
        );
    }

    #[test]
    fn what_makes_a_disk_bootable_comes_last_even_of_the_first_mebibyte() {
        let (sink, recorder) = first(None);
        sink.write_all_at(&[1; 3 << 20], GuestOffset(0)).unwrap();
        sink.finish(3 << 20).unwrap();
        let rest = in_memory(MIB) - 4096;
        let calls = recorder.calls();
        assert_eq!(
            calls[1..],
            [Call::Sync, Call::Write(4096, rest), Call::Write(0, 4096), Call::Finish(3 << 20),]
        );
    }

    #[test]
    fn what_straddles_the_border_is_split_and_reads_back_whole() {
        let (sink, recorder) = first(None);
        let bytes: Vec<u8> = (0..=255).cycle().take(8192).collect();
        let at = GuestOffset(MIB - 1000);
        sink.write_all_at(&bytes, at).unwrap();
        assert_eq!(recorder.calls(), [Call::Write(MIB, 7192)]);
        let mut back = vec![0; 8192];
        sink.read_exact_at(&mut back, at).unwrap();
        assert!(back == bytes);
        sink.zero(GuestOffset(MIB - 500), 1000).unwrap();
        assert_eq!(recorder.calls().last(), Some(&Call::Zero(MIB, 500)));
        sink.read_exact_at(&mut back, at).unwrap();
        assert!(back[..500] == bytes[..500] && back[500..1500] == [0; 1000] && back[1500..] == bytes[1500..]);
    }

    #[test]
    fn a_disk_below_a_mebibyte_is_written_up_to_its_size_only() {
        let (sink, recorder) = first(Some(1024));
        sink.write_all_at(&[1; 1024], GuestOffset(0)).unwrap();
        sink.finish(1024).unwrap();
        assert_eq!(recorder.calls(), [Call::Sync, Call::Write(0, 1024), Call::Finish(1024)]);
        let mut back = [0; 1024];
        sink.read_exact_at(&mut back, GuestOffset(0)).unwrap();
        assert_eq!(back, [1; 1024], "read from the target after finish");
    }

    #[test]
    fn what_does_not_fit_is_refused_before_the_target_hears_of_it() {
        let (sink, recorder) = first(Some(4096));
        let refused = [
            sink.prepare(Some(4097)),
            sink.write_all_at(&[1; 2], GuestOffset(4095)),
            sink.zero(GuestOffset(0), 4097),
            sink.zero(GuestOffset(u64::MAX), u64::MAX),
            sink.finish(4097),
        ];
        for result in refused {
            assert!(matches!(result, Err(SinkError::TooSmall { capacity: 4096, .. })), "{result:?}");
        }
        assert_eq!(recorder.calls(), []);
    }

    #[test]
    fn a_write_after_finish_is_an_error() {
        let (sink, _recorder) = first(None);
        sink.finish(0).unwrap();
        assert!(sink.write_all_at(&[1], GuestOffset(0)).is_err());
        assert!(sink.zero(GuestOffset(0), 1).is_err());
        assert!(sink.finish(0).is_err());
    }
}
