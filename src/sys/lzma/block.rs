//! liblzma's decoder of one block behind a safe type, used for one block after the other.
//!
//! Refuses to know: headers, indexes, threads.

use std::mem;

use liblzma_sys as ffi;

use super::{Block, Outcome, Step, code, outcome};

/// A decoder of blocks; it verifies their sizes and integrity checks.
pub(crate) struct BlockDecoder {
    stream: ffi::lzma_stream,
    /// The present block, or the last one: liblzma keeps a pointer to it.
    block: Option<Block>,
}

// SAFETY: liblzma ties a stream to no thread, and all access goes through `&mut self`.
unsafe impl Send for BlockDecoder {}

impl BlockDecoder {
    /// A decoder without a block and without a dictionary.
    pub(crate) fn new() -> Self {
        // SAFETY: all zero bytes are LZMA_STREAM_INIT.
        Self { stream: unsafe { mem::zeroed() }, block: None }
    }

    /// Makes ready for `block`; the memory of the block before is used again.
    pub(crate) fn begin(&mut self, mut block: Block) -> Result<(), Outcome> {
        // SAFETY: the stream is initialised. liblzma keeps the pointer to the block, which stays where
        // it is and lives until the next call or the end of `self`; it reads the filters now only.
        let code = unsafe { ffi::lzma_block_decoder(&raw mut self.stream, block.as_mut_ptr()) };
        self.block = Some(block);
        match outcome(code) {
            Outcome::Going => Ok(()),
            refused => Err(refused),
        }
    }

    /// Decodes from `input`, what follows the block's header, into `output`.
    pub(crate) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        code(&mut self.stream, ffi::LZMA_RUN, input, output)
    }

    /// The present block; after [`Outcome::Ended`] it tells its sizes.
    pub(crate) fn block(&self) -> Option<&Block> {
        self.block.as_ref()
    }
}

impl Drop for BlockDecoder {
    fn drop(&mut self) {
        // SAFETY: the stream is initialised; the block is dropped after this.
        unsafe { ffi::lzma_end(&raw mut self.stream) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_without_a_block_decodes_nothing() {
        let mut decoder = BlockDecoder::new();
        assert!(decoder.block().is_none());
        assert_eq!(decoder.run(b"bytes", &mut [0; 9]).outcome, Outcome::Misused);
    }
}
