//! What the workers of the ranged route do next: copy a segment, else load the next part's tables.

use std::collections::VecDeque;
use std::ops::Range;
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

/// Joins `extents` into segments that suit `reading`, in host order; data is cut into extents of at most `most`
/// bytes.
pub(super) fn segments(extents: Vec<Extent>, reading: Reading, most: usize) -> Vec<Segment> {
    let piece = super::bytes(reading.piece.min(most));
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

/// Neighbours among `extents`, which are in host order, and the host bytes from the first to the last of
/// them: the next one belongs to them where it `joins` these.
pub(super) fn runs(
    extents: &[Extent],
    joins: impl Fn(&Range<HostOffset>, &Range<HostOffset>) -> bool,
) -> impl Iterator<Item = (Range<HostOffset>, &[Extent])> {
    let mut rest = extents;
    std::iter::from_fn(move || {
        let mut hull = stored(rest.first()?);
        let more = rest.iter().skip(1).map(stored).take_while(|next| {
            let joined = joins(&hull, next);
            if joined {
                hull.end = hull.end.max(next.end);
            }
            joined
        });
        let (run, after) = rest.split_at_checked(more.count().saturating_add(1))?;
        rest = after;
        Some((hull, run))
    })
}

/// The host bytes of `extent`; nowhere are none.
fn stored(extent: &Extent) -> Range<HostOffset> {
    match extent.place {
        Place::Zero => HostOffset(0)..HostOffset(0),
        Place::Compressed { host, bound } => host..host.plus(bound),
        Place::Data(host) => host..host.plus(extent.len),
    }
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
        segments(extents, READING, usize::MAX).iter().map(|s| (s.host.0, s.len, s.extents.len())).collect()
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
    fn long_stretches_are_read_at_once_as_extents_that_can_be_told_apart() {
        let extents = vec![data(0, 500, 2000)];
        let shape = |most| -> Vec<_> {
            let all = segments(extents.clone(), READING, most);
            all.iter().map(|s| (s.host.0, s.len, s.extents.len())).collect()
        };
        assert_eq!(shape(400), [(500, 700, 2), (1200, 800, 2), (2000, 500, 2)]);
        assert_eq!(shape(4000), [(500, 500, 1), (1000, 1000, 1), (2000, 500, 1)]);
    }

    #[test]
    fn runs_are_neighbours_and_the_bytes_that_they_span() {
        let extents = [data(200, 100, 90), data(0, 100, 200), data(300, 200, 10), data(400, 310, 10)];
        let shape = |gap: u64| -> Vec<_> {
            let near =
                move |hull: &Range<HostOffset>, next: &Range<HostOffset>| next.start <= hull.end.plus(gap);
            runs(&extents, near).map(|(hull, run)| (hull.start.0, hull.end.0, run.len())).collect()
        };
        assert_eq!(shape(9), [(100, 300, 3), (310, 320, 1)]);
        assert_eq!(shape(10), [(100, 320, 4)]);
        assert_eq!(runs(&[], |_, _| true).count(), 0);
    }

    #[test]
    fn the_same_bytes_for_two_places_are_read_once() {
        assert_eq!(shape(vec![data(0, 0, 100), data(100, 0, 100)]), [(0, 100, 2)]);
    }
}
