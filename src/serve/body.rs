//! The body of a request as it arrives: counted, with limits on silence and on what is not the image.
//!
//! Refuses to know: who waits for the bytes. A body that is not asked for is not read, and the
//! client is held back by TCP.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::{Instant, Sleep, sleep};

use crate::error::{Classify, Kind};
use crate::format::time;

/// The time over which the rate of an upload is looked at: so long, waiting for bytes, not working.
const WINDOW: Duration = Duration::from_secs(600);

/// The least bytes in that time, 1 KiB a second.
const LEAST: u64 = 600 << 10;

/// Bytes that may come outside the image: the other parts of a form.
const ASIDE: u64 = 256 << 10;

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client was silent.
    #[error("no byte of the upload for {}; the limit is --idle-timeout", time::human(*.limit))]
    Idle {
        /// How long it may be.
        limit: Duration,
    },
    /// The client sends, but hardly anything.
    #[error("the upload is too slow: {came} bytes in {}, where {least} are the least", time::human(*.window))]
    Slow {
        /// Bytes that came.
        came: u64,
        /// The least that must.
        least: u64,
        /// The time that it took.
        window: Duration,
    },
    /// The connection broke, or the framing of the body is wrong.
    #[error("the upload broke off after {at} bytes{}", Of(*.promised))]
    Broken {
        /// Bytes that had arrived.
        at: u64,
        /// Bytes that the client had announced.
        promised: Option<u64>,
        /// What was seen.
        #[source]
        cause: hyper::Error,
    },
    /// The body ended before its length.
    #[error("the upload ended after {at} of {promised} bytes")]
    Short {
        /// Bytes that had arrived.
        at: u64,
        /// Bytes that the client had announced.
        promised: u64,
    },
    /// A form has too much beside its file.
    #[error("the form has more than {ASIDE} bytes outside of its file")]
    Aside,
}

impl Classify for BodyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Idle { .. } | Self::Slow { .. } | Self::Broken { .. } => Kind::Unreachable,
            Self::Short { .. } | Self::Aside => Kind::Integrity,
        }
    }
}

/// A length in a message; nothing where there is none.
struct Of(Option<u64>);

impl std::fmt::Display for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |len| write!(f, " of {len}"))
    }
}

/// How many bytes may still come; shared with who knows what they are for.
#[derive(Clone)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    const ENDLESS: u64 = u64::MAX;

    /// As many as come: the bytes are the image's.
    pub(super) fn image(&self) {
        self.0.store(Self::ENDLESS, Relaxed);
    }

    /// A few: the bytes are not the image's.
    pub(super) fn aside(&self) {
        self.0.store(ASIDE, Relaxed);
    }

    fn take(&self, count: u64) -> Result<(), BodyError> {
        let left = self.0.load(Relaxed);
        if left == Self::ENDLESS {
            return Ok(());
        }
        // Only the task that reads the body changes it.
        self.0.store(left.saturating_sub(count), Relaxed);
        if count > left { Err(BodyError::Aside) } else { Ok(()) }
    }
}

/// The rate of a client: bytes over the time that they were waited for.
struct Pace {
    window: Duration,
    least: u64,
    waited: Duration,
    came: u64,
}

impl Pace {
    fn new(window: Duration, least: u64) -> Self {
        Self { window, least, waited: Duration::ZERO, came: 0 }
    }

    /// Takes note of `count` bytes that were waited for so long.
    fn note(&mut self, waited: Duration, count: u64) -> Result<(), BodyError> {
        self.waited = self.waited.saturating_add(waited);
        self.came = self.came.saturating_add(count);
        if self.waited < self.window {
            return Ok(());
        }
        let (came, window) = (std::mem::take(&mut self.came), std::mem::take(&mut self.waited));
        if came < self.least { Err(BodyError::Slow { came, least: self.least, window }) } else { Ok(()) }
    }
}

