//! A decoder of .xz files that hands their blocks to several threads.
//!
//! Memory: [`PARALLEL_MEMORY`] for dictionaries, input that waits and output that is held. Compressed
//! bytes are kept as they come, not as a header announces them. A block that does not tell its sizes,
//! or takes too much memory, is decoded here and now, after all blocks before it, with its dictionary
//! alone. Refuses to know: how threads work.

use super::checked::Checked;
use super::crew::Crew;
use super::frames::{Found, Frames};
use super::queue::{Fed, Next, PIECE, Piece, Plain};
use super::{fault, over_limit};
use crate::codec::XZ_MEMORY_LIMIT;
use crate::codec::decoder::{Decode, Fault, Feed, Place, Step};
use crate::sys::lzma::{Block, Outcome};

/// What the threads may use together, in bytes: for two blocks of `xz -6 -T2` their 8 MiB
/// dictionaries and 24 MiB of input or output each, and something for what follows.
const PARALLEL_MEMORY: u64 = 80 << 20;

/// How a body is dealt with.
enum Body {
    /// The next bytes belong to the frame.
    None,
    /// Nobody is there for it yet: the blocks before it come first.
    Waiting(Found),
    /// It goes to the crew: so many bytes yet, and those that are no whole piece.
    Crew { left: u64, piece: Option<Piece> },
    /// It is decoded here.
    Here,
}

/// A decoder of .xz data, block by block.
pub(super) struct Blocks {
    threads: usize,
    /// Bytes that the threads may use together.
    memory: u64,
    frames: Frames,
    body: Body,
    crew: Option<Crew>,
    here: Option<Checked>,
    /// What was taken from the crew, and the bytes of it that were given out.
    present: Option<Plain>,
    given: usize,
    /// What is wrong after all blocks that were handed over.
    failed: Option<Fault>,
}

impl Blocks {
    /// A decoder with at most `threads` threads.
    pub(super) fn new(threads: usize) -> Result<Self, Fault> {
        Self::within(PARALLEL_MEMORY, threads)
    }

    fn within(memory: u64, threads: usize) -> Result<Self, Fault> {
        Ok(Self {
            threads,
            memory,
            frames: Frames::new()?,
            body: Body::None,
            crew: None,
            here: None,
            present: None,
            given: 0,
            failed: None,
        })
    }

