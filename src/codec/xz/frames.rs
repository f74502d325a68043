//! The frame of an .xz file: streams, block headers, index, footer and padding.
//!
//! As strict as liblzma's own stream decoder. Refuses to know: how blocks are decoded, and by whom.

use super::fault;
use crate::codec::decoder::{Fault, Place};
use crate::sys::lzma::{Block, IndexHash, Outcome, STREAM_HEADER, StreamFlags};

/// The first byte of an index, where a block's header could begin.
const INDEX: u8 = 0;

/// Padding after a stream comes in units of this many bytes.
const UNIT: usize = 4;

/// A block whose header has been read; its body follows.
pub(super) struct Found {
    pub(super) block: Block,
    /// What describes the body wholly: the check of its stream and its header.
    pub(super) header: (u32, Box<[u8]>),
}

enum Stage {
    /// Some bytes of a stream's header.
    Header(Vec<u8>),
    /// Between blocks, or some bytes of a block's header.
    Block(Vec<u8>),
    Index,
    /// Some bytes of a stream's footer.
    Footer(Vec<u8>),
    /// So many bytes beyond whole units, after a stream.
    Padding(usize),
}

/// The place within the frame of one file.
pub(super) struct Frames {
    stage: Stage,
    /// The flags of the present stream, once its header was read.
    flags: Option<StreamFlags>,
    blocks: IndexHash,
}

impl Frames {
    /// The beginning of a file.
    pub(super) fn new() -> Result<Self, Fault> {
        let blocks = IndexHash::new().map_err(fault)?;
        Ok(Self { stage: Stage::Header(Vec::new()), flags: None, blocks })
    }

    /// Reads `bytes` away up to the next block's body, or to their end.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Found>, Fault> {
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Header(held) => {
                    if let Some(header) = whole::<STREAM_HEADER>(held, bytes) {
                        self.header(&header)?;
                    }
                }
                Stage::Block(_) => {
                    if let Some(found) = self.block(bytes)? {
                        return Ok(Some(found));
                    }
                }
                Stage::Index => self.index(bytes)?,
                Stage::Footer(held) => {
                    if let Some(footer) = whole::<STREAM_HEADER>(held, bytes) {
                        self.footer(&footer)?;
                    }
                }
                Stage::Padding(_) => self.padding(bytes)?,
            }
        }
        Ok(None)
    }

    /// Takes the sizes of a block into account, without its padding and decoded.
    pub(super) fn append(&mut self, unpadded: u64, plain: u64) -> Result<(), Fault> {
        self.blocks.append(unpadded, plain).map_err(fault)
    }

    /// Whether the file may end here.
    pub(super) fn place(&self) -> Result<Place, Fault> {
        match self.stage {
            Stage::Padding(0) => Ok(Place::Boundary),
            Stage::Padding(_) => Err(fault(Outcome::Damaged)),
            _ => Ok(Place::Inside),
        }
    }

    fn header(&mut self, header: &[u8; STREAM_HEADER]) -> Result<(), Fault> {
        let flags = StreamFlags::header(header).map_err(|outcome| match (outcome, &self.flags) {
            // What follows a stream was xz so far.
            (Outcome::NotXz, Some(_)) => fault(Outcome::Damaged),
            _ => fault(outcome),
        })?;
        if !flags.is_checkable() {
            return Err(fault(Outcome::Unsupported));
        }
        self.flags = Some(flags);
        self.stage = Stage::Block(Vec::new());
        Ok(())
    }

    fn block(&mut self, bytes: &mut &[u8]) -> Result<Option<Found>, Fault> {
        let (Stage::Block(held), Some(flags)) = (&mut self.stage, &self.flags) else { return Ok(None) };
        let Some(first) = held.first().or(bytes.first()).copied() else { return Ok(None) };
        if first == INDEX {
            self.stage = Stage::Index;
            return Ok(None);
        }
        if !gather(held, bytes, Block::header_len(first)) {
            return Ok(None);
        }
        let header = std::mem::take(held).into_boxed_slice();
        let block = Block::parse(&header, flags).map_err(fault)?;
        Ok(Some(Found { block, header: (flags.check(), header) }))
    }

    fn index(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        let (taken, outcome) = self.blocks.read(bytes);
        *bytes = bytes.get(taken..).unwrap_or_default();
        match outcome {
            Outcome::Going => Ok(()),
            Outcome::Ended => {
                self.stage = Stage::Footer(Vec::new());
                Ok(())
            }
            failed => Err(fault(failed)),
        }
    }

    fn footer(&mut self, footer: &[u8; STREAM_HEADER]) -> Result<(), Fault> {
        let footer = StreamFlags::footer(footer).map_err(|outcome| match outcome {
            Outcome::NotXz => fault(Outcome::Damaged),
            other => fault(other),
        })?;
        if footer.index_len() != self.blocks.index_len() {
            return Err(fault(Outcome::Damaged));
        }
        if let Some(header) = &self.flags {
            header.agree(&footer).map_err(fault)?;
        }
        self.stage = Stage::Padding(0);
        Ok(())
    }

    fn padding(&mut self, bytes: &mut &[u8]) -> Result<(), Fault> {
        let Stage::Padding(beyond) = &mut self.stage else { return Ok(()) };
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        *bytes = bytes.get(zeros..).unwrap_or_default();
        *beyond = beyond.saturating_add(zeros) % UNIT;
        if bytes.is_empty() {
            return Ok(());
        }
        if *beyond != 0 {
            return Err(fault(Outcome::Damaged));
        }
        self.blocks = IndexHash::new().map_err(fault)?;
        self.stage = Stage::Header(Vec::new());
        Ok(())
    }
}

/// Moves bytes to `held` until it has `want`; whether it has.
fn gather(held: &mut Vec<u8>, bytes: &mut &[u8], want: usize) -> bool {
    let count = want.saturating_sub(held.len()).min(bytes.len());
    let (head, rest) = bytes.split_at(count);
    held.extend_from_slice(head);
    *bytes = rest;
    held.len() == want
}

/// The `N` bytes of which `held` has the first, once they are there.
fn whole<const N: usize>(held: &mut Vec<u8>, bytes: &mut &[u8]) -> Option<[u8; N]> {
    if gather(held, bytes, N) { held.as_slice().try_into().ok() } else { None }
}
