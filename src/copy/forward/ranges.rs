//! Host ranges that are done with.

use std::ops::Range;

/// As many ranges are kept as they come before they are joined.
const UNJOINED: usize = 1 << 16;

/// Ranges of the image file, in no order; they may overlap.
///
/// Memory: 1 MiB, or twice what they take when they are joined.
#[derive(Default)]
pub(super) struct Ranges {
    ranges: Vec<Range<u64>>,
    joined: usize,
}

impl Ranges {
    pub(super) fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.ranges.push(range);
        if self.ranges.len() > UNJOINED.max(self.joined.saturating_mul(2)) {
            self.join();
        }
    }

    /// The ranges in order; those that overlap or touch are one.
    pub(super) fn joined(&mut self) -> &[Range<u64>] {
        self.join();
        &self.ranges
    }

    /// The parts of `within` that no range covers.
    pub(super) fn gaps(&mut self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut found = Vec::new();
        let mut at = within.start;
        for range in self.joined() {
            if range.start > at && at < within.end {
                found.push(at..range.start.min(within.end));
            }
            at = at.max(range.end);
        }
        if at < within.end {
            found.push(at..within.end);
        }
        found
    }

    /// Lets go of what ends before or at `until`.
    pub(super) fn forget(&mut self, until: u64) {
        self.ranges.retain(|range| range.end > until);
        self.joined = self.joined.min(self.ranges.len());
    }

    fn join(&mut self) {
        self.ranges.sort_unstable_by_key(|range| range.start);
        self.ranges.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        self.joined = self.ranges.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(from: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        from.iter().for_each(|(start, end)| ranges.push(*start..*end));
        ranges
    }

    #[test]
    fn gaps_are_what_no_range_covers() {
        let found = |from: &[(u64, u64)]| {
            let gaps = ranges(from).gaps(10..100);
            gaps.iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[]), [(10, 100)]);
        assert_eq!(found(&[(0, 200)]), []);
        assert_eq!(found(&[(50, 60), (0, 20), (55, 70)]), [(20, 50), (70, 100)]);
        assert_eq!(found(&[(90, 200), (100, 300)]), [(10, 90)]);
        assert_eq!(found(&[(100, 300), (0, 10), (5, 5)]), [(10, 100)]);
    }

    #[test]
    fn the_same_ranges_again_and_again_take_no_memory() {
        let mut ranges = ranges(&[]);
        for at in 0..5 * crate::copy::bytes(UNJOINED) {
            ranges.push(at % 7 * 100..at % 7 * 100 + 50);
        }
        assert!(ranges.ranges.len() <= UNJOINED + 7);
        assert_eq!(ranges.joined().len(), 7);
        ranges.forget(450);
        assert_eq!(ranges.joined(), [500..550, 600..650]);
    }
}
