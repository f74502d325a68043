//! The parts of an .xz file around the compressed data, as liblzma parses them.
//!
//! Refuses to know: where the bytes come from, and which part follows which.

use std::mem;
use std::ptr::{self, NonNull};

use liblzma_sys as ffi;

use super::{Outcome, outcome};

/// Bytes of a stream header, and of a stream footer.
pub(crate) const STREAM_HEADER: usize = ffi::LZMA_STREAM_HEADER_SIZE as usize;

/// Filters in a block header, and the entry that ends their list.
const FILTERS: usize = ffi::LZMA_FILTERS_MAX as usize + 1;

/// What a stream says of itself in its header, and again in its footer.
#[derive(Clone, Copy)]
pub(crate) struct StreamFlags(ffi::lzma_stream_flags);

impl StreamFlags {
    /// The flags in a stream's header.
    pub(crate) fn header(bytes: &[u8; STREAM_HEADER]) -> Result<Self, Outcome> {
        let mut flags = Self::empty();
        // SAFETY: both point to live values, the second to as many bytes as a header has.
        let code = unsafe { ffi::lzma_stream_header_decode(&raw mut flags.0, bytes.as_ptr()) };
        good(code).map(|()| flags)
    }

    /// The flags in a stream's footer.
    pub(crate) fn footer(bytes: &[u8; STREAM_HEADER]) -> Result<Self, Outcome> {
        let mut flags = Self::empty();
        // SAFETY: both point to live values, the second to as many bytes as a footer has.
        let code = unsafe { ffi::lzma_stream_footer_decode(&raw mut flags.0, bytes.as_ptr()) };
        good(code).map(|()| flags)
    }

    /// Whether header and footer belong to each other.
    pub(crate) fn agree(&self, footer: &Self) -> Result<(), Outcome> {
        // SAFETY: both point to live values.
        good(unsafe { ffi::lzma_stream_flags_compare(&raw const self.0, &raw const footer.0) })
    }

    /// The bytes of the index, as a footer tells them.
    pub(crate) fn index_len(&self) -> u64 {
        self.0.backward_size
    }

    /// Whether blocks with this integrity check can be verified.
    pub(crate) fn is_checkable(&self) -> bool {
        // SAFETY: takes any number.
        unsafe { ffi::lzma_check_is_supported(self.0.check) != 0 }
    }

    /// The number of the integrity check in the format.
    pub(crate) fn check(&self) -> u32 {
        self.0.check
    }

    fn empty() -> Self {
        // SAFETY: all zero bytes are valid flags: integers only.
        Self(unsafe { mem::zeroed() })
    }
}

/// A block as its header describes it. Its address stays the same, which [`super::BlockDecoder`] needs.
pub(crate) struct Block(NonNull<Parts>);

struct Parts {
    block: ffi::lzma_block,
    filters: [ffi::lzma_filter; FILTERS],
}

// SAFETY: a block owns what it points to, and shares it with nobody.
unsafe impl Send for Block {}

impl Block {
    /// The bytes of the header that begins with `first`.
    pub(crate) fn header_len(first: u8) -> usize {
        (usize::from(first) + 1) * 4
    }

    /// The block of a stream with `flags` whose header is `header`.
    pub(crate) fn parse(header: &[u8], flags: &StreamFlags) -> Result<Self, Outcome> {
        if header.first().is_none_or(|first| Self::header_len(*first) != header.len()) {
            return Err(Outcome::Misused);
        }
        let none = ffi::lzma_filter { id: ffi::LZMA_VLI_UNKNOWN, options: ptr::null_mut() };
        // SAFETY: all zero bytes are a valid `lzma_block`: integers and null pointers.
        let empty = unsafe { mem::zeroed() };
        let parts = Box::new(Parts { block: empty, filters: [none; FILTERS] });
        let found = Self(NonNull::from(Box::leak(parts)));
        let parts = found.0.as_ptr();
        // SAFETY: `parts` is live and nobody else's. The header is as long as its first byte says,
        // which is all that liblzma reads; it writes within `block` and `filters`, which has room
        // for all filters and their end.
        let code = unsafe {
            (*parts).block.version = 1;
            (*parts).block.check = flags.0.check;
            (*parts).block.header_size = u32::try_from(header.len()).map_err(|_| Outcome::Misused)?;
            (*parts).block.filters = (&raw mut (*parts).filters).cast();
            ffi::lzma_block_header_decode(&raw mut (*parts).block, ptr::null(), header.as_ptr())
        };
        good(code).map(|()| found)
    }

    /// The bytes of memory that decoding it takes, most of them its dictionary.
    pub(crate) fn memory(&self) -> Result<u64, Outcome> {
        // SAFETY: the list of filters was made by liblzma, with its end.
        let usage = unsafe { ffi::lzma_raw_decoder_memusage((&raw const (*self.0.as_ptr()).filters).cast()) };
        if usage == u64::MAX { Err(Outcome::Unsupported) } else { Ok(usage) }
    }

