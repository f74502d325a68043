//! The one way to standard error while a bar may be drawn there.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

/// Writes to standard error; a bar that is drawn there steps aside.
#[derive(Clone, Debug, Default)]
pub struct Pen(Arc<Mutex<Option<ProgressBar>>>);

impl Pen {
    /// Makes `bar` the one that steps aside.
    pub(super) fn show(&self, bar: ProgressBar) {
        *self.bar() = Some(bar);
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().lock().write_all(bytes);
        match &*self.bar() {
            Some(bar) => bar.suspend(write)?,
            None => write()?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
