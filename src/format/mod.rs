//! Facts about bytes: names, magic, addresses, sizes, digests, the QCOW2 format.
//!
//! Refuses to know: files, sockets, threads, clocks. Bytes in, facts out.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod addr;
pub mod codec;
pub mod date;
pub mod digest;
pub mod extent;
pub mod magic;
pub mod overhead;
pub mod preallocation;
pub mod qcow2;
pub mod quantity;
pub mod redact;
pub mod shown;
pub mod size;
pub mod time;
