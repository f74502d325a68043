//! A range read step by step, each a read of its own.

use std::io::{self, Read};
use std::ops::Range;

use super::ReadAt;

/// The rest of a range of a place.
pub(super) struct Steps<'a, P: ?Sized> {
    place: &'a P,
    rest: Range<u64>,
}

impl<'a, P: ReadAt + ?Sized> Steps<'a, P> {
    pub(super) fn new(place: &'a P, range: Range<u64>) -> Self {
        Self { place, rest: range }
    }
}

impl<P: ReadAt + ?Sized> Read for Steps<'_, P> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.rest.end.saturating_sub(self.rest.start);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        self.place.read_exact_at(buf.get_mut(..len).unwrap_or_default(), self.rest.start)?;
        self.rest.start = self.rest.start.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }
}
