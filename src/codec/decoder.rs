//! The reader around every decoder: feeds it, and says where and how it failed.
//!
//! Refuses to know: any compressed format.

use std::io::{self, ErrorKind, Read};

use super::{Codec, CodecError};
use crate::error::Error;
use crate::io::Sequential;

/// Bytes read from the input at a time.
const PIECE: usize = 256 << 10;

/// Steps without progress after which a decoder is taken to be stuck; liblzma has one such step.
const IDLE_STEPS: u32 = 3;

/// What a decoder gets to see of its input.
#[derive(Clone, Copy)]
pub(super) struct Feed<'a> {
    /// The next bytes; empty only at the end of the input.
    pub(super) bytes: &'a [u8],
    /// Whether nothing follows `bytes`.
    pub(super) last: bool,
}

/// Where a decoder stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Within the data.
    Inside,
    /// Where the data may end; all output was given.
    Boundary,
}

/// Why a step failed; the reader around the decoder adds the codec and the place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Damaged(&'static str),
    Trailing,
    Unsupported(&'static str),
    OverLimit { what: &'static str, need: u64, cap: u64 },
    Decoder(&'static str),
}

/// One step: bytes taken from the feed, bytes made in the output, and how it went.
pub(super) struct Step {
    pub(super) taken: usize,
    pub(super) made: usize,
    pub(super) place: Result<Place, Fault>,
}

/// A decoder of one compressed format, from memory to memory.
pub(super) trait Decode: Send + 'static {
    /// Decodes some of `feed` into `output`, which is not empty.
    fn step(&mut self, feed: Feed<'_>, output: &mut [u8]) -> Step;
}

/// The plain bytes of `input`.
pub(super) fn stream(codec: Codec, input: Sequential, decode: impl Decode) -> Sequential {
    let piece = vec![0; PIECE].into_boxed_slice();
    let state = State::Running;
    Sequential::new(
        Decoder { codec, input, decode, state, piece, start: 0, end: 0, last: false, at: 0 },
        None,
    )
}

/// `fault` of `codec` at the compressed offset `at`.
pub(super) fn error(codec: Codec, at: u64, fault: Fault) -> CodecError {
    match fault {
        Fault::Damaged(reason) => CodecError::Damaged { codec, at, reason },
        Fault::Trailing => CodecError::Trailing { codec, at },
        Fault::Unsupported(reason) => CodecError::Unsupported { codec, at, reason },
        Fault::OverLimit { what, need, cap } => CodecError::OverLimit { codec, what, need, cap },
        Fault::Decoder(reason) => CodecError::Decoder { codec, reason },
    }
}

/// The bytes between two totals that a library counts.
pub(super) fn between(before: u64, after: u64) -> usize {
    usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX)
}

enum State {
    Running,
    Ended,
    /// Kept so that no later read looks like a good end.
    Failed(CodecError),
}

struct Decoder<D> {
    codec: Codec,
    input: Sequential,
    decode: D,
    state: State,
    piece: Box<[u8]>,
    start: usize,
    end: usize,
    /// Whether the input has ended.
    last: bool,
    /// Compressed bytes taken so far.
    at: u64,
}

impl<D: Decode> Decoder<D> {
    /// Reads the next piece when there is none.
    fn refill(&mut self) -> io::Result<()> {
        while self.start == self.end && !self.last {
            match self.input.read(&mut self.piece) {
                Ok(0) => self.last = true,
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Steps until `output` has got bytes, `piece` wants more or the state has changed; the count of bytes.
    fn step(&mut self, output: &mut [u8]) -> usize {
        let mut idle = 0;
        loop {
            let bytes = self.piece.get(self.start..self.end).unwrap_or_default();
            let step = self.decode.step(Feed { bytes, last: self.last }, output);
            self.start = self.start.saturating_add(step.taken).min(self.end);
            self.at = self.at.saturating_add(step.taken as u64);
            let moved = step.taken > 0 || step.made > 0;
            match step.place {
                Ok(Place::Boundary) if !moved && self.last => self.state = State::Ended,
                Ok(_) if moved => {}
                Ok(_) if idle < IDLE_STEPS => {
                    idle += 1;
                    continue;
                }
                Ok(_) => self.state = State::Failed(self.stuck()),
                Err(fault) => self.state = State::Failed(error(self.codec, self.at, fault)),
            }
            return step.made;
        }
    }

    fn stuck(&self) -> CodecError {
        if self.last && self.start == self.end {
            CodecError::Truncated { codec: self.codec, at: self.at }
        } else {
            error(self.codec, self.at, Fault::Decoder("it makes no progress"))
        }
    }
}

impl<D: Decode> Read for Decoder<D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut made = 0;
        while let Some(rest) = buf.get_mut(made..).filter(|rest| !rest.is_empty()) {
            match &self.state {
                State::Running => {}
                State::Ended => break,
                // What was made before the failure goes first; the failure waits.
                State::Failed(_) if made > 0 => break,
                State::Failed(error) => return Err(Error::from(error.clone()).into()),
            }
            if made > 0 && self.start == self.end && !self.last {
                break;
            }
            self.refill()?;
            made = made.saturating_add(self.step(rest));
        }
        Ok(made)
    }
}
