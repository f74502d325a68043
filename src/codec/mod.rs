//! Decompression: one function from compressed stream to plain stream.

pub mod cluster;
mod zstd;
