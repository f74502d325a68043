//! Keeps the dirty pages that buffered writes leave behind few: a pod's memory counts them.
//!
//! Refuses to know: what was written.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use crate::sys::cache;

/// Bytes written between two flushes; at most three times as much is dirty or under way.
const STEP: u64 = 8 << 20;

/// What was written through the page cache and not yet driven out of it.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    trail: Mutex<Trail>,
    unsupported: AtomicBool,
}

#[derive(Debug, Default)]
struct Trail {
    bytes: u64,
    fresh: Option<Range<u64>>,
    leaving: Option<Range<u64>>,
}

impl Behind {
    /// Takes note of `len` bytes written to `file` at `at`; now and then that flushes.
    pub(crate) fn wrote(&self, file: &File, at: u64, len: u64) -> io::Result<()> {
        // Writers wait for the lock while one of them waits for the disk: that is the brake.
        let mut trail = self.trail.lock().unwrap_or_else(PoisonError::into_inner);
        trail.add(at, len);
        if trail.bytes < STEP || self.unsupported.load(Relaxed) {
            return Ok(());
        }
        match trail.push_out(file) {
            Err(error) if means_unsupported(&error) => {
                self.unsupported.store(true, Relaxed);
                Ok(())
            }
            other => other,
        }
    }
}

impl Trail {
    fn add(&mut self, at: u64, len: u64) {
        let end = at.saturating_add(len);
        self.bytes = self.bytes.saturating_add(len);
        self.fresh = Some(match self.fresh.take() {
            Some(range) => range.start.min(at)..range.end.max(end),
            None => at..end,
        });
    }

    /// Starts the writing of what is fresh, waits for what was started before and forgets that.
    fn push_out(&mut self, file: &File) -> io::Result<()> {
        self.bytes = 0;
        let Some(fresh) = self.fresh.take() else { return Ok(()) };
        cache::start_writing(file, &fresh)?;
        if let Some(range) = self.leaving.replace(fresh) {
            cache::await_written(file, &range)?;
            drop_pages(file, &range);
        }
        Ok(())
    }
}

/// Lets go of the clean pages of `range`; advice only, so that nothing can fail.
pub(super) fn drop_pages(file: &File, range: &Range<u64>) {
    let len = NonZeroU64::new(range.end.saturating_sub(range.start));
    let _ = fadvise(file, range.start, len, Advice::DontNeed);
}

fn means_unsupported(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSYS | Errno::SPIPE | Errno::INVAL | Errno::OPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_eight_mebibytes_the_trail_is_pushed_out() {
        let file = tempfile::tempfile().unwrap();
        let behind = Behind::default();
        for step in 0..40 {
            let at = step << 20;
            std::os::unix::fs::FileExt::write_all_at(&file, &vec![7; 1 << 20], at).unwrap();
            behind.wrote(&file, at, 1 << 20).unwrap();
        }
        let trail = behind.trail.lock().unwrap();
        assert_eq!(trail.leaving, Some(32 << 20..40 << 20));
        assert_eq!((trail.fresh.clone(), trail.bytes), (None, 0));
    }

    #[test]
    fn what_cannot_be_flushed_is_left_alone() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        let behind = Behind::default();
        behind.wrote(&file, 0, STEP).unwrap();
        assert!(behind.unsupported.load(Relaxed));
    }
}
