//! The object at any offset, by ranges that are checked one by one.
//!
//! Refuses to know: what the bytes mean. A server is believed only after it repeated bytes that
//! are known already: right headers over shifted bytes would otherwise go unnoticed.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::error::HttpError;
use super::facts::Validator;
use super::gauge::Advice;
use super::lanes::Lanes;
use super::range::{Resume, judge_part};
use super::request::{Remote, facts};
use super::retry::Patience;
use super::stream::{Body, Object, stream};
use super::want::Want;
use crate::error::Error;
use crate::io::{ReadAt, Reading, Sequential};

/// First bytes that are kept: heads, headers and most first tables lie within.
const PREFIX: usize = 256 << 10;

/// Bytes that a server repeats as a proof.
const PROOF: usize = 4096;

/// A range that ends, legally, after fewer bytes than this is no progress.
const LEAST_PART: u64 = 4096;

/// An object whose server has proved its ranges.
pub(super) struct Ranges {
    remote: Arc<Remote>,
    lanes: Lanes,
    total: u64,
    validator: Validator,
    prefix: Vec<u8>,
    /// The first answer, for who reads from the first byte to the last after all.
    first: Mutex<Option<Body>>,
    proved: Mutex<bool>,
}

impl Ranges {
    /// The object of `total` bytes whose first answer is `first`.
    ///
    /// # Errors
    /// [`HttpError::Idle`] and [`HttpError::Stopped`] while the first bytes come.
    pub(super) fn open(
        remote: Arc<Remote>,
        (total, validator): (u64, Validator),
        mut first: Body,
    ) -> Result<Self, HttpError> {
        let mut prefix = Vec::new();
        let whole = remote.link.wait(fill_prefix(&remote, &mut first, &mut prefix))?;
        let first = Mutex::new(whole.then_some(first));
        let lanes = Lanes::new(remote.context().connections);
        Ok(Self { remote, lanes, total, validator, prefix, first, proved: Mutex::new(false) })
    }

    fn read(&self, buf: &mut [u8], at: u64) -> Result<(), (u64, HttpError)> {
        let known = usize::try_from(at).ok().and_then(|at| self.prefix.get(at..)).unwrap_or_default();
        let (head, rest) = buf.split_at_mut(known.len().min(buf.len()));
        head.copy_from_slice(known.get(..head.len()).unwrap_or_default());
        if rest.is_empty() {
            return Ok(());
        }
        // Who reads ranges will not read on from the first answer: its connection is worth more.
        drop(self.first.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.prove().map_err(|error| (0, error))?;
        let at = at.saturating_add(count(head.len()));
        let mut done = 0;
        let result = self.remote.link.wait(self.fill(rest, at, &mut done));
        result.map_err(|error| (at.saturating_add(count(done)), error))
    }

    /// Has the server repeat some bytes of the prefix, once.
    fn prove(&self) -> Result<(), HttpError> {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        let known = distinctive(&self.prefix);
        if *proved || known.is_empty() {
            return Ok(());
        }
        let mut again = vec![0; known.len()];
        self.remote.link.wait(self.fill(&mut again, count(known.start), &mut 0))?;
        if self.prefix.get(known.clone()) != Some(&again) {
            let words =
                format!("bytes {} to {} are not the same when asked for as a range", known.start, known.end);
            return Err(HttpError::Lie(words));
        }
        *proved = true;
        Ok(())
    }

    /// Fills `buf` from `at` on; `done` tells how far it came.
    async fn fill(&self, buf: &mut [u8], at: u64, done: &mut usize) -> Result<(), HttpError> {
        let mut patience = Patience::default();
        let mut lane = self.lanes.enter().await;
        while *done < buf.len() {
            let start = *done;
            let rest = buf.get_mut(start..).unwrap_or_default();
            let asked = Instant::now();
            let result = self.fill_some(rest, at.saturating_add(count(start)), done).await;
            let got = count(done.saturating_sub(start));
            patience.delivered(got);
            let Err(error) = result else {
                self.heed(&self.lanes.answered(&lane, got, asked.elapsed()));
                continue;
            };
            if !error.wants_fewer() {
                self.remote.rest(&mut patience, error).await?;
                continue;
            }
            drop(lane);
            if self.lanes.narrow() {
                tracing::info!("{}: the server is busy; asking for one range at a time", self.remote.name);
            }
            self.remote.rest(&mut patience, error).await?;
            lane = self.lanes.enter().await;
        }
        Ok(())
    }

    /// Says what becomes of the lanes, where something does.
    fn heed(&self, advice: &Advice) {
        let name = &self.remote.name;
        match advice {
            Advice::Stay => {}
            Advice::Narrow => {
                tracing::info!("{name}: the server has become slow; trying one range at a time");
            }
            Advice::Widen => tracing::info!("{name}: that is slower still; asking for several ranges again"),
        }
    }

    /// Fills as much of `buf` as one answer gives, and adds that to `done`.
    async fn fill_some(&self, buf: &mut [u8], at: u64, done: &mut usize) -> Result<(), HttpError> {
        let want = at..at.saturating_add(count(buf.len()));
        let mut response = self.remote.ask(&Want::part(&want, &self.validator)).await?;
        let end = judge_part(&facts(&response), &self.validator, self.total, want.clone())?;
        let mut rest = buf;
        let mut got = 0;
        while let Some(chunk) = self.remote.chunk(&mut response).await? {
            let bytes = (*chunk).as_ref();
            let Some((now, later)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) else {
                return Err(HttpError::Lie("more bytes than were asked for".to_owned()));
            };
            now.copy_from_slice(bytes);
            rest = later;
            got += bytes.len();
            *done += bytes.len();
        }
        let promised = end.saturating_sub(at);
        if count(got) < promised || (end < want.end && promised < LEAST_PART) {
            return Err(HttpError::Short { got: count(got), want: want.end.saturating_sub(at) });
        }
        Ok(())
    }
}

impl ReadAt for Ranges {
    fn len(&self) -> u64 {
        self.total
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        if offset.checked_add(count(buf.len())).is_none_or(|end| end > self.total) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read(buf, offset).map_err(|(at, cause)| Error::from(self.remote.failure(at, cause)).into())
    }

