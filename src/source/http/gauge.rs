//! Whether a server that gets slower is better asked for one range at a time.
//!
//! Refuses to know: clocks, and why a server is slow. One lane is tried, and kept where it is about as
//! fast as all of them were: a server that only shares its line fairly gets all of them back.

use std::time::Duration;

/// Time between two looks at the pace, for which lanes were under way.
const WINDOW: Duration = Duration::from_secs(2);

/// A pace of less than one part in so many of the best before is slow.
const SLOW: u64 = 4;

/// Fewer bytes than this tell more of the way than of the server.
const LEAST: u64 = 1 << 20;

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    Stay,
    /// One lane from now on.
    Narrow,
    /// All lanes again.
    Widen,
}

/// The pace of a server, and what was tried.
#[derive(Debug)]
pub(super) struct Gauge {
    all: u32,
    phase: Phase,
    answers: u32,
    bytes: u64,
    busy: Duration,
}

#[derive(Debug)]
enum Phase {
    /// All lanes; their best pace so far, in bytes per second.
    Wide { best: u64 },
    /// One lane is tried; the pace of all before it.
    Trial { before: u64 },
    /// Nothing more is tried.
    Settled,
}

impl Gauge {
    /// For a server that is asked for as many as `all` ranges at a time.
    pub(super) fn new(all: u32) -> Self {
        let phase = if all > 1 { Phase::Wide { best: 0 } } else { Phase::Settled };
        Self { all, phase, answers: 0, bytes: 0, busy: Duration::ZERO }
    }

    /// Tries nothing from now on.
    pub(super) fn settle(&mut self) {
        self.phase = Phase::Settled;
    }

    /// Takes note of an answer of `bytes` that took so long in one of `lanes` lanes.
    pub(super) fn answered(&mut self, lanes: u32, bytes: u64, took: Duration) -> Advice {
        let present = match self.phase {
            Phase::Wide { .. } => self.all,
            Phase::Trial { .. } => 1,
            Phase::Settled => return Advice::Stay,
        };
        // What was asked for before a change says nothing of what came of it.
        if lanes != present || bytes < LEAST {
            return Advice::Stay;
        }
        self.answers = self.answers.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.busy = self.busy.saturating_add(took);
        if self.answers < lanes || self.busy < WINDOW.saturating_mul(lanes) {
            return Advice::Stay;
        }
        let pace = pace(self.bytes, self.busy, lanes);
        (self.answers, self.bytes, self.busy) = (0, 0, Duration::ZERO);
        self.judge(pace)
    }

    fn judge(&mut self, pace: u64) -> Advice {
        let (phase, advice) = match self.phase {
            Phase::Wide { best } if pace < best / SLOW => (Phase::Trial { before: pace }, Advice::Narrow),
            Phase::Wide { best } => (Phase::Wide { best: best.max(pace) }, Advice::Stay),
            Phase::Trial { before } if pace < before / 4 * 3 => (Phase::Wide { best: before }, Advice::Widen),
            Phase::Trial { .. } | Phase::Settled => (Phase::Settled, Advice::Stay),
        };
        self.phase = phase;
        advice
    }
}

/// Bytes per second of all lanes together.
fn pace(bytes: u64, busy: Duration, lanes: u32) -> u64 {
    let micros = (busy.as_micros() / u128::from(lanes.max(1))).max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// What is advised in the time of a window, where each of `lanes` lanes gets `mib` MiB a second.
    fn window(gauge: &mut Gauge, lanes: u32, mib: u64) -> Vec<Advice> {
        let answers = (0..2 * lanes).map(|_| gauge.answered(lanes, mib * MIB, Duration::from_secs(1)));
        answers.filter(|advice| *advice != Advice::Stay).collect()
    }

    #[test]
    fn a_server_that_keeps_its_pace_keeps_its_lanes() {
        let mut gauge = Gauge::new(4);
        for mib in [100, 80, 120, 30, 31] {
            assert_eq!(window(&mut gauge, 4, mib), []);
        }
    }

    #[test]
    fn one_lane_that_is_as_fast_as_all_were_is_kept() {
        let mut gauge = Gauge::new(4);
        assert_eq!(window(&mut gauge, 4, 100), []);
        assert_eq!(window(&mut gauge, 4, 20), [Advice::Narrow]);
        // Those that were under way come to nothing.
        assert_eq!(window(&mut gauge, 4, 1), []);
        assert_eq!(window(&mut gauge, 1, 60), []);
        assert_eq!(window(&mut gauge, 1, 1), [], "it was decided");
    }

    #[test]
    fn where_one_lane_is_slower_all_come_back_until_it_gets_slower_still() {
        let mut gauge = Gauge::new(4);
        assert_eq!(window(&mut gauge, 4, 100), []);
        assert_eq!(window(&mut gauge, 4, 20), [Advice::Narrow]);
        assert_eq!(window(&mut gauge, 1, 59), [Advice::Widen]);
        assert_eq!(window(&mut gauge, 4, 20), []);
        assert_eq!(window(&mut gauge, 4, 5), []);
        assert_eq!(window(&mut gauge, 4, 4), [Advice::Narrow]);
    }

    #[test]
    fn small_answers_a_single_lane_and_a_busy_server_say_nothing() {
        let mut gauge = Gauge::new(2);
        for took in [1, 1000] {
            assert_eq!(gauge.answered(2, MIB - 1, Duration::from_secs(took)), Advice::Stay);
        }
        assert_eq!(window(&mut gauge, 2, 100), []);
        gauge.settle();
        for mut gauge in [gauge, Gauge::new(1)] {
            assert_eq!(window(&mut gauge, 2, 1), []);
            assert_eq!(window(&mut gauge, 1, 1), []);
        }
    }
}
