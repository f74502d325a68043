//! Whether an upload may begin: one at a time, and none after the one that succeeded.
//!
//! Refuses to know: what an upload is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::job::Delivery;
use crate::error::Kind;
use crate::progress::Stop;

/// Where the server stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// An upload may begin.
    #[default]
    Idle,
    /// Bytes of an upload arrive.
    Uploading,
    /// All bytes are here, and the target is being finished.
    Background,
    /// The target is complete and durable.
    Done,
}

/// Why an upload may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Another upload is under way.
    #[error("another upload is {}", if *.0 == State::Background { "being finished" } else { "arriving" })]
    Busy(State),
    /// The target is complete already.
    #[error("an upload has succeeded already; the server is about to end")]
    Done,
    /// The server ends.
    #[error("the server is about to end")]
    Closing,
}

/// Gives out the one claim to the target.
#[derive(Default)]
pub(super) struct Desk {
    inner: Mutex<Inner>,
    done: Notify,
}

#[derive(Default)]
struct Inner {
    state: State,
    /// The wish to end that the present upload obeys.
    stop: Arc<Stop>,
    closing: bool,
    delivery: Option<Delivery>,
}

impl Desk {
    /// The claim to the target, if nobody has it.
    pub(super) fn claim(self: &Arc<Self>) -> Result<Claim, Refusal> {
        let mut inner = self.inner();
        match inner.state {
            State::Done => Err(Refusal::Done),
            State::Uploading | State::Background => Err(Refusal::Busy(inner.state)),
            State::Idle if inner.closing => Err(Refusal::Closing),
            State::Idle => {
                inner.state = State::Uploading;
                // A failed upload leaves its own wish asked for, which must not end the next one.
                inner.stop = Arc::default();
                Ok(Claim { desk: Arc::clone(self), stop: Arc::clone(&inner.stop), settled: false })
            }
        }
    }

    /// Ends the present upload because of `kind`, and lets none begin any more.
    pub(super) fn close(&self, kind: Kind) {
        let mut inner = self.inner();
        inner.closing = true;
        inner.stop.ask(kind);
    }

    /// Lets no upload begin any more; the present one goes on.
    pub(super) fn retire(&self) {
        self.inner().closing = true;
    }

    /// Whether no upload is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.inner().state == State::Idle
    }

    /// Waits until an upload has succeeded.
    pub(super) async fn done(&self) {
        // One that was notified before this waits is not lost: the permit is kept.
        self.done.notified().await;
    }

    /// The upload that succeeded; none before, and none a second time.
    pub(super) fn take_delivery(&self) -> Option<Delivery> {
        self.inner().delivery.take()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to write to the target; it ends with an outcome, or the next upload may begin.
pub(super) struct Claim {
    desk: Arc<Desk>,
    stop: Arc<Stop>,
    settled: bool,
}

impl Claim {
    /// The wish to end that this upload obeys.
    pub(super) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Notes that the last byte has arrived.
    pub(super) fn received(&self) {
        self.desk.inner().state = State::Background;
    }

    /// Notes that the target is complete and durable.
    pub(super) fn done(mut self, delivery: Delivery) {
        self.settled = true;
        let mut inner = self.desk.inner();
        inner.state = State::Done;
        inner.delivery = Some(delivery);
        self.desk.done.notify_one();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.desk.inner().state = State::Idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::report::Outcome;

    fn refusal(desk: &Arc<Desk>) -> Option<Refusal> {
        desk.claim().err()
    }

    fn delivery() -> Delivery {
        let outcome = Outcome { virtual_size: 512, ..Outcome::default() };
        Delivery { outcome, cloned: false, preallocated: false }
    }

    #[test]
    fn one_upload_at_a_time_and_none_after_success() {
        let desk = Arc::new(Desk::default());
        let claim = desk.claim().unwrap();
        assert_eq!(refusal(&desk), Some(Refusal::Busy(State::Uploading)));
        claim.received();
        assert_eq!(refusal(&desk), Some(Refusal::Busy(State::Background)));
        assert_eq!(refusal(&desk).unwrap().to_string(), "another upload is being finished");
        assert!(desk.take_delivery().is_none());
        claim.done(delivery());
        assert_eq!(refusal(&desk), Some(Refusal::Done));
        assert_eq!(desk.take_delivery().unwrap().outcome.virtual_size, 512);
    }

    #[test]
    fn every_exit_without_success_lets_the_next_upload_begin() {
        let desk = Arc::new(Desk::default());
        drop(desk.claim().unwrap());
        let claim = desk.claim().unwrap();
        claim.received();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _claim = claim;
            panic!("in the middle");
        }));
        assert!(panicked.is_err());
        assert_eq!(refusal(&desk), None);
    }

    #[test]
    fn what_ended_one_upload_does_not_end_the_next() {
        let desk = Arc::new(Desk::default());
        let claim = desk.claim().unwrap();
        claim.stop().ask(Kind::Other);
        drop(claim);
        assert!(!desk.claim().unwrap().stop().asked());
    }

    #[test]
    fn a_closed_desk_ends_the_present_upload_and_begins_none() {
        let desk = Arc::new(Desk::default());
        let claim = desk.claim().unwrap();
        desk.close(Kind::Terminated);
        assert_eq!(claim.stop().check().unwrap_err().kind(), Kind::Terminated);
        drop(claim);
        assert_eq!(refusal(&desk), Some(Refusal::Closing));
    }

    #[test]
    fn a_retired_desk_lets_the_present_upload_end_and_begins_none() {
        let desk = Arc::new(Desk::default());
        let claim = desk.claim().unwrap();
        desk.retire();
        assert!(!desk.is_idle() && !claim.stop().asked());
        assert_eq!(refusal(&desk), Some(Refusal::Busy(State::Uploading)));
        drop(claim);
        assert!(desk.is_idle());
        assert_eq!(refusal(&desk), Some(Refusal::Closing));
    }
}
