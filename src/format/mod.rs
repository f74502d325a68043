//! Facts about bytes: names, magic, addresses, sizes, digests, the QCOW2 format.
//!
//! Refuses to know: files, sockets, threads, clocks. Bytes in, facts out.

pub mod addr;
pub mod codec;
pub mod digest;
pub mod preallocation;
pub mod redact;
pub mod size;
pub mod time;
