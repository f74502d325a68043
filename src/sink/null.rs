//! A target that keeps nothing: for who asks whether an image is good, for measurements and tests.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::{Sink, SinkError, len_of};
use crate::format::addr::GuestOffset;
use crate::progress::Progress;

/// Counts what it is given and forgets it.
#[derive(Debug, Default)]
pub struct NullSink {
    progress: Arc<Progress>,
}

impl NullSink {
    /// A sink that counts into `progress`.
    #[must_use]
    pub fn new(progress: Arc<Progress>) -> Self {
        Self { progress }
    }
}

impl Sink for NullSink {
    fn capacity(&self) -> Option<u64> {
        None
    }

    fn prepare(&self, _size: Option<u64>) -> Result<(), SinkError> {
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], _at: GuestOffset) -> Result<(), SinkError> {
        self.progress.written.fetch_add(len_of(buf), Relaxed);
        Ok(())
    }

    fn zero(&self, _at: GuestOffset, len: u64) -> Result<(), SinkError> {
        self.progress.zeroed.fetch_add(len, Relaxed);
        Ok(())
    }

    fn read_exact_at(&self, _buf: &mut [u8], _at: GuestOffset) -> Result<(), SinkError> {
        let why = "keeps nothing that could be read back, which this needs; name a file";
        Err(SinkError::Unfit { path: "/dev/null".into(), why })
    }

    fn sync(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&self, _virtual_size: u64) -> Result<(), SinkError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_counted_and_nothing_kept() {
        let progress = Arc::new(Progress::default());
        let sink = NullSink::new(Arc::clone(&progress));
        sink.write_all_at(&[7; 100], GuestOffset(0)).unwrap();
        sink.zero(GuestOffset(100), 1 << 40).unwrap();
        assert!(sink.read_exact_at(&mut [1; 100], GuestOffset(0)).is_err());
        assert_eq!(progress.written.load(Relaxed), 100);
        assert_eq!(progress.zeroed.load(Relaxed), 1 << 40);
    }
}