/// A body that fails when it is silent for too long or is not what was announced.
///
/// After every frame it lets others run once: who collects all that is ready would collect a whole image.
pub(super) struct Metered {
    body: Incoming,
    promised: Option<u64>,
    at: u64,
    idle: Duration,
    silence: Pin<Box<Sleep>>,
    /// Since when bytes are waited for, if they are; silence and slowness count only then.
    waiting: Option<Instant>,
    pace: Pace,
    just_gave: bool,
    allowance: Allowance,
}

impl Metered {
    /// `body`, whose bytes come at least every `idle`.
    pub(super) fn new(body: Incoming, idle: Duration) -> Self {
        Self {
            promised: body.size_hint().exact(),
            body,
            at: 0,
            idle,
            silence: Box::pin(sleep(idle)),
            waiting: None,
            pace: Pace::new(WINDOW, LEAST),
            just_gave: false,
            allowance: Allowance(Arc::new(AtomicU64::new(Allowance::ENDLESS))),
        }
    }

    /// The length that the client announced.
    pub(super) fn promised(&self) -> Option<u64> {
        self.promised
    }

    /// What bounds the bytes to come.
    pub(super) fn allowance(&self) -> Allowance {
        self.allowance.clone()
    }

    fn silent(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            // A limit beyond what the clock can say is none.
            if let Some(end) = now.checked_add(self.idle) {
                self.silence.as_mut().reset(end);
            }
        }
        ready!(self.silence.as_mut().poll(context));
        Poll::Ready(Some(Err(BodyError::Idle { limit: self.idle })))
    }

    fn counted(&mut self, frame: Frame<Bytes>, waited: Duration) -> Result<Frame<Bytes>, BodyError> {
        let count = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        self.at = self.at.saturating_add(count);
        self.pace.note(waited, count)?;
        self.allowance.take(count)?;
        Ok(frame)
    }

    fn ended(&self) -> Option<Result<Frame<Bytes>, BodyError>> {
        match self.promised {
            Some(promised) if self.at < promised => Some(Err(BodyError::Short { at: self.at, promised })),
            _ => None,
        }
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if std::mem::take(&mut this.just_gave) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.silent(context);
        };
        let waited = this.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
        Poll::Ready(match frame {
            None => this.ended(),
            Some(Ok(frame)) => {
                this.just_gave = true;
                Some(this.counted(frame, waited))
            }
            Some(Err(cause)) => Some(Err(BodyError::Broken { at: this.at, promised: this.promised, cause })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_image_is_bounded() {
        let allowance = Allowance(Arc::new(AtomicU64::new(Allowance::ENDLESS)));
        allowance.take(u64::MAX).unwrap();
        allowance.aside();
        allowance.take(ASIDE).unwrap();
        assert!(allowance.take(1).is_err());
        allowance.image();
        allowance.take(1 << 40).unwrap();
    }

    #[test]
    fn a_trickle_ends_when_the_window_is_over_and_not_before() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(WINDOW, LEAST);
        for _ in 0..599 {
            pace.note(second, 1000).unwrap();
        }
        let error = pace.note(second, 1000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the upload is too slow: 600000 bytes in 10m00s, where 614400 are the least"
        );
        assert_eq!(error.kind(), Kind::Unreachable);
        // What comes without a wait is fast, however long we take to read it.
        let mut pace = Pace::new(WINDOW, LEAST);
        for _ in 0..2000 {
            pace.note(Duration::ZERO, 1).unwrap();
        }
        // Each window counts for itself.
        for _ in 0..1200 {
            pace.note(second, 1024).unwrap();
        }
        for _ in 0..599 {
            pace.note(second, 1).unwrap();
        }
        assert!(pace.note(second, 1).is_err());
    }

    #[test]
    fn messages_name_the_numbers() {
        let idle = BodyError::Idle { limit: Duration::from_secs(600) };
        assert!(idle.to_string().starts_with("no byte of the upload for 10m00s;"), "{idle}");
        assert_eq!(
            BodyError::Short { at: 5, promised: 9 }.to_string(),
            "the upload ended after 5 of 9 bytes"
        );
        assert_eq!(BodyError::Aside.kind(), Kind::Integrity);
    }
}
