//! What the loops tell the reporters, and what the user tells the loops: atomics, and the one
//! step that a signal must not forget.
//!
//! Refuses to know: terminals, clocks, formats.

mod undo;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Kind};

pub use undo::Undo;

/// What an import does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The source is being opened and its head looked at.
    Opening,
    /// Bytes flow into the target.
    Pouring,
    /// The whole image flows into scratch.
    Staging,
    /// The target is made durable.
    Flushing,
    /// The target is read back.
    Verifying,
    /// The target is complete and durable.
    Done,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Opening, Self::Pouring, Self::Staging, Self::Flushing, Self::Verifying, Self::Done];

    /// The word that users read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Pouring => "pouring",
            Self::Staging => "staging",
            Self::Flushing => "flushing",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

/// Counters of one import; all in bytes unless named otherwise.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    /// Bytes received from the source.
    pub fetched: AtomicU64,
    /// Bytes that the source will send in all; 0 while unknown.
    pub fetch_total: AtomicU64,
    /// Bytes of data written to the target.
    pub written: AtomicU64,
    /// Bytes of the guest's disk known to be zero without a write of data.
    pub zeroed: AtomicU64,
    /// Bytes of the guest's disk that an earlier import left there.
    pub kept: AtomicU64,
    /// The size of the guest's disk; 0 while unknown.
    pub virtual_size: AtomicU64,
    /// Bytes read back so far by a verification.
    pub verified: AtomicU64,
    /// The most bytes that were held in memory at a time for want of a place.
    pub held_peak: AtomicU64,
    /// Bytes written to scratch.
    pub scratch: AtomicU64,
    /// Requests sent to the source.
    pub requests: AtomicU64,
    /// Requests that were tries again.
    pub retries: AtomicU64,
    /// What a signal that ends the program at once must still do: remove a file that we created.
    pub undo: Undo,
}

impl Progress {
    /// Enters `phase`.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Counts from nothing again, for another try of the same run.
    pub fn restart(&self) {
        let counters = [
            &self.fetched,
            &self.fetch_total,
            &self.written,
            &self.zeroed,
            &self.kept,
            &self.virtual_size,
            &self.verified,
            &self.held_peak,
            &self.scratch,
            &self.requests,
            &self.retries,
        ];
        for counter in counters {
            counter.store(0, Relaxed);
        }
        self.enter(Phase::Opening);
    }

    /// The present phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Relaxed))).copied().unwrap_or(Phase::Opening)
    }
}

/// The user's wish to end the run; every loop and every waiting reader looks at it.
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

impl Stop {
    const RUNNING: u8 = 0;
    const INTERRUPTED: u8 = 1;
    const TERMINATED: u8 = 2;
    const FAILED: u8 = 3;

    /// Asks for the end of the run as `kind`: a signal, or the failure of another part.
    pub fn ask(&self, kind: Kind) {
        let wish = match kind {
            Kind::Interrupted => Self::INTERRUPTED,
            Kind::Terminated => Self::TERMINATED,
            _ => Self::FAILED,
        };
        // The first wish stays: a signal that follows a failure does not hide it.
        let _ = self.0.compare_exchange(Self::RUNNING, wish, Relaxed, Relaxed);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn asked(&self) -> bool {
        self.0.load(Relaxed) != Self::RUNNING
    }

    /// Ends the caller when the end was asked for.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] or [`Kind::Terminated`] after a signal, [`Kind::Other`] after the
    /// failure of another part.
    pub fn check(&self) -> Result<(), Error> {
        match self.0.load(Relaxed) {
            Self::RUNNING => Ok(()),
            Self::INTERRUPTED => Err(Error::new(Kind::Interrupted, "stopped by SIGINT")),
            Self::TERMINATED => Err(Error::new(Kind::Terminated, "stopped by SIGTERM")),
            _ => Err(Error::new(Kind::Other, "stopped because another part failed")),
        }
    }
}
