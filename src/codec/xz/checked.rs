//! A decoder of blocks that computes the usual integrity check, CRC64, itself.
//!
//! liblzma as it is built here takes ten times as long for it, a fifth of all time for zeros.
//! Refuses to know: where the bytes come from and go to.

use crc64fast::Digest;

use crate::sys::lzma::{Block, BlockDecoder, Outcome, Step};

/// The number of CRC64 in the format, 2.1.1.2.
const CRC64: u32 = 4;

/// A decoder of one block after the other, all of which are verified.
pub(super) struct Checked {
    decoder: BlockDecoder,
    /// What came out so far, when it is for us to verify.
    digest: Option<Digest>,
}

impl Checked {
    /// A decoder without a block and without a dictionary.
    pub(super) fn new() -> Self {
        Self { decoder: BlockDecoder::new(), digest: None }
    }

    /// Makes ready for `block`; the memory of the block before is used again.
    pub(super) fn begin(&mut self, mut block: Block) -> Result<(), Outcome> {
        self.digest = (block.check() == CRC64).then(Digest::new);
        if self.digest.is_some() {
            block.leave_check();
        }
        self.decoder.begin(block)
    }

    /// Decodes from `input`, what follows the block's header, into `output`.
    pub(super) fn run(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut step = self.decoder.run(input, output);
        let Some(digest) = &mut self.digest else { return step };
        digest.write(output.get(..step.made).unwrap_or_default());
        let stored = self.decoder.block().and_then(Block::check_bytes);
        if step.outcome == Outcome::Ended && stored != Some(digest.sum64().to_le_bytes()) {
            step.outcome = Outcome::Damaged;
        }
        step
    }

    /// The present block; after [`Outcome::Ended`] it tells its sizes.
    pub(super) fn block(&self) -> Option<&Block> {
        self.decoder.block()
    }
}
