//! A set of bytes as ranges that neither overlap nor touch.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which bytes of a disk are meant: ranges in order, each apart from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds the bytes of `range`.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &until)) = self.0.range(..=start).next_back()
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&next, &until)) = self.0.range(start..=end).next() {
            self.0.remove(&next);
            end = end.max(until);
        }
        self.0.insert(start, end);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in order: start and end.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(start, end)| (*start, *end))
    }

    /// How many ranges there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many bytes they have together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (start, end)| sum.saturating_add(end.saturating_sub(*start)))
    }

    /// One past the last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// The parts of `range` that are not meant, in order.
    pub fn missing(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let before = self.0.range(..=range.start).next_back().map_or(0, |(_, end)| *end);
        let mut at = range.start.max(before);
        let mut later =
            self.0.range(range.start.saturating_add(1)..range.end.max(range.start.saturating_add(1)));
        let mut done = false;
        std::iter::from_fn(move || {
            while !done {
                let (gap, next) = match later.next() {
                    Some((&start, &end)) => (at..start, end),
                    None => {
                        done = true;
                        (at..range.end, at)
                    }
                };
                at = next;
                if !gap.is_empty() {
                    return Some(gap);
                }
            }
            None
        })
    }
}

impl TryFrom<Vec<(u64, u64)>> for Ranges {
    type Error = &'static str;

    fn try_from(list: Vec<(u64, u64)>) -> Result<Self, Self::Error> {
        let apart = list.windows(2).all(|pair| matches!(pair, [(_, end), (start, _)] if end < start));
        if apart && list.iter().all(|(start, end)| start < end) {
            Ok(Self(list.into_iter().collect()))
        } else {
            Err("ranges that overlap, touch or are empty")
        }
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(ranges: Ranges) -> Self {
        ranges.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one() {
        let mut ranges = Ranges::default();
        for range in [4..6, 0..2, 8..9, 2..4, 6..8, 5..5] {
            ranges.insert(range);
        }
        assert_eq!((ranges.count(), ranges.bytes(), ranges.end()), (1, 9, 9));
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_bytes(
            inserted in prop::collection::vec((0_usize..60, 0_usize..12), 0..12),
            start in 0_usize..70,
            len in 0_usize..30,
        ) {
            let (mut ranges, mut bytes) = (Ranges::default(), [false; 128]);
            for (at, len) in inserted {
                ranges.insert(at as u64..(at + len) as u64);
                bytes[at..at + len].fill(true);
            }
            prop_assert_eq!(ranges.bytes(), bytes.iter().filter(|byte| **byte).count() as u64);
            let mut missing = [false; 128];
            for gap in ranges.missing(start as u64..(start + len) as u64) {
                prop_assert!(!gap.is_empty());
                for at in gap {
                    missing[usize::try_from(at).unwrap()] = true;
                }
            }
            for at in 0..128 {
                let asked = (start..start + len).contains(&at);
                prop_assert_eq!(missing[at], asked && !bytes[at], "at {}", at);
            }
            let list = Vec::from(ranges.clone());
            prop_assert_eq!(Ranges::try_from(list), Ok(ranges));
        }
    }
}
