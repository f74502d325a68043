//! liblzma's decoders of the .xz format behind safe types.
//!
//! The `liblzma` crate can neither set flags on a decoder nor decode a block apart from its stream;
//! this can. Refuses to know: readers, and what its outcomes mean to anyone.

mod block;
mod container;

use std::mem;

use liblzma_sys as ffi;

pub(crate) use block::BlockDecoder;
pub(crate) use container::{Block, IndexHash, STREAM_HEADER, StreamFlags};

/// Several streams in one file, and no integrity check that would go unchecked.
const FLAGS: u32 = ffi::LZMA_CONCATENATED | ffi::LZMA_TELL_UNSUPPORTED_CHECK;

/// What liblzma says after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The step was made, or neither input nor output allowed one.
    Going,
    /// The last stream and its padding have ended well.
    Ended,
    /// The data are damaged.
    Damaged,
    /// This is no .xz data.
    NotXz,
    /// The data use a feature or an integrity check that liblzma does not have.
    Unsupported,
    /// The memory that was allowed does not suffice.
    MemoryLimit,
    /// The system has no memory left.
    NoMemory,
    /// liblzma was used wrongly, or is newer than this code.
    Misused,
}

/// One step: bytes taken from the input, bytes made in the output, and how it went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) taken: usize,
    pub(crate) made: usize,
    pub(crate) outcome: Outcome,
}

/// A decoder of one .xz file.
pub(crate) struct Decoder {
    stream: ffi::lzma_stream,
    action: ffi::lzma_action,
}

// SAFETY: liblzma ties a stream to no thread, and all access goes through `&mut self`.
unsafe impl Send for Decoder {}

impl Decoder {
    /// A decoder that expects the first byte of a file, and never takes more than `memory` bytes.
    pub(crate) fn new(memory: u64) -> Result<Self, Outcome> {
        // SAFETY: all zero bytes are LZMA_STREAM_INIT.
        let mut decoder = Self { stream: unsafe { mem::zeroed() }, action: ffi::LZMA_RUN };
        // SAFETY: the stream is initialised.
        let code = unsafe { ffi::lzma_stream_decoder(&raw mut decoder.stream, memory, FLAGS) };
        match outcome(code) {
            Outcome::Going => Ok(decoder),
            refused => Err(refused),
        }
    }

    /// Decodes from `input` into `output` while more input is to come.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        code(&mut self.stream, self.action, input, output)
    }

    /// Decodes what is left into `output` after all input was given to [`Decoder::run`].
    pub(crate) fn finish(&mut self, output: &mut [u8]) -> Step {
        self.action = ffi::LZMA_FINISH;
        code(&mut self.stream, self.action, &[], output)
    }

    /// The bytes that the data need, after [`Outcome::MemoryLimit`].
    pub(crate) fn needed_memory(&self) -> u64 {
        // SAFETY: the stream is initialised.
        unsafe { ffi::lzma_memusage(&raw const self.stream) }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the stream is initialised.
        unsafe { ffi::lzma_end(&raw mut self.stream) };
    }
}

/// Lets liblzma work on `input` and `output`.
fn code(stream: &mut ffi::lzma_stream, action: ffi::lzma_action, input: &[u8], output: &mut [u8]) -> Step {
    stream.next_in = input.as_ptr();
    stream.avail_in = input.len();
    stream.next_out = output.as_mut_ptr();
    stream.avail_out = output.len();
    // SAFETY: the stream is initialised, the pointers and lengths are those of live slices, and
    // liblzma keeps neither pointer after the call.
    let code = unsafe { ffi::lzma_code(stream, action) };
    Step {
        taken: input.len().saturating_sub(stream.avail_in),
        made: output.len().saturating_sub(stream.avail_out),
        outcome: outcome(code),
    }
}

fn outcome(code: ffi::lzma_ret) -> Outcome {
    match code {
        // LZMA_BUF_ERROR: twice in a row there was nothing to do.
        ffi::LZMA_OK | ffi::LZMA_BUF_ERROR => Outcome::Going,
        ffi::LZMA_STREAM_END => Outcome::Ended,
        ffi::LZMA_DATA_ERROR => Outcome::Damaged,
        ffi::LZMA_FORMAT_ERROR => Outcome::NotXz,
        ffi::LZMA_OPTIONS_ERROR | ffi::LZMA_UNSUPPORTED_CHECK => Outcome::Unsupported,
        ffi::LZMA_MEMLIMIT_ERROR => Outcome::MemoryLimit,
        ffi::LZMA_MEM_ERROR => Outcome::NoMemory,
        _ => Outcome::Misused,
    }
}
