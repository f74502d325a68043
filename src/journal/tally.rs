//! Which units of a disk are written as a whole, told write by write.
//!
//! Refuses to know: whether what was written is durable.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Ranges;

/// Bytes of a unit: what a journal counts in. The first is never counted, because it is written last.
pub const UNIT: u64 = 1 << 20;

/// Parts and ranges that are remembered: whatever an image does, memory and journal stay small.
const MOST: usize = 1 << 18;

/// What was written so far; every byte is told once.
#[derive(Debug, Default)]
pub struct Tally {
    whole: Ranges,
    sum: u64,
    parts: BTreeMap<u64, Part>,
}

/// What is written of a unit that is not whole yet.
#[derive(Debug, Default)]
struct Part {
    bytes: u64,
    sum: u64,
}

impl Tally {
    /// Where `kept`, whole units of the sum `sum`, are there already.
    #[must_use]
    pub fn after(kept: Ranges, sum: u64) -> Self {
        Self { whole: kept, sum, parts: BTreeMap::new() }
    }

    /// The units that are whole.
    #[must_use]
    pub fn whole(&self) -> &Ranges {
        &self.whole
    }

    /// The sum of the units that are whole.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Takes note of `len` bytes at `at` with the sum `sum`, all in one unit; what there is no memory
    /// for counts as not written.
    pub fn wrote(&mut self, at: u64, len: u64, sum: u64) {
        if len == 0 || at < UNIT {
            return;
        }
        let unit = at.saturating_sub(at % UNIT);
        let full = self.parts.len() >= MOST || self.whole.count() >= MOST;
        let part = match self.parts.get_mut(&unit) {
            Some(part) => part,
            None if full => return,
            None => self.parts.entry(unit).or_default(),
        };
        part.bytes = part.bytes.saturating_add(len);
        part.sum = part.sum.wrapping_add(sum);
        if part.bytes >= UNIT {
            self.sum = self.sum.wrapping_add(part.sum);
            self.parts.remove(&unit);
            self.whole.insert(unit..unit.saturating_add(UNIT));
        }
    }

    /// Takes note of the zeros of `range`, whose sum is 0.
    pub fn zeroed(&mut self, range: Range<u64>) {
        let start = range.start.max(UNIT);
        let first = start.checked_next_multiple_of(UNIT).unwrap_or(u64::MAX);
        let last = range.end.saturating_sub(range.end % UNIT);
        if first > last {
            self.wrote(start, range.end.saturating_sub(start), 0);
            return;
        }
        self.wrote(start, first.saturating_sub(start), 0);
        self.wrote(last, range.end.saturating_sub(last), 0);
        if self.whole.count() < MOST {
            self.whole.insert(first..last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(zeroed: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut tally = Tally::default();
        for (start, end) in zeroed {
            tally.zeroed(*start..*end);
        }
        assert_eq!(tally.sum(), 0);
        tally.whole().clone().into()
    }

    #[test]
    fn a_unit_counts_when_its_last_byte_was_told() {
        let (a, b) = (UNIT, 2 * UNIT);
        assert_eq!(whole(&[(a, a + 10), (a + 20, b)]), []);
        assert_eq!(whole(&[(a, a + 10), (a + 20, b), (a + 10, a + 20)]), [(a, b)]);
        assert_eq!(whole(&[(a - 5, b + 5)]), [(a, b)]);
        assert_eq!(whole(&[(a + 1, 4 * UNIT + 7), (a, a + 1)]), [(a, 4 * UNIT)]);
    }

    #[test]
    fn the_sum_is_that_of_whole_units() {
        let mut tally = Tally::default();
        tally.wrote(UNIT, UNIT, 5);
        tally.wrote(2 * UNIT, 1024, 7);
        assert_eq!(tally.sum(), 5);
        tally.zeroed(2 * UNIT + 1024..3 * UNIT);
        tally.wrote(0, UNIT, 9);
        assert_eq!((tally.sum(), tally.whole().clone().into()), (12, vec![(UNIT, 3 * UNIT)]));
    }

    #[test]
    fn the_first_unit_never_counts() {
        assert_eq!(whole(&[(0, UNIT)]), []);
        assert_eq!(whole(&[(0, 3 * UNIT)]), [(UNIT, 3 * UNIT)]);
        assert_eq!(whole(&[(7, UNIT - 1)]), []);
    }

    #[test]
    fn what_an_image_scatters_is_forgotten_before_it_fills_memory() {
        let mut tally = Tally::default();
        for unit in 1..MOST as u64 + 100 {
            tally.wrote(unit * UNIT, 1, 1);
        }
        assert_eq!(tally.parts.len(), MOST);
        let mut tally = Tally::default();
        for unit in 1..MOST as u64 + 100 {
            tally.zeroed(2 * unit * UNIT..(2 * unit + 1) * UNIT);
        }
        assert_eq!(tally.whole().count(), MOST);
    }
}