    fn reading(&self) -> Reading {
        let lanes = self.remote.context().connections.max(1);
        Reading { lanes, piece: self.remote.reach.piece(lanes), gap: 256 << 10 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let object =
            Object { len: Some(self.total), resume: Resume::Range, validator: Some(self.validator.clone()) };
        let remote = self.remote.clone();
        let prefix = Arc::try_unwrap(self).map_or_else(|shared| shared.prefix.clone(), |owned| owned.prefix);
        Ok(stream(remote, object, prefix, first))
    }
}

/// Reads the first bytes; tells whether the body may be read on from there.
async fn fill_prefix(remote: &Remote, body: &mut Body, prefix: &mut Vec<u8>) -> Result<bool, HttpError> {
    while prefix.len() < PREFIX {
        match remote.chunk(&mut body.response).await {
            Ok(Some(chunk)) => prefix.extend_from_slice((*chunk).as_ref()),
            Ok(None) => break,
            // The first ranged read, or the stream, will ask for what is missing.
            Err(error) if error.is_passing() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// A piece of `prefix` that is unlike its neighbourhood, as far as there is one: never at the
/// very first byte, where a server that ignores ranges would be right by chance.
fn distinctive(prefix: &[u8]) -> Range<usize> {
    let edge = prefix.windows(2).skip(1).position(|pair| matches!(pair, [a, b] if a != b)).unwrap_or(0);
    let start = (edge + 1).min(prefix.len());
    start..prefix.len().min(start.saturating_add(PROOF))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_asks_for_bytes_that_tell() {
        let mut prefix = vec![0; 10_000];
        assert_eq!(distinctive(&prefix), 1..4097);
        prefix[5000] = 7;
        assert_eq!(distinctive(&prefix), 4999..9095);
        prefix[0] = 7;
        assert_eq!(distinctive(&prefix), 4999..9095);
        prefix[1] = 8;
        assert_eq!(distinctive(&prefix), 1..4097);
        assert_eq!(distinctive(&[1]), 1..1);
        assert_eq!(distinctive(&[]), 0..0);
    }
}
