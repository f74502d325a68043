//! The thread that makes durable what was written, and then says so in the journal.
//!
//! Refuses to know: what need not be written.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::SinkError;
use super::marker::Marker;
use super::resume::Lasting;
use super::sums::Part;
use crate::journal::{Key, Record, Tally};

/// The least time between two entries.
const PAUSE: Duration = Duration::from_millis(200);

/// An entry waits this many times as long as the one before it took: writing goes on meanwhile, but
/// not as fast.
const REST: u32 = 20;

/// The most that an entry waits for that reason: what was written since would be lost.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// The journal of one import, for as long as that runs.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    target: Arc<dyn Lasting>,
    marker: Marker,
    key: Key,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    tally: Tally,
    /// Bytes that the newest entry calls durable.
    entered: u64,
    closing: bool,
    /// Whether the target has lost what it was given.
    broken: bool,
    failure: Option<SinkError>,
}

impl Keeper {
    /// Makes a first entry where the journal does not say already what `tally` holds, and goes on by itself.
    pub(super) fn start(
        target: Arc<dyn Lasting>,
        marker: &Marker,
        key: Key,
        tally: Tally,
    ) -> Result<Self, SinkError> {
        let state =
            State { entered: tally.whole().bytes(), tally, closing: false, broken: false, failure: None };
        let shared = Arc::new(Shared {
            target,
            marker: marker.clone(),
            key,
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        if shared.state().entered == 0 {
            shared.enter(shared.record())?;
        }
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || own.keep());
        let failed =
            |cause| SinkError::failed("start a thread for the journal of", marker.path(), None, cause);
        Ok(Self { shared, thread: Mutex::new(Some(thread.map_err(failed)?)) })
    }

    /// Takes note of what was written.
    pub(super) fn wrote(&self, parts: impl Iterator<Item = Part>) {
        let parts: Vec<Part> = parts.collect();
        let mut state = self.shared.state();
        for part in parts {
            state.tally.wrote(part.at, part.len, part.sum);
        }
    }

    /// Takes note of zeros.
    pub(super) fn zeroed(&self, range: Range<u64>) {
        self.shared.state().tally.zeroed(range);
    }

    /// That nothing was lost on the way to the disk: a target says so once, and it may have been here.
    pub(super) fn check(&self) -> Result<(), SinkError> {
        self.shared.state().failure.take().map_or(Ok(()), Err)
    }

    /// Makes no more entries; whether another run could go on from those that were made.
    pub(super) fn close(&self) -> bool {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the journal's thread failed; this is a defect");
        }
        let state = self.shared.state();
        state.entered > 0 && !state.broken
    }

    /// Takes the journal away.
    pub(super) fn remove(&self) -> Result<(), SinkError> {
        self.shared.marker.remove()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes entries until the end is near, or one fails.
    fn keep(&self) {
        let mut pause = PAUSE;
        while self.wait(pause) {
            let record = self.record();
            if record.durable.bytes() == self.state().entered {
                continue;
            }
            let began = Instant::now();
            if let Err(error) = self.target.sync() {
                let mut state = self.state();
                (state.broken, state.failure) = (true, Some(error));
                return;
            }
            if let Err(error) = self.enter(record) {
                // The last entry is still true; only what comes now cannot be resumed.
                tracing::warn!("the journal ends here: {error}");
                return;
            }
            pause = began.elapsed().saturating_mul(REST).clamp(PAUSE, LONGEST_REST);
        }
    }

    /// Waits for `pause`; `false` when the end has come.
    fn wait(&self, pause: Duration) -> bool {
        let open = |state: &mut State| !state.closing;
        let waited = self.changed.wait_timeout_while(self.state(), pause, open);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// What is written as a whole at this moment.
    fn record(&self) -> Record {
        let state = self.state();
        Record { key: self.key.clone(), durable: state.tally.whole().clone(), sum: state.tally.sum() }
    }

    /// Says that what `record` holds is durable.
    fn enter(&self, record: Record) -> Result<(), SinkError> {
        self.marker.replace(&record.to_text())?;
        self.state().entered = record.durable.bytes();
        Ok(())
    }
}