    /// The bytes that the block has after its header, where it tells them.
    pub(crate) fn body_len(&self) -> Option<u64> {
        let block = self.raw();
        // SAFETY: takes any number.
        let check = unsafe { ffi::lzma_check_size(block.check) };
        let compressed = known(block.compressed_size)?.checked_next_multiple_of(4)?;
        compressed.checked_add(u64::from(check))
    }

    /// The bytes that the block decodes to, where it tells them, or once it was decoded.
    pub(crate) fn plain_len(&self) -> Option<u64> {
        known(self.raw().uncompressed_size)
    }

    /// The bytes of the block without padding, where it tells them, or once it was decoded.
    pub(crate) fn unpadded_len(&self) -> Option<u64> {
        // SAFETY: the block is live.
        let len = unsafe { ffi::lzma_block_unpadded_size(&raw const (*self.0.as_ptr()).block) };
        known(len).filter(|len| *len > 0)
    }

    /// The number of its integrity check in the format.
    pub(crate) fn check(&self) -> u32 {
        self.raw().check
    }

    /// Leaves verifying the integrity check to the caller.
    pub(crate) fn leave_check(&mut self) {
        // SAFETY: the block is live, and no decoder has it yet.
        unsafe { (*self.0.as_ptr()).block.ignore_check = 1 };
    }

    /// The first bytes of the integrity check that is stored, once the block was decoded.
    pub(crate) fn check_bytes<const N: usize>(&self) -> Option<[u8; N]> {
        self.raw().raw_check.first_chunk().copied()
    }

    /// What liblzma decodes by, and writes its findings to.
    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::lzma_block {
        // SAFETY: the block is live; nothing is read.
        unsafe { &raw mut (*self.0.as_ptr()).block }
    }

    fn raw(&self) -> ffi::lzma_block {
        // SAFETY: the block is live, and a decoder writes to it only while it is lent mutably.
        unsafe { (*self.0.as_ptr()).block }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `parts` came from a box. The options of the filters came from liblzma's allocator;
        // the list ends with an unknown filter from the beginning on.
        unsafe {
            ffi::lzma_filters_free((&raw mut (*self.0.as_ptr()).filters).cast(), ptr::null());
            drop(Box::from_raw(self.0.as_ptr()));
        }
    }
}

/// Sums up the sizes of a stream's blocks, and compares them to its index.
pub(crate) struct IndexHash(NonNull<ffi::lzma_index_hash>);

// SAFETY: the hash is owned, and liblzma ties it to no thread.
unsafe impl Send for IndexHash {}

impl IndexHash {
    /// A hash of no blocks.
    pub(crate) fn new() -> Result<Self, Outcome> {
        // SAFETY: null pointers ask for a new one, from the usual allocator.
        let made = unsafe { ffi::lzma_index_hash_init(ptr::null_mut(), ptr::null()) };
        NonNull::new(made).map(Self).ok_or(Outcome::NoMemory)
    }

    /// Adds a block.
    pub(crate) fn append(&mut self, unpadded: u64, plain: u64) -> Result<(), Outcome> {
        // SAFETY: the hash is live; all numbers are checked.
        good(unsafe { ffi::lzma_index_hash_append(self.0.as_ptr(), unpadded, plain) })
    }

    /// Reads on in the index; the bytes taken, and [`Outcome::Ended`] at its good end.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> (usize, Outcome) {
        let mut taken = 0;
        // SAFETY: the hash is live, and so are `taken` and the bytes, of which there are `len`.
        let code = unsafe {
            ffi::lzma_index_hash_decode(self.0.as_ptr(), bytes.as_ptr(), &raw mut taken, bytes.len())
        };
        (taken, outcome(code))
    }

    /// The bytes of the index that fits the blocks.
    pub(crate) fn index_len(&self) -> u64 {
        // SAFETY: the hash is live.
        unsafe { ffi::lzma_index_hash_size(self.0.as_ptr()) }
    }
}

impl Drop for IndexHash {
    fn drop(&mut self) {
        // SAFETY: the hash is live, and from the usual allocator.
        unsafe { ffi::lzma_index_hash_end(self.0.as_ptr(), ptr::null()) };
    }
}

fn good(code: ffi::lzma_ret) -> Result<(), Outcome> {
    match outcome(code) {
        Outcome::Going => Ok(()),
        refused => Err(refused),
    }
}

fn known(len: u64) -> Option<u64> {
    Some(len).filter(|len| *len != ffi::LZMA_VLI_UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_header_of_another_length_than_it_says_is_not_read() {
        let flags = StreamFlags::header(b"\xfd7zXZ\0\0\0\xff\x12\xd9\x41").unwrap();
        assert_eq!((flags.check(), flags.is_checkable()), (0, true));
        for header in [&[][..], &[2; 8], &[2; 11], &[2; 13]] {
            assert_eq!(Block::parse(header, &flags).err(), Some(Outcome::Misused), "{header:?}");
        }
        assert_eq!(Block::parse(&[2; 12], &flags).err(), Some(Outcome::Damaged));
    }
}