    /// Reads `bytes` as far as memory allows; returns how many.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && self.failed.is_none() {
            let moved = match &self.body {
                Body::None => self.read_frame(&mut rest),
                Body::Crew { .. } => self.hand_over(&mut rest),
                Body::Waiting(_) | Body::Here => break,
            };
            match moved {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => self.failed = Some(fault),
            }
        }
        bytes.len().saturating_sub(rest.len())
    }

    /// Reads `bytes` up to the next block, whose body is to follow; whether there may be another block.
    fn read_frame(&mut self, bytes: &mut &[u8]) -> Result<bool, Fault> {
        if self.crew.as_ref().is_some_and(|crew| !crew.has_room()) {
            return Ok(false);
        }
        let Some(found) = self.frames.read(bytes)? else { return Ok(true) };
        let memory = found.block.memory().map_err(fault)?;
        match &mut self.crew {
            Some(crew) if memory <= crew.memory && fits(&found.block, crew.body_limit).is_some() => {
                self.push(found)?;
            }
            _ => self.body = Body::Waiting(found),
        }
        Ok(true)
    }

    /// Finds somebody for a block when all blocks before it have been given out.
    fn open(&mut self, found: Found) -> Result<(), Fault> {
        // Whoever was there is of no use for it, and shall not add to the memory.
        self.crew = None;
        let memory = found.block.memory().map_err(fault)?;
        if memory > XZ_MEMORY_LIMIT {
            return Err(over_limit(memory));
        }
        // Dictionaries get half of the memory at most.
        let fitting = usize::try_from(self.memory / 2 / memory.max(1)).unwrap_or(usize::MAX);
        let most = fitting.min(self.threads);
        let left = self.memory.saturating_sub(memory.saturating_mul(most as u64));
        let buffers = usize::try_from(left).unwrap_or(usize::MAX) / PIECE;
        let body_limit = left / 4 * 3;
        if most > 1 && fits(&found.block, body_limit).is_some() {
            self.here = None;
            self.crew = Some(Crew::new(most, memory, body_limit, buffers));
            return self.push(found);
        }
        self.body = Body::Here;
        self.here.get_or_insert_with(Checked::new).begin(found.block).map_err(fault)
    }

    fn push(&mut self, found: Found) -> Result<(), Fault> {
        let (Some(crew), Some(sizes)) = (&mut self.crew, fits(&found.block, u64::MAX)) else {
            return Err(fault(Outcome::Misused));
        };
        // The sizes are believed for the time being: decoding verifies them.
        self.frames.append(sizes.unpadded, sizes.plain)?;
        self.body = Body::Crew { left: sizes.body, piece: None };
        crew.push(found)
    }

    /// Moves `bytes` to the crew; whether any could be moved.
    fn hand_over(&mut self, bytes: &mut &[u8]) -> Result<bool, Fault> {
        let (Body::Crew { left, piece }, Some(crew)) = (&mut self.body, &self.crew) else {
            return Err(fault(Outcome::Misused));
        };
        let held = piece.take().or_else(|| Some(Piece { buffer: crew.input_buffer()?, len: 0 }));
        let Some(mut held) = held else { return Ok(false) };
        let room = held.buffer.get_mut(held.len..).unwrap_or_default();
        let count = room.len().min(bytes.len()).min(usize::try_from(*left).unwrap_or(usize::MAX));
        let (now, later) = bytes.split_at(count);
        room.get_mut(..count).unwrap_or_default().copy_from_slice(now);
        *bytes = later;
        *left = left.saturating_sub(count as u64);
        held.len = held.len.saturating_add(count);
        if *left == 0 {
            crew.feed(held, Fed::Wholly);
            self.body = Body::None;
        } else if held.len == held.buffer.len() {
            crew.feed(held, Fed::Partly);
        } else {
            *piece = Some(held);
        }
        Ok(true)
    }

    /// Hands over what there is of a block at the end of the file.
    fn cut(&mut self) {
        if let (Body::Crew { piece, .. }, Some(crew)) = (&mut self.body, &self.crew) {
            if let Some(held) = piece.take() {
                crew.feed(held, Fed::Partly);
            }
            crew.cut();
        }
    }

    /// Fills `output` with what is there: the bytes made, and what comes next.
    fn give(&mut self, output: &mut [u8]) -> (usize, Next) {
        let mut made = 0_usize;
        while let Some(rest) = output.get_mut(made..).filter(|rest| !rest.is_empty()) {
            if let Some(present) = self.present.take() {
                made = made.saturating_add(self.give_present(present, rest));
                continue;
            }
            match self.crew.as_ref().map_or(Next::Drained, Crew::next) {
                Next::Plain(plain) => (self.present, self.given) = (Some(plain), 0),
                other => return (made, other),
            }
        }
        (made, Next::Busy)
    }

    /// Copies what is left of `present` to `output`; the bytes copied.
    fn give_present(&mut self, present: Plain, output: &mut [u8]) -> usize {
        match present {
            Plain::Zeros(len) => {
                let count = usize::try_from(len).unwrap_or(usize::MAX).min(output.len());
                output.get_mut(..count).unwrap_or_default().fill(0);
                let left = len.saturating_sub(count as u64);
                self.present = (left > 0).then_some(Plain::Zeros(left));
                count
            }
            Plain::Bytes(piece) => {
                let rest = piece.buffer.get(self.given..piece.len).unwrap_or_default();
                let (from, left) = rest.split_at(rest.len().min(output.len()));
                output.get_mut(..from.len()).unwrap_or_default().copy_from_slice(from);
                let count = from.len();
                self.given = self.given.saturating_add(count);
                if !left.is_empty() {
                    self.present = Some(Plain::Bytes(piece));
                } else if let Some(crew) = &self.crew {
                    crew.give_back(piece.buffer);
                }
                count
            }
        }
    }

    /// Goes on where all blocks that were handed over have been given out; nothing where more
    /// can be read now.
    fn go_on(&mut self, bytes: &[u8], output: &mut [u8]) -> Option<Step> {
        if let Some(fault) = self.failed {
            return Some(Step { taken: 0, made: 0, place: Err(fault) });
        }
        match std::mem::replace(&mut self.body, Body::None) {
            Body::None => Some(Step { taken: 0, made: 0, place: self.frames.place() }),
            Body::Waiting(found) => {
                self.failed = self.open(found).err();
                None
            }
            Body::Here => Some(self.decode_here(bytes, output)),
            // Not drained, then.
            Body::Crew { .. } => Some(Step { taken: 0, made: 0, place: Err(fault(Outcome::Misused)) }),
        }
    }

    fn decode_here(&mut self, bytes: &[u8], output: &mut [u8]) -> Step {
        let Some(decoder) = &mut self.here else {
            return Step { taken: 0, made: 0, place: Err(fault(Outcome::Misused)) };
        };
        let step = decoder.run(bytes, output);
        let place = match step.outcome {
            Outcome::Going => {
                self.body = Body::Here;
                Ok(Place::Inside)
            }
            Outcome::Ended => {
                let block = decoder.block();
                let sizes = block.and_then(|block| block.unpadded_len().zip(block.plain_len()));
                let appended = sizes.map(|(unpadded, plain)| self.frames.append(unpadded, plain));
                appended.unwrap_or(Err(fault(Outcome::Misused))).map(|()| Place::Inside)
            }
            failed => Err(fault(failed)),
        };
        Step { taken: step.taken, made: step.made, place }
    }
}

impl Decode for Blocks {
    fn step(&mut self, feed: Feed<'_>, output: &mut [u8]) -> Step {
        loop {
            let news = self.crew.as_ref().map(Crew::news);
            let taken = self.read(feed.bytes);
            if feed.last && taken == feed.bytes.len() {
                self.cut();
            }
            let (made, next) = self.give(output);
            if taken > 0 || made > 0 {
                return Step { taken, made, place: Ok(Place::Inside) };
            }
            match next {
                Next::Failed(fault) => return Step { taken, made, place: Err(fault) },
                Next::Cut => return Step { taken, made, place: Ok(Place::Inside) },
                Next::Drained => {
                    if let Some(step) = self.go_on(feed.bytes, output) {
                        return step;
                    }
                }
                Next::Plain(_) | Next::Busy => {
                    if let (Some(crew), Some(news)) = (&self.crew, news) {
                        crew.wait(news);
                    }
                }
            }
        }
    }
}

/// The sizes that a block's header tells.
struct Sizes {
    body: u64,
    unpadded: u64,
    plain: u64,
}

/// The sizes of a block whose body takes at most `limit` bytes.
fn fits(block: &Block, limit: u64) -> Option<Sizes> {
    let body = block.body_len().filter(|len| *len <= limit)?;
    Some(Sizes { body, unpadded: block.unpadded_len()?, plain: block.plain_len()? })
}

#[cfg(test)]
mod tests;
