//! The only unsafe code: ioctls and C libraries behind safe functions.
#![allow(unsafe_code)]

pub(crate) mod lzma;
