//! How many ranges are asked for at a time: as many as the user wants, and one for good once the
//! server has said that it is busy, or has become slow and is no slower with one.
//!
//! Refuses to know: what is asked for, and how long to wait after such an answer.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::gauge::{Advice, Gauge};

/// The lanes to one server.
pub(super) struct Lanes {
    permits: Semaphore,
    all: u32,
    narrow: AtomicBool,
    gauge: Mutex<Gauge>,
}

/// The right to have one request under way, until it is dropped.
pub(super) struct Lane<'a> {
    _permit: Option<SemaphorePermit<'a>>,
    /// Lanes that were open side by side when it was entered.
    beside: u32,
}

impl Lanes {
    /// As many as `count`, and at least one.
    pub(super) fn new(count: usize) -> Self {
        let all = u32::try_from(count).unwrap_or(u32::MAX).clamp(1, 1 << 10);
        let permits = Semaphore::new(usize::try_from(all).unwrap_or(1));
        Self { permits, all, narrow: AtomicBool::new(false), gauge: Mutex::new(Gauge::new(all)) }
    }

    /// A lane, as soon as there is one.
    pub(super) async fn enter(&self) -> Lane<'_> {
        loop {
            let narrow = self.narrow.load(SeqCst);
            // Who takes all permits waits for those under way, and is alone then.
            let want = if narrow { self.all } else { 1 };
            // It fails only when it is closed, which nobody does.
            let permit = self.permits.acquire_many(want).await.ok();
            if narrow || !self.narrow.load(SeqCst) {
                return Lane { _permit: permit, beside: if narrow { 1 } else { self.all } };
            }
        }
    }

    /// Leaves one lane for good; whether there were more. Requests under way are not disturbed.
    pub(super) fn narrow(&self) -> bool {
        self.gauge().settle();
        !self.narrow.swap(true, SeqCst) && self.all > 1
    }

    /// Takes note of an answer of `bytes` that took so long in `lane`, and follows what comes of that.
    pub(super) fn answered(&self, lane: &Lane<'_>, bytes: u64, took: Duration) -> Advice {
        let mut gauge = self.gauge();
        let advice = gauge.answered(lane.beside, bytes, took);
        match advice {
            Advice::Stay => {}
            Advice::Narrow => self.narrow.store(true, SeqCst),
            Advice::Widen => self.narrow.store(false, SeqCst),
        }
        advice
    }

    fn gauge(&self) -> MutexGuard<'_, Gauge> {
        self.gauge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a single look at `future` gives.
    fn now<F: Future>(future: F) -> Option<F::Output> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn there_are_as_many_lanes_as_were_wanted() {
        let lanes = Lanes::new(2);
        let first = now(lanes.enter()).unwrap();
        let _second = now(lanes.enter()).unwrap();
        assert!(now(lanes.enter()).is_none());
        drop(first);
        assert!(now(lanes.enter()).is_some());
        assert!(now(Lanes::new(0).enter()).is_some(), "none would be a standstill");
    }

    #[test]
    fn a_busy_server_leaves_one_once_those_under_way_are_through() {
        let lanes = Lanes::new(3);
        let under_way = [now(lanes.enter()).unwrap(), now(lanes.enter()).unwrap()];
        assert!(lanes.narrow());
        assert!(!lanes.narrow(), "it is said once");
        assert!(now(lanes.enter()).is_none(), "a free lane is none any more");
        drop(under_way);
        let alone = now(lanes.enter()).unwrap();
        assert!(now(lanes.enter()).is_none());
        drop(alone);
        assert!(now(lanes.enter()).is_some());
    }

    #[test]
    fn who_waited_when_it_became_narrow_is_alone_too() {
        let lanes = Lanes::new(2);
        let (first, second) = (now(lanes.enter()).unwrap(), now(lanes.enter()).unwrap());
        let mut waiting = pin!(lanes.enter());
        let look = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(look).is_pending());
        lanes.narrow();
        drop(first);
        assert!(waiting.as_mut().poll(look).is_pending(), "one is under way still");
        drop(second);
        assert!(waiting.as_mut().poll(look).is_ready());
    }

    #[test]
    fn a_slow_server_gets_one_and_all_come_back_where_that_is_slower_still() {
        let lanes = Lanes::new(2);
        let run = |mib| advice(&lanes, &now(lanes.enter()).unwrap(), mib);
        assert_eq!(run(100), None);
        assert_eq!(run(10), Some(Advice::Narrow));
        let alone = now(lanes.enter()).unwrap();
        assert!(now(lanes.enter()).is_none());
        drop(alone);
        assert_eq!(run(5), Some(Advice::Widen));
        let both = [now(lanes.enter()).unwrap(), now(lanes.enter()).unwrap()];
        drop(both);
        lanes.narrow();
        assert_eq!([run(100), run(1)], [None, None], "a busy server is not tried again");
    }

    /// What comes of four answers of `mib` MiB in a second each, if anything.
    fn advice(lanes: &Lanes, lane: &Lane<'_>, mib: u64) -> Option<Advice> {
        let mut answers = (0..4).map(|_| lanes.answered(lane, mib << 20, Duration::from_secs(1)));
        answers.find(|advice| *advice != Advice::Stay)
    }
}
