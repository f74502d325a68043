//! Facts about bytes: names, magic, addresses, sizes, digests, the QCOW2 format.
//!
//! Refuses to know: files, sockets, threads, clocks. Bytes in, facts out.

pub mod addr;
pub mod codec;
