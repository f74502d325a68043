//! The only unsafe code: ioctls and C libraries behind safe functions.
#![allow(unsafe_code)]

pub mod block;
pub mod cache;
pub mod close;
pub mod deflate;
pub(crate) mod lzma;
pub mod share;
pub mod signal;
