//! Stretches of the disk whose bytes are still to come, in the order in which they will.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::format::addr::{GuestOffset, HostOffset};
use crate::format::extent::{Extent, Place, Sharing};

/// Mappings of bytes to come, by host offset; several may name the same bytes.
#[derive(Default)]
pub(super) struct Runs {
    heap: BinaryHeap<Reverse<Run>>,
    /// Compressed clusters that the present step has met and that have not arrived whole.
    partly: Vec<Reverse<Run>>,
    /// The lowest host offset of a compressed cluster that has arrived in part.
    waiting: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    host: u64,
    guest: u64,
    len: u64,
    /// Of a compressed cluster.
    bound: Option<u64>,
    shared: bool,
}

impl Run {
    fn of(extent: &Extent) -> Option<Self> {
        let (host, bound) = match extent.place {
            Place::Zero => return None,
            Place::Data(host) => (host, None),
            Place::Compressed { host, bound } => (host, Some(bound)),
        };
        let shared = extent.sharing == Sharing::Shared;
        Some(Self { host: host.0, guest: extent.guest.0, len: extent.len, bound, shared })
    }

    fn extent(self, len: u64) -> Extent {
        let host = HostOffset(self.host);
        let place = self.bound.map_or(Place::Data(host), |bound| Place::Compressed { host, bound });
        let sharing = if self.shared { Sharing::Shared } else { Sharing::Exclusive };
        Extent { guest: GuestOffset(self.guest), len, place, sharing }
    }
}

impl Runs {
    /// How many stretches there are.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn push(&mut self, extent: Extent) {
        self.heap.extend(Run::of(&extent).map(Reverse));
    }

    /// Takes out what can be placed once the image has arrived up to `end`; `ended` when that is all.
    ///
    /// As many as `most` mean that there may be more.
    pub(super) fn ready(&mut self, end: u64, ended: bool, most: usize) -> Vec<Extent> {
        let mut ready = Vec::new();
        while self.heap.peek().is_some_and(|Reverse(run)| run.host < end) {
            if ready.len() == most {
                return ready;
            }
            let Some(Reverse(run)) = self.heap.pop() else { break };
            match run.bound {
                Some(bound) if !ended && run.host.saturating_add(bound) > end => {
                    self.partly.push(Reverse(run));
                }
                Some(_) => ready.push(run.extent(run.len)),
                None => {
                    let here = run.len.min(end.saturating_sub(run.host));
                    ready.push(run.extent(here));
                    if here < run.len {
                        let (host, guest) = (run.host.saturating_add(here), run.guest.saturating_add(here));
                        let len = run.len.saturating_sub(here);
                        self.heap.push(Reverse(Run { host, guest, len, ..run }));
                    }
                }
            }
        }
        self.waiting = self.partly.iter().map(|Reverse(run)| run.host).min();
        self.heap.extend(self.partly.drain(..));
        ready
    }

    /// The host offset from which on bytes must stay at hand.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.unwrap_or(u64::MAX)
    }

    /// A stretch whose bytes never came.
    pub(super) fn missing(&self) -> Option<(&'static str, HostOffset)> {
        let Reverse(run) = self.heap.peek()?;
        Some((if run.bound.is_some() { "a compressed cluster" } else { "data" }, HostOffset(run.host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(guest: u64, host: u64, len: u64) -> Extent {
        let place = Place::Data(HostOffset(host));
        Extent { guest: GuestOffset(guest), len, place, sharing: Sharing::Shared }
    }

    #[test]
    fn data_is_placed_as_it_arrives_and_as_often_as_it_is_mapped() {
        let mut runs = Runs::default();
        runs.push(data(0, 100, 50));
        runs.push(data(500, 120, 10));
        assert_eq!(runs.ready(100, false, 9), []);
        assert_eq!(runs.ready(125, false, 9), [data(0, 100, 25), data(500, 120, 5)]);
        assert_eq!(runs.ready(200, false, 1), [data(25, 125, 25)]);
        assert_eq!(runs.ready(200, false, 1), [data(505, 125, 5)]);
        assert_eq!(runs.ready(200, false, 1), []);
        assert_eq!(runs.missing(), None);
    }

    #[test]
    fn a_compressed_cluster_waits_until_it_is_whole_or_the_image_ends() {
        let place = Place::Compressed { host: HostOffset(10), bound: 100 };
        let cluster = Extent { guest: GuestOffset(0), len: 512, place, sharing: Sharing::Shared };
        let mut runs = Runs::default();
        runs.push(cluster);
        assert_eq!(runs.ready(50, false, 9), []);
        assert_eq!(runs.waiting(), 10);
        assert_eq!(runs.ready(60, true, 9), [cluster]);
        assert_eq!(runs.waiting(), u64::MAX);
    }
}
