//! What the workers of the ranged route do next: copy a segment, else load the next part's tables.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::format::addr::HostOffset;
use crate::format::extent::{Extent, Place};
use crate::io::Reading;

/// Host bytes that are read at once, and the stretches of the disk that they hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) host: HostOffset,
    pub(super) len: u64,
    pub(super) extents: Vec<Extent>,
}

/// What a worker does next.
pub(super) enum Task {
    Load(u64),
    Copy(Segment),
    Done,
}

/// Segments in wait; at most those of one part for each worker.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    next_part: u64,
    parts: u64,
    loading: usize,
    segments: VecDeque<Segment>,
    error: Option<Error>,
}

impl Queue {
    pub(super) fn new(parts: u64) -> Self {
        let state = State { next_part: 0, parts, loading: 0, segments: VecDeque::new(), error: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next task; waits while other workers may still find some.
    pub(super) fn next(&self) -> Task {
        let mut state = self.lock();
        loop {
            if state.error.is_some() {
                return Task::Done;
            }
            if let Some(segment) = state.segments.pop_front() {
                return Task::Copy(segment);
            }
            if state.next_part < state.parts {
                let part = state.next_part;
                state.next_part = part.saturating_add(1);
                state.loading = state.loading.saturating_add(1);
                return Task::Load(part);
            }
            if state.loading == 0 {
                return Task::Done;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The segments of a part that [`Task::Load`] asked for.
    pub(super) fn loaded(&self, segments: Vec<Segment>) {
        let mut state = self.lock();
        state.segments.extend(segments);
        state.loading = state.loading.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Ends all workers; the first error stays.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.error.get_or_insert(error);
        self.changed.notify_all();
    }

    /// The error that ended the workers, if one did.
    pub(super) fn into_result(self) -> Result<(), Error> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins `extents` into segments that suit `reading`, in host order.
pub(super) fn segments(extents: Vec<Extent>, reading: Reading) -> Vec<Segment> {
    let piece = super::bytes(reading.piece);
    let mut parts: Vec<(HostOffset, u64, Extent)> = Vec::new();
    for extent in extents {
        match extent.place {
            Place::Zero => {}
            Place::Compressed { host, bound } => parts.push((host, bound, extent)),
            Place::Data(host) => cut(extent, host, piece, &mut parts),
        }
    }
    parts.sort_unstable_by_key(|(host, ..)| *host);
    let mut joined: Vec<Segment> = Vec::new();
    for (host, len, extent) in parts {
        match joined.last_mut().filter(|last| joins(last, host, len, reading)) {
            Some(last) => {
                last.len = last.len.max(host.plus(len).0.saturating_sub(last.host.0));
                last.extents.push(extent);
            }
            None => joined.push(Segment { host, len, extents: vec![extent] }),
        }
    }
    joined
}

/// The host bytes from the first to the last of `extents`: where they begin, and how many.
pub(super) fn span(extents: &[Extent]) -> (HostOffset, u64) {
    let stored = |extent: &Extent| match extent.place {
        Place::Zero => None,
        Place::Compressed { host, bound } => Some((host, host.plus(bound))),
        Place::Data(host) => Some((host, host.plus(extent.len))),
    };
    let all = extents.iter().filter_map(stored);
    let hull = all.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    hull.map_or((HostOffset(0), 0), |(start, end)| (start, end.0.saturating_sub(start.0)))
}

/// Cuts data at multiples of `piece`, so that neighbours share no segment's edge by chance.
fn cut(extent: Extent, host: HostOffset, piece: u64, parts: &mut Vec<(HostOffset, u64, Extent)>) {
    let mut done = 0;
    while done < extent.len {
        let at = host.plus(done);
        let to_edge = piece.saturating_sub(at.0.checked_rem(piece).unwrap_or(0)).max(1);
        let len = to_edge.min(extent.len.saturating_sub(done));
        let guest = extent.guest.plus(done);
        parts.push((at, len, Extent { guest, len, place: Place::Data(at), ..extent }));
        done = done.saturating_add(len);
    }
}

fn joins(last: &Segment, host: HostOffset, len: u64, reading: Reading) -> bool {
    let end = last.host.plus(last.len);
    let grown = host.plus(len).0.saturating_sub(last.host.0);
    host.0.saturating_sub(end.0) <= reading.gap && grown <= super::bytes(reading.piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::addr::GuestOffset;
    use crate::format::extent::Sharing;

    const READING: Reading = Reading { lanes: 1, piece: 1000, gap: 10 };

    fn data(guest: u64, host: u64, len: u64) -> Extent {
        let place = Place::Data(HostOffset(host));
        Extent { guest: GuestOffset(guest), len, place, sharing: Sharing::Exclusive }
    }

    fn shape(extents: Vec<Extent>) -> Vec<(u64, u64, usize)> {
        segments(extents, READING).iter().map(|s| (s.host.0, s.len, s.extents.len())).collect()
    }

    #[test]
    fn neighbours_in_the_file_are_read_at_once() {
        let scattered = vec![data(0, 300, 100), data(100, 100, 100), data(200, 205, 90)];
        assert_eq!(shape(scattered), [(100, 300, 3)]);
        assert_eq!(shape(vec![data(0, 0, 100), data(100, 111, 10)]), [(0, 100, 1), (111, 10, 1)]);
    }

    #[test]
    fn long_stretches_are_cut_into_pieces() {
        assert_eq!(shape(vec![data(0, 500, 2000)]), [(500, 500, 1), (1000, 1000, 1), (2000, 500, 1)]);
    }

    #[test]
    fn what_is_left_of_a_segment_spans_no_more_than_it_needs() {
        let extents = [data(0, 300, 100), data(100, 100, 50), data(200, 205, 90)];
        assert_eq!(span(&extents), (HostOffset(100), 300));
        assert_eq!(span(&extents[2..]), (HostOffset(205), 90));
    }

    #[test]
    fn the_same_bytes_for_two_places_are_read_once() {
        assert_eq!(shape(vec![data(0, 0, 100), data(100, 0, 100)]), [(0, 100, 2)]);
    }
}
