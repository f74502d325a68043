//! Decompression: one function from compressed stream to plain stream.
