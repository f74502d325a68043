//! A range of an object, read part by part from answers that stay open in between.
//!
//! Refuses to know: which parts are wanted and why, and what is known without asking.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use reqwest::Response;

use super::error::HttpError;
use super::facts::Validator;
use super::gauge::Advice;
use super::lanes::{Lane, Lanes};
use super::range::judge_part;
use super::request::{Remote, facts};
use super::retry::Patience;
use super::want::Want;

/// A range that ends, legally, after fewer bytes than this is no progress.
const LEAST_PART: u64 = 4096;

/// A reader that was elsewhere for more than one part in so many of the time it waited tells nothing of the
/// server: bytes came meanwhile, and the time is its own.
const AWAY: u32 = 4;

/// One version of an object that is asked for by ranges.
pub(super) struct Version {
    pub(super) remote: Arc<Remote>,
    pub(super) lanes: Lanes,
    pub(super) total: u64,
    pub(super) validator: Validator,
}

/// The bytes of a range, from the first to the last. It has a lane from its first question on.
pub(super) struct Reader<'a> {
    version: &'a Version,
    rest: Range<u64>,
    lane: Option<Lane<'a>>,
    answer: Option<Answer>,
    patience: Patience,
}

/// A body that goes on where the reader stands.
struct Answer {
    response: Response,
    /// Where in the object it was promised to begin and to end.
    promised: Range<u64>,
    /// Came already and was not given yet.
    chunk: Bytes,
    /// What was measured last ended here, and then.
    measured: (u64, Instant),
}

impl<'a> Reader<'a> {
    /// The bytes `range` of `version`, which has them.
    pub(super) fn new(version: &'a Version, range: Range<u64>) -> Self {
        Self { version, rest: range, lane: None, answer: None, patience: Patience::default() }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> Range<u64> {
        self.rest.clone()
    }

    /// Leaves out `len` bytes that are known; only before the first question.
    pub(super) fn skip(&mut self, len: u64) {
        self.rest.start = self.rest.start.saturating_add(len);
    }

    /// Fills `buf` with what comes next; there must be as much.
    ///
    /// # Errors
    /// Whatever the server fails with after all tries.
    pub(super) async fn fill(&mut self, buf: &mut [u8]) -> Result<(), HttpError> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let before = self.rest.start;
            let result = self.fill_some(rest).await;
            let got = self.rest.start.saturating_sub(before);
            self.patience.delivered(got);
            filled = filled.saturating_add(usize::try_from(got).unwrap_or(usize::MAX));
            if let Err(error) = result {
                self.mend(error).await?;
            }
        }
        Ok(())
    }

    /// Fills as much of `buf` as one answer gives.
    async fn fill_some(&mut self, mut buf: &mut [u8]) -> Result<(), HttpError> {
        let (mut answer, away) = match self.answer.take() {
            Some(answer) => {
                let away = answer.measured.1.elapsed();
                (answer, away)
            }
            // The wait for its head is the server's time.
            None => (self.ask().await?, Duration::ZERO),
        };
        // The last part takes the answer's end along, so that its connection is free for another one.
        while !buf.is_empty() || self.rest.is_empty() {
            let given = answer.give(&self.version.remote, buf).await?;
            if given == 0 {
                return self.ended(&answer, away);
            }
            self.rest.start = self.rest.start.saturating_add(count(given));
            buf = std::mem::take(&mut buf).get_mut(given..).unwrap_or_default();
        }
        self.measure(&answer, away);
        answer.measured = (self.rest.start, Instant::now());
        self.answer = Some(answer);
        Ok(())
    }

    /// Asks for the rest, in a lane.
    async fn ask(&mut self) -> Result<Answer, HttpError> {
        let Version { remote, lanes, total, validator } = self.version;
        if self.lane.is_none() {
            self.lane = Some(lanes.enter().await);
        }
        let asked = Instant::now();
        let response = remote.ask(&Want::part(&self.rest, validator)).await?;
        let end = judge_part(&facts(&response), validator, *total, self.rest.clone())?;
        let promised = self.rest.start..end;
        Ok(Answer { response, measured: (promised.start, asked), promised, chunk: Bytes::new() })
    }

    /// Judges an answer that has no more bytes, after a reader that was `away`.
    fn ended(&self, answer: &Answer, away: Duration) -> Result<(), HttpError> {
        let promised = answer.promised.end.saturating_sub(answer.promised.start);
        let got = self.rest.start.saturating_sub(answer.promised.start);
        if got < promised || (answer.promised.end < self.rest.end && promised < LEAST_PART) {
            let want = self.rest.end.saturating_sub(answer.promised.start);
            return Err(HttpError::Short { got, want });
        }
        self.measure(answer, away);
        Ok(())
    }

    /// Tells the lanes how long the newest bytes of `answer` took, if its reader was not `away` for too long,
    /// and says what becomes of that.
    fn measure(&self, answer: &Answer, away: Duration) {
        let Some(lane) = &self.lane else { return };
        let (from, since) = answer.measured;
        let took = since.elapsed();
        if !is_telling(took, away) {
            return;
        }
        let Version { remote, lanes, .. } = self.version;
        let name = &remote.name;
        match lanes.answered(lane, self.rest.start.saturating_sub(from), took) {
            Advice::Stay => {}
            Advice::Narrow => {
                tracing::info!("{name}: the server has become slow; trying one range at a time");
            }
            Advice::Widen => tracing::info!("{name}: that is slower still; asking for several ranges again"),
        }
    }

    /// Gets ready for another question after `error`.
    async fn mend(&mut self, error: HttpError) -> Result<(), HttpError> {
        let Version { remote, lanes, .. } = self.version;
        if error.wants_fewer() {
            self.lane = None;
            if lanes.narrow() {
                tracing::info!("{}: the server is busy; asking for one range at a time", remote.name);
            }
        }
        remote.rest(&mut self.patience, error).await
    }
}

impl Answer {
    /// Moves bytes to `buf`, as many as have come and fit; waits where there are none. 0 at the end.
    async fn give(&mut self, remote: &Remote, buf: &mut [u8]) -> Result<usize, HttpError> {
        if self.chunk.is_empty() {
            let Some(chunk) = remote.chunk(&mut self.response).await? else { return Ok(0) };
            self.chunk = chunk;
        }
        if buf.is_empty() {
            return Err(HttpError::Lie("more bytes than were asked for".to_owned()));
        }
        let given = self.chunk.len().min(buf.len());
        self.chunk.copy_to_slice(buf.get_mut(..given).unwrap_or_default());
        Ok(given)
    }
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// Whether bytes that `took` so long, of which their reader was `away`, tell how fast the server is.
fn is_telling(took: Duration, away: Duration) -> bool {
    away <= took.saturating_sub(away) / AWAY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_slow_target_is_not_laid_at_the_servers_door() {
        let told = |took, away| is_telling(Duration::from_millis(took), Duration::from_millis(away));
        assert!(told(500, 0) && told(500, 100));
        assert!(!told(500, 101) && !told(1000, 990) && !told(1000, 1000));
    }
}
