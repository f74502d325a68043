//! The object at any offset, by ranges that are checked one by one.
//!
//! Refuses to know: what the bytes mean. A server is believed only after it repeated bytes that
//! are known already: right headers over shifted bytes would otherwise go unnoticed.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::HttpError;
use super::facts::Validator;
use super::lanes::Lanes;
use super::range::Resume;
use super::reader::{Reader, Version, count};
use super::request::Remote;
use super::stream::{Body, Object, stream};
use crate::error::Error;
use crate::io::{ReadAt, Reading, Sequential};

/// First bytes that are kept: heads, headers and most first tables lie within.
const PREFIX: usize = 256 << 10;

/// Bytes that a server repeats as a proof.
const PROOF: usize = 4096;

/// An object whose server has proved its ranges.
pub(super) struct Ranges {
    version: Version,
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
        let version = Version { remote, lanes, total, validator };
        Ok(Self { version, prefix, first, proved: Mutex::new(false) })
    }

    /// Fills `buf` with what `reader` gives next.
    fn read(&self, reader: &mut Reader<'_>, buf: &mut [u8]) -> io::Result<()> {
        let remote = &self.version.remote;
        let failed = |at, cause| io::Error::from(Error::from(remote.failure(at, cause)));
        let known = usize::try_from(reader.rest().start).ok().and_then(|at| self.prefix.get(at..));
        let known = known.unwrap_or_default();
        let (head, rest) = buf.split_at_mut(known.len().min(buf.len()));
        head.copy_from_slice(known.get(..head.len()).unwrap_or_default());
        reader.skip(count(head.len()));
        if rest.is_empty() {
            return Ok(());
        }
        // Who reads ranges will not read on from the first answer: its connection is worth more.
        drop(self.first.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.prove().map_err(|error| failed(0, error))?;
        let result = remote.link.wait(reader.fill(rest));
        result.map_err(|error| failed(reader.rest().start, error))
    }

    /// Has the server repeat some bytes of the prefix, once.
    fn prove(&self) -> Result<(), HttpError> {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        let known = distinctive(&self.prefix);
        if *proved || known.is_empty() {
            return Ok(());
        }
        let mut again = vec![0; known.len()];
        let mut reader = Reader::new(&self.version, count(known.start)..count(known.end));
        self.version.remote.link.wait(reader.fill(&mut again))?;
        if self.prefix.get(known.clone()) != Some(&again) {
            let words =
                format!("bytes {} to {} are not the same when asked for as a range", known.start, known.end);
            return Err(HttpError::Lie(words));
        }
        *proved = true;
        Ok(())
    }
}

impl ReadAt for Ranges {
    fn len(&self) -> u64 {
        self.version.total
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.saturating_add(count(buf.len()));
        self.reader(offset..end).read_exact(buf)
    }

    fn reader(&self, range: Range<u64>) -> Box<dyn Read + '_> {
        Box::new(Part { ranges: self, reader: Reader::new(&self.version, range) })
    }

    fn reading(&self) -> Reading {
        let remote = &self.version.remote;
        let lanes = remote.context().connections.max(1);
        Reading { lanes, piece: remote.reach.piece(lanes), gap: 256 << 10 }
    }

    fn into_sequential(self: Arc<Self>) -> io::Result<Sequential> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Version { remote, total, validator, .. } = &self.version;
        let object = Object { len: Some(*total), resume: Resume::Range, validator: Some(validator.clone()) };
        let remote = remote.clone();
        let prefix = Arc::try_unwrap(self).map_or_else(|shared| shared.prefix.clone(), |owned| owned.prefix);
        Ok(stream(remote, object, prefix, first))
    }
}

/// A range, read from the first byte to the last.
struct Part<'a> {
    ranges: &'a Ranges,
    reader: Reader<'a>,
}

impl Read for Part<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.reader.rest();
        if rest.end > self.ranges.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = usize::try_from(rest.end.saturating_sub(rest.start)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        self.ranges.read(&mut self.reader, buf.get_mut(..len).unwrap_or_default())?;
        Ok(len)
    }
}

/// Reads the first bytes; tells whether the body may be read on from there.
async fn fill_prefix(remote: &Remote, body: &mut Body, prefix: &mut Vec<u8>) -> Result<bool, HttpError> {
    while prefix.len() < PREFIX {
        match remote.chunk(&mut body.response).await {
            Ok(Some(chunk)) => prefix.extend_from_slice(&chunk),
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
