//! The loops that move bytes, one file for each: stream, forward, ranged.
//!
//! Refuses to know: where the bytes come from, what the target is, who is watching.

#[cfg(test)]
mod failing_tests;
mod forward;
mod gather;
mod held;
mod queue;
mod ranged;
#[cfg(test)]
mod ranged_tests;
mod stream;

use std::io;
use std::sync::Arc;

use crate::error::{Classify, Error, Kind, kind_within};
use crate::progress::{Progress, Stop};
use crate::sink::{Sink, SinkError};

pub use forward::{Forward, Waiting};
pub use ranged::ranged;
pub use stream::stream;

/// What every loop pours into, reports to and listens to.
#[derive(Clone, Copy)]
pub struct Pouring<'a> {
    /// The target.
    pub sink: &'a dyn Sink,
    /// The counters.
    pub progress: &'a Arc<Progress>,
    /// The user's wish to end.
    pub stop: &'a Stop,
    /// Threads that decode and write.
    pub workers: usize,
}

/// An error on the way of a byte, which names the side.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source's side.
    #[error("cannot read the image at byte {at}")]
    Read {
        /// The byte offset in the stream or image that was being read.
        at: u64,
        /// What the source said.
        #[source]
        cause: io::Error,
    },
    /// The target's side.
    #[error("cannot write the disk at byte {at}")]
    Write {
        /// The guest offset that was being written.
        at: u64,
        /// What the target said.
        #[source]
        cause: SinkError,
    },
    /// A worker has no memory for its decoder.
    #[error("no memory for a decoder")]
    NoMemory,
}

impl Classify for CopyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { cause, .. } => kind_within(cause).unwrap_or(Kind::Other),
            Self::Write { cause, .. } => cause.kind(),
            Self::NoMemory => Kind::Other,
        }
    }
}

/// The error of a failed read at `at`; what is classified already keeps its kind and words.
fn read_failed(at: u64, cause: io::Error) -> Error {
    CopyError::Read { at, cause }.into()
}

fn write_failed(at: u64, cause: SinkError) -> Error {
    CopyError::Write { at, cause }.into()
}

/// A length in memory as a number of bytes on disk.
fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A number of bytes on disk that is known to fit into memory.
fn in_memory(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
