//! Raw deflate of whole buffers by libdeflate, with the count of bytes that it consumed.

use std::ptr::NonNull;

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_decompressor, libdeflate_deflate_decompress_ex,
    libdeflate_free_decompressor, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// A decompressor, reused from buffer to buffer.
pub struct Deflate(NonNull<libdeflate_decompressor>);

// SAFETY: a decompressor is memory of its own without ties to a thread; only `&mut` reaches it.
unsafe impl Send for Deflate {}

impl Deflate {
    /// A decompressor; `None` when there is no memory for one.
    #[must_use]
    pub fn new() -> Option<Self> {
        // SAFETY: the call takes nothing and returns null or a decompressor that is ours to free.
        NonNull::new(unsafe { libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Fills `out` from the deflate stream at the start of `input`, and returns the bytes consumed.
    ///
    /// `None` when the stream is damaged, is longer than `input`, or does not hold exactly `out`.
    pub fn fill(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        let mut consumed = 0;
        // SAFETY: the pointers and lengths are those of live slices, `consumed` outlives the call,
        // and a null `actual_out_nbytes_ret` asks for exactly `out.len()` bytes.
        let result = unsafe {
            libdeflate_deflate_decompress_ex(
                self.0.as_ptr(),
                input.as_ptr().cast(),
                input.len(),
                out.as_mut_ptr().cast(),
                out.len(),
                &raw mut consumed,
                std::ptr::null_mut(),
            )
        };
        (result == libdeflate_result_LIBDEFLATE_SUCCESS).then_some(consumed)
    }
}

impl Drop for Deflate {
    fn drop(&mut self) {
        // SAFETY: the decompressor came from `libdeflate_alloc_decompressor` and is freed once.
        unsafe { libdeflate_free_decompressor(self.0.as_ptr()) }
    }
}
