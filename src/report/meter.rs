//! How fast and how far: rate and remaining time from what passed lately.
//!
//! Refuses to know: clocks; the caller says what time it is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::progress::{Phase, Progress};

/// What counts as lately.
const WINDOW: Duration = Duration::from_secs(10);

/// A rate over less than this says nothing about the time that remains.
const SETTLED: Duration = Duration::from_secs(1);

/// The counters at one moment, in bytes; what is not known yet is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) phase: Phase,
    pub(super) fetched: u64,
    pub(super) fetch_total: Option<u64>,
    pub(super) written: u64,
    pub(super) zeroed: u64,
    pub(super) kept: u64,
    pub(super) virtual_size: Option<u64>,
    pub(super) verified: u64,
}

/// A counter that can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gauge {
    /// Bytes received.
    Fetched,
    /// Bytes of data written.
    Written,
    /// Bytes of the guest's disk whose content is settled.
    Settled,
    /// Bytes read back.
    Verified,
}

impl Snapshot {
    pub(super) fn take(progress: &Progress) -> Self {
        let known = |value: &AtomicU64| Some(value.load(Relaxed)).filter(|value| *value > 0);
        Self {
            phase: progress.phase(),
            fetched: progress.fetched.load(Relaxed),
            fetch_total: known(&progress.fetch_total),
            written: progress.written.load(Relaxed),
            zeroed: progress.zeroed.load(Relaxed),
            kept: progress.kept.load(Relaxed),
            virtual_size: known(&progress.virtual_size),
            verified: progress.verified.load(Relaxed),
        }
    }

    /// The counter that shows the way, how far it is, and where it ends.
    pub(super) fn course(&self) -> Option<(Gauge, u64, u64)> {
        let fetching = self.fetch_total.map(|total| (Gauge::Fetched, self.fetched, total));
        let settled = self.written.saturating_add(self.zeroed).saturating_add(self.kept);
        match self.phase {
            Phase::Staging => fetching,
            // After staging, or for the last bytes, everything is fetched and the disk is the way.
            Phase::Pouring => fetching
                .filter(|(_, done, total)| done < total)
                .or(self.virtual_size.map(|size| (Gauge::Settled, settled.min(size), size))),
            Phase::Verifying => self.virtual_size.map(|size| (Gauge::Verified, self.verified, size)),
            Phase::Opening | Phase::Flushing | Phase::Done => None,
        }
    }

    /// The counter whose rate is the speed that people mean.
    fn flow(&self) -> (Gauge, u64) {
        match self.phase {
            Phase::Verifying => (Gauge::Verified, self.verified),
            Phase::Pouring if self.fetch_total.is_some_and(|total| self.fetched >= total) => {
                (Gauge::Written, self.written)
            }
            Phase::Opening | Phase::Pouring | Phase::Staging => (Gauge::Fetched, self.fetched),
            Phase::Flushing | Phase::Done => (Gauge::Written, self.written),
        }
    }
}

/// What a meter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Speed {
    /// Bytes in a second.
    pub(super) rate: u64,
    /// The time that remains, where it can be told.
    pub(super) left: Option<Duration>,
}

/// Follows the counters of one import.
#[derive(Debug, Default)]
pub(super) struct Meter {
    flow: Window,
    course: Window,
}

impl Meter {
    /// The speed at the time `at`, which counts from any fixed moment.
    pub(super) fn read(&mut self, at: Duration, snapshot: &Snapshot) -> Speed {
        let (gauge, value) = snapshot.flow();
        self.flow.push(at, gauge, value);
        let rate = self.flow.rate();
        let Some((gauge, done, total)) = snapshot.course() else { return Speed { rate, left: None } };
        self.course.push(at, gauge, done);
        let left = match self.course.rate() {
            0 => None,
            _ if self.course.span() < SETTLED => None,
            pace => Some(Duration::from_secs(total.saturating_sub(done).div_ceil(pace))),
        };
        Speed { rate, left }
    }
}

/// The latest values of one counter.
#[derive(Debug, Default)]
struct Window {
    gauge: Option<Gauge>,
    points: VecDeque<(Duration, u64)>,
}

impl Window {
    fn push(&mut self, at: Duration, gauge: Gauge, value: u64) {
        let fell = self.points.back().is_some_and(|(_, last)| value < *last);
        if self.gauge != Some(gauge) || fell {
            self.points.clear();
            self.gauge = Some(gauge);
        }
        while self.points.len() > 1 && self.points.front().is_some_and(|(then, _)| at - *then > WINDOW) {
            self.points.pop_front();
        }
        self.points.push_back((at, value));
    }

    fn ends(&self) -> Option<((Duration, u64), (Duration, u64))> {
        Some((*self.points.front()?, *self.points.back()?))
    }

    fn span(&self) -> Duration {
        self.ends().map_or(Duration::ZERO, |(first, last)| last.0.saturating_sub(first.0))
    }

    /// Bytes in a second.
    fn rate(&self) -> u64 {
        let Some((first, last)) = self.ends() else { return 0 };
        let bytes = u128::from(last.1.saturating_sub(first.1));
        let rate = bytes.saturating_mul(1_000_000).checked_div(self.span().as_micros());
        rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::report) fn pouring(fetched: u64, written: u64) -> Snapshot {
        Snapshot {
            phase: Phase::Pouring,
            fetched,
            fetch_total: Some(1000),
            written,
            zeroed: 0,
            kept: 0,
            virtual_size: Some(2000),
            verified: 0,
        }
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut meter = Meter::default();
        assert_eq!(meter.read(secs(0), &pouring(0, 0)), Speed::default());
        assert_eq!(meter.read(secs(2), &pouring(200, 0)), Speed { rate: 100, left: Some(secs(8)) });
        for at in 3..=20 {
            meter.read(secs(at), &pouring(200 + at * 10, 0));
        }
        assert_eq!(meter.read(secs(21), &pouring(410, 0)), Speed { rate: 10, left: Some(secs(59)) });
    }

    #[test]
    fn a_source_that_stalls_has_no_time_that_remains() {
        let mut meter = Meter::default();
        meter.read(secs(0), &pouring(500, 0));
        assert_eq!(meter.read(secs(5), &pouring(500, 0)), Speed { rate: 0, left: None });
    }

    #[test]
    fn when_all_is_fetched_the_disk_shows_the_way() {
        let mut meter = Meter::default();
        meter.read(secs(0), &pouring(900, 100));
        assert_eq!(meter.read(secs(2), &pouring(1000, 400)), Speed { rate: 0, left: None });
        assert_eq!(meter.read(secs(4), &pouring(1000, 1200)), Speed { rate: 400, left: Some(secs(2)) });
    }

    #[test]
    fn a_new_phase_starts_a_new_rate() {
        let mut meter = Meter::default();
        meter.read(secs(0), &pouring(0, 0));
        meter.read(secs(2), &pouring(900, 100));
        let reading = |verified| Snapshot { phase: Phase::Verifying, verified, ..pouring(1000, 2000) };
        assert_eq!(meter.read(secs(3), &reading(0)), Speed::default());
        assert_eq!(meter.read(secs(5), &reading(1000)), Speed { rate: 500, left: Some(secs(2)) });
    }

    #[test]
    fn without_totals_there_is_a_rate_and_no_end() {
        let mut meter = Meter::default();
        let blind = |fetched| Snapshot { fetch_total: None, virtual_size: None, ..pouring(fetched, 0) };
        meter.read(secs(0), &blind(0));
        assert_eq!(meter.read(secs(2), &blind(300)), Speed { rate: 150, left: None });
    }
}
