//! How far a run is, as one number that never goes back.
//!
//! Refuses to know: who asks.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::meter::Snapshot;
use crate::progress::{Phase, Progress};

/// All of it, in tenths of a percent.
const WHOLE: u32 = 1000;

/// Tenths of a percent, the most that was seen so far.
#[derive(Debug, Default)]
pub struct Percent(AtomicU32);

impl Percent {
    /// What is done of what `progress` counts, in tenths of a percent; 1000 only when all is done.
    pub fn of(&self, progress: &Progress) -> u32 {
        self.at_least(tenths(&Snapshot::take(progress)))
    }

    /// As [`Percent::of`] for a run that knows itself that it has `done` so many bytes of `total`.
    pub fn share(&self, done: u64, total: u64) -> u32 {
        self.at_least(share(done, total))
    }

    fn at_least(&self, now: u32) -> u32 {
        self.0.fetch_max(now, Relaxed).max(now)
    }
}

fn tenths(snapshot: &Snapshot) -> u32 {
    match snapshot.course() {
        _ if snapshot.phase == Phase::Done => WHOLE,
        // Until then something may still fail.
        Some((_, done, total)) => share(done, total).min(WHOLE - 1),
        None => 0,
    }
}

fn share(done: u64, total: u64) -> u32 {
    let part = u128::from(done).saturating_mul(WHOLE.into()).checked_div(total.into()).unwrap_or(0);
    u32::try_from(part).unwrap_or(WHOLE).min(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::super::meter::tests::pouring;
    use super::*;

    #[test]
    fn the_whole_is_said_only_of_what_is_done() {
        let at = |phase, fetched| tenths(&Snapshot { phase, ..pouring(fetched, 0) });
        assert_eq!(at(Phase::Opening, 500), 0);
        assert_eq!(at(Phase::Pouring, 123), 123);
        assert_eq!(at(Phase::Staging, 1000), 999);
        assert_eq!(at(Phase::Done, 0), 1000);
        assert_eq!((share(1, 0), share(u64::MAX, u64::MAX), share(3, 2)), (0, 1000, 1000));
    }

    #[test]
    fn it_never_goes_back() {
        let percent = Percent::default();
        assert_eq!([percent.share(1, 2), percent.share(1, 4), percent.share(3, 4)], [500, 500, 750]);
    }
}
