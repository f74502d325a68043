//! liblzma's decoders of the .xz format behind a safe type.
//!
//! The `liblzma` crate can neither set flags on the parallel decoder nor tell how much memory a
//! refused stream asks for; this can. Refuses to know: readers, and what its outcomes mean to anyone.

use std::mem;

use liblzma_sys as ffi;

/// Several streams in one file, and no integrity check that would go unchecked.
const FLAGS: u32 = ffi::LZMA_CONCATENATED | ffi::LZMA_TELL_UNSUPPORTED_CHECK;

/// How a decoder is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Threads that decode; 1 is the plain decoder.
    pub(crate) threads: u32,
    /// Bytes that the threads may use together; a block that needs more is decoded by one thread, unbuffered.
    pub(crate) parallel_memory: u64,
    /// Bytes that are never exceeded.
    pub(crate) memory: u64,
}

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
    /// A decoder that expects the first byte of a file.
    pub(crate) fn new(setup: Setup) -> Result<Self, Outcome> {
        // SAFETY: all zero bytes are LZMA_STREAM_INIT.
        let stream = unsafe { mem::zeroed() };
        let mut decoder = Self { stream, action: ffi::LZMA_RUN };
        let code = if setup.threads > 1 {
            // SAFETY: all zero bytes are a valid `lzma_mt`: integers and null pointers.
            let mut options: ffi::lzma_mt = unsafe { mem::zeroed() };
            options.flags = FLAGS;
            options.threads = setup.threads;
            options.memlimit_threading = setup.parallel_memory;
            options.memlimit_stop = setup.memory;
            // SAFETY: both pointers are to live values; `options` is read during the call only.
            unsafe { ffi::lzma_stream_decoder_mt(&raw mut decoder.stream, &raw const options) }
        } else {
            // SAFETY: the stream is initialised.
            unsafe { ffi::lzma_stream_decoder(&raw mut decoder.stream, setup.memory, FLAGS) }
        };
        match outcome(code) {
            Outcome::Going => Ok(decoder),
            refused => Err(refused),
        }
    }

    /// Decodes from `input` into `output` while more input is to come.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        self.code(input, output)
    }

    /// Decodes what is left into `output` after all input was given to [`Decoder::run`].
    pub(crate) fn finish(&mut self, output: &mut [u8]) -> Step {
        self.action = ffi::LZMA_FINISH;
        self.code(&[], output)
    }

    /// The bytes that the data need, after [`Outcome::MemoryLimit`].
    pub(crate) fn needed_memory(&mut self) -> Option<u64> {
        let limit = self.memory_limit();
        // SAFETY: the stream is initialised.
        let usage = unsafe { ffi::lzma_memusage(&raw const self.stream) };
        if usage > limit {
            return Some(usage);
        }
        // The parallel decoder counts a dictionary only once it is there: let it be reserved
        // (it is not touched without input) and ask again.
        // SAFETY: the stream is initialised.
        let lifted = unsafe { ffi::lzma_memlimit_set(&raw mut self.stream, u64::MAX) };
        let step = self.code(&[], &mut []);
        if lifted != ffi::LZMA_OK || step.outcome != Outcome::Going {
            return None;
        }
        // SAFETY: the stream is initialised.
        let usage = unsafe { ffi::lzma_memusage(&raw const self.stream) };
        Some(usage).filter(|usage| *usage > limit)
    }

    fn memory_limit(&self) -> u64 {
        // SAFETY: the stream is initialised.
        unsafe { ffi::lzma_memlimit_get(&raw const self.stream) }
    }

    fn code(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        self.stream.next_in = input.as_ptr();
        self.stream.avail_in = input.len();
        self.stream.next_out = output.as_mut_ptr();
        self.stream.avail_out = output.len();
        // SAFETY: the pointers and lengths are those of live slices, and liblzma's threads work on
        // buffers of their own: it keeps neither pointer after the call.
        let code = unsafe { ffi::lzma_code(&raw mut self.stream, self.action) };
        Step {
            taken: input.len().saturating_sub(self.stream.avail_in),
            made: output.len().saturating_sub(self.stream.avail_out),
            outcome: outcome(code),
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the stream is initialised; this ends and joins liblzma's threads.
        unsafe { ffi::lzma_end(&raw mut self.stream) };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parallel_decoder_is_one_in_which_cve_2025_31115_is_fixed() {
        // SAFETY: no arguments, no state.
        let version = unsafe { ffi::lzma_version_number() };
        assert!(version >= 50_080_012, "{version} is before 5.8.1");
    }
}
