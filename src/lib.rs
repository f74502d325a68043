//! diskpour pours a virtual machine's disk image from anywhere into a block device or a file.
//!
//! # The way of a byte
//!
//! ```text
//! flags, env ─► config ─► source::open ─► Input ──head──► import::head ─► plan ─► Route
//!                                           │
//!             Random ───── free ─────► Sequential        two capabilities, two arrows
//!             Random ◄─ Scratch::stage ─ Sequential
//!                                           │
//! Stream    Sequential ─► digest ─► decode ─► zero scan ──────────────────────► Sink
//! Forward   Sequential ─► digest ─► decode ─► copy::forward ─► (held ─► spill) ► Sink
//! Ranged    Random ─► image (what lies where) ─► workers ─────────────────────► Sink
//! Stage     Sequential ─► digest ─► decode ─► scratch ─► Ranged                 Sink
//!                                                                                │
//!                     Progress (atomics) ◄─ every loop        finish = checks, size, fsync
//! ```
//!
//! The modules below stand in order: each uses only those above it (`tests/rooms.rs` sees to it).
//! The ground floor, down to `codec`, opens no file and no socket. The first MiB of the disk is
//! written last, by [`sink::FirstMibLast`], when every check has passed.
//!
//! A killed import leaves a [`journal`] of what is durable; the sink drops what is in it already, and
//! Ranged does not even fetch it.
//!
//! The library is the binary's inside: public for `main.rs`, the tests and the benches only.

// The ground floor: facts, capabilities, counters, codecs. Two decoders are C libraries, which
// `sys` alone may call.
pub mod error;
pub mod format;
pub mod io;
pub mod progress;
pub mod sys;
pub mod codec;

// What touches the system.
pub mod scratch;
pub mod journal;
pub mod sink;
pub mod image;
pub mod archive;
pub mod source;

// What decides, and the loops.
pub mod matrix;
pub mod plan;
pub mod copy;

// What faces the user.
pub mod config;
pub mod report;
pub mod import;
pub mod serve;
pub mod clone;
pub mod job;
pub mod inspect;
pub mod confine;

// What `tests/fuzz` reaches that is private otherwise.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
